"""The card's photos join the flight that was filmed live: one flight, one mosaic, one block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flycam.drill.photo_drill import DrillReport, write_drill
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import NotFound, OptionUnusable
from flycam.ingest.batch import IngestReport, ingest
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.preflight_check import PreflightRequest
from flycam.ingest.video.video_frames import is_video_frame
from flycam.model.flight import EventKind, Flight, FlightState
from flycam.model.records import FrameStatus
from flycam.model.warning import FINER_PHOTOS, describe_warning, parse_warning_code
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels, resolve_flight_event
from tests.finishing import finish_flight
from tests.houses import House


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> DrillReport:
    """Four photos of the valley that the film shows, of its day."""
    folder = tmp_path_factory.mktemp("card") / "d"
    return write_drill(folder, seed=2, photos=(2, 2), size_px=(480, 360), gsd_m=0.5, truth_rasters=False)


@pytest.fixture
def filmed(make_filmed: Callable[..., tuple[House, VideoReport]]) -> tuple[House, VideoReport]:
    return make_filmed()


def join(house: House, card: DrillReport, into: str | None) -> IngestReport:
    photos = PreflightRequest(paths=(card.photos,))
    return ingest(house.workspace, photos, FlightLabels(), into=into)


def test_photos_join_the_flight_that_was_filmed_in_whatever_order(
    film: VideoDrillReport, filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    flight = film_report.flight
    report = join(house, card, flight.name)
    assert (report.flight.flight_id, report.flight.name) == (flight.flight_id, flight.name)
    assert (report.new, report.used, report.flight.state) == (card.frames, card.frames, FlightState.READY)
    assert report.in_flight == film_report.used + card.frames
    catalog = house.workspace.catalog
    assert [one.flight_id for one in catalog.flights.flights()] == [flight.flight_id]
    (mosaic,) = catalog.tiles.mosaics(flight.flight_id)
    frames = catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    assert sum(map(is_video_frame, frames)) == film_report.used
    assert report.flight.gsd_m == flight.gsd_m and mosaic.revision == 0
    (note,) = [one for one in report.notes if parse_warning_code(one) == FINER_PHOTOS]
    assert describe_warning(note).values["photos"] == "0.49"
    # card and film again find their flight by themselves, and change nothing
    tiles = house.tiles(mosaic.mosaic_id)
    again = join(house, card, None)
    assert (again.flight.flight_id, again.new, again.used) == (flight.flight_id, 0, report.used)
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    refilmed = orthorectify_video(house.workspace, request, FlightLabels())
    assert (refilmed.new, refilmed.reprocessed, refilmed.used) == (0, 0, film_report.used + card.frames)
    assert house.tiles(mosaic.mosaic_id) == tiles


@pytest.mark.soak
def test_a_photo_that_joined_is_withdrawn_as_any(
    filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    (mosaic,) = house.workspace.catalog.tiles.mosaics(film_report.flight.flight_id)
    bare = house.tiles(mosaic.mosaic_id)
    join(house, card, "auto")
    for record in house.workspace.catalog.frames.list_for_flight(film_report.flight.flight_id):
        if not is_video_frame(record):
            withdraw_by_reference(house.workspace, record.frame_id, "not ours", "UBND")
    after = house.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0)
    assert {str(one.tile_id) for one in after} >= set(bare)
    used = house.workspace.catalog.frames.list_for_flight(film_report.flight.flight_id, FrameStatus.USED)
    assert len(used) == film_report.used and all(map(is_video_frame, used))


@pytest.mark.soak
def test_finish_ties_film_and_photos_into_one_block(
    filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    join(house, card, "auto")
    report = finish_flight(house.workspace, film_report.flight.flight_id, FinishRequest(report=False))
    (layer,) = report.layers
    assert layer.record is not None and layer.record.stats["accepted"] and layer.record.revision == 1
    states = house.workspace.catalog.revisions.frames(f"{film_report.flight.flight_id}-colour", 1)
    assert len(states) == film_report.used + card.frames and all(one.ties > 0 for one in states)


def put(house: House, flight: Flight, **changes: object) -> None:
    house.workspace.catalog.flights.put_flight(replace(flight, **changes))  # type: ignore[arg-type]


def test_photos_that_cannot_belong_to_a_flight_are_refused_and_nothing_is_written(
    filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    flight = film_report.flight
    catalog = house.workspace.catalog
    with pytest.raises(NotFound, match="nobody"):
        join(house, card, "nobody")
    real = resolve_flight_event(house.workspace, "Bão số 9", is_drill=False)
    for changes, words in (
        ({"state": FlightState.WITHDRAWN}, "was withdrawn"),
        ({"work_crs": "EPSG:32647"}, "another place"),
        ({"event_id": real.event_id}, "never mix"),
    ):
        put(house, flight, **changes)
        with pytest.raises(OptionUnusable, match=words):
            join(house, card, flight.flight_id)
    assert catalog.flights.event("Bão số 9").kind is EventKind.SURVEY
    put(house, flight)
    assert len(catalog.frames.list_for_flight(flight.flight_id)) == film_report.used


def test_auto_takes_only_the_one_flight_of_that_time_and_place(
    filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    flight = film_report.flight
    hour = 3600 * 10**9
    west, south, east, north = flight.bounds_lonlat_deg or (0.0, 0.0, 0.0, 0.0)
    for changes in (
        {"first_ns": flight.first_ns + hour, "last_ns": flight.last_ns + hour},
        {"bounds_lonlat_deg": (west + 0.02, south, east + 0.02, north)},
        {"bounds_lonlat_deg": None},
    ):
        put(house, flight, **changes)
        with pytest.raises(OptionUnusable) as caught:
            join(house, card, "auto")
        assert caught.value.message.values["count"] == 0
    put(house, flight)
    put(house, flight, flight_id="photos", name="no film")
    put(house, flight, flight_id="other", name="Bay 2")
    frames = house.workspace.catalog.frames
    (first, *_) = frames.list_for_flight(flight.flight_id)
    frames.put([replace(first, flight_id="other", header=replace(first.header, frame_id="0" * 64))])
    with pytest.raises(OptionUnusable, match="Bay 2") as caught:
        join(house, card, "auto")
    assert caught.value.message.values["count"] == 2
