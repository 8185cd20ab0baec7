"""A film becomes a flight like any other: recorded, replayed, withdrawn, exported, completed after a cut."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import shapely

from flycam.cli.flights import format_live
from flycam.concurrency import BoundedQueue
from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from flycam.errors import (
    CalibrationMissing,
    FlightLogMismatch,
    NotFound,
    OptionUnusable,
    OutsideTerrain,
    SourceUnreadable,
    StorageFailed,
)
from flycam.geodata.crs import to_work
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.geometry.terrain import interpolate_heights
from flycam.ingest.live.frame_pipeline import PROGRESS_STAGE
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.orthorectifier import LiveMap, LiveOrthorectifier
from flycam.ingest.live.telemetry import LiveClock
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.clock_offset import ClockOffset
from flycam.ingest.video.video_source import VideoFrame, VideoSource
from flycam.media.pixels import open_pixels
from flycam.model.flight import FlightState
from flycam.model.frame import parse_video_frame_pts_ns
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.warning import CLOCK_UNKNOWN, LOG_DOUBTFUL, NO_TERRAIN, describe_warning, parse_warning_code
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.export import export_flight
from flycam.mosaic.finish.report import build_block_frames, derive_prior_pose
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.mosaic.terrain import load_recorded_terrain, register_dem
from flycam.mosaic.terrain_codec import parse_source_dem_id
from flycam.mosaic.tiles.codec import read_tile
from flycam.operations.verify import verify_objects
from flycam.originals import fetch_local_copy
from flycam.workspace import ignore_progress
from tests.houses import House, StopAfter, filmed_drill
from tests.waiting import until

MakeHouse = Callable[..., House]
MakeFilmed = Callable[..., tuple[House, VideoReport]]


def flown(house: House, film: VideoDrillReport, **changes: object) -> VideoReport:
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    return orthorectify_video(house.workspace, replace(request, **changes), FlightLabels(), ignore_progress)


def used(house: House, report: VideoReport) -> list[FrameRecord]:
    return house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)


def off_m(film: VideoDrillReport, records: list[FrameRecord]) -> float:
    """How far the frame laid worst is from where its picture was taken."""
    true = read_truth(film.truth.parent).exteriors
    off = [
        np.subtract(
            one.exterior.projection_centre_m,
            true[one.header.provenance.source_name].projection_centre_m,
        )
        for one in records
    ]
    return float(np.linalg.norm(off, axis=1).max())


def test_a_film_is_a_flight_like_any_other(
    film: VideoDrillReport, make_filmed: MakeFilmed, tmp_path: Path
) -> None:
    house, report = make_filmed()
    catalog, flight = house.workspace.catalog, report.flight
    assert (flight.state, flight.name, report.decoded) == (FlightState.READY, "flight", 200)
    assert catalog.flights.event(flight.event_id).is_drill
    records = used(house, report)
    assert len(records) == report.used == report.new >= 8
    assert off_m(film, records) < 15.0  # noise of the drill, and its home's height from the terrain
    for provenance in (record.header.provenance for record in records):
        local = fetch_local_copy(house.workspace, provenance.source_sha256, provenance.source_name)
        assert open_pixels(local).shape == (180, 320, 3)
    assert flight.bounds_lonlat_deg is not None and flight.first_ns < flight.last_ns
    assert catalog.boundaries.coverage(flight.flight_id)
    exported = export_flight(house.workspace, flight.flight_id, tmp_path / "out.tif")
    assert exported.path.stat().st_size > 10_000
    answer, _ = format_live(report)
    assert json.loads(json.dumps(answer))["frames"] == report.used
    assert set(answer["latency_ms"]) == {"p50", "p95"} and answer["latency_ms"]["p50"] > 0
    assert answer["first_tile_s"] > 0.0
    assert (answer["clock_offset_s"], answer["clock_sigma_s"]) == (0.0, 0.02)  # subtitles share the clock


def test_run_again_it_changes_nothing_and_replay_gives_the_same_tiles(
    film: VideoDrillReport, make_filmed: MakeFilmed
) -> None:
    house, first = make_filmed()
    flight_id = first.flight.flight_id
    before = house.tiles(f"{flight_id}-colour")
    again = flown(house, film)
    assert (again.used, again.new, again.flight.flight_id) == (first.used, 0, flight_id)
    assert house.tiles(f"{flight_id}-colour") == before and replays(house, flight_id)


def test_frames_lie_on_ground_lifted_to_what_the_film_shows_which_is_kept_with_them(
    make_filmed: MakeFilmed,
) -> None:
    house, report = make_filmed()
    flight = report.flight
    records = sorted(
        house.workspace.catalog.frames.list_for_flight(flight.flight_id),
        key=lambda one: one.header.captured_ns,
    )
    assert records[0].dem_id == flight.dem_id  # nothing was seen twice yet
    terrain = load_recorded_terrain(house.workspace, flight.dem_id)
    lifts = []
    for record in records[2:]:
        assert record.dem_id != flight.dem_id == parse_source_dem_id(record.dem_id)
        ground = load_recorded_terrain(house.workspace, str(record.dem_id))
        west, south, east, north = shapely.from_wkb(record.footprint_wkb).bounds
        corners = to_work(np.array([[west, south], [east, north]]), flight.work_crs)
        assert (interpolate_heights(ground, corners) > 0.0).all(), "it reaches under all that the frame sees"
        rows, cols = np.indices(ground.heights_m.shape)
        (first_e, first_n), (step_e, step_s) = ground.origin_m, ground.post_spacing_m
        posts = np.stack([first_e + cols * step_e, first_n - rows * step_s], -1).reshape(-1, 2)
        lifts.append(ground.heights_m.ravel() - interpolate_heights(terrain, posts))
    lift = np.concatenate(lifts)
    assert 2.0 < np.nanmax(lift) < 40.0  # crowns of the drill's woods, and its roofs
    assert verify_objects(house.workspace).error is None


def test_a_run_cut_half_way_is_completed_by_the_same_command(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = make_house(clip, "whole"), make_house(clip, "cut")
    flight_id = flown(whole, clip).flight.flight_id
    merge, count = LiveMap.merge, iter(range(100))

    def failing(self: LiveMap, *arguments: object) -> None:
        if next(count) == 4:
            raise StorageFailed("the disk went away: run again")
        merge(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LiveMap, "merge", failing)
        with pytest.raises(StorageFailed, match="disk"):
            flown(cut, clip)
    assert cut.workspace.catalog.flights.flight(flight_id).state is FlightState.INGESTING
    completed = flown(cut, clip)
    assert completed.flight.state is FlightState.READY
    assert cut.tiles(f"{flight_id}-colour") == whole.tiles(f"{flight_id}-colour")


@pytest.fixture
def straight() -> VideoDrillReport:
    """A film whose pictures do not tell one moment from another."""
    plan = VideoPlan(seconds=12.0, fps=5, strips=1, gsd_m=0.8, is_steady=True)
    return filmed_drill(seed=2, plan=plan, size_px=(160, 90), truth_rasters=False)


def test_a_stop_ends_the_flight_where_it_is_and_the_same_command_goes_on(
    clip: VideoDrillReport, make_house: MakeHouse
) -> None:
    house, stop = make_house(clip), StopAfter(PROGRESS_STAGE, 31)
    request = LiveRequest(video=str(clip.video), telemetry=str(clip.subtitles), camera=clip.camera)
    report = orthorectify_video(house.workspace, request, FlightLabels(), stop.progress, stop.stopped)
    assert report.flight.state is FlightState.READY and report.used >= 3 and report.decoded == 31
    whole = flown(house, clip)
    assert whole.used > report.used and whole.new == whole.used - report.used


def test_what_cannot_be_used_is_said_and_leaves_no_flight(
    clip: VideoDrillReport, make_house: MakeHouse, tmp_path: Path
) -> None:
    house = make_house(clip)
    with pytest.raises(CalibrationMissing, match=clip.telemetry.name):
        flown(house, clip, camera=None, telemetry=str(clip.telemetry), clock_offset_s=5000.0)
    square = tmp_path / "square.json"
    square.write_text(json.dumps({"width": 300, "height": 300, "fx": 200.0}))
    with pytest.raises(CalibrationMissing, match=r"square\.json"):
        flown(house, clip, camera=square)
    with pytest.raises(OptionUnusable, match="recorded"):
        flown(house, clip, video="rtsp://10.0.0.9/live")
    with pytest.raises(OptionUnusable, match="hfov"):
        flown(house, clip, camera=None, hfov_deg=200.0)
    with pytest.raises(OutsideTerrain):
        flown(house, clip, telemetry=str(clip.telemetry), clock_offset_s=5000.0)
    assert house.workspace.catalog.flights.flights() == []
    with pytest.raises(NotFound):
        house.workspace.catalog.flights.flight("flight")


def test_a_lens_nobody_names_is_seen_in_the_motion_and_said_with_its_doubt(
    film: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(film)
    report = flown(house, film, camera=None)
    true_px = json.loads(film.camera.read_text())["fx"]
    lens = used(house, report)[0].header.interior
    off = lens.focal_length_px[0] / true_px - 1.0
    assert lens.calibration_id == "estimated:motion" and abs(off) < 2.5 * lens.sigma_focal_rel < 0.2
    assert report.used >= 8
    assert [one for one in report.remarks if "--camera" in str(one)]


def codes(report: VideoReport) -> list[str | None]:
    return [parse_warning_code(one) for one in report.flight.warnings]


def replays(house: House, flight_id: str) -> bool:
    """Whether every tile is what the recorded frames make it."""
    (mosaic,) = list_live_mosaics(house.workspace, flight_id)
    records = house.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    before = house.tiles(mosaic.mosaic_id)
    refolded = rebuild_mosaic(
        house.workspace, mosaic, ignore_progress, also=[r.tiles for r in records], check=True
    )
    return refolded.lines == 0 and house.tiles(mosaic.mosaic_id) == before


def test_a_film_laid_on_a_plane_is_laid_again_once_there_is_terrain(
    clip: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(None)
    flat = flown(house, clip)
    assert codes(flat) == [NO_TERRAIN]
    register_dem(house.workspace, clip.dem)
    report = flown(house, clip)
    assert (report.reprocessed, report.used, codes(report)) == (flat.used, flat.used + report.new, [])
    assert report.flight.vertical_datum != flat.flight.vertical_datum
    assert replays(house, report.flight.flight_id)
    assert off_m(clip, used(house, report)) < 15.0
    again = flown(house, clip)
    assert (again.reprocessed, again.new, again.used) == (0, 0, report.used)


def test_a_clock_that_becomes_known_lays_the_film_again_and_no_frame_beside_it(
    straight: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(straight)
    blind = flown(house, straight, telemetry=str(straight.telemetry))
    assert codes(blind) == [CLOCK_UNKNOWN]
    answer, _ = format_live(blind)
    assert answer["clock_offset_s"] is None and answer["clock_sigma_s"] > 1.0
    known = flown(house, straight)  # by the subtitles, which share the film's clock
    assert known.reprocessed == blind.used and codes(known) == []
    # at most the ends of the film, of which the log said nothing before
    assert len(used(house, known)) == known.used <= blind.used + 2
    assert max(record.exterior.sigma_position_m[0] for record in used(house, known)) < 3.0
    assert replays(house, known.flight.flight_id)
    (mosaic,) = list_live_mosaics(house.workspace, known.flight.flight_id)
    tiles = house.tiles(mosaic.mosaic_id)
    worse = flown(house, straight, telemetry=str(straight.telemetry))  # nothing known is given up for less
    assert (worse.reprocessed, worse.new, codes(worse)) == (0, 0, []) and house.tiles(
        mosaic.mosaic_id
    ) == tiles


def filmed(house: House, flight_id: str) -> set[int]:
    """Times (PTS, ns) of the frames on record."""
    frames = house.workspace.catalog.frames.list_for_flight(flight_id)
    return {parse_video_frame_pts_ns(one.header.provenance.source_name) for one in frames}


def test_what_was_withdrawn_of_a_film_stays_away_by_any_log_and_is_said(
    film: VideoDrillReport, make_filmed: MakeFilmed
) -> None:
    house, first = make_filmed()
    flight_id = first.flight.flight_id
    record = house.workspace.catalog.frames.list_for_flight(flight_id)[3]
    withdraw_by_reference(house.workspace, record.header.provenance.source_name, "nhà dân", "UBND")
    heads = house.workspace.catalog.tiles.heads(f"{flight_id}-colour", 0)
    tiles = [read_tile(house.workspace.store, head) for head in heads]
    assert tiles and all(record.frame_id not in tile.frames for tile in tiles)
    again = flown(house, film)
    assert again.dropped["withdrawn"] == 1 and again.used == first.used - 1
    assert any("nhà dân" in str(one) for one in again.remarks)
    on_record = filmed(house, flight_id)
    # by the true clock, which is found, it would choose the very same pictures
    late_s = read_truth(film.truth.parent).facts["clock_offset_s"] + 0.3
    other = flown(house, film, telemetry=str(film.telemetry), clock_offset_s=late_s)
    # behind the last picture another log's choice may see new ground; between those on record it lays none
    assert all(pts_ns > max(on_record) for pts_ns in filmed(house, flight_id) - on_record)
    assert other.new == len(filmed(house, flight_id) - on_record) <= 1 and other.dropped["filmed_before"] > 0
    withdraw_by_reference(house.workspace, flight_id, "nhà dân", "UBND")
    gone = flown(house, film, telemetry=str(film.telemetry))
    assert (gone.new, gone.used, gone.flight.state) == (0, 0, FlightState.WITHDRAWN)


def breaking(error: Exception, after: int) -> Callable[[VideoSource], Iterator[VideoFrame]]:
    """`VideoSource.pictures` that ends with an error."""
    pictures = VideoSource.frames

    def broken(self: VideoSource) -> Iterator[VideoFrame]:
        yield from islice(pictures(self), after)
        raise error

    return broken


def test_a_source_that_breaks_off_leaves_a_flight_complete_as_far_as_it_was_seen(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    monkeypatch.setattr(VideoSource, "frames", breaking(SourceUnreadable("another size: start again"), 36))
    with pytest.raises(SourceUnreadable, match="another size"):
        flown(house, clip)
    (flight,) = house.workspace.catalog.flights.flights()
    frames = house.workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    assert flight.state is FlightState.READY and len(frames) >= 4
    assert house.workspace.catalog.boundaries.coverage(flight.flight_id)
    assert replays(house, flight.flight_id)


def test_a_source_that_breaks_off_before_the_clock_is_known_says_so_of_what_is_laid(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(clip)
    monkeypatch.setattr(VideoSource, "frames", breaking(SourceUnreadable("another size: start again"), 10))
    with pytest.raises(SourceUnreadable, match="another size"):
        flown(house, clip, telemetry=str(clip.telemetry), is_realtime=True)
    (flight,) = house.workspace.catalog.flights.flights()
    assert flight.state is FlightState.READY and CLOCK_UNKNOWN in map(parse_warning_code, flight.warnings)


class LateClock(LiveClock):
    """Two and a half seconds off and not known, until pictures lie on the map by it."""

    are_laid: Callable[[], bool]

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(lambda: None, None, is_shared=True)  # type: ignore[arg-type, return-value]
        self.offset = ClockOffset(2.5, 2.9)
        self._left = 100

    def add(self, picture: VideoFrame) -> None:
        self._left -= 1
        self.breaks = picture.breaks
        if self._left == 0:
            until(self.are_laid)
            self.offset = ClockOffset(0.0, 0.02)


@pytest.fixture
def late(film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house whose films are laid at once, with a clock that becomes known on the way."""
    house = make_house(film)
    catalog = house.workspace.catalog

    def are_laid(_: LiveClock) -> bool:
        return any(
            len(catalog.frames.list_for_flight(one.flight_id)) >= 3 for one in catalog.flights.flights()
        )

    monkeypatch.setattr(LateClock, "are_laid", are_laid, raising=False)
    monkeypatch.setattr("flycam.ingest.live.workflow.LiveClock", LateClock)
    monkeypatch.setattr("flycam.ingest.live.workflow.measure_video_motion", lambda *_: None)
    return house


