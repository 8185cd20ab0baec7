"""Names of settlements' access and of road evidence: Vietnamese, English."""

from __future__ import annotations

from collections.abc import Mapping

from flycam.frame.settlement import Access, RoadStatus

ACCESS_NAMES: Mapping[Access, tuple[str, str]] = {
    Access.REACHABLE: ("tới được", "reachable"),
    Access.ISOLATED: ("bị cô lập", "isolated"),
    Access.UNKNOWN: ("chưa rõ", "unknown"),
}

ROADS_SAY_NAMES: Mapping[RoadStatus, tuple[str, str]] = {
    RoadStatus.CUT_OFF: (
        "đường nối với mạng chính đã bị cắt: đề xuất là bị cô lập",
        "its roads to the main net are cut: proposed as isolated",
    ),
    RoadStatus.JOINED: (
        "còn đường nối theo các vết cắt đã xác nhận; đoạn chưa bay chụp thì chưa rõ",
        "a road passes all confirmed cuts; stretches that nobody flew over are not known",
    ),
    RoadStatus.NO_ROAD: ("lớp đường không có đường tới gần", "no road of the layers comes near"),
    RoadStatus.NOT_JOINED: (
        "đường ở đây vốn không nối với mạng chính trong lớp",
        "its roads are not joined to the main net in the layer",
    ),
    RoadStatus.NO_LAYER: (
        "chưa có lớp đường, hoặc không còn trong lớp",
        "no layer of roads, or no more in a layer",
    ),
}
