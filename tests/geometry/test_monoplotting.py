"""The ground under a part of a picture, by a camera whose ground is plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.expected_error import UNKNOWN_ERROR_M
from flycam.geometry.footprint import MAX_ERROR_M, project_image_grid, project_polygon_to_ground
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.geometry.terrain import make_flat_terrain

CAMERA = InteriorOrientation(
    model=LensModel.BROWN,
    image_size_px=(640, 480),
    focal_length_px=(500.0, 500.0),
    principal_point_px=(319.5, 239.5),
    distortion=(),
    calibration_id="test",
)
EAST, NORTH, HEIGHT = 480_000.0, 2_420_000.0, 100.0
PLANE = make_flat_terrain(0.0, "EPSG:32648", "EGM96", (EAST - 2e3, NORTH - 2e3, EAST + 2e3, NORTH + 2e3))
PIXEL_M = HEIGHT / 500.0


def pose(sigma_m: float = 1.0, rotation: np.ndarray | None = None) -> ExteriorOrientation:
    """Straight down, east to the right, unless turned."""
    down = np.diag([1.0, -1.0, -1.0]) if rotation is None else rotation
    return ExteriorOrientation(
        projection_centre_m=(EAST, NORTH, HEIGHT),
        rotation=tuple(map(tuple, down.tolist())),  # type: ignore[arg-type]
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        sigma_position_m=(sigma_m, sigma_m, 0.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.GNSS,
    )


def level_look() -> np.ndarray:
    """Rows right, down, forward of a camera that looks north at the horizon."""
    return np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def test_a_polygon_straight_below_is_as_large_as_its_pixels() -> None:
    polygon = np.array([[320.0, 240.0], [420.0, 240.0], [420.0, 290.0], [320.0, 290.0]])
    points, error_m = project_polygon_to_ground(polygon, CAMERA, pose(), PLANE)
    offset = points - (EAST, NORTH, 0.0)
    assert offset.min(axis=0) == pytest.approx([0.0, -50 * PIXEL_M, 0.0], abs=1e-6)
    assert offset.max(axis=0) == pytest.approx([100 * PIXEL_M, 0.0, 0.0], abs=1e-6)
    assert len(points) > 300, "its inside too: the ground is not always seen from border to border"
    # 1 m east and north, and 3 m of what stands there, seen from the side
    lean = 3.0 * np.hypot(*offset[:, :2].T) / HEIGHT
    assert error_m == pytest.approx(np.sqrt(2.0 + lean**2), rel=1e-3)


def test_a_place_that_nobody_knows_is_said_to_be_off_by_more_than_any_that_is_known() -> None:
    polygon = np.array([[315.0, 235.0], [325.0, 235.0], [325.0, 245.0]])
    error_m = project_polygon_to_ground(polygon, CAMERA, pose(500.0), PLANE)[1]
    assert (error_m == UNKNOWN_ERROR_M).all() and UNKNOWN_ERROR_M > MAX_ERROR_M


def test_the_sky_shows_no_ground() -> None:
    above = np.array([[100.0, 10.0], [200.0, 10.0], [200.0, 100.0]])
    assert len(project_polygon_to_ground(above, CAMERA, pose(rotation=level_look()), PLANE)[0]) == 0
    below = above + np.array([0.0, 350.0])
    assert len(project_polygon_to_ground(below, CAMERA, pose(rotation=level_look()), PLANE)[0]) > 0
    lattice = project_image_grid(CAMERA, pose(rotation=level_look()), PLANE)
    met = np.isfinite(lattice[..., 0])
    assert not met[: len(met) // 2].any() and met[-1].all()