def test_what_was_laid_at_once_is_laid_again_when_the_clock_is_known(
    film: VideoDrillReport, late: House
) -> None:
    report = flown(late, film)
    flight_id = report.flight.flight_id
    truth = read_truth(film.truth.parent)
    catalog = late.workspace.catalog
    records = {one.frame_id: one for one in catalog.frames.list_for_flight(flight_id, FrameStatus.USED)}

    def off_m(frame_id: str, exterior: ExteriorOrientation) -> float:
        true = truth.exteriors[records[frame_id].header.provenance.source_name]
        return float(np.linalg.norm(np.subtract(exterior.projection_centre_m, true.projection_centre_m)))

    first = [one for one in catalog.placements.list_for_flight(flight_id) if one.version == 0]
    assert report.reprocessed == len(first) >= 3 and len(records) == report.new
    assert min(off_m(one.frame_id, one.exterior) for one in first if one.exterior) > 15.0
    assert max(off_m(one.frame_id, one.exterior) for one in records.values()) < 15.0
    assert max(one.header.exterior_prior.sigma_position_m[0] for one in records.values()) < 3.0
    assert codes(report) == [] and report.flight.state is FlightState.READY
    assert report.fitted + sum(report.by_log.values()) == report.new
    assert replays(late, flight_id)


