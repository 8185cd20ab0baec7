"""The card's photos join the flight that was filmed live: one flight, one mosaic, one block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport, write_drill
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import NotFound, OptionUnusable
from flycam.ingest.batch import IngestReport, ingest
from flycam.ingest.inspection import PreflightRequest
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.video_frames import is_video_frame
from flycam.model.flight import EventKind, Flight, FlightState
from flycam.model.records import FrameStatus
from flycam.model.warning import FINER_PHOTOS, describe_warning, parse_warning_code
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels, resolve_flight_event
from flycam.mosaic.orthorectify.withdrawal import withdraw_by_reference
from tests.finishing import finish_flight
from tests.houses import House

MakeHouse = Callable[..., House]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> DrillReport:
    """Twelve photos of the valley that the film shows, of its day."""
    return write_drill(
        tmp_path_factory.mktemp("card") / "d",
        seed=2,
        photos=(3, 4),
        size_px=(480, 360),
        gsd_m=0.5,
        truth_rasters=False,
    )


@pytest.fixture
def filmed(make_filmed: Callable[..., tuple[House, VideoReport]]) -> tuple[House, VideoReport]:
    return make_filmed()


def laid(house: House, film: VideoDrillReport) -> VideoReport:
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    return orthorectify_video(house.workspace, request, FlightLabels())


def joining(house: House, card: DrillReport, into: str | None) -> IngestReport:
    photos = PreflightRequest(paths=(card.photos,))
    return ingest(house.workspace, photos, FlightLabels(), into=into)


@pytest.mark.parametrize("how", ["id", "name", "auto"])
def test_photos_join_the_flight_that_was_filmed(
    filmed: tuple[House, VideoReport], card: DrillReport, how: str
) -> None:
    house, film_report = filmed
    flight = film_report.flight
    report = joining(house, card, {"id": flight.flight_id, "name": flight.name, "auto": "auto"}[how])
    assert (report.flight.flight_id, report.flight.name) == (flight.flight_id, flight.name)
    assert (report.new, report.used, report.flight.state) == (12, 12, FlightState.READY)
    assert report.in_flight == film_report.used + 12
    catalog = house.workspace.catalog
    assert [one.flight_id for one in catalog.flights.flights()] == [flight.flight_id]
    (mosaic,) = catalog.tiles.mosaics(flight.flight_id)
    frames = catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    assert sum(map(is_video_frame, frames)) == film_report.used
    assert report.flight.gsd_m == flight.gsd_m and mosaic.revision == 0
    (note,) = [one for one in report.notes if parse_warning_code(one) == FINER_PHOTOS]
    assert "--gsd 0.49" in str(describe_warning(note)) and "--gsd 0.49" in describe_warning(note).in_language(
        "vi"
    )
    # the same card again finds its flight by itself, and changes nothing
    tiles = house.tiles(mosaic.mosaic_id)
    again = joining(house, card, None)
    assert (again.flight.flight_id, again.new, again.used) == (flight.flight_id, 0, report.used)
    assert house.tiles(mosaic.mosaic_id) == tiles


def test_the_order_of_film_and_card_does_not_matter_to_the_map(
    film: VideoDrillReport, card: DrillReport, filmed: tuple[House, VideoReport], make_house: MakeHouse
) -> None:
    """A film read again beside photos is neither laid again nor confused by their names."""
    house, film_report = filmed
    joining(house, card, "auto")
    (mosaic,) = house.workspace.catalog.tiles.mosaics(film_report.flight.flight_id)
    before = house.tiles(mosaic.mosaic_id)
    again = laid(house, film)
    assert (again.new, again.reprocessed, again.used) == (0, 0, film_report.used + 12)
    assert house.tiles(mosaic.mosaic_id) == before


def test_a_photo_that_joined_is_withdrawn_as_any(
    filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    (mosaic,) = house.workspace.catalog.tiles.mosaics(film_report.flight.flight_id)
    bare = house.tiles(mosaic.mosaic_id)
    joining(house, card, "auto")
    for record in house.workspace.catalog.frames.list_for_flight(film_report.flight.flight_id):
        if not is_video_frame(record):
            withdraw_by_reference(house.workspace, record.frame_id, "not ours", "UBND")
    after = house.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0)
    assert {str(one.tile_id) for one in after} >= set(bare)
    used = house.workspace.catalog.frames.list_for_flight(film_report.flight.flight_id, FrameStatus.USED)
    assert len(used) == film_report.used and all(map(is_video_frame, used))


@pytest.mark.slow
def test_finish_ties_film_and_photos_into_one_block(
    filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    joining(house, card, "auto")
    report = finish_flight(house.workspace, film_report.flight.flight_id, FinishRequest(report=False))
    (layer,) = report.layers
    assert layer.record is not None and layer.record.stats["accepted"] and layer.record.revision == 1
    states = house.workspace.catalog.revisions.frames(f"{film_report.flight.flight_id}-colour", 1)
    assert len(states) == film_report.used + 12 and all(one.ties > 0 for one in states)


def put(house: House, flight: Flight, **changes: object) -> None:
    house.workspace.catalog.flights.put_flight(replace(flight, **changes))  # type: ignore[arg-type]


def test_photos_that_cannot_belong_to_a_flight_are_refused_and_nothing_is_written(
    filmed: tuple[House, VideoReport], card: DrillReport
) -> None:
    house, film_report = filmed
    flight = film_report.flight
    catalog = house.workspace.catalog
    with pytest.raises(NotFound, match="nobody"):
        joining(house, card, "nobody")
    for changes, said in (
        ({"state": FlightState.WITHDRAWN}, "was withdrawn"),
        ({"work_crs": "EPSG:32647"}, "another place"),
        (
            {"event_id": resolve_flight_event(house.workspace, "Bão số 9", is_drill=False).event_id},
            "never mix",
        ),
    ):
        put(house, flight, **changes)
        with pytest.raises(OptionUnusable, match=said):
            joining(house, card, flight.flight_id)
    assert catalog.flights.event("Bão số 9").kind is EventKind.SURVEY
    put(house, flight)
    assert len(catalog.frames.list_for_flight(flight.flight_id)) == film_report.used
    own = joining(house, card, None)
    with pytest.raises(OptionUnusable, match="already"):
        joining(house, card, flight.flight_id)
    assert own.flight.flight_id != flight.flight_id


def test_auto_takes_only_the_one_flight_of_that_time_and_place(
    filmed: tuple[House, VideoReport], card: DrillReport, drill: DrillReport
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
        with pytest.raises(OptionUnusable, match="0 live flights"):
            joining(house, card, "auto")
    put(house, flight)
    house.ingest(drill.photos, "photos of another card")  # a flight without a film is not meant
    assert joining(house, card, "auto").flight.flight_id == flight.flight_id


def test_auto_does_not_choose_between_two(
    filmed: tuple[House, VideoReport], card: DrillReport, film: VideoDrillReport, tmp_path: Path
) -> None:
    house, _ = filmed
    copy = tmp_path / "other.mp4"
    copy.write_bytes(film.video.read_bytes() + b"\0\0\0\x08free")
    request = LiveRequest(video=str(copy), telemetry=str(film.subtitles), camera=film.camera)
    orthorectify_video(house.workspace, request, FlightLabels(name="Bay 2"))
    with pytest.raises(OptionUnusable, match=r"2 live flights.*Bay 2"):
        joining(house, card, "auto")
