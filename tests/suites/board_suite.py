"""The contract of what others put on the map: layers, replaced whole; marks, of which no line is lost.

SQLite's and PostgreSQL's test classes inherit it and give the fixture `url`, an empty catalogue's address.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import shapely

from flycam.catalog.catalog import Catalog, open_catalog
from flycam.errors import NotFound, StoreConflict
from flycam.model.board import Condition, LayerKind, MarkKind, MarkStatus
from flycam.model.records import AuditEntry, LayerFeatureRecord, LayerRecord, MarkVersion

LAYER = LayerRecord(
    layer_id="layer-1",
    name="Lưới điện <script>",
    kind=LayerKind.POWER,
    owner="Điện lực",
    source="https://gis.evn.vn/l.geojson?key=1",
    sha256="ab" * 32,
    valid_ns=None,
    added_ns=1,
    refreshed_ns=2,
    features=3,
    troubles=1,
    has_status=True,
    bounds_lonlat_deg=(104.0, 21.0, 104.3, 21.0),
)
LINE = MarkVersion(
    mark_id="mark-00000001",
    version=1,
    event_id="e1",
    kind=MarkKind.RESCUE,
    status=MarkStatus.OPEN,
    note="3 người trên mái nhà",
    photo_sha256=None,
    author="Lan",
    at_ns=5,
    wkb=shapely.to_wkb(shapely.Point(104.8, 21.9)),
    bounds_lonlat_deg=(104.8, 21.9, 104.8, 21.9),
)


def mark_told(line: MarkVersion) -> AuditEntry:
    """What the audit log tells of a line of a mark."""
    return AuditEntry(who=line.author, what="mark", subject=line.mark_id, detail="", at_ns=line.at_ns)


def thing(number: int, condition: Condition = Condition.UNKNOWN) -> LayerFeatureRecord:
    lon = 104.0 + number / 10
    return LayerFeatureRecord(
        number=number,
        name=f"Cột {number}",
        owner="",
        status="mất điện" if condition.is_trouble else "",
        condition=condition,
        valid_ns=None if number else 1_725_938_100 * 10**9,
        wkb=shapely.to_wkb(shapely.Point(lon, 21.0)),
        bounds_lonlat_deg=(lon, 21.0, lon, 21.0),
    )


THINGS = [thing(0), thing(1), thing(2, Condition.NO_POWER), thing(3)]


class BoardSuite:
    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as one:
            yield one

    def test_a_layer_comes_back_as_it_was_written(self, catalog: Catalog) -> None:
        catalog.layers.put(LAYER, THINGS)
        assert catalog.layers.all() == [LAYER]
        assert catalog.layers.get("layer-1") == catalog.layers.get("Lưới điện <script>") == LAYER
        found, matched = catalog.layers.features("layer-1", None, 10)
        assert sorted(found, key=lambda one: one.number) == THINGS
        assert matched == 4

    def test_pages_of_a_layer_hold_each_thing_once_and_one_is_found_by_number(self, catalog: Catalog) -> None:
        catalog.layers.put(LAYER, THINGS)
        pages = [catalog.layers.features("layer-1", None, 3, offset) for offset in (0, 3, 6)]
        assert [len(found) for found, _ in pages] == [3, 1, 0]
        assert {one.number for found, _ in pages for one in found} == {0, 1, 2, 3}
        assert {matched for _, matched in pages} == {4}
        assert catalog.layers.feature("layer-1", 2) == THINGS[2]
        with pytest.raises(NotFound, match="no such feature"):
            catalog.layers.feature("layer-1", 4)

    def test_only_what_touches_the_rectangle_is_found(self, catalog: Catalog) -> None:
        catalog.layers.put(LAYER, THINGS)
        found, matched = catalog.layers.features("layer-1", (104.05, 20.0, 104.15, 22.0), 10)
        assert ([one.number for one in found], matched) == ([1], 1)

    def test_a_layer_read_again_takes_the_place_of_the_one_before(self, catalog: Catalog) -> None:
        catalog.layers.put(LAYER, THINGS)
        before = catalog.layers.stamp()
        newer = replace(LAYER, refreshed_ns=3, features=1)
        catalog.layers.put(newer, THINGS[:1])
        assert catalog.layers.all() == [newer]
        assert catalog.layers.features("layer-1", None, 10) == (THINGS[:1], 1)
        assert catalog.layers.stamp() != before
        catalog.layers.remove("layer-1")
        assert catalog.layers.features("layer-1", None, 10) == ([], 0)
        with pytest.raises(NotFound, match="layers list"):
            catalog.layers.get("layer-1")

    def test_a_mark_is_its_last_line_and_no_line_is_lost(self, catalog: Catalog) -> None:
        second = replace(LINE, version=2, status=MarkStatus.DOING, author="Minh", at_ns=6)
        catalog.marks.append(LINE, mark_told(LINE))
        catalog.marks.append(second, mark_told(second))
        assert catalog.marks.history(LINE.mark_id) == [LINE, second]
        assert catalog.marks.current() == [second]
        with pytest.raises(NotFound):
            catalog.marks.history("mark-00000009")

    def test_two_who_change_the_same_line_do_not_overwrite_each_other(self, catalog: Catalog) -> None:
        catalog.marks.append(LINE, mark_told(LINE))

        def change(author: str) -> bool:
            try:
                catalog.marks.append(replace(LINE, version=2, author=author), mark_told(LINE))
            except StoreConflict:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(change, ["Lan", "Minh", "Hoa", "Bưởi"]))
        assert sum(done) == 1
        assert len(catalog.marks.history(LINE.mark_id)) == 2

    def test_marks_are_of_an_event_and_those_removed_are_not_shown(self, catalog: Catalog) -> None:
        drill = replace(LINE, mark_id="mark-00000002", event_id="e2", at_ns=9)
        gone = replace(LINE, mark_id="mark-00000003", at_ns=7)
        removed = replace(gone, version=2, status=MarkStatus.REMOVED, at_ns=8)
        for line in (LINE, drill, gone, removed):
            catalog.marks.append(line, mark_told(line))
        assert catalog.marks.current("e1") == [LINE]
        assert catalog.marks.current("e1", with_removed=True) == [removed, LINE]
        assert catalog.marks.current(None, (104.0, 21.0, 104.1, 22.0)) == []
        assert catalog.marks.current() == [drill, LINE]
        assert catalog.marks.stamp() == 4

    def test_marks_are_told_as_they_stood_at_an_earlier_time(self, catalog: Catalog) -> None:
        gone = replace(LINE, version=2, status=MarkStatus.REMOVED, at_ns=8)
        later = replace(LINE, mark_id="mark-00000002", at_ns=7)
        for line in (LINE, later, gone):
            catalog.marks.append(line, mark_told(line))
        told = {until_ns: catalog.marks.current("e1", until_ns=until_ns) for until_ns in (4, 5, 7, 8)}
        assert told == {4: [], 5: [LINE], 7: [later, LINE], 8: [later]}
