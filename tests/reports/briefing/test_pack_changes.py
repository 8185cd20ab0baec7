"""What a pack says of things that changes touch, where layers cover all of them, a part, or none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flycam.change.impact import FeatureCount
from flycam.model.board import ChangeKind, LayerKind
from flycam.reports.briefing.changes import _count, _table
from flycam.reports.briefing.figures import PackChange, PackRoad, PackSize
from flycam.reports.layout import put_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (FeatureCount(inside=0, near=3, is_complete=True), "0 inside, 3 near"),
        (FeatureCount(inside=0, near=3, is_complete=False), "at least 3 near"),
        (FeatureCount(inside=0, near=0, is_complete=False), "none seen"),
        (None, "not known"),
    ],
)
def test_none_at_the_least_is_never_said(count: FeatureCount | None, text: str) -> None:
    assert str(_count(LayerKind.HOUSE, {LayerKind.HOUSE: count})).startswith(text)


def test_what_the_whole_change_touches_is_not_read_as_its_parts() -> None:
    road, of_whole = "ĐT 153 (46,8\u00a0m)", "Của cả thay đổi: "
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
        counts={**none, LayerKind.ROAD: FeatureCount(inside=1, near=0, is_complete=True)},
        layers=(),
    )
    part = replace(whole, size_in_commune=PackSize(area_m2=500.0, error_m2=20.0))
    of_all, of_part = (put_text(_table([one]).rows[0][4], "vi") for one in (whole, part))
    assert road in of_all and of_whole not in of_all
    assert of_part.startswith(of_whole) and road in of_part
