"""Which interior orientation a photo gets: the order of trust, and its arithmetic."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import CalibrationMissing
from flycam.geodata.cameras import load_known_cameras
from flycam.geometry.camera import InteriorOrientation, LensModel, compute_valid_radius
from flycam.ingest.photos.calibration import resolve_interior
from flycam.ingest.photos.photo_reader import PhotoMetadata, read_metadata
from flycam.ingest.photos.xmp import Dewarp, Dialect, FieldOfView, Pix4dLens

DEWARP = Dewarp(
    fx_px=3713.29,
    fy_px=3712.0,
    cx_offset_px=7.0,
    cy_offset_px=-8.0,
    k1=-0.11,
    k2=0.015,
    p1=-0.0001,
    p2=0.0002,
    k3=-0.027,
)


def photo(**fields: object) -> PhotoMetadata:
    plain: dict[str, object] = {
        "path": Path("a.jpg"),
        "name": "a.jpg",
        "size_bytes": 1,
        "dialect": Dialect.DJI,
        "image_size_px": (5280, 3956),
    }
    return PhotoMetadata(**{**plain, **fields})  # type: ignore[arg-type]


def operator(size: tuple[int, int] = (5280, 3956)) -> InteriorOrientation:
    return InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=size,
        focal_length_px=(3000.0, 3000.0),
        principal_point_px=(size[0] / 2 - 0.5, size[1] / 2 - 0.5),
        calibration_id="operator:camera.json",
    )


ALL = {
    "maker": "DJI",
    "model": "M3E",
    "dewarp": DEWARP,
    "dewarped": False,
    "calibrated_focal_px": 3725.15,
    "focal35_mm": 24.0,
}


def test_the_order_of_trust() -> None:
    sources = [
        (resolve_interior(photo(**ALL), operator()), "operator:camera.json"),
        (resolve_interior(photo(**ALL)), "file:DewarpData"),
        (resolve_interior(photo(**{**ALL, "dewarp": None})), "models:dji-mavic-3"),
        (resolve_interior(photo(**{**ALL, "model": "?", "dewarp": None})), "file:CalibratedFocalLength"),
        (resolve_interior(photo(focal35_mm=24.0)), "exif:35 mm equivalent"),
    ]
    for interior, expected in sources:
        assert interior.calibration_id.startswith(expected)
    sigmas = [interior.sigma_focal_rel for interior, _ in sources[1:]]
    assert sigmas == sorted(sigmas)


def test_dewarp_offsets_are_from_the_centre() -> None:
    interior = resolve_interior(photo(**ALL))
    assert interior.model is LensModel.BROWN
    assert interior.principal_point_px == (2639.5 + 7.0, 1977.5 - 8.0)
    assert interior.focal_length_px == (3713.29, 3712.0)
    assert interior.distortion == (-0.11, 0.015, -0.0001, 0.0002, -0.027)


def test_digital_zoom_enlarges_the_middle_of_the_picture() -> None:
    interior = resolve_interior(photo(**ALL, digital_zoom=2.0))
    assert interior.focal_length_px == (2 * 3713.29, 2 * 3712.0)
    assert interior.principal_point_px == (2639.5 + 14.0, 1977.5 - 16.0)
    assert interior.distortion == (-0.11, 0.015, -0.0001, 0.0002, -0.027)
    assert interior.sigma_focal_rel >= 0.02
    known = {"maker": "DJI", "model": "FC6310", "image_size_px": (5472, 3648)}
    plain, near = resolve_interior(photo(**known)), resolve_interior(photo(**known, digital_zoom=1.5))
    assert near.focal_length_px[0] == pytest.approx(1.5 * plain.focal_length_px[0])


@given(st.floats(15, 200), st.sampled_from([(4000, 3000), (3000, 4000), (6000, 4000), (4000, 2250)]))
def test_the_35mm_equivalent_is_a_ratio_of_diagonals(f35: float, size: tuple[int, int]) -> None:
    interior = resolve_interior(photo(image_size_px=size, focal35_mm=f35))
    long_side = max(size)
    short_side = long_side * 3 / 4 if size == (4000, 2250) else min(size)
    assert interior.focal_length_px[0] / math.hypot(long_side, short_side) == pytest.approx(
        f35 / 43.2666, rel=1e-4
    )


def test_every_shipped_camera_is_valid_to_its_corners_and_says_its_source() -> None:
    cameras = load_known_cameras()
    assert len(cameras) >= 40
    for camera in cameras:
        interior = camera.interior
        (fx, fy), (cx, cy) = interior.focal_length_px, interior.principal_point_px
        corner = math.hypot((cx + 0.5) / fx, (cy + 0.5) / fy)
        assert compute_valid_radius(interior) > corner, camera.models
        assert 0.0 < interior.sigma_focal_rel <= 0.05, camera.models
        assert len(camera.source) > 10, camera.models
        field = 2 * math.degrees(math.atan(interior.image_size_px[0] / 2 / fx))
        assert 10 < field < 120, camera.models  # the tele cameras: Mavic 3 12.1 degrees, Skydio X10 10.4


@pytest.mark.real
def test_dewarp_data_against_a_bundle_adjustment(shared_data: Path) -> None:
    """A quarter-size real photo: its scaled DewarpData is the camera that the adjustment found."""
    folder = shared_data / "poses" / "odm_drone_oblique"
    path = next(iter(folder.rglob("100_0005_0018.tif")))
    shots = json.loads(next(iter(folder.rglob("reconstruction.json"))).read_text())
    adjusted = next(iter(shots[0]["cameras"].values()))
    interior = resolve_interior(read_metadata(path))
    width, height = interior.image_size_px
    assert interior.calibration_id == "file:DewarpData"
    for found, key in zip(interior.focal_length_px, ("focal_x", "focal_y"), strict=True):
        assert found == pytest.approx(adjusted[key] * width, rel=0.004)
    centre = ((width - 1) / 2 + adjusted["c_x"] * width, (height - 1) / 2 + adjusted["c_y"] * width)
    np.testing.assert_allclose(interior.principal_point_px, centre, atol=1.5)
    published = [adjusted[key] for key in ("k1", "k2", "p1", "p2", "k3")]
    np.testing.assert_allclose(interior.distortion, published, atol=0.011)


SKYDIO = {
    "maker": "Skydio",
    "calibrated_centre_px": (2029.17, 1520.27),
    "dewarp": Dewarp(
        fx_px=2378.5,
        fy_px=2376.9,
        cx_offset_px=0.0,
        cy_offset_px=0.0,
        k1=0.125,
        k2=-0.233,
        p1=0.0,
        p2=0.0,
        k3=0.098,
    ),
}


def dji(model: str, width: int, height: int, **fields: object) -> dict[str, object]:
    return {"maker": "DJI", "model": model, "image_size_px": (width, height), **fields}


FC6310 = dji("FC6310", 5472, 3648)
PARROT = {
    "maker": "Parrot",
    "image_size_px": (5344, 4016),
    "pix4d_lens": Pix4dLens(focal_mm=4.0, centre_mm=(3.0, 2.25), distortion=(0.0,) * 5),
}


@pytest.mark.parametrize(
    ("fields", "source", "focal_px"),
    [
        # what the photo says of its lens chooses among the known ones of a model, or is believed itself
        (dji("M3E", 5280, 3956, focal35_mm=24.0), "models:dji-mavic-3", 3713.0),
        (dji("M3E", 5280, 3956, focal35_mm=48.0), "exif:35 mm equivalent", 7319.6),
        (
            dji("ZenmuseP1", 8192, 5460, focal_mm=50.0, focal35_mm=50.0),
            "models:dji-zenmuse#6 at 50 mm",
            11409.5,
        ),
        (dji("ZH20T", 5184, 3888, focal_mm=34.15, focal35_mm=158.5), "models:", 34.15 / 7.46 * 5184),
        (dji("M3T", 4000, 3000, focal35_mm=24.0), "models:", 2737.0),
        (dji("M3T", 4000, 3000, focal35_mm=162.0), "models:", 18_800.0),
        (dji("M30T", 4000, 3000, focal_mm=40.0, focal35_mm=215.0), "models:", None),
        # makers disagree whether the 35 mm equivalent counts the zoom
        (dji("FC3582", 4032, 3024, focal35_mm=24.0, digital_zoom=2.0), "models:dji-mini-3#2 ×2", 2 * 2894.0),
        (dji("FC3582", 4032, 3024, focal35_mm=48.0, digital_zoom=2.0), "models:dji-mini-3#2 ×2", 2 * 2894.0),
        ({**FC6310, "field_of_view_deg": FieldOfView(horizontal_deg=73.0)}, "models:", None),
        ({**FC6310, "field_of_view_deg": FieldOfView(horizontal_deg=40.0)}, "file:field of view", 7517.2),
        ({"field_of_view_deg": FieldOfView(horizontal_deg=90.0), "focal35_mm": 24.0}, "file:field", 2640.0),
        ({"field_of_view_deg": FieldOfView(vertical_deg=90.0)}, "file:field of view", 1978.0),
        ({"field_of_view_deg": FieldOfView(diagonal_deg=90.0)}, "file:field", math.hypot(5280, 3956) / 2),
        # Parrot writes zeros for its distortion, and Anafi's wide pictures are bent as the table says
        ({**PARROT, "model": "Anafi"}, "models:parrot", None),
        ({**PARROT, "model": "?"}, "file:Camera pinhole", None),
        # thermal cores
        (dji("XT2", 640, 512, focal_mm=13.0), "models:", 13.0 / 0.017),
        (dji("FLIR", 336, 256, focal_mm=9.0), "models:", 9.0 / 0.017),
        (dji("FLIR", 640, 512), "models:", 9.0 / 0.017),
        (dji("FLIR", 640, 512, focal_mm=25.0), "models:", 25.0 / 0.017),
        (dji("M30T", 640, 512, focal_mm=9.1), "models:", 9.1 / 0.012),
        (dji("ZH20N", 640, 512, focal_mm=12.0), "models:", 12.0 / 0.012),
        (dji("MAVIC2-ENTERPRISE-ADVANCED", 640, 512, focal_mm=9.0), "models:", 9.12 / 0.012),
        ({**dji("XL715", 640, 512), "maker": "Autel Robotics"}, "models:", 9.1 / 0.012),
        ({**SKYDIO, "model": "X2 Narrow", "image_size_px": (640, 512)}, "models:skydio", 9.1 / 0.012 * 2),
    ],
)
def test_lenses(fields: dict[str, object], source: str, focal_px: float | None) -> None:
    interior = resolve_interior(photo(**fields))
    assert interior.calibration_id.startswith(source)
    if focal_px is not None:
        assert interior.focal_length_px[0] == pytest.approx(focal_px, rel=0.002)


@pytest.mark.parametrize(
    "fields",
    [
        {"maker": "Acme", "model": "Flyer"},
        {"maker": "Teledyne FLIR", "model": "Boson 640", "image_size_px": (640, 512), "focal_mm": 40.0},
        {**SKYDIO, "model": "?", "image_size_px": (640, 512)},  # thermal: the calibration is the colour lens'
    ],
)
def test_a_lens_that_nothing_tells_is_missing(fields: dict[str, object]) -> None:
    with pytest.raises(CalibrationMissing, match=r"^a\.jpg: "):
        resolve_interior(photo(**fields))


def test_an_operators_camera_is_scaled_to_a_resized_photo_and_refused_for_another_shape() -> None:
    interior = resolve_interior(photo(image_size_px=(2640, 1978)), operator())
    assert interior.image_size_px == (2640, 1978)
    assert interior.focal_length_px[0] == pytest.approx(1500.0)
    with pytest.raises(CalibrationMissing, match="5280×3956"):
        resolve_interior(photo(), operator((4000, 2250)))


def test_the_readout_comes_from_models_whatever_gave_the_lens() -> None:
    interior = resolve_interior(photo(**dji("FC3582", 4032, 3024, calibrated_focal_px=2900.0)))
    assert (interior.calibration_id, interior.readout_s) == ("file:CalibratedFocalLength", 0.026)
    assert resolve_interior(photo(**FC6310)).readout_s == pytest.approx(0.033)
    assert resolve_interior(photo(**FC6310, shutter_type="Mechanical")).readout_s == 0.0


@pytest.mark.parametrize("size", [(4056, 3040), (4056, 2282), (1500, 844), (2028, 1520)])
def test_an_optical_centre_off_the_middle_goes_with_crop_and_resize(size: tuple[int, int]) -> None:
    """Skydio's centre is measured: 1.67 px right of the middle of 4056, 0.77 px below that of 3040."""
    interior = resolve_interior(
        photo(**SKYDIO, image_size_px=size, exif_size_px=(4056, size[1] * 4056 // size[0]))
    )
    scale = size[0] / 4056
    assert interior.focal_length_px[0] == pytest.approx(2378.5 * scale)
    assert interior.principal_point_px[0] == pytest.approx((size[0] - 1) / 2 + 1.67 * scale, abs=1e-6)
    assert interior.principal_point_px[1] == pytest.approx((size[1] - 1) / 2 + 0.77 * scale, abs=1.01)
    assert interior.distortion == (0.125, -0.233, 0.0, 0.0, 0.098)


def test_pix4ds_perspective_lens_by_pixel_pitch_or_by_its_middle() -> None:
    lens = Pix4dLens(focal_mm=4.0, centre_mm=(2.4, 1.8), distortion=(0.2, -0.3, 0.25, 0.004, 0.0002))
    fields = {"image_size_px": (4800, 3600), "exif_size_px": (4800, 3600), "pix4d_lens": lens}
    pitched = resolve_interior(photo(**fields, focal_plane_px_per_mm=1000.0))
    middle = resolve_interior(photo(**fields))
    assert pitched.focal_length_px[0] == middle.focal_length_px[0] == pytest.approx(4000.0)
    assert pitched.sigma_focal_rel < middle.sigma_focal_rel
    assert pitched.principal_point_px == pytest.approx((2399.5, 1799.5))
    assert pitched.distortion == (0.2, -0.3, 0.004, 0.0002, 0.25)


@pytest.mark.parametrize(
    ("affine", "polynomial"),
    [(2203.93, (0.0, 1.0, -0.0561106, 0.0350564, -0.0953153)), (1583.3, (0.0, 1.0, -0.025, 0.168))],
)
def test_a_pix4d_fisheye_becomes_the_odd_polynomial(affine: float, polynomial: tuple[float, ...]) -> None:
    lens = Pix4dLens(affine_px=(affine, 0.0, 0.0, affine), polynomial=polynomial)
    interior = resolve_interior(photo(pix4d_lens=lens, image_size_px=(1280, 960)))
    assert interior.model is LensModel.FISHEYE
    theta = np.radians(np.array([10.0, 40.0, 70.0]))
    want = affine * np.polynomial.polynomial.polyval(theta * 2 / np.pi, polynomial)
    k = interior.distortion
    got = interior.focal_length_px[0] * theta * (1 + sum(k[n] * theta ** (2 * n + 2) for n in range(4)))
    np.testing.assert_allclose(got, want, atol=0.6)