def test_a_frame_lies_where_it_fits_and_keeps_what_the_log_told(make_filmed: MakeFilmed) -> None:
    house, report = make_filmed()
    records = used(house, report)
    fitted = [one for one in records if one.exterior.source is PoseSource.REGISTERED]
    assert len(fitted) >= report.fitted >= 0.7 * len(records)
    assert report.fitted + sum(report.by_log.values()) == report.new == len(records)
    for record in records:
        assert record.header.exterior_prior.source is PoseSource.GNSS
        assert derive_prior_pose(record) == record.header.exterior_prior  # what `finish` begins from
    assert any(one.exterior.rotation != one.header.exterior_prior.rotation for one in fitted)
    priors = [frame.exterior.projection_centre_m for frame in build_block_frames(records)]
    assert priors == [one.header.exterior_prior.projection_centre_m for one in records]


def turning(folder: Path, seed: int, strips: int) -> VideoDrillReport:
    plan = VideoPlan(seconds=40.0, fps=5, strips=strips, gsd_m=1.6)
    return write_video_drill(folder / "o", seed=seed, plan=plan, size_px=(160, 90), truth_rasters=False)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    return turning(tmp_path_factory.mktemp("long"), 2, strips=4)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    """Another flight, whose turns are at other moments."""
    return turning(tmp_path_factory.mktemp("other"), 7, strips=2)


