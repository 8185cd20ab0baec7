"""A flight with a rolling shutter, finished: motion found, recorded, used again to the byte, and said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from flycam.catalog.tables import exterior_from_json, exterior_to_json
from flycam.drill.photo_drill import DrillTruth, read_truth, write_drill
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.model.records import FrameStatus, RevisionFrame
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rectification import orthorectify_frame
from flycam.mosaic.terrain import load_recorded_terrain, register_dem
from flycam.originals import PhotoCache
from flycam.workspace import Workspace
from tests.finished_house import NAME, QUICK, open_workspace
from tests.finishing import finish_flight

ON = replace(QUICK, report=False)
OFF = replace(ON, rolling_shutter=False)


@dataclass(frozen=True)
class Flown:
    workspace: Workspace
    truth: DrillTruth
    photos: Path


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Flown:
    """Two strips at 15 m/s, read in 80 ms: the outermost rows are two pixels off."""
    folder = tmp_path_factory.mktemp("rolling")
    drill = write_drill(
        folder / "drill",
        seed=4,
        gsd_m=0.3,
        photos=(2, 4),
        size_px=(660, 495),
        readout_ms=80.0,
        speed_mps=15.0,
        truth_rasters=False,
    )
    workspace = open_workspace(folder)
    register_dem(workspace, drill.dem)
    camera = folder / "drill" / "camera.json"
    ingest(workspace, PreflightRequest(paths=(drill.photos,), camera=camera), FlightLabels(name=NAME))
    return Flown(workspace, read_truth(folder / "drill"), drill.photos)


def finished(flown: Flown, request: FinishRequest) -> tuple[list[RevisionFrame], object]:
    report = finish_flight(flown.workspace, NAME, request)
    assert report.main is not None
    return flown.workspace.catalog.revisions.frames(report.main.mosaic_id, report.main.revision), report


def errors_m(flown: Flown, frames: list[RevisionFrame]) -> float:
    """RMS error of projection centres after one common shift."""
    records = flown.workspace.catalog.frames
    names = [records.get(one.frame_id).header.provenance.source_name for one in frames]
    true = np.array([flown.truth.exteriors[name].projection_centre_m for name in names])
    error = np.array([one.exterior.projection_centre_m for one in frames]) - true
    return float(np.sqrt(np.mean(np.square(error - error.mean(axis=0)))))


def test_the_motion_is_found_recorded_and_said_and_the_flight_lies_better(flown: Flown) -> None:
    frames, report = finished(flown, ON)
    stats = report.main.stats  # type: ignore[attr-defined]
    assert stats["accepted"]
    shutter = stats["rolling_shutter"]
    assert (shutter["asked"], shutter["frames"], shutter["unknown"]) == (True, 8, 0)
    assert shutter["readout_ms"] == 80.0 and 1.5 < shutter["most_px"] < 5.0
    for one in frames:
        record = flown.workspace.catalog.frames.get(one.frame_id)
        true = flown.truth.exteriors[record.header.provenance.source_name].motion
        assert one.exterior.motion is not None and true is not None
        off = np.subtract(one.exterior.motion.velocity_mps, true.velocity_mps)
        assert np.linalg.norm(off[:2]) < 2.5
        assert record.exterior is not None and record.exterior.motion is None, "the live pose has none"
    plain, other = finished(flown, OFF)
    assert other.main.revision != report.main.revision  # type: ignore[attr-defined]
    assert {one.exterior.motion for one in plain} == {None}
    assert other.main.stats["rolling_shutter"]["asked"] is False  # type: ignore[attr-defined]
    assert errors_m(flown, frames) < errors_m(flown, plain)
    held_out_px = [one.main.stats["held_out_px"] for one in (report, other)]  # type: ignore[attr-defined]
    assert held_out_px[0] < held_out_px[1]


def test_what_is_recorded_makes_the_same_bytes_again(flown: Flown) -> None:
    """A pose read back from its text lays the photo to the byte; without its motion it lies elsewhere."""
    frames, _ = finished(flown, ON)
    used = flown.workspace.catalog.frames.list_for_flight(
        flown.workspace.catalog.flights.flight(NAME).flight_id, FrameStatus.USED
    )
    record = used[7]
    one = next(f for f in frames if f.frame_id == record.frame_id)
    assert record.dem_id is not None and record.tiles is not None
    terrain = load_recorded_terrain(flown.workspace, record.dem_id)
    pixels = PhotoCache(flown.workspace, used).pixels(record.frame_id)
    header = replace(record.header, interior=one.interior)

    def patch(exterior):
        return orthorectify_frame(header, exterior, pixels, terrain, record.tiles)

    first, again = patch(one.exterior), patch(exterior_from_json(exterior_to_json(one.exterior)))
    assert (first.rgb == again.rgb).all() and (first.quality == again.quality).all()
    still = patch(replace(one.exterior, motion=None))
    both = (first.quality > 0) & (still.quality > 0)
    assert np.abs(first.rgb[both].astype(int) - still.rgb[both]).mean() > 3.0


def test_the_live_mosaic_takes_every_picture_as_made_at_one_moment(flown: Flown) -> None:
    """Decision 0017: whatever the readout."""
    records = flown.workspace.catalog.frames.list_for_flight(
        flown.workspace.catalog.flights.flight(NAME).flight_id, FrameStatus.USED
    )
    assert {one.header.interior.readout_s for one in records} == {0.08}
    assert {one.header.exterior_prior.motion for one in records} == {None}
