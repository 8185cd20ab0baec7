"""What is in the air, as the server tells it: by its own clock, whatever the clock of the box that flies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
import shapely

from flycam.access.accounts import add_user
from flycam.access.policy import UNRESTRICTED, AccessPolicy, RedactedGround
from flycam.catalog.access import hash_token
from flycam.catalog.flights import AircraftState, LinkState, LiveFlightPhase, LiveFlightReport
from flycam.http.guards import Services
from flycam.ingest.live.routes import (
    SILENCE_TIMEOUT_S,
    LiveFlight,
    LiveFlightFeed,
    LiveState,
    describe_live_flight,
    filter_live_flights,
)
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.serve.running import running
from tests.serve.world import add_communes, make_workspace

SECOND = 1_000_000_000
NOON_NS = 1_788_574_380 * SECOND

TOLD = LiveFlightReport(
    flight_id="f1",
    event_id="e1",
    name="Bay 1",
    is_drill=False,
    is_recording=False,
    run="a",
    beat=1,
    told_ns=NOON_NS,
    aircraft=AircraftState(lonlat_deg=(104.8, 21.9), heading_deg=90.0, age_s=0.2),
    track=((104.79, 21.9), (104.8, 21.9)),
    footprint=((104.79, 21.89), (104.81, 21.89), (104.8, 21.91), (104.79, 21.89)),
    picture_ns=NOON_NS - SECOND,
    picture_age_s=0.5,
    video=LinkState(silent_s=0.1, connections=1),
    telemetry=LinkState(silent_s=None, is_lost=True),
    left_out={"overrun": 3},
)


@dataclass
class Clocks:
    """Of the server's machine: the wall's and one that never jumps, moved by hand."""

    wall_ns: int = NOON_NS
    steady_s: float = 1000.0

    def go(self, seconds: float) -> None:
        self.steady_s += seconds
        self.wall_ns += round(seconds * SECOND)


@dataclass
class Watch:
    workspace: Workspace
    clocks: Clocks
    sky: LiveFlightFeed

    def tell(self, report: LiveFlightReport) -> None:
        self.workspace.catalog.airborne.put(report)

    def standing(self) -> dict[str, LiveState]:
        return {one.report.flight_id: one.get_state(self.sky.now_s()) for one in self.sky.read_flights()}


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    workspace, clocks = make_workspace(tmp_path), Clocks()
    sky = LiveFlightFeed(workspace.catalog, 0.05, lambda: clocks.wall_ns, lambda: clocks.steady_s)
    return Watch(workspace, clocks, sky)


def test_a_flight_that_tells_nothing_any_more_is_silent_and_then_no_news(watch: Watch) -> None:
    watch.tell(TOLD)
    assert watch.standing() == {"f1": LiveState.FLYING}
    watch.clocks.go(SILENCE_TIMEOUT_S - 0.1)
    assert watch.standing() == {"f1": LiveState.FLYING}
    watch.clocks.go(0.2)
    assert watch.standing() == {"f1": LiveState.SILENT}
    watch.tell(replace(TOLD, beat=2, told_ns=watch.clocks.wall_ns))
    watch.clocks.go(0.2)
    assert watch.standing() == {"f1": LiveState.FLYING}
    watch.clocks.go(3601.0)
    assert watch.standing() == {}


def test_a_server_that_starts_later_knows_how_long_a_killed_flight_is_silent(watch: Watch) -> None:
    watch.tell(replace(TOLD, told_ns=NOON_NS - 40 * SECOND))
    (seen,) = watch.sky.read_flights()
    described = describe_live_flight(seen, watch.sky.now_s())
    assert (described["state"], described["told_s"], described["picture_s"]) == ("silent", 40.0, 40.5)
    assert described["video"] == {"lost": False, "silent_s": 40.1, "connections": 1}
    assert described["telemetry"]["silent_s"] is None and described["aircraft"]["age_s"] == 40.2


def test_what_is_in_the_air_comes_before_what_is_silent_and_what_has_landed(watch: Watch) -> None:
    watch.tell(replace(TOLD, flight_id="a", phase=LiveFlightPhase.ENDED))
    watch.tell(replace(TOLD, flight_id="b"))
    watch.standing()
    watch.clocks.go(SILENCE_TIMEOUT_S + 1.0)
    for flight_id, phase in (("c", LiveFlightPhase.CLOSING), ("d", LiveFlightPhase.FLYING)):
        watch.tell(replace(TOLD, flight_id=flight_id, phase=phase, told_ns=watch.clocks.wall_ns))
    assert list(watch.standing()) == ["d", "c", "b", "a"]


def test_a_screen_is_told_of_a_flight_and_of_its_silence(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    with (
        running(Services(workspace=workspace, follow_s=0.05)) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        client.stream("GET", "/events") as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        # by a clock that is ahead: it is as new as when it is first seen, however late that is
        workspace.catalog.airborne.put(replace(TOLD, told_ns=workspace.clock_ns() + 3600 * SECOND))
        heard = _news(lines.__next__)
        assert [(one["flight_id"], one["state"]) for one in heard] == [("f1", "flying")]
        assert "track" not in heard[0] and heard[0]["picture"] == "2026-09-05T02:12:59.000Z"
        (whole,) = httpx.get(f"{url}/api/airborne").json()
        assert whole["track"] == [[104.79, 21.9], [104.8, 21.9]]
        assert _news(lines.__next__)[0]["state"] == "silent"  # though nobody tells anything


def test_who_is_there_for_communes_knows_of_aircraft_over_them_alone() -> None:
    within = shapely.box(104.795, 21.88, 104.83, 21.92)
    policy = AccessPolicy(within=shapely.to_wkb(within))
    far = replace(
        TOLD,
        flight_id="far",
        aircraft=AircraftState(lonlat_deg=(105.5, 21.9)),
        footprint=((105.5, 21.9),) * 3,
    )
    nowhere = replace(TOLD, flight_id="nowhere", aircraft=None, footprint=())
    sky = [LiveFlight(one, 0.0) for one in (TOLD, far, nowhere)]
    assert [one.report.flight_id for one in filter_live_flights(sky, policy)] == ["f1"]
    assert filter_live_flights(sky, UNRESTRICTED) == sky
    area = AccessPolicy(areas=[shapely.to_wkb(shapely.box(105.4, 21.8, 105.6, 22.0))])
    assert [one.is_barred for one in filter_live_flights(sky, area)] == [False, True, True], (
        "told, and not shown"
    )


def test_the_track_is_told_as_far_as_it_was_over_ones_communes(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    add_communes(workspace)
    for name, communes in (("all", None), ("one", "Nậm Lúc")):
        account, _ = add_user(workspace, name, "viewer", communes)
        workspace.catalog.accounts.put(replace(account, token_hash=hash_token(name)))
    now_ns = workspace.clock_ns()
    inside, outside = (104.797, 21.897), (104.83, 21.897)
    over = AircraftState(lonlat_deg=inside)
    here = replace(TOLD, told_ns=now_ns, aircraft=over, footprint=(), track=(outside, inside))
    gone = replace(here, flight_id="f2", aircraft=AircraftState(lonlat_deg=outside))
    for one in (here, gone):
        workspace.catalog.airborne.put(one)
    with running(Services(workspace=workspace)) as url:
        report = {
            name: httpx.get(f"{url}/api/airborne", headers={"Authorization": f"Bearer {name}"}).json()
            for name in ("all", "one")
        }
    assert [one["flight_id"] for one in report["all"]] == ["f1", "f2"]
    (mine,) = report["one"]
    assert mine["flight_id"] == "f1" and mine["track"] == [list(inside)]


def _news(line: Callable[[], str]) -> list[dict]:
    while line() != "event: airborne":
        pass
    return json.loads(line().removeprefix("data: "))


def masking(north_m: float) -> AccessPolicy:
    """A masked home so far north of 104.8, 21.9."""
    south = 21.9 + north_m / 111_320.0
    home = shapely.to_wkb(shapely.box(104.8, south, 104.8001, south + 1e-4))
    return AccessPolicy(masks=RedactedGround({"p": (home,)}, (("p", home),)))


HERE = AircraftState(lonlat_deg=(104.8, 21.9), above_m=50.0)
OUTLINE = ((104.7999, 21.8999), (104.8001, 21.8999), (104.8001, 21.9001), (104.7999, 21.8999))


@pytest.mark.parametrize(
    ("report", "north_m", "is_barred"),
    [
        (replace(TOLD, aircraft=HERE, footprint=()), 900.0, True),
        (replace(TOLD, aircraft=HERE, footprint=()), 1300.0, False),
        # the outline is of another picture than the one shown: a camera turns faster than outlines come
        (replace(TOLD, aircraft=HERE, footprint=OUTLINE), 900.0, True),
        (replace(TOLD, aircraft=None, footprint=OUTLINE), 900.0, True),
        (replace(TOLD, aircraft=replace(HERE, above_m=200.0), footprint=()), 1900.0, True),
        (replace(TOLD, aircraft=replace(HERE, age_s=20.0), footprint=()), 1700.0, True),
        (replace(TOLD, aircraft=None, footprint=()), 90_000.0, True),
        # the video was lost a minute ago, and the aircraft flew on
        (replace(TOLD, aircraft=HERE, footprint=(), picture_age_s=60.0), 2500.0, True),
        # so were both
        (replace(TOLD, aircraft=replace(HERE, age_s=60.0), footprint=(), picture_age_s=60.0), 1300.0, False),
        # the store has taken none for a minute
        (replace(TOLD, aircraft=HERE, footprint=(), picture_ns=NOON_NS + 59 * SECOND), 2500.0, True),
        # a recording's place is that of its picture, however long ago that was read
        (replace(TOLD, aircraft=HERE, footprint=(), picture_age_s=60.0, is_recording=True), 1300.0, False),
    ],
)
def test_the_newest_picture_is_withheld_while_masked_ground_is_in_the_cameras_reach(
    report: LiveFlightReport, north_m: float, is_barred: bool
) -> None:
    shown = replace(report, picture_key=keys.format_latest_image_key("f1", NOON_NS - SECOND))
    (seen,) = filter_live_flights([LiveFlight(shown, 0.0)], masking(north_m))
    assert seen.is_barred is is_barred
    assert (describe_live_flight(seen, 0.0)["picture_url"] is None) is is_barred
