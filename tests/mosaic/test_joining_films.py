"""Films that join a flight: told apart, on ground that holds all of it, and refused where they cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.flights import Flights
from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import DrillReport
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import OptionUnusable
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.video_frames import select_video_frames
from flycam.model.flight import Flight, FlightState
from flycam.model.records import FrameStatus
from flycam.model.warning import (
    CLOCK_UNKNOWN,
    describe_warning,
    parse_warning_code,
)
from flycam.mosaic import terrain
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import load_recorded_terrain, register_dem
from flycam.storage.files import compute_sha256
from tests.finishing import finish_flight
from tests.houses import House, drilled, filmed_drill

MakeHouse = Callable[..., House]


@pytest.fixture(scope="module")
def card() -> DrillReport:
    """Six photos of the valley that the film shows, of its day."""
    return drilled(seed=2, photos=(2, 3), size_px=(480, 360), gsd_m=0.5, truth_rasters=False)


@pytest.fixture(scope="module")
def film() -> VideoDrillReport:
    """A film whose pictures do not tell one moment from another."""
    plan = VideoPlan(seconds=8.0, fps=10, strips=1, gsd_m=0.8, is_steady=True)
    return filmed_drill(seed=2, plan=plan, size_px=(320, 180), truth_rasters=False)


def another(film: VideoDrillReport, path: Path) -> Path:
    """A film of other bytes."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(film.video.read_bytes() + b"\0\0\0\x08free")
    return path


def join(house: House, film: VideoDrillReport, into: str | None, **changes: object) -> VideoReport:
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera, into=into)
    return orthorectify_video(house.workspace, replace(request, **changes), FlightLabels())  # type: ignore[arg-type]


def used(house: House, flight_id: str) -> list[str]:
    records = house.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    return sorted(record.frame_id for record in records)


def holds(outer: tuple[float, ...], inner: tuple[float, ...]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def test_a_second_film_of_the_same_name_is_another_film(
    film: VideoDrillReport, card: DrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(film)
    flight_id = house.ingest(card.photos, "Bản Lầu").flight.flight_id
    second_card = another(film, tmp_path / "card 2" / film.video.name)
    first = join(house, film, flight_id)
    second = join(house, film, flight_id, video=str(second_card))
    assert second.new == first.new >= 4 and second.dropped.get("filmed_before", 0) == 0
    records = house.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    of_each = [select_video_frames(records, compute_sha256(path)) for path in (film.video, second_card)]
    assert [len(one) for one in of_each] == [first.new, second.new]
    assert not {one.frame_id for one in of_each[0]} & {one.frame_id for one in of_each[1]}
    renamed = second_card.rename(second_card.with_name("Nậm Lúc.mp4"))
    assert join(house, film, flight_id, video=str(renamed)).new == 0


@pytest.mark.slow
def test_a_film_that_joined_lies_on_ground_that_holds_the_photos_and_finish_leaves_none_out(
    film: VideoDrillReport, card: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ground is cut close to the cameras, so that film and photos lie on parts of it that differ."""
    monkeypatch.setattr(terrain, "_REACH_PER_HEIGHT", 0.5)
    monkeypatch.setattr(terrain, "_MIN_REACH_M", 40.0)
    house = make_house(film)
    photos = house.ingest(card.photos, "Bản Lầu")
    flight_id = photos.flight.flight_id
    own = load_recorded_terrain(house.workspace, str(photos.flight.dem_id))
    report = join(house, film, flight_id)
    after = load_recorded_terrain(house.workspace, str(report.flight.dem_id))
    assert (
        holds(after.bounds_m, own.bounds_m) and report.flight.vertical_datum == photos.flight.vertical_datum
    )
    assert report.new >= 4 and len(used(house, flight_id)) == photos.used + report.new
    (layer,) = finish_flight(house.workspace, flight_id, FinishRequest(report=False, surface=False)).layers
    assert layer.record is not None
    states = house.workspace.catalog.revisions.frames(f"{flight_id}-colour", layer.record.revision)
    assert sorted(one.frame_id for one in states) == used(house, flight_id)


def test_a_film_in_another_datum_than_the_flight_is_refused_until_the_flight_is_laid_again(
    film: VideoDrillReport, card: DrillReport, make_house: MakeHouse
) -> None:
    house = make_house(None)
    before = house.ingest(card.photos, "Bản Lầu").flight
    register_dem(house.workspace, film.dem)
    with pytest.raises(OptionUnusable, match="LOCAL"):
        join(house, film, before.flight_id)
    flight = house.workspace.catalog.flights.flight(before.flight_id)
    assert (flight.vertical_datum, flight.dem_id) == (before.vertical_datum, before.dem_id)
    relaid = house.ingest(card.photos, "Bản Lầu")
    assert relaid.reprocessed == relaid.used
    joined = join(house, film, before.flight_id)
    assert joined.new >= 4
    poses = house.workspace.catalog.frames.list_for_flight(before.flight_id, FrameStatus.USED)
    assert {one.exterior.vertical_datum for one in poses if one.exterior} == {relaid.flight.vertical_datum}


def test_what_happens_to_a_flight_before_its_lock_is_held_is_seen_by_who_joins_it(
    film: VideoDrillReport, card: DrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film)
    flight = house.ingest(card.photos, "Bản Lầu").flight
    before = used(house, flight.flight_id)
    as_ever = Flights.lock

    @contextmanager
    def late(flights: Flights, flight_id: str) -> Iterator[None]:
        flights.put_flight(replace(flight, state=FlightState.WITHDRAWN))  # by another, a moment before
        with as_ever(flights, flight_id):
            yield

    monkeypatch.setattr(Flights, "lock", late)
    with pytest.raises(OptionUnusable, match="was withdrawn"):
        join(house, film, flight.flight_id)
    after: Flight = house.workspace.catalog.flights.flight(flight.flight_id)
    assert after.state is FlightState.WITHDRAWN and used(house, flight.flight_id) == before


def test_whether_a_clock_is_known_is_said_of_the_film_and_not_of_its_flight(
    film: VideoDrillReport, card: DrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(film)
    flight_id = house.ingest(card.photos, "Bản Lầu").flight.flight_id
    blind = join(house, film, flight_id, telemetry=str(film.telemetry), video_name="mù.mp4")
    (doubt,) = blind.flight.warnings
    assert parse_warning_code(doubt) == CLOCK_UNKNOWN
    assert str(describe_warning(doubt)).startswith("mù.mp4: ")
    second_card = another(film, tmp_path / "card 2" / "sáng.mp4")
    other = join(house, film, flight_id, video=str(second_card))  # its own clock is known
    assert other.flight.warnings == (doubt,)
    known = join(house, film, flight_id, video_name="mù.mp4")
    assert known.reprocessed == blind.new and known.flight.warnings == ()
