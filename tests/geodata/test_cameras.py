"""The cameras that ship with flycam: every entry is a camera, and the right one is found."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from flycam.errors import CalibrationMissing
from flycam.geodata import cameras
from flycam.geodata.cameras import load_known_cameras, lookup_camera, read_cameras

ENTRY = """
- maker: Maker
  models: ["M1", "M1 Pro"]
  kind: photo
  image_size_px: [4000, 3000]
  focal_px: 3000.0
  principal_point_px: [2009.5, 1489.5]
  model: brown
  distortion: [-0.1, 0.01, 1e-04, 0.0, 0.0]
  readout_s: 0.03
  source: "a bench"
  date: "2026-01-01"
  rms_px: 0.3
- maker: Maker
  models: ["M1"]
  kind: photo
  image_size_px: [4000, 3000]
  focal_px: 3000.0
  model: pinhole
  zoom_range: [1.1, 4.0]
  source: "a data sheet"
  date: "2026-01-01"
- maker: Maker
  models: ["M1"]
  kind: video
  image_size_px: [3840, 2160]
  focal_px: 3300.0
  model: pinhole
  source: "a data sheet"
  date: "2026-01-01"
- maker: Maker
  models: ["M2"]
  model: pinhole
  source: "a data sheet"
  date: "2026-01-01"
  modes:
    - kind: video
      mode: full
      image_size_px: [3840, 2160]
      focal_px: 3000.0
      readout_s: 0.02
    - kind: video
      mode: HQ
      image_size_px: [3840, 2160]
      focal_px: 4500.0
    - image_size_px: [6000, 4500]
      focal_mm_range: [10.0, 50.0]
      sensor_width_mm: 20.0
"""


@pytest.fixture
def one_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "maker-m1.yaml"
    path.write_text(ENTRY)
    entries = read_cameras(path)
    monkeypatch.setattr(cameras, "load_known_cameras", lambda: entries)


def test_every_entry_that_ships_is_a_camera_with_a_source() -> None:
    assert len(load_known_cameras()) > 20
    for camera in load_known_cameras():
        width, height = camera.interior.image_size_px
        assert camera.source, camera.interior.calibration_id
        assert camera.date
        assert camera.models
        assert 0.2 < camera.interior.focal_length_px[0] / width < 60.0
        assert 0.5 <= width / height <= 2.0
        assert camera.interior.sigma_focal_rel > 0


def test_every_entry_that_ships_is_found_under_each_of_its_names() -> None:
    for camera in load_known_cameras():
        for model in camera.models:
            lenses = camera.focal_mm_range
            found = lookup_camera(
                camera.makers[0].upper(),
                model,
                camera.interior.image_size_px,
                f"{camera.kind} {camera.mode}",
                camera.zoom_range[0],
                focal_mm=lenses[0] if lenses is not None else None,
                stated_focal_px=camera.interior.focal_length_px[0],
            )
            assert found is not None
            assert found.image_size_px == camera.interior.image_size_px
            assert found.focal_length_px == camera.interior.focal_length_px


@pytest.mark.usefixtures("one_camera")
def test_another_shape_maker_mode_or_zoom_is_another_camera() -> None:
    assert lookup_camera("Maker", "M1", (3000, 3000)) is None
    assert lookup_camera("Maker", "M1", (2000, 1125)) is None
    assert lookup_camera("Other", "M1", (4000, 3000)) is None
    assert lookup_camera("Maker", "M3", (4000, 3000)) is None
    assert lookup_camera("Maker", "M1", (4000, 3000), zoom=5.0) is None
    video = lookup_camera("Maker", "M1", (1920, 1080), mode="video")
    assert video is not None
    assert video.focal_length_px == (1650.0, 1650.0)


@pytest.mark.usefixtures("one_camera")
def test_modes_of_one_size_are_told_by_name_or_by_an_honest_sigma() -> None:
    full = lookup_camera("Maker", "M2", (3840, 2160), "video full")
    high = lookup_camera("Maker", "M2", (3840, 2160), "video hq")
    either = lookup_camera("Maker", "M2", (3840, 2160), "video")
    assert full is not None and high is not None and either is not None
    assert (full.focal_length_px[0], full.readout_s, full.calibration_id) == (
        3000,
        0.02,
        "models:maker-m1#4.1",
    )
    assert (high.focal_length_px[0], high.readout_s) == (4500, None)
    assert either.focal_length_px == full.focal_length_px
    assert either.sigma_focal_rel == pytest.approx(math.log(1.5))
    by_exif = lookup_camera("Maker", "M2", (3840, 2160), "video", stated_focal_px=4400.0)
    assert by_exif == high


@pytest.mark.parametrize(
    ("cut", "words"),
    [("source:", "source"), ("focal_px:", "focal length"), ("image_size_px:", "image_size_px")],
)
def test_an_entry_that_says_too_little_is_named(tmp_path: Path, cut: str, words: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("\n".join(line for line in ENTRY.splitlines() if cut not in line))
    with pytest.raises(CalibrationMissing, match=rf"^bad\.yaml: entry 1 .*{words}"):
        read_cameras(path)
