"""A mosaic of more ground than was set that goes out: said in both languages, on record, and not refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import shapely

from flycam.catalog.records import Role
from flycam.errors import OptionUnusable
from flycam.frame.classification import Classification
from flycam.frame.warning import sentence
from flycam.geodata.crs import to_work
from flycam.pipeline.export import export_flight
from flycam.pipeline.linked_area import linked_area_m2, note_linked
from flycam.pipeline.people.accounts import invite_guest, linked_by
from flycam.pipeline.restricting import classify_flight
from flycam.serve.services import Services
from flycam.serve.tiles.linked_reads import LinkedReads
from flycam.settings import read_settings
from tests.serve.offering import VIEWER, make_offering
from tests.serve.running import running
from tests.serve.world import DRILL, REAL, World, add_account, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Flights of about 1 km² each, and a square kilometre for a tenth of which notice is wanted."""
    made = make_world(tmp_path_factory.mktemp("linked"))
    return replace(made, workspace=replace(made.workspace, linked_km2=0.1))


def noted(world: World) -> list[tuple[str, str, str]]:
    lines = world.workspace.catalog.audit.lines()
    return [(one.who, one.subject, one.detail) for one in lines if one.what == "linked area passed"]


def test_ground_that_several_flights_show_counts_once(world: World) -> None:
    workspace = world.workspace
    before, after = (workspace.catalog.flights.flight(one) for one in (world.before, world.after))
    each = [linked_area_m2(workspace, [one], None) for one in (before, after)]
    both = linked_area_m2(workspace, [before, after], None)
    assert max(each) < both < sum(each)
    assert linked_area_m2(workspace, [before, before], None) == pytest.approx(each[0])
    frames = workspace.catalog.frames.of_flight(world.before)
    outlines = [shapely.from_wkb(one.footprint_wkb) for one in frames if one.tiles is not None]
    work = shapely.transform(shapely.union_all(outlines), lambda lonlat: to_work(lonlat, "EPSG:32648"))
    assert each[0] == pytest.approx(work.area, rel=1e-6)
    (one, *_) = workspace.catalog.boundaries.communes()
    part = linked_area_m2(workspace, [before], shapely.from_wkb(one.wkb))
    assert 0 < part < each[0]
    assert linked_area_m2(workspace, [], None) == 0.0


def test_an_export_says_so_in_both_languages_and_on_record(world: World, tmp_path: Path) -> None:
    done = export_flight(world.workspace, world.after, tmp_path / "a.tif", gsd_m=5.0)
    (note,) = done.notes
    assert "FLYCAM_LINKED_KM2" in sentence(note) and "0.1 km²" in sentence(note)
    assert "0,1 km²" in sentence(note, "vi") and "nhật ký" in sentence(note, "vi")
    who, subject, detail = noted(world)[-1]
    assert (who, subject) == ("test-box", world.after)
    assert detail.startswith("export: ") and detail.endswith("set 0.1 km²")


def test_what_is_smaller_or_not_to_be_told_of_is_not_said(world: World, tmp_path: Path) -> None:
    before = noted(world)
    for limit in (None, 1000.0):
        house = replace(world.workspace, linked_km2=limit)
        assert export_flight(house, world.after, tmp_path / "b.tif", gsd_m=5.0).notes == ()
        assert note_linked(house, house.catalog.flights.flights(), "Lan", "export", "x") == ()
    assert noted(world) == before


def test_a_guest_link_counts_what_a_guest_sees(world: World) -> None:
    workspace = world.workspace
    guest, _ = invite_guest(workspace, 1.0, REAL, "Lan")
    (note,) = linked_by(workspace, guest)
    assert noted(world)[-1][:2] == ("Lan", guest.guest_id)
    (one, *_) = workspace.catalog.boundaries.communes()
    narrower, _ = invite_guest(workspace, 1.0, REAL, "Lan", (one.code,))
    (less,) = linked_by(workspace, narrower)
    whole, part = (float(sentence(one).split(" km²")[0].split()[-1]) for one in (note, less))
    assert part < whole
    drill, _ = invite_guest(workspace, 1.0, DRILL, "Lan")
    classify_flight(workspace, world.drill, Classification.INTERNAL, "Lan")
    assert linked_by(workspace, drill) == (), "guests do not see it"


