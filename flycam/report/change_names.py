"""Names of kinds of changes and of features that they touch: Vietnamese, English."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.change import ChangeKind
from flycam.frame.specialist_layer import LayerKind

CHANGE_KIND_NAMES: Mapping[ChangeKind, tuple[str, str]] = {
    ChangeKind.LANDSLIDE: ("Sạt lở", "Landslide"),
    ChangeKind.FLOOD: ("Ngập lụt", "Flood"),
    ChangeKind.OTHER: ("Thay đổi khác", "Other change"),
}

LAYER_KIND_NAMES: Mapping[LayerKind, tuple[str, str]] = {
    LayerKind.ROAD: ("đường", "roads"),
    LayerKind.HOUSE: ("nhà", "houses"),
    LayerKind.SETTLEMENT: ("thôn, bản", "settlements"),
    LayerKind.SCHOOL: ("trường học", "schools"),
    LayerKind.MAST: ("trạm BTS", "phone masts"),
    LayerKind.POWER: ("đường dây điện", "power lines"),
    LayerKind.HYDROLOGY: ("thuỷ văn", "waters"),
    LayerKind.OTHER: ("đối tượng khác", "other things"),
}
"""Most important first."""

NO_SCORE_REASONS: Mapping[str, tuple[str, str]] = {
    "drawn": ("không có (vẽ tay)", "none (drawn by hand)"),
    "kind_changed": ("không có (người soát xét đã đổi loại)", "none (a person chose another kind)"),
    "no_terrain": ("không có (thiếu địa hình)", "none (no terrain)"),
}
"""Reason for a missing probability, by `ChangeVersion.no_score`."""

VOLUME_BASIS = (
    "Khối lượng so với đất không đổi quanh vết trượt: không tính chỗ của thay đổi khác, kể cả chỗ đã bác bỏ"
    " (trừ khi không còn đủ đất), nên chỉ đổi khi có đường viền mới hoặc được sửa.",
    "A volume is measured against unchanged ground around: without that of other changes, rejected ones too"
    " (unless too little is left), so that it moves only where outlines come or are redrawn.",
)
"""Basis of every volume of a landslide: Vietnamese, English."""

NO_VOLUME_REASONS: Mapping[str, tuple[str, str]] = {
    "drawn": ("vẽ tay, không từ hai chuyến bay", "drawn by hand, of no two flights"),
    "picture": ("một bên là tệp ảnh, không có độ cao", "one side is a picture without heights"),
    "not_finished": (
        "một chuyến bay chưa hoàn thiện khi so sánh",
        "one of the flights was not finished when they were compared",
    ),
    "no_surface": (
        "một chuyến bay không có bề mặt riêng",
        "one of the flights has no surface of its own",
    ),
    "little_known": (
        "chưa đo được độ cao của nửa vết trượt ở cả hai lần",
        "heights are known on both dates under less than half of it",
    ),
    "little_stable": (
        "quá ít đất không đổi xung quanh để ghép hai bề mặt",
        "too little unchanged ground around to lay one surface on the other",
    ),
}
"""Reason for a missing volume of a landslide, by `NoSurfaces` and `VolumeUnavailable`."""
