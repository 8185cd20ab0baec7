from __future__ import annotations

import errno
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from flycam.cli.serve import format_drill
from flycam.drill import photo_drill
from flycam.drill.photo_drill import Drill, read_truth, write_drill
from flycam.errors import DiskFull, InputUnusable, NotFound, OptionUnusable
from flycam.geodata.cameras import load_camera_file
from flycam.messages import join

TINY = {"gsd_m": 0.8, "photos": (1, 2), "size_px": (160, 120)}


def fingerprints(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_seed_beyond_its_limit_is_named_to_the_last_digit() -> None:
    with pytest.raises(OptionUnusable) as told:
        photo_drill.make_drill(seed=20_261_203_000)
    assert {"20261203000", "999999"} <= set(str(told.value).replace(":", " ").split())


def test_a_drill_is_written_whole_and_the_same_every_time(tmp_path: Path) -> None:
    report = write_drill(tmp_path / "a", after=True, **TINY)
    write_drill(tmp_path / "b", after=True, workers=1, **TINY)
    assert report.frames == 2
    assert fingerprints(tmp_path / "a") == fingerprints(tmp_path / "b")
    assert set(fingerprints(tmp_path / "a")) == {
        "photos/DJI_0001.JPG",
        "photos/DJI_0002.JPG",
        "dem.tif",
        "communes.geojson",
        "truth/changes.geojson",
        "truth/cover.tif",
        "truth/ortho.tif",
        "truth/poses.csv",
        "truth/surface.tif",
        "truth/truth.json",
    }
    write_drill(tmp_path / "a", seed=2, **TINY)  # an older drill is replaced, nothing of it stays
    assert "truth/changes.geojson" not in fingerprints(tmp_path / "a")
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b"}


def test_the_truth_comes_back_exact(tmp_path: Path, before: Drill) -> None:
    write_drill(tmp_path / "d", **TINY)
    drill = photo_drill.make_drill(**TINY)
    truth = read_truth(tmp_path / "d")
    assert truth.camera == drill.camera
    assert [truth.exteriors[n] for n in drill.names] == [e.exterior for e in drill.exposures]
    with rasterio.open(truth.ortho) as ortho, rasterio.open(truth.surface) as surface:
        assert ortho.crs.to_epsg() == 32648
        assert np.array_equal(np.moveaxis(ortho.read(), 0, -1), drill.renderer.world.rgb)
        assert np.array_equal(surface.read(1), drill.renderer.world.surface_m)
        assert np.array_equal(surface.read(2), drill.renderer.world.ground_m)
        east, north = ortho.xy(3, 5)
        col, row = drill.renderer.world.window.to_cells(np.array(east), np.array(north))
        assert (round(float(row), 6), round(float(col), 6)) == (3, 5)
    with pytest.raises(NotFound, match="truth"):
        read_truth(tmp_path)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(InputUnusable, match="mine"):
        write_drill(tmp_path / "mine", **TINY)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def full(done: int, count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="free some"):
        write_drill(tmp_path / "d", progress=full, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_rolling_shutter_is_in_the_truth_and_in_the_camera_file(tmp_path: Path) -> None:
    options = {"readout_ms": 40.0, "speed_mps": 12.0, **TINY}
    report = write_drill(tmp_path / "rolling", truth_rasters=False, **options)
    write_drill(tmp_path / "global", truth_rasters=False, speed_mps=12.0, **TINY)
    drill = photo_drill.make_drill(**options)
    truth = read_truth(tmp_path / "rolling")
    assert truth.camera == drill.camera and truth.camera.readout_s == 0.04
    assert [truth.exteriors[n] for n in drill.names] == [e.exterior for e in drill.exposures]
    assert all(e.motion is not None for e in truth.exteriors.values())
    assert report.camera == tmp_path / "rolling" / "camera.json"
    given = load_camera_file(report.camera)
    answer, lines = format_drill(report)
    assert answer["camera"] == str(report.camera)
    assert all(f"--camera {report.camera}" in join(lines).in_language(one) for one in ("en", "vi"))
    assert replace(given, calibration_id="drill:truth", sigma_focal_rel=0.0) == truth.camera
    assert b'ShutterType="Electronic"' in (report.photos / "DJI_0001.JPG").read_bytes()
    # the same flight with a global shutter: the same places, other pictures, no trace of a readout
    other = read_truth(tmp_path / "global")
    assert not (tmp_path / "global" / "camera.json").exists()
    assert other.facts["speed_mps"] == 12.0 and "motion" not in other.facts["frames"][0]
    assert [replace(e, motion=None) for e in truth.exteriors.values()] == list(other.exteriors.values())
