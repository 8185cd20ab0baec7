from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from flycam.cli.drill import format_drill
from flycam.drill import photo_drill
from flycam.drill.appearance import draw_date_changes
from flycam.drill.ground_truth import read_truth
from flycam.drill.photo_drill import Drill, write_drill
from flycam.errors import DiskFull, InputUnusable, NotFound, OptionUnusable, StorageFailed
from flycam.geodata.cameras import load_camera_file
from flycam.geodata.dem import load_terrain, read_dem_info
from flycam.messages import join

TINY = {"gsd_m": 0.8, "photos": (1, 2), "size_px": (160, 120)}


def fingerprints(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


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


def test_what_else_changed_is_in_the_truth(tmp_path: Path) -> None:
    write_drill(tmp_path / "plain", after=True, **TINY)
    write_drill(tmp_path / "d", after=True, between=draw_date_changes(3), **TINY)
    plain, more = fingerprints(tmp_path / "plain"), fingerprints(tmp_path / "d")
    assert set(more) - set(plain) == {"truth/confuser.tif"}
    assert plain["dem.tif"] == more["dem.tif"]
    assert read_truth(tmp_path / "d").facts["between"]["seed"] == 3
    assert "between" not in read_truth(tmp_path / "plain").facts
    with rasterio.open(tmp_path / "d" / "truth" / "confuser.tif") as confuser:
        assert confuser.read(1).any()


def test_before_and_after_share_their_terrain_model(tmp_path: Path) -> None:
    write_drill(tmp_path / "a", truth_rasters=False, **TINY)
    write_drill(tmp_path / "b", truth_rasters=False, after=True, **TINY)
    a, b = fingerprints(tmp_path / "a"), fingerprints(tmp_path / "b")
    assert a["dem.tif"] == b["dem.tif"] and a["communes.geojson"] == b["communes.geojson"]
    assert a["photos/DJI_0001.JPG"] != b["photos/DJI_0001.JPG"]


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


def test_the_terrain_is_registered_with_its_datum_and_posts(tmp_path: Path) -> None:
    report = write_drill(tmp_path / "d", truth_rasters=False, **TINY)
    drill = photo_drill.make_drill(**TINY)
    info = read_dem_info(report.dem)
    assert (info.datum, info.post_spacing_m, info.crs) == ("EGM96", 10.0, "EPSG:32648")
    terrain = load_terrain([info], "EPSG:32648", drill.renderer.world.window.bounds)
    posts, heights = drill.dem
    east, north = terrain.origin_m
    col, row = posts.to_cells(np.array(east), np.array(north))
    assert float(col).is_integer() and float(row).is_integer()
    here = heights[int(row) : int(row) + terrain.heights_m.shape[0], int(col) :][
        :, : terrain.heights_m.shape[1]
    ]
    np.testing.assert_array_equal(terrain.heights_m, here)


def test_photos_are_ordinary_photos(tmp_path: Path) -> None:
    report = write_drill(tmp_path / "d", truth_rasters=False, **TINY)
    with Image.open(report.photos / "DJI_0001.JPG") as photo:
        assert photo.size == (160, 120)
        pixels = np.asarray(photo)
    assert 40 < pixels.mean() < 180
    assert pixels.std() > 15
    names = {f["properties"]["name"] for f in json.loads(report.communes.read_text("utf-8"))["features"]}
    assert "Nậm Diễn Tập" in names


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(InputUnusable, match="mine"):
        write_drill(tmp_path / "mine", **TINY)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_a_place_where_no_folder_can_be_made_is_said_in_both_languages(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageFailed, match="cannot be made") as caught:
        write_drill(tmp_path / "file" / "drill", **TINY)
    assert "có một tệp ở chỗ của thư mục" in caught.value.message.in_language("vi")


def test_a_failure_half_way_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_drill(tmp_path / "d", progress=stop, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    def full(done: int, count: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="free some"):
        write_drill(tmp_path / "d", progress=full, **TINY)
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_an_unusual_drill_is_in_its_truth(tmp_path: Path) -> None:
    write_drill(tmp_path / "usual", truth_rasters=False, **TINY)
    write_drill(
        tmp_path / "odd",
        truth_rasters=False,
        pitch_deg=-65.0,
        yaw_step_deg=3.0,
        dem_shift_m=(2.0, -2.0, 1.0),
        dem_error_m=0.8,
        **TINY,
    )
    usual, odd = (read_truth(tmp_path / d).facts for d in ("usual", "odd"))
    assert "dem_error" not in usual and "pitch_deg" not in usual
    assert odd["dem_error"] == {"shift_m": [2.0, -2.0, 1.0], "sigma_m": 0.8, "length_m": 200.0}
    assert odd["pitch_deg"] == -65.0 and len(odd["yaw_steps_deg"]) == 1
    assert (
        odd["takeoff"]["height_m"] == usual["takeoff"]["height_m"]
    )  # the aircraft stands on the true ground


def test_an_oblique_photo_shows_ground_everywhere() -> None:
    drill = photo_drill.make_drill(seed=3, gsd_m=0.8, photos=(2, 2), size_px=(160, 120), pitch_deg=-55.0)
    for number in range(4):
        assert np.isfinite(drill.coordinates(number)).all()


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


@pytest.mark.parametrize(
    ("option", "value"),
    [("readout_ms", -1.0), ("readout_ms", 300.0), ("speed_mps", 0.0), ("speed_mps", 90.0)],
)
def test_a_shutter_or_a_speed_that_is_none_is_refused_in_both_languages(option: str, value: float) -> None:
    with pytest.raises(OptionUnusable, match=r"readout|speed") as refused:
        photo_drill.make_drill(**{option: value}, **TINY)
    assert "diễn tập" in refused.value.message.in_language("vi")
