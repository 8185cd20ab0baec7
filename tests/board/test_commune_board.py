"""The board's rows are a function of what was flown, whatever the order in which it is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from flycam.board.commune_board import (
    FlightCoverage,
    build_commune_board,
    select_board_communes,
)
from flycam.catalog.board import Boundaries
from flycam.catalog.changes import ChangeVersion
from flycam.change.comparison import ComparedGround
from flycam.geodata.crs import to_work
from flycam.model.board import ChangeStatus, MarkKind, MarkStatus
from flycam.model.flight import Flight
from flycam.model.records import CommuneRecord, MarkVersion
from tests.serve.world import make_workspace
from tests.suites.catalog_suite import flight
from tests.suites.change_suite import FOUND

WORK_CRS = "EPSG:32648"
LON, LAT, SIDE = 104.80, 21.90, 0.02


def _commune(column: int, row: int) -> CommuneRecord:
    west, south = LON + column * SIDE, LAT + row * SIDE
    box = shapely.box(west, south, west + SIDE, south + SIDE)
    return CommuneRecord(
        code=f"{column}{row}",
        name=f"Xã {column}{row}",
        valid_from=date(2025, 7, 1),
        wkb=shapely.to_wkb(box),
        area_m2=4e6,
    )


COMMUNES = [_commune(column, row) for column in range(3) for row in range(2)]


def _flight(name: str, place: tuple[float, float], size: float, last_ns: int) -> FlightCoverage:
    west, south = LON + place[0], LAT + place[1]
    box = shapely.box(west, south, west + size, south + size)
    return FlightCoverage(flight_id=name, last_ns=last_ns, work_crs=WORK_CRS, outline_wkb=shapely.to_wkb(box))


places = st.tuples(st.floats(-0.02, 0.07), st.floats(-0.02, 0.05))
flights = st.lists(
    st.tuples(places, st.floats(0.002, 0.05), st.integers(0, 10**18)),
    max_size=5,
    unique_by=lambda one: one[2],
).map(lambda drawn: [_flight(f"flight{n}", *one) for n, one in enumerate(drawn)])


@given(flights, st.randoms(use_true_random=False))
def test_the_order_in_which_flights_are_told_changes_nothing(flown: list[FlightCoverage], random) -> None:
    mixed = list(flown)
    random.shuffle(mixed)
    for one, other in zip(
        build_commune_board(COMMUNES, flown, (), {}),
        build_commune_board(COMMUNES, mixed, (), {}),
        strict=True,
    ):
        assert one.newest_flight == other.newest_flight
        assert one.imaged_pct == pytest.approx(other.imaged_pct) or one.imaged_pct is other.imaged_pct is None


@given(flights)
def test_a_share_is_that_of_the_union_or_none_at_all(flown: list[FlightCoverage]) -> None:
    rows = build_commune_board(COMMUNES, flown, (), {})
    outlines = [shapely.from_wkb(one.outline_wkb) for one in flown]
    for commune, row in zip(COMMUNES, rows, strict=True):
        shape = shapely.from_wkb(commune.wkb)
        assert (row.imaged_pct is None) == (row.newest_ns is None) == (row.flights == 0)
        truth = 100 * shapely.intersection(shape, shapely.union_all(outlines)).area / shape.area
        if row.imaged_pct is None:
            # nothing, or slivers that the simplified outlines leave along a boundary
            assert truth <= 100 * sum(0.005 * one.area for one in outlines) / shape.area + 1e-9
        else:
            assert row.newest_pct is not None
            assert 0 < row.newest_pct <= row.imaged_pct + 1e-9 <= 100 + 1e-6
            # degrees are no metres, but for a share of one small commune they nearly are
            assert row.imaged_pct <= truth + 0.1


def test_the_share_is_measured_in_the_work_crs() -> None:
    """A tall commune, imaged in its north: degrees would say half, metres say a little less."""
    tall = shapely.box(LON, 18.0, LON + 0.5, 24.0)
    north = shapely.box(LON, 21.0, LON + 0.5, 24.0)
    commune = CommuneRecord(
        code="t", name="t", valid_from=date(2025, 7, 1), wkb=shapely.to_wkb(tall), area_m2=1.0
    )
    flight = FlightCoverage(
        flight_id="f", last_ns=1, work_crs=WORK_CRS, outline_wkb=shapely.to_wkb(north), coverage=()
    )

    def area(shape: shapely.Polygon) -> float:
        return shapely.transform(shape, lambda lonlat: to_work(lonlat, WORK_CRS)).area

    row = build_commune_board([commune], [flight], (), {})[0]
    assert row.imaged_pct == pytest.approx(100 * area(north) / area(tall), abs=0.05)
    assert row.imaged_pct != pytest.approx(50.0, abs=0.3)


def test_a_sector_counts_in_every_commune_that_it_touches_and_a_done_mark_in_none() -> None:
    def mark(number: int, kind: MarkKind, status: MarkStatus, shape: object) -> MarkVersion:
        return MarkVersion(
            mark_id=f"mark-{number:08x}",
            version=1,
            event_id="e",
            kind=kind,
            status=status,
            note="",
            photo_sha256=None,
            author="Lan",
            at_ns=1,
            wkb=shapely.to_wkb(shape),
            bounds_lonlat_deg=(0, 0, 0, 0),
        )

    sector = shapely.box(LON + SIDE * 0.5, LAT + 0.001, LON + SIDE * 1.5, LAT + 0.002)
    point = shapely.Point(LON + 0.001, LAT + 0.001)
    marks = [
        mark(1, MarkKind.SECTOR, MarkStatus.DOING, sector),
        mark(2, MarkKind.RESCUE, MarkStatus.OPEN, point),
        mark(3, MarkKind.RESCUE, MarkStatus.DONE, point),
        mark(4, MarkKind.RESCUE, MarkStatus.REMOVED, point),
    ]
    counts = {row.code: dict(row.marks) for row in build_commune_board(COMMUNES, [], marks, {})}
    assert counts["00"] == {MarkKind.SECTOR: 1, MarkKind.RESCUE: 1}
    assert counts["10"] == {MarkKind.SECTOR: 1}
    assert counts["20"] == counts["01"] == {}


def _change(name: str, status: ChangeStatus, west: float, size: float = 0.004) -> ChangeVersion:
    box = shapely.box(LON + west, LAT + 0.004, LON + west + size, LAT + 0.008)
    return replace(FOUND, change_id=name, status=status, wkb=shapely.to_wkb(box))


def test_confirmed_changes_are_counted_and_nothing_is_said_where_nobody_decided() -> None:
    changes = [
        _change("a", ChangeStatus.ACCEPTED, 0.004),
        _change("b", ChangeStatus.ACCEPTED, SIDE - 0.002),
        _change("c", ChangeStatus.REJECTED, 0.004),
        _change("d", ChangeStatus.REPLACED, 0.004),
        _change("e", ChangeStatus.PROPOSED, 2 * SIDE + 0.004),
    ]
    rows = {one.code: one.changes for one in build_commune_board(COMMUNES, [], (), {}, changes=changes)}
    assert (rows["00"], rows["10"]) == (2, 1), "one across the border counts in both"
    assert rows["20"] is rows["01"] is None, "what waits is no finding, and neither is silence"
    rejected = [_change("c", ChangeStatus.REJECTED, 0.004)]
    rows = {one.code: one.changes for one in build_commune_board(COMMUNES, [], (), {}, changes=rejected)}
    assert rows["00"] is None, "one false alarm does not tell that nothing else is there"


def test_none_found_is_told_from_nobody_looked() -> None:
    waits = _change("e", ChangeStatus.PROPOSED, SIDE + 0.004)
    ground = shapely.box(LON, LAT, LON + 2 * SIDE, LAT + SIDE / 2)
    looked_at = ComparedGround(ground=ground, changes=[waits])
    rows = {one.code: one for one in build_commune_board(COMMUNES, [], (), {}, compared=looked_at)}
    assert (rows["00"].changes, rows["00"].compared_pct) == (0, pytest.approx(50.0))
    assert (rows["10"].changes, rows["10"].compared_pct) == (None, pytest.approx(50.0)), "a candidate waits"
    assert (rows["20"].changes, rows["20"].compared_pct) == (None, None)
    assert rows["01"].compared_pct is None, "no more than its boundary was touched"
    confirmed = [_change("a", ChangeStatus.ACCEPTED, 0.004)]
    looked_at = ComparedGround(ground=ground, changes=confirmed)
    rows = {
        one.code: one
        for one in build_commune_board(COMMUNES, [], (), {}, changes=confirmed, compared=looked_at)
    }
    assert (rows["00"].changes, rows["10"].changes, rows["20"].changes) == (1, 0, None)
    hidden = {one.code: one for one in build_commune_board(COMMUNES, [], (), {}, compared=looked_at)}
    assert hidden["00"].changes is None, "what is withheld is not told as nothing"


SOUTH_WEST = (LON, LAT, LON + SIDE / 2, LAT + SIDE / 2)
"""Of the first commune, where the drill's lies: west, south, east, north."""


