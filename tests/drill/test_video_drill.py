"""A filmed drill: its course, its pictures; video, subtitles and log tell the truth of one flight."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.drill.flight import VideoPlan
from flycam.drill.land import WORK_CRS
from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VideoDrill, VideoDrillReport, make_video_drill, write_video_drill
from flycam.errors import InputUnusable
from flycam.geodata.crs import to_work
from flycam.geometry.camera import compute_ray_directions
from flycam.geometry.pose import rotation_from_gimbal
from flycam.ingest.telemetry.mavlink import read_tlog
from flycam.ingest.telemetry.subtitles import read_subtitles
from flycam.model.telemetry import TelemetrySample

SMALL = {"plan": VideoPlan(seconds=6.0, fps=10, strips=2, gsd_m=0.5), "size_px": (160, 90), "noise": 0.0}


@pytest.fixture(scope="module")
def drill() -> VideoDrill:
    return make_video_drill(seed=3, **SMALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    return write_video_drill(tmp_path_factory.mktemp("film") / "d", seed=3, truth_rasters=False, **SMALL)


def pictures_of(path: Path) -> tuple[list[np.ndarray], list[float]]:
    video, pictures, times_ms = cv2.VideoCapture(str(path)), [], []
    while True:
        there, bgr = video.read()
        if not there:
            return pictures, times_ms
        pictures.append(bgr[..., ::-1])
        times_ms.append(video.get(cv2.CAP_PROP_POS_MSEC))


def test_pictures_show_what_an_exact_photo_shows(drill: VideoDrill) -> None:
    exposure = drill.exposures[17]
    width, height = drill.camera.image_size_px
    exact = replace(drill.renderer.coarse, directions=_rays(drill)).photo(exposure)
    picture = drill.renderer.picture(exposure)
    assert picture.shape == (height, width, 3)
    off = np.abs(picture.astype(int) - exact).max(-1)
    assert np.median(off) <= 1 and (off > 20).mean() < 0.03


def _rays(drill: VideoDrill) -> np.ndarray:
    width, height = drill.camera.image_size_px
    u, v = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    return np.stack(compute_ray_directions(drill.camera, u, v), -1)


def test_the_video_holds_every_picture_at_its_time(drill: VideoDrill, written: VideoDrillReport) -> None:
    pictures, times_ms = pictures_of(written.video)
    assert len(pictures) == written.frames == 60
    np.testing.assert_allclose(times_ms, 100.0 * np.arange(60), atol=1e-6)
    for k in (2, 31, 57):
        apart = [
            luma_apart(pictures[k], drill.renderer.picture(drill.exposures[n])) for n in range(k - 2, k + 3)
        ]
        assert np.argmin(apart) == 2 and apart[2] < 0.6 * min(apart[1], apart[3])


def luma_apart(one: np.ndarray, other: np.ndarray) -> float:
    first, second = (cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY) for p in (one, other))
    return float(np.abs(first.astype(int) - second).mean())


def test_log_and_subtitles_hold_the_true_poses(drill: VideoDrill, written: VideoDrillReport) -> None:
    truth = read_truth(written.truth.parent)
    offset_s = truth.facts["clock_offset_s"]
    assert offset_s == drill.clock_offset_s and 0 < abs(offset_s) <= 2.0
    start_ns = round(drill.start.timestamp() * 1e9)
    log, cues = read_tlog(written.telemetry), read_subtitles(written.subtitles)
    assert log.home is not None and log.home.height_m == pytest.approx(drill.takeoff_m[2], abs=0.001)
    spoken = cues.video_track()
    for k in (3, 25, 55):
        exposure, seconds = drill.exposures[k], drill.plan.frame_s[k]
        assert_tells(log.track.pose_at(start_ns + round((seconds + offset_s) * 1e9)), exposure, 0.15)
        assert_tells(spoken.pose_at(round(seconds * 1e9)), exposure, 0.15)
    assert cues.wall_ns[0] - 7 * 3600 * 10**9 == start_ns


def assert_tells(sample: TelemetrySample, exposure: object, off_m: float) -> None:
    centre = np.array(exposure.exterior.projection_centre_m)
    place = to_work(np.array([[sample.lon_deg, sample.lat_deg]]), WORK_CRS)[0]
    assert np.hypot(*(place - centre[:2])) < off_m and abs(sample.height_m - centre[2]) < off_m
    angles = np.radians([sample.gimbal_yaw_deg, sample.gimbal_pitch_deg, sample.gimbal_roll_deg])
    turn = rotation_from_gimbal(*angles) @ rotation_from_gimbal(*exposure.gimbal_rad).T
    assert np.degrees(np.arccos((np.trace(turn) - 1.0) / 2.0)) < 0.3


def test_a_machine_without_the_encoder_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputUnusable, match="install gstreamer"):
        write_video_drill(tmp_path / "d", seed=3, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_every_file_says_that_it_is_a_drill(written: VideoDrillReport) -> None:
    assert b"urn:flycam:drill:1" in written.video.read_bytes()
    assert "DIỄN TẬP" in written.subtitles.read_text(encoding="utf-8")
    assert json.loads((written.truth / "truth.json").read_text("utf-8"))["drill"] == "DIỄN TẬP"