@pytest.mark.parametrize("log", ["subtitles", "telemetry"])
def test_a_log_that_the_turns_contradict_is_refused_and_nothing_is_laid(
    long_film: VideoDrillReport, other: VideoDrillReport, make_house: MakeHouse, log: str
) -> None:
    house, wrong = make_house(long_film), getattr(other, log)
    with pytest.raises(FlightLogMismatch, match=wrong.name) as refused:
        flown(house, long_film, telemetry=str(wrong))
    assert "--clock-offset" in refused.value.message.in_language("vi")
    assert house.workspace.catalog.flights.flights() == []


def test_subtitles_of_another_film_that_are_vouched_for_are_doubted_and_the_right_ones_mend_it(
    long_film: VideoDrillReport, other: VideoDrillReport, make_house: MakeHouse
) -> None:
    house = make_house(long_film)
    vouched = {"telemetry": str(other.subtitles), "clock_offset_s": 0.0}
    wrong = flown(house, long_film, **vouched)
    assert codes(wrong) == [LOG_DOUBTFUL]
    assert describe_warning(wrong.flight.warnings[0]).values["log"] == other.subtitles.name
    right = flown(house, long_film)
    assert (right.reprocessed, codes(right)) == (wrong.used, [])
    assert off_m(long_film, used(house, right)) < 15.0
    assert replays(house, right.flight.flight_id)
    with pytest.raises(FlightLogMismatch):
        flown(house, long_film, **vouched)