@pytest.fixture
def rehearsed(tmp_path: Path) -> Boundaries:
    """Communes that exist, and a drill's over a quarter of one of them: a triangle, so that its box is not
    its ground."""
    boundaries = make_workspace(tmp_path).catalog.boundaries
    west, south, east, north = SOUTH_WEST
    made_up = shapely.Polygon([(west, south), (east, south), (west, north)])
    drill = replace(COMMUNES[0], code="DT001", name="Nậm Diễn Tập", wkb=shapely.to_wkb(made_up))
    boundaries.put_communes([*COMMUNES, drill])
    return boundaries


def _over(*boxes: tuple[float, float, float, float]) -> list[Flight]:
    """Flights over boxes, in parts of a commune's side from the first one's corner."""
    corner = np.array([LON, LAT, LON, LAT])
    return [
        flight(f"f{n}", f"Bay {n}", bounds_lonlat_deg=tuple((corner + SIDE * np.array(box)).tolist()))
        for n, box in enumerate(boxes)
    ]


@pytest.mark.parametrize(
    ("boxes", "listed"),
    [
        ([], {"DT001", *(one.code for one in COMMUNES)}),
        ([(0.05, 0.05, 0.1, 0.1), (0.1, 0.1, 0.2, 0.2)], {"DT001"}),
        ([(0.1, 0.1, 1.5, 0.2)], {"DT001", *(one.code for one in COMMUNES)}),
        ([(0.05, 0.05, 0.1, 0.1), (0.8, 0.8, 0.9, 0.9)], {"DT001", *(one.code for one in COMMUNES)}),
        ([(0.4, 0.4, 0.45, 0.45)], {one.code for one in COMMUNES}),
        ([(1.2, 0.1, 1.4, 0.2)], {one.code for one in COMMUNES}),
    ],
    ids=[
        "nothing flown",
        "its own alone",
        "out of its own",
        "real aircraft too",
        "beside, in its box",
        "real",
    ],
)
def test_the_board_of_a_drill_loses_no_ground_that_was_flown(
    rehearsed: Boundaries, boxes: list[tuple[float, float, float, float]], listed: set[str]
) -> None:
    """A flight whose box touched a drill's commune was told to be over that alone, and a commune that shares
    ground with it stood nowhere."""
    flights = _over(*boxes)
    board = select_board_communes(rehearsed, flights, is_drill=True)
    assert {one.code for one in board} == listed
    counted = {one.code: one for one in rehearsed.list_countable(is_drill=True)}
    assert all(one == counted[one.code] for one in board), "with the ground that counts elsewhere"
    ground = shapely.union_all([shapely.from_wkb(one.wkb) for one in board])
    for one in flights:
        assert ground.buffer(1e-9).covers(shapely.box(*one.bounds_lonlat_deg))
        inside = rehearsed.list_countable(is_drill=True, bounds=one.bounds_lonlat_deg)
        box = shapely.box(*one.bounds_lonlat_deg)
        covered = {c.code for c in inside if shapely.from_wkb(c.wkb).intersection(box).area > 0.0}
        assert covered <= listed, "what a flight covers stands on the board"


def test_a_real_events_board_knows_no_communes_of_a_drill(rehearsed: Boundaries) -> None:
    assert select_board_communes(rehearsed, _over((0.1, 0.1, 0.2, 0.2)), is_drill=False) == sorted(
        rehearsed.list_countable(is_drill=False), key=lambda one: one.code
    )
    assert len(rehearsed.list_countable(is_drill=False)) == len(COMMUNES)
