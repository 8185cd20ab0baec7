"""What the reader of a comparison has to know, in English and in Vietnamese."""

from __future__ import annotations

from collections.abc import Sequence

from flycam.analysis.colour import ColourFault
from flycam.catalog.records import CommuneRecord
from flycam.pipeline.compare_grid import Said
from flycam.pipeline.compare_sides import Side

_COLOURS: dict[ColourFault, Said] = {
    ColourFault.GREY: (
        "has no colours (grey, panchromatic or infrared)",
        "không có màu (đen trắng, toàn sắc hoặc hồng ngoại)",
    ),
    ColourFault.UNREAL: (
        "has not the colours of daylight (an infrared band?)",
        "màu không phải màu ban ngày (có kênh hồng ngoại?)",
    ),
    ColourFault.DARK: ("is too dark to have colours (night?)", "quá tối nên không rõ màu (ban đêm?)"),
}


def not_looked_for(name: str, fault: ColourFault) -> Said:
    """Why the pictures were laid on each other and no more."""
    english, vietnamese = _COLOURS[fault]
    return (
        f"{name}: {english}: changes were not looked for, the pictures were only laid on each other; give a "
        "colour picture taken by day",
        f"{name}: ảnh {vietnamese} nên không dò thay đổi, chỉ khớp hai ảnh với nhau; hãy đưa ảnh màu chụp "
        "ban ngày",
    )


def remarks_on(
    sides: tuple[Side, Side], *, has_terrain: bool, communes: Sequence[CommuneRecord]
) -> list[Said]:
    """What the two sides, the terrain and the boundaries leave to be said."""
    said: list[Said] = []
    if live := " & ".join(side.name for side in sides if side.is_live):
        said.append(
            (
                f"{live}: live, its photos lie metres off each other, and so do changes at their seams; run "
                "'flycam finish' first",
                f"{live}: bản trực tiếp, các ảnh lệch nhau hàng mét nên chỗ giáp ảnh dễ bị báo nhầm; hãy "
                "chạy 'flycam finish' trước",
            )
        )
    if not has_terrain:
        said.append(
            (
                "no terrain: changes are judged without slope; give it with --dem",
                "không có mô hình độ cao: xét thay đổi mà không biết độ dốc; hãy đưa bằng --dem",
            )
        )
    if not communes:
        said.append(
            (
                "no boundaries here: changes have no commune; register them with flycam communes add",
                "không có ranh giới ở đây nên chưa biết thuộc xã nào; hãy nạp bằng flycam communes add",
            )
        )
    return said