def test_the_page_is_told_with_the_link(world: World) -> None:
    add_account(world.workspace, "Lan", Role.OPERATOR, "lan-token")
    with running(Services(workspace=world.workspace)) as url:
        by = {"Authorization": "Bearer lan-token"}
        told = httpx.post(f"{url}/api/guests", json={"hours": 1, "event": REAL}, headers=by).json()
    assert told["path"].startswith("/guest/")
    assert "linked mosaic" in told["warnings"][0] and "Ảnh ghép" in told["warnings_vi"][0]


def test_what_is_read_of_clipped_maps_is_linked_by_whoever_has_it(tmp_path: Path) -> None:
    """By ranges, once a minute as the reading itself; where it passes with another commune, then."""
    offering = make_offering(tmp_path)
    workspace = offering.workspace
    flight = workspace.catalog.flights.flight(offering.world.after)
    commune = shapely.from_wkb(workspace.catalog.boundaries.commune("99000").wkb)
    km2 = linked_area_m2(workspace, [flight], commune) / 1e6
    assert km2 > 0
    cog, by = f"/cog/{offering.mosaic}/2/99000.tif", {"Authorization": f"Bearer {VIEWER}"}

    def read(limit_km2: float | None) -> list[tuple[str, str, str]]:
        house = replace(offering.world, workspace=replace(workspace, linked_km2=limit_km2))
        known = noted(house)
        with running(Services(workspace=house.workspace)) as url, httpx.Client(base_url=url) as client:
            assert client.head(cog, headers=by).status_code == 200
            assert noted(house) == known, "nothing was taken away"
            for part in ("bytes=0-99", "bytes=100-"):
                assert client.get(cog, headers={**by, "Range": part}).status_code == 206
        return noted(house)[len(known) :]

    assert read(None) == read(km2 * 1.01) == []
    ((who, subject, detail),) = read(km2 * 0.99)
    assert (who, subject) == ("Lan", f"{flight.flight_id} 99000")
    assert detail.startswith("clipped maps: ")


def test_many_small_maps_are_one_linked_mosaic_to_whoever_has_them_all(world: World) -> None:
    workspace, clock_s = world.workspace, [0.0]
    flight = workspace.catalog.flights.flight(world.after)
    codes = [one.code for one in workspace.catalog.boundaries.communes()]
    grounds = {code: shapely.from_wkb(workspace.catalog.boundaries.commune(code).wkb) for code in codes}
    areas = {code: linked_area_m2(workspace, [flight], ground) / 1e6 for code, ground in grounds.items()}
    first, second = sorted(code for code, area in areas.items() if area > 0)[:2]
    house = replace(workspace, linked_km2=max(areas[first], areas[second]) + 0.01)
    reads, known = LinkedReads(lambda: clock_s[0]), len(noted(world))
    reads.note(house, "Lan", world.after, first)
    reads.note(house, "Minh", world.after, second)
    assert len(noted(world)) == known, "each has had one"
    clock_s[0] = 86_000.0
    reads.note(house, "Lan", world.after, second)
    assert [one[:2] for one in noted(world)[known:]] == [("Lan", f"{world.after} {second}")]
    clock_s[0] = 3 * 86_400.0
    reads.note(house, "Lan", world.after, first)
    assert len(noted(world)) == known + 1, "the day is over"


def test_the_area_is_set_in_the_environment() -> None:
    assert read_settings({}).linked_km2 is None
    assert read_settings({"FLYCAM_LINKED_KM2": " 25.5 "}).linked_km2 == 25.5
    for wrong in ("0", "-1", "nan", "inf", "25 km2"):
        with pytest.raises(OptionUnusable, match="FLYCAM_LINKED_KM2") as refused:
            read_settings({"FLYCAM_LINKED_KM2": wrong})
        assert "km²" in refused.value.vi
