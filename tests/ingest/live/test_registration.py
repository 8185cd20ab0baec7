"""A film's frames on the map fitted to each other: what is recorded, replayed, said, and begun from later."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flycam.catalog.placements import apply_placements, to_placement
from flycam.cli.video import format_live
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import FrameUnreadable, OutsideTerrain
from flycam.geometry.pose import PoseSource
from flycam.ingest.live import orthorectifier
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.orthorectifier import HURRIED, LiveOrthorectifier, LiveRegistration
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.video_source import VideoFrame
from flycam.model.records import FrameRecord, FrameStatus
from flycam.model.rejection_reasons import format_unregistered_counts
from flycam.mosaic.finish.adjustment_block import build_block_frames, derive_prior_pose
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics, rebuild_mosaic
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.workspace import ignore_progress
from tests.houses import House
from tests.texts import pair

MakeHouse = Callable[..., House]


def flown(house: House, film: VideoDrillReport) -> VideoReport:
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    return orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)


def used(house: House, report: VideoReport) -> list[FrameRecord]:
    return house.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)


@pytest.fixture
def laid(film: VideoDrillReport, make_house: MakeHouse) -> tuple[House, VideoReport]:
    house = make_house(film)
    return house, flown(house, film)


def test_a_frame_lies_where_it_fits_and_keeps_what_the_log_told(laid: tuple[House, VideoReport]) -> None:
    house, report = laid
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


def test_replay_from_the_records_gives_the_same_tiles(laid: tuple[House, VideoReport]) -> None:
    house, report = laid
    (mosaic,) = list_live_mosaics(house.workspace, report.flight.flight_id)
    before = house.tiles(mosaic.mosaic_id)
    everywhere = [one.tiles for one in used(house, report)]
    assert rebuild_mosaic(house.workspace, mosaic, ignore_progress, also=everywhere, check=True).lines == 0
    assert house.tiles(mosaic.mosaic_id) == before


def test_a_placement_learned_elsewhere_leaves_the_log_s_pose(laid: tuple[House, VideoReport]) -> None:
    house, report = laid
    record = next(one for one in used(house, report) if one.exterior.source is PoseSource.REGISTERED)
    assert apply_placements(record, [to_placement(record)]) == record
    again = replace(record, exterior=replace(record.header.exterior_prior, version=1))
    placed = apply_placements(record, [to_placement(record), to_placement(again)])
    assert placed.exterior == again.exterior and derive_prior_pose(placed).version == 1


def test_it_is_said_how_many_were_fitted_and_why_others_were_not(laid: tuple[House, VideoReport]) -> None:
    _, report = laid
    answer, lines = format_live(report)
    assert (answer["fitted"], answer["by_log"]) == (report.fitted, report.by_log)
    assert any(f"{report.fitted} frames fitted to those before" in str(line) for line in lines)
    counts = {"few": 2, HURRIED: 1}
    lines_vi = [line.in_language("vi") for line in format_live(replace(report, by_log=counts))[1]]
    said = format_unregistered_counts(counts)
    assert said is not None
    said_vi = said.in_language("vi")
    assert any(said_vi in line and "đặt theo nhật ký" in line for line in lines_vi)
    assert "few" not in said_vi and HURRIED not in said_vi


def test_hurried_pictures_are_laid_without_a_look_and_counted(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay = LiveOrthorectifier.orthorectify

    def hurried(self: LiveOrthorectifier, picture: VideoFrame, told, **_: bool) -> bool:
        return lay(self, picture, told, hurried=True)

    monkeypatch.setattr(LiveOrthorectifier, "orthorectify", hurried)
    house = make_house(film)
    report = flown(house, film)
    assert report.fitted == 0 and report.by_log == {HURRIED: report.new}
    assert all(one.exterior == one.header.exterior_prior for one in used(house, report))


def test_what_lies_on_the_map_is_not_counted_again(laid: tuple[House, VideoReport]) -> None:
    house, report = laid
    record = used(house, report)[0]
    registration = LiveRegistration(record.header.interior)
    width, height = record.header.interior.image_size_px
    picture = VideoFrame(
        pts_ns=0, t_utc_ns=0, arrived_ns=0, pixels=np.zeros((height, width, 3), dtype=np.uint8)
    )
    terrain = load_recorded_terrain(house.workspace, record.dem_id)
    lies = registration.pose(picture, derive_prior_pose(record), terrain, record.exterior)
    assert lies == record.exterior and registration.fitted == 0 and not registration.by_log


def test_a_frame_that_is_left_out_is_neither_counted_nor_fitted_to(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, pose, registrars, numbers = (
        orthorectifier.encode_frame_jpeg,
        LiveRegistration.pose,
        [],
        iter(range(1000)),
    )

    def unreadable(pixels: np.ndarray, name: str) -> object:
        if next(numbers) % 3 == 2:
            raise FrameUnreadable(pair("cannot be kept as a JPEG", "không lưu được thành JPEG"))
        return code(pixels, name)

    def seen(self: LiveRegistration, *arguments: object, **named: object) -> object:
        registrars[:] = [self._registrar]
        return pose(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(orthorectifier, "encode_frame_jpeg", unreadable)
    monkeypatch.setattr(LiveRegistration, "pose", seen)
    report = flown(make_house(film), film)
    assert report.dropped["unreadable"] >= 2 and report.fitted
    assert report.fitted + sum(report.by_log.values()) == report.new
    assert len(registrars[0]._frames) == report.new


def test_who_looks_at_the_sky_is_not_fitted_to_anything(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    looked: list[int] = []
    pose = LiveRegistration.pose

    def counted(self: LiveRegistration, *arguments: object, **named: object) -> object:
        looked.append(1)
        return pose(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(LiveRegistration, "pose", counted)
    up = tmp_path / "up.srt"
    told = film.subtitles.read_text(encoding="utf-8")
    up.write_text(re.sub(r"gb_pitch: [-\d.]+", "gb_pitch: 4.00", told), encoding="utf-8")
    house = make_house(film)
    request = LiveRequest(video=str(film.video), telemetry=str(up), camera=film.camera)
    with pytest.raises(OutsideTerrain, match="look at the horizon"):
        orthorectify_video(house.workspace, request, FlightLabels(), ignore_progress)
    assert not looked


def test_the_ground_of_a_picture_is_looked_for_once_and_once_more_where_it_is_lifted(
    film: VideoDrillReport, make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(film)
    looked: list[int] = []
    view = orthorectifier.compute_ground_view

    def counted(*arguments: object) -> object:
        looked.append(1)
        return view(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(orthorectifier, "compute_ground_view", counted)
    report = flown(house, film)
    records = house.workspace.catalog.frames.list_for_flight(report.flight.flight_id)
    lifted = sum(record.dem_id != report.flight.dem_id for record in records)
    assert len(looked) == report.new + lifted and lifted > 0
