"""A live program that was killed leaves a flight that nobody goes on with: whoever comes next ends it."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.records import FrameStatus
from flycam.commands.house import opened
from flycam.drill.video import VideoDrillReport
from flycam.errors import Cancelled, StorageTrouble
from flycam.frame.airborne import Phase
from flycam.frame.flight import FlightState
from flycam.frame.warning import CLOCK_UNKNOWN_LIVE, code_of, sentence
from flycam.pipeline.film_frames import is_of_stream, stream_name
from flycam.pipeline.laying.opening import Labels
from flycam.pipeline.laying.refolding import live_mosaics, refold_mosaic
from flycam.pipeline.live import recipe as live_recipe
from flycam.pipeline.live.abandoned import end_abandoned, ending_abandoned
from flycam.pipeline.live.given import LiveRequest, film_of
from flycam.pipeline.live.laying import LiveLaying
from flycam.pipeline.live.recipe import live
from flycam.pipeline.workspace import silent
from tests.houses import House
from tests.ingest.streaming import on_air
from tests.pipeline.live.test_recipe import LateClock
from tests.ports import free_port
from tests.serve.situation.test_airborne import TOLD
from tests.waiting import until

MakeHouse = Callable[..., House]

FRAMES = 6
BEGAN_NS = 1_790_000_000_000_000_000


def killed(
    house: House, film: VideoDrillReport, monkeypatch: pytest.MonkeyPatch, *, of_stream: bool = True
) -> str:
    """The flight of a program that was gone while it laid its seventh picture."""
    merge, count = LiveLaying._merge, iter(range(1000))

    def dying(self: LiveLaying, *arguments: object) -> None:
        if next(count) == FRAMES:
            raise StorageTrouble("gone: as if killed")
        merge(self, *arguments)  # type: ignore[arg-type]

    def named(*arguments: object) -> object:
        return replace(film_of(*arguments), name=stream_name(BEGAN_NS))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LiveLaying, "_merge", dying)
        if of_stream:
            patch.setattr(live_recipe, "film_of", named)
        request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
        with pytest.raises(StorageTrouble, match="as if killed"):
            live(house.workspace, request, Labels(), silent)
    (flight,) = house.workspace.catalog.flights.flights()
    assert flight.state is FlightState.INGESTING
    return flight.flight_id


def test_a_flight_of_a_killed_program_is_made_whole_as_far_as_it_was_seen(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film)
    flight_id = killed(house, film, monkeypatch)
    catalog = house.workspace.catalog
    frames = catalog.frames.of_flight(flight_id, FrameStatus.USED)
    assert frames and all(map(is_of_stream, frames))
    catalog.airborne.put(replace(TOLD, flight_id=flight_id, told_ns=1))
    (ended,) = end_abandoned(house.workspace)
    assert (ended.flight_id, ended.state) == (flight_id, FlightState.READY)
    (told,) = [one for one in catalog.airborne.since(0) if one.flight_id == flight_id]
    assert told.phase is Phase.ENDED and told.told_ns > 1 and told.beat > TOLD.beat
    assert catalog.flights.flight(flight_id).bounds_lonlat_deg is not None
    assert catalog.boundaries.coverage(flight_id)
    assert [line.what for line in catalog.audit.lines()].count("live ended") == 1
    (mosaic,) = live_mosaics(house.workspace, flight_id)
    before = house.tiles(mosaic.mosaic_id)
    everywhere = [one.tiles for one in frames]
    assert refold_mosaic(house.workspace, mosaic, silent, also=everywhere, check=True).lines == 0
    assert house.tiles(mosaic.mosaic_id) == before
    assert end_abandoned(house.workspace) == []


def test_a_flight_laid_by_an_unknown_clock_says_so_also_where_its_program_was_killed(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film)
    monkeypatch.setattr("flycam.pipeline.live.recipe.LiveClock", LateClock)
    monkeypatch.setattr(LateClock, "add", lambda *_: None)  # it is killed before it knows
    monkeypatch.setattr("flycam.pipeline.live.recipe.look_through", lambda *_: None)
    killed(house, film, monkeypatch)
    (ended,) = end_abandoned(house.workspace)
    assert [code_of(one) for one in ended.warnings] == [CLOCK_UNKNOWN_LIVE]
    for language in ("en", "vi"):
        said = sentence(ended.warnings[0], language)
        assert ended.name in said and "'flycam finish'" in said
        assert "--clock-offset" not in said and ".stream" not in said


def test_who_is_being_laid_and_who_can_be_given_again_is_left_alone(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film, "laid")
    flight_id = killed(house, film, monkeypatch)
    flights = house.workspace.catalog.flights
    with flights.lock(flight_id):
        assert end_abandoned(house.workspace) == []
    assert flights.flight(flight_id).state is FlightState.INGESTING
    of_file = make_house(film, "film")
    killed(of_file, film, monkeypatch, of_stream=False)
    assert end_abandoned(of_file.workspace) == []  # the same command goes on with it


def test_what_cannot_be_done_now_is_done_by_the_next_one(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film)
    flight_id = killed(house, film, monkeypatch)
    flights = house.workspace.catalog.flights

    def full(*_: object, **__: object) -> None:
        raise StorageTrouble("the disk is full: make room")

    with monkeypatch.context() as patch:
        patch.setattr("flycam.pipeline.live.abandoned.refold_mosaic", full)
        assert end_abandoned(house.workspace) == []

    def given_up(*_: object) -> None:
        raise Cancelled("given up")

    with pytest.raises(Cancelled):
        end_abandoned(house.workspace, given_up)
    assert flights.flight(flight_id).state is FlightState.INGESTING
    with ending_abandoned(house.workspace):  # as `serve` and `live` do
        until(lambda: flights.flight(flight_id).state is FlightState.READY)


@pytest.mark.slow
def test_a_program_that_is_really_killed_over_a_real_stream(
    film: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    data, port = tmp_path / "data", free_port(socket.SOCK_DGRAM)
    command = [sys.executable, "-m", "flycam", "live", "--data", str(data), "--drill", "--clock-offset", "0"]
    command += ["--telemetry", f"udp://127.0.0.1:{port}", "--camera", str(film.camera)]
    with on_air(film, port) as air, subprocess.Popen([*command, "--video", air.url]) as process:
        flights = until(lambda: laid_by(data, 4) or process.poll() is not None, every_s=0.3)
        process.kill()
    assert isinstance(flights, list), "it ended by itself"
    with opened(str(data)) as (workspace, _):
        assert workspace.catalog.flights.flight(flights[0]).state is FlightState.INGESTING
        (ended,) = end_abandoned(workspace)
        assert (ended.flight_id, ended.state) == (flights[0], FlightState.READY)
        (mosaic,) = live_mosaics(workspace, ended.flight_id)
        everywhere = [one.tiles for one in workspace.catalog.frames.of_flight(ended.flight_id)]
        assert refold_mosaic(workspace, mosaic, silent, also=everywhere, check=True).lines == 0


def laid_by(data: Path, frames: int) -> list[str]:
    """Ids of flights in a data folder that have so many frames on the map."""
    if not (data / "catalog.sqlite").is_file():
        return []
    with opened(str(data)) as (workspace, _):
        catalog = workspace.catalog
        ids = [one.flight_id for one in catalog.flights.flights()]
        return [one for one in ids if len(catalog.frames.of_flight(one, FrameStatus.USED)) >= frames]
