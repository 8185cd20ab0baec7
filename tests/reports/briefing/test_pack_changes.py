"""What a pack says of things that changes touch, where layers cover all of them, a part, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flycam.model.board import ChangeKind, LayerKind
from flycam.reports.briefing.changes import _count, _table
from flycam.reports.briefing.figures import PackChange, PackCount, PackRoad, PackSize
from flycam.reports.layout import put_text


@pytest.mark.parametrize(
    ("count", "english", "vietnamese"),
    [
        (PackCount(inside=0, near=3, is_complete=True), "0 inside, 3 near", "0 trong vùng, 3 ở gần"),
        (PackCount(inside=0, near=3, is_complete=False), "at least 3 near", "ít nhất 3 ở gần"),
        (
            PackCount(inside=2, near=1, is_complete=False),
            "at least 2 inside, at least 1 near",
            "ít nhất 2 trong vùng, ít nhất 1 ở gần",
        ),
        (
            PackCount(inside=0, near=0, is_complete=False),
            "none seen, the layers cover only a part",
            "chưa thấy, lớp chỉ phủ một phần",
        ),
        (None, "not known (no layer)", "chưa biết (không có lớp)"),
    ],
)
def test_none_at_the_least_is_never_said(count: PackCount | None, english: str, vietnamese: str) -> None:
    said = _count(LayerKind.HOUSE, {LayerKind.HOUSE: count})
    assert (str(said), said.in_language("vi")) == (english, vietnamese)


@pytest.mark.parametrize(
    ("language", "road", "of_whole"),
    [
        ("vi", "ĐT 153 (46,8\u00a0m)", "Của cả thay đổi: "),
        ("en", "ĐT 153 (46.8\u00a0m)", "Of the whole change: "),
    ],
)
def test_what_the_whole_change_touches_is_not_read_as_its_parts(
    language: str, road: str, of_whole: str
) -> None:
    none = dict.fromkeys(LayerKind, None)
    whole = PackChange(
        number=1,
        kind=ChangeKind.LANDSLIDE,
        full_size=PackSize(area_m2=2000.0, error_m2=50.0),
        note="",
        author="Lan",
        at_ns=0,
        lonlat_deg=(104.8, 21.9),
        vn2000=None,
        roads_cut=(PackRoad(name="ĐT 153", under_m=46.8),),
        counts={**none, LayerKind.ROAD: PackCount(inside=1, near=0, is_complete=True)},
        layers=(),
    )
    part = replace(whole, size_in_commune=PackSize(area_m2=500.0, error_m2=20.0))
    of_all, of_part = (put_text(_table([one]).rows[0][4], language) for one in (whole, part))
    assert road in of_all and of_whole not in of_all
    assert of_part.startswith(of_whole) and road in of_part
