"""The contract of what was compared: each is kept once, with its windows, and none is lost.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import shapely

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.catalog.changes import ComparedWindow, Comparison
from flycam.messages import _
from flycam.model.records import AuditEntry

COMPARED = Comparison(
    comparison_id="compared-1",
    event_id="e1",
    before_shown="m1@2",
    after_shown="m2@1",
    rmse_m=0.2,
    author="Lan",
    at_ns=6,
    wkb=shapely.to_wkb(shapely.MultiPolygon([shapely.box(104.79, 21.89, 104.83, 21.93)])),
    bounds_lonlat_deg=(104.79, 21.89, 104.83, 21.93),
)
SAID = _("live"), _("{name}: no terrain under {share:.1f} %", name="f1", share=12.5)
WINDOWS = [
    ComparedWindow(lonlat_deg=(104.8, 21.9), state="agreed", residual_m=0.125),
    ComparedWindow(lonlat_deg=(104.81, 21.9), state="not found", residual_m=None),
]


def _told(count: int) -> AuditEntry:
    return AuditEntry(who="Lan", what="ground compared", subject="e1", detail=f"{count}", at_ns=6)


class ComparisonSuite:
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as opened:
            yield opened

    def test_each_is_kept_once_with_its_windows(self, catalog: Catalog) -> None:
        known = catalog.comparisons
        assert (known.list_for_event("e1"), known.events(), known.stamp()) == ([], set(), 0)
        assert known.add([COMPARED], WINDOWS, _told) == 1
        assert known.add([COMPARED], [], _told) == 0, "the same again"
        later = replace(COMPARED, comparison_id="compared-2", at_ns=9, doubts=SAID[:1], warnings=SAID)
        other = replace(COMPARED, comparison_id="compared-3", event_id="e2")
        assert known.add([later, COMPARED, other]) == 2
        assert known.list_for_event("e1") == [COMPARED, later]
        assert known.list_for_event("e1", until_ns=8) == [COMPARED], "as it stood then"
        assert (known.events(), known.stamp()) == ({"e1", "e2"}, 3)
        assert known.windows("compared-1") == WINDOWS
        assert known.windows("compared-2") == known.windows("compared-9") == []
        assert [one.what for one in catalog.audit.lines()] == ["ground compared"]
        assert COMPARED.mosaics == ("m1", "m2")


def compared_on(
    comparison_id: str, event_id: str, ground: shapely.MultiPolygon, before: str, after: str
) -> Comparison:
    """Other ground, between other pictures."""
    west, south, east, north = (float(side) for side in ground.bounds)
    return replace(
        COMPARED,
        comparison_id=comparison_id,
        event_id=event_id,
        before_shown=before,
        after_shown=after,
        wkb=shapely.to_wkb(ground),
        bounds_lonlat_deg=(west, south, east, north),
    )