@pytest.fixture(scope="module")
def alike(long_film: VideoDrillReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of a flight of the same plan, one strip farther east: its turns are at the same moments."""
    log = tmp_path_factory.mktemp("alike") / "another day.srt"
    text = long_film.subtitles.read_text(encoding="utf-8")
    farther = re.sub(r"(?<=longitude: )[\d.]+", lambda lon: f"{float(lon.group()) + 0.0006:.6f}", text)
    assert farther != text
    log.write_text(farther, encoding="utf-8")
    return log


def test_a_log_of_another_flight_of_the_same_plan_is_found_out_and_replaced_on_request(
    long_film: VideoDrillReport, alike: Path, make_house: MakeHouse
) -> None:
    house = make_house(long_film)
    wrong = flown(house, long_film, telemetry=str(alike))
    assert codes(wrong) == [], "its turns contradict nothing"
    (mosaic,) = list_live_mosaics(house.workspace, wrong.flight.flight_id)
    tiles = house.tiles(mosaic.mosaic_id)
    with pytest.raises(FlightLogMismatch, match="--relay") as refused:
        flown(house, long_film)
    values = refused.value.message.values
    assert values["count"] == wrong.used and 60.0 <= values["metres"] < 70.0 and values["degrees"] < 0.5
    assert house.tiles(mosaic.mosaic_id) == tiles
    right = flown(house, long_film, reprocess=True)
    assert right.reprocessed == wrong.used and off_m(long_film, used(house, right)) < 15.0
    assert replays(house, right.flight.flight_id)


@pytest.mark.soak
def test_a_film_played_at_its_own_speed_is_shown_and_its_log_doubted(
    long_film: VideoDrillReport, other: VideoDrillReport, make_house: MakeHouse
) -> None:
    """Nobody can give another log to what is in the air."""
    house = make_house(long_film)
    report = flown(house, long_film, telemetry=str(other.subtitles), is_realtime=True)
    assert report.used and codes(report) == [LOG_DOUBTFUL]
    (ended,) = house.workspace.catalog.airborne.list_since(0)
    assert [one for one in ended.remarks if other.subtitles.name in one.values.values()]


def shown(house: House, report: VideoReport) -> dict[tuple[int, int], np.ndarray]:
    """Which pixels of each base tile show something."""
    (mosaic,) = list_live_mosaics(house.workspace, report.flight.flight_id)
    heads = house.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom)
    tiles = {(head.tile_id.x, head.tile_id.y): read_tile(house.workspace.store, head) for head in heads}
    return {at: tile.quality > 0 for at, tile in tiles.items()}


def test_under_overload_pictures_are_left_out_and_ground_is_not(
    clip: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm, hurried = make_house(clip, "calm"), make_house(clip, "hurried")
    unhurried = flown(calm, clip)
    # late from the first picture to the last, on any machine, and none lost before it is chosen or not
    monkeypatch.setattr(LiveOrthorectifier, "late_s", property(lambda _stage: 60.0))
    monkeypatch.setattr(VideoSource, "_make_queue", lambda source: BoundedQueue(source._most))
    late = flown(hurried, clip, is_realtime=True)
    assert late.used < 0.6 * unhurried.used and late.dropped.get("no_time", 0) == 0
    before, after = shown(calm, unhurried), shown(hurried, late)
    there = sum(int((tile & after[at]).sum()) for at, tile in before.items() if at in after)
    assert there >= 0.9 * sum(int(tile.sum()) for tile in before.values())
