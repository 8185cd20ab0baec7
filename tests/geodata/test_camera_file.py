"""The operator's camera file: every spelling of the interface, and what is no camera."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flycam.errors import CalibrationMissing, SourceUnreadable
from flycam.geodata.cameras import load_camera_file
from flycam.geometry.camera import LensModel

SIZE = {"width": 4000, "height": 3000}


def load(tmp_path: Path, values: Any) -> Any:
    path = tmp_path / "camera.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return load_camera_file(path)


@pytest.mark.parametrize(
    ("values", "focal"),
    [
        ({"focal_mm": 8.8, "sensor_width_mm": 13.2}, 8.8 / 13.2 * 4000),
        ({"hfov_deg": 90.0}, 2000.0),
        ({"focal_px": 3000}, 3000.0),
    ],
)
def test_other_ways_to_state_the_focal_length(tmp_path: Path, values: dict[str, float], focal: float) -> None:
    camera = load(tmp_path, {**SIZE, **values})
    assert camera.model is LensModel.PINHOLE
    assert camera.focal_length_px == pytest.approx((focal, focal))
    assert camera.principal_point_px == (1999.5, 1499.5)
    assert camera.sigma_focal_rel > 0


def test_opencv_matrices_as_yaml_of_its_own_storage(tmp_path: Path) -> None:
    camera = load(
        tmp_path,
        "%YAML:1.0\n---\nimage_width: 1280\nimage_height: 960\n"
        "camera_matrix: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n"
        "   data: [ 1000., 0., 640., 0., 1001., 480., 0., 0., 1. ]\n"
        "distortion_coefficients: !!opencv-matrix\n   rows: 1\n   cols: 5\n   dt: d\n"
        "   data: [ -1e-01, 2e-2, 3e-03, 4e-03, 5e-03 ]\n",
    )
    assert camera.focal_length_px == (1000, 1001)
    assert camera.principal_point_px == (640, 480)
    assert camera.distortion == (-0.1, 0.02, 0.003, 0.004, 0.005)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "focal length is missing"),
        ({"fx": 0}, "no focal length"),
        ({"fx": "wide"}, "fx is not a number"),
        ({"fx": float("inf")}, "fx cannot be inf"),
        ({"hfov_deg": 190}, "no field of view"),
        ({"fx": 900, "cx": 99999}, "far outside the picture"),
        ({"fx": 900, "model": "rational"}, "none of pinhole, brown, fisheye"),
        ({"fx": 900, "model": "pinhole", "k1": 0.1}, "a pinhole has no distortion"),
        ({"fx": 900, "D": [0.1, 0, 0, 0, 0, 0.7]}, "6 coefficients"),
        ({"K": [[1, 2], [3, 4]]}, "3 by 3"),
        ({"fx": 900, "readout_s": -1}, "readout_s cannot be -1"),
    ],
)
def test_what_is_no_camera_is_named_with_the_cure(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(CalibrationMissing, match=rf"^camera\.json: .*{words}.*give width"):
        load(tmp_path, {**SIZE, **values})


ODD_VALUES = ["a: !!timestamp x", "a: !!int ''", "a: !!bool x", "a: !!float ''"]
"""Of which YAML makes errors of any kind."""


@pytest.mark.parametrize(
    "text", ["", "[1, 2]", "{", "\t- a: b", "!!python/object/apply:os.getcwd []", *ODD_VALUES]
)
def test_what_is_no_file_of_named_values(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceUnreadable, match=r"^camera\.json: "):
        load(tmp_path, text)
    with pytest.raises(SourceUnreadable, match="missing"):
        load_camera_file(tmp_path / "missing.json")


@pytest.mark.real
def test_a_calibration_from_the_field(shared_data: Path) -> None:
    camera = load_camera_file(shared_data / "flights" / "canberra_tlog" / "camera.json")
    assert camera.image_size_px == (1280, 960)
    assert camera.focal_length_px == pytest.approx((1045.348, 1057.795), abs=1e-3)
    assert camera.distortion[0] == pytest.approx(-0.328905, abs=1e-6)
    assert camera.distortion[2:4] == pytest.approx((0.002965, 0.002600), abs=1e-6)


_TENS = "\n".join(f"i{k}: &i{k} [{','.join([f'*i{k - 1}'] * 10)}]" for k in range(1, 10))
_DEEP = "[" * 3 + "1" + "]" * 3


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"i0: &i0 [1]\n{_TENS}\nK: *i9", SourceUnreadable),
        ("K: &a [*a]", SourceUnreadable),
        ("a: &a {fx: 3000}\n<<: *a", SourceUnreadable),
        (f"fx: {'9' * 5000}", SourceUnreadable),
        (f"fx: {'9' * 4000}", CalibrationMissing),
        (f"K: {_DEEP}", CalibrationMissing),
        (f"K: [{','.join('1' * 65)}]", CalibrationMissing),
    ],
)
def test_a_camera_file_that_unfolds_is_refused(tmp_path: Path, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load(tmp_path, f"width: 4000\nheight: 3000\n{text}\n")
