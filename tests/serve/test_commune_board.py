"""`/api/board`: how every commune stands, by one request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx
import pytest
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import delete

from flycam.access.policy import UNRESTRICTED, AccessPolicy
from flycam.board.marks import MarkEdit, write_mark
from flycam.catalog import tables
from flycam.catalog.flights import LiveFlightPhase, LiveFlightReport
from flycam.http.guards import Services
from flycam.model.board import LayerKind, MarkKind, MarkStatus
from flycam.model.records import CommuneRecord
from flycam.serve.communes import CommuneTroubles
from tests.change.impacted import add_things
from tests.serve.running import running
from tests.serve.world import DRILL, LAT, LON, REAL, World, make_world


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The world, with a commune far away, marks, and a flight in the air over the first commune."""
    world = make_world(tmp_path_factory.mktemp("house"))
    catalog = world.workspace.catalog
    far = shapely.box(LON + 0.2, LAT + 0.2, LON + 0.22, LAT + 0.22)
    catalog.boundaries.put_communes(
        [
            CommuneRecord(
                code="99999",
                name="Bản Xa",
                valid_from=date(2024, 7, 1),
                wkb=shapely.to_wkb(far),
                area_m2=4e6,
            )
        ]
    )
    place = (LON + 0.21, LAT + 0.21)
    for n, (kind, status) in enumerate(
        [
            (MarkKind.RESCUE, MarkStatus.OPEN),
            (MarkKind.RESCUE, MarkStatus.DOING),
            (MarkKind.BLOCKED, MarkStatus.DONE),
        ]
    ):
        asked = MarkEdit(
            mark_id=f"mark-{n:08x}",
            based_on=0,
            event_id=REAL,
            kind=kind,
            status=status,
            note="",
            places=[place],
        )
        write_mark(world.workspace, asked, "Lan")
    catalog.airborne.put(
        LiveFlightReport(
            flight_id="in-the-air",
            event_id=REAL,
            name="Đang bay",
            is_drill=False,
            is_recording=False,
            run="1",
            beat=1,
            told_ns=time.time_ns(),
            phase=LiveFlightPhase.FLYING,
            footprint=((place[0], place[1]), (place[0] + 0.001, place[1]), (place[0], place[1] + 0.001)),
        )
    )
    return world


def _rows(url: str, **asked: str) -> dict[str, dict]:
    answer = httpx.get(f"{url}/api/board", params=asked, timeout=60)
    assert answer.status_code == 200, answer.text
    return {row["name"]: row for row in answer.json()["communes"]}


def _on_the_map(url: str, **asked: str) -> set[str]:
    answer = httpx.get(f"{url}/api/communes", params=asked, timeout=60)
    assert answer.status_code == 200, answer.text
    return {one["properties"]["name"] for one in answer.json()["features"]}


@pytest.fixture(scope="module")
def url(house: World) -> Iterator[str]:
    with running(Services(workspace=house.workspace)) as address:
        yield address


def test_a_commune_tells_its_newest_picture_and_the_share_of_all_flights(url: str, house: World) -> None:
    rows = _rows(url, event=REAL)
    measured: dict[str, list] = {}
    for flight in (house.before, house.after):
        for one in house.workspace.catalog.boundaries.coverage(flight):
            measured.setdefault(one.commune_code, []).append(one)
    seen = {row["code"]: row for row in rows.values() if row["imaged_pct"] is not None}
    assert set(seen) == set(measured)
    for code, parts in measured.items():
        largest, together = max(p.covered_pct for p in parts), sum(p.covered_pct for p in parts)
        assert largest - 1e-6 <= seen[code]["imaged_pct"] <= together + 1e-6
        assert seen[code]["flights"] == len(parts)
        newest = max(parts, key=lambda one: one.last_ns)
        assert seen[code]["newest_flight"] == newest.flight_id
        assert seen[code]["newest_pct"] == pytest.approx(newest.covered_pct)
    # the second flight lies one tile beside the first: together they saw more than either
    assert any(
        row["imaged_pct"] > max(p.covered_pct for p in measured[row["code"]]) + 0.1 for row in seen.values()
    )


def test_marks_that_are_open_are_counted_by_kind(url: str) -> None:
    assert _rows(url, event=REAL)["Bản Xa"]["marks"] == {"rescue": 2}
    assert _rows(url, event=DRILL)["Bản Xa"]["marks"] == {}, "a drill's board knows no real marks"


@contextmanager
def _rehearsed(house: World, made_up: BaseGeometry) -> Iterator[str]:
    """Where a drill's commune lies over what was flown: the address of the house's server."""
    boundaries = house.workspace.catalog.boundaries
    boundaries.put_communes(
        [
            CommuneRecord(
                code="DT001",
                name="Nậm Diễn Tập",
                valid_from=date(2025, 7, 1),
                wkb=shapely.to_wkb(made_up),
                area_m2=1.1e6,
            )
        ]
    )
    try:
        with running(Services(workspace=house.workspace)) as address:
            yield address
    finally:
        with boundaries._database.write() as connection:
            connection.execute(delete(tables.communes).where(tables.communes.c.code == "DT001"))


def _flown(house: World) -> BaseGeometry:
    bounds = house.workspace.catalog.flights.flight(house.drill).bounds_lonlat_deg
    assert bounds is not None
    return shapely.box(*bounds)


def test_a_drills_communes_stand_on_the_board_of_drills_only(house: World) -> None:
    """They stood among the real ones, and their ground was counted in both."""
    with _rehearsed(house, _flown(house).buffer(0.001)) as address:
        real, drill = _rows(address, event=REAL), _rows(address, event=DRILL)
        mapped, found = _on_the_map(address), _on_the_map(address, q="nam")
        assert "Nậm Diễn Tập" in mapped and "Nậm Diễn Tập" in found
        assert "Nậm Diễn Tập" not in _on_the_map(address, drill="false")
        assert _on_the_map(address, q="nam", drill="false") == found - {"Nậm Diễn Tập"}
        assert _on_the_map(address, q="nam", drill="true") == found
        in_drill = _on_the_map(address, drill="true")
    assert "Bản Liền" in real and "Nậm Diễn Tập" not in real
    assert set(drill) == {"Nậm Diễn Tập"}, "all of the drill was flown there"
    assert "Nậm Diễn Tập" in in_drill


def test_what_is_kept_for_one_is_not_told_to_another(tmp_path: Path) -> None:
    world = make_world(tmp_path / "house")
    catalog = world.workspace.catalog
    place = shapely.Point(LON + 0.001, LAT + 0.001)
    add_things(world.workspace, tmp_path, "Trạm BTS", LayerKind.MAST, [("LCI0123", place)], "mất sóng")
    communes = catalog.boundaries.communes()
    known = CommuneTroubles(catalog)
    ground = next(one.wkb for one in communes if shapely.from_wkb(one.wkb).intersects(place))
    elsewhere = AccessPolicy(within=shapely.to_wkb(shapely.box(LON + 5, LAT, LON + 6, LAT + 1)))
    (layer,) = catalog.layers.all()
    hidden = AccessPolicy(layers=frozenset({layer.layer_id}))

    def told(policy: AccessPolicy) -> int:
        return sum(one["count"] for some in known.count_troubles(communes, policy) for one in some)

    all_of_it = told(UNRESTRICTED)
    assert all_of_it >= 1 and told(AccessPolicy(within=ground)) >= 1
    assert (told(elsewhere), told(hidden)) == (0, 0)
    assert told(UNRESTRICTED) == all_of_it
