"""A film's frames on the map fitted to each other: what is recorded, replayed, said, and begun from later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from flycam.catalog.placements import apply_placements, to_placement
from flycam.drill.video_drill import VideoDrillReport
from flycam.geometry.pose import PoseSource
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.orthorectifier import HURRIED, LiveOrthorectifier, LiveRegistration
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.video.video_source import VideoFrame
from flycam.model.records import FrameRecord, FrameStatus
from flycam.mosaic.finish.adjustment_block import build_block_frames, derive_prior_pose
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.workspace import ignore_progress
from tests.houses import House

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


def test_a_placement_learned_elsewhere_leaves_the_log_s_pose(laid: tuple[House, VideoReport]) -> None:
    house, report = laid
    record = next(one for one in used(house, report) if one.exterior.source is PoseSource.REGISTERED)
    assert apply_placements(record, [to_placement(record)]) == record
    again = replace(record, exterior=replace(record.header.exterior_prior, version=1))
    placed = apply_placements(record, [to_placement(record), to_placement(again)])
    assert placed.exterior == again.exterior and derive_prior_pose(placed).version == 1


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
