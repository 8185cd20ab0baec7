"""A live program that was killed leaves a flight that nobody goes on with: whoever comes next ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flycam.catalog.flights import LiveFlightPhase
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import StorageFailed
from flycam.ingest.live import workflow
from flycam.ingest.live.inputs import LiveRequest, build_video_identity
from flycam.ingest.live.orthorectifier import LiveMap
from flycam.ingest.live.recording import complete_interrupted_in_background, complete_interrupted_streams
from flycam.ingest.live.workflow import orthorectify_video
from flycam.ingest.video.video_frames import format_stream_name, is_stream_frame
from flycam.model.flight import FlightState
from flycam.model.records import FrameStatus
from flycam.model.warning import CLOCK_UNKNOWN_LIVE, parse_warning_code
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.ingest.live.test_live_flights import TOLD
from tests.ingest.live.test_workflow import LateClock
from tests.waiting import until

MakeHouse = Callable[..., House]

FRAMES = 6
BEGAN_NS = 1_790_000_000_000_000_000


def killed(
    house: House, clip: VideoDrillReport, monkeypatch: pytest.MonkeyPatch, *, of_stream: bool = True
) -> str:
    """The flight of a program that was gone while it laid its seventh picture."""
    merge, count = LiveMap.merge, iter(range(1000))

    def dying(self: LiveMap, *arguments: object) -> None:
        if next(count) == FRAMES:
            raise StorageFailed("gone: as if killed")
        merge(self, *arguments)  # type: ignore[arg-type]

    def named(*arguments: object) -> object:
        return replace(build_video_identity(*arguments), name=format_stream_name(BEGAN_NS))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(LiveMap, "merge", dying)
        if of_stream:
            patch.setattr(workflow, "build_video_identity", named)
        request = LiveRequest(video=str(clip.video), telemetry=str(clip.subtitles), camera=clip.camera)
        with pytest.raises(StorageFailed, match="as if killed"):
            orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)
    (flight,) = house.workspace.catalog.flights.flights()
    assert flight.state is FlightState.INGESTING
    return flight.flight_id


def test_a_flight_of_a_killed_program_is_made_whole_as_far_as_it_was_seen_once_there_is_room(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    flight_id = killed(house, clip, monkeypatch)
    catalog = house.workspace.catalog
    frames = catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    assert frames and all(map(is_stream_frame, frames))
    catalog.airborne.put(replace(TOLD, flight_id=flight_id, told_ns=1))

    def full(*_: object, **__: object) -> None:
        raise StorageFailed("the disk is full: make room")

    with monkeypatch.context() as patch:
        patch.setattr("flycam.ingest.live.recording.rebuild_mosaic", full)
        assert complete_interrupted_streams(house.workspace) == []
    assert catalog.flights.flight(flight_id).state is FlightState.INGESTING
    with complete_interrupted_in_background(house.workspace):  # as `serve` and `live` do
        until(lambda: catalog.flights.flight(flight_id).state is FlightState.READY)
    (ended,) = [one for one in catalog.airborne.list_since(0) if one.flight_id == flight_id]
    assert ended.phase is LiveFlightPhase.ENDED and ended.told_ns > 1 and ended.beat > TOLD.beat
    assert catalog.flights.flight(flight_id).bounds_lonlat_deg is not None
    assert catalog.boundaries.coverage(flight_id)
    assert [line.what for line in catalog.audit.lines()].count("live ended") == 1
    (mosaic,) = list_live_mosaics(house.workspace, flight_id)
    before = house.tiles(mosaic.mosaic_id)
    everywhere = [one.tiles for one in frames]
    assert rebuild_mosaic(house.workspace, mosaic, ignore_progress, also=everywhere, check=True).lines == 0
    assert house.tiles(mosaic.mosaic_id) == before
    assert complete_interrupted_streams(house.workspace) == []


def test_a_flight_laid_by_an_unknown_clock_says_so_also_where_its_program_was_killed(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    monkeypatch.setattr("flycam.ingest.live.workflow.LiveClock", LateClock)
    monkeypatch.setattr(LateClock, "add", lambda *_: None)  # it is killed before it knows
    monkeypatch.setattr("flycam.ingest.live.workflow.measure_video_motion", lambda *_: None)
    killed(house, clip, monkeypatch)
    (ended,) = complete_interrupted_streams(house.workspace)
    assert [parse_warning_code(one) for one in ended.warnings] == [CLOCK_UNKNOWN_LIVE]


def test_who_is_being_laid_and_who_can_be_given_again_is_left_alone(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip, "laid")
    flight_id = killed(house, clip, monkeypatch)
    flights = house.workspace.catalog.flights
    with flights.lock(flight_id):
        assert complete_interrupted_streams(house.workspace) == []
    assert flights.flight(flight_id).state is FlightState.INGESTING
    of_file = make_house(clip, "film")
    killed(of_file, clip, monkeypatch, of_stream=False)
    assert complete_interrupted_streams(of_file.workspace) == []  # the same command goes on with it
