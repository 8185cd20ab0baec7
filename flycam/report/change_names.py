"""What changes, and the things that they touch, are called: Vietnamese, English."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.change import ChangeKind
from flycam.frame.specialist import LayerKind

CHANGE_KINDS: Mapping[ChangeKind, tuple[str, str]] = {
    ChangeKind.LANDSLIDE: ("Sạt lở", "Landslide"),
    ChangeKind.FLOOD: ("Ngập lụt", "Flood"),
    ChangeKind.OTHER: ("Thay đổi khác", "Other change"),
}

THINGS: Mapping[LayerKind, tuple[str, str]] = {
    LayerKind.ROAD: ("đường", "roads"),
    LayerKind.HOUSE: ("nhà", "houses"),
    LayerKind.SETTLEMENT: ("thôn, bản", "settlements"),
    LayerKind.SCHOOL: ("trường học", "schools"),
    LayerKind.MAST: ("trạm BTS", "phone masts"),
    LayerKind.POWER: ("đường dây điện", "power lines"),
    LayerKind.HYDROLOGY: ("thuỷ văn", "waters"),
    LayerKind.OTHER: ("đối tượng khác", "other things"),
}
"""What matters first comes first."""
