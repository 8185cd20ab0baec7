"""A small valley with a house and a mound on it, seen from above by a grid of pictures: exact truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from flycam.geometry.camera import InteriorOrientation, LensModel, compute_viewing_rays
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource
from flycam.geometry.terrain import TerrainGrid, cast_rays
from flycam.mosaic.surface.plane_sweep import SurfaceView

CAMERA = InteriorOrientation(
    model=LensModel.BROWN,
    image_size_px=(200, 150),
    focal_length_px=(130.0, 130.0),
    principal_point_px=(101.0, 73.5),
    distortion=(-0.05, 0.01, 0.0005, -0.0003, 0.0),
    calibration_id="test",
)
HEIGHT_M = 60.0
SIDE_M = 64.0
HOUSE = (slice(-2.0, 12.0), slice(4.0, 16.0), 6.0)  # eastings, northings, height over the ground


@dataclass(frozen=True, kw_only=True)
class Scene:
    """truth: posts 0.25 m apart with everything that stands there; ground: what a DEM knows."""

    truth: TerrainGrid
    ground: TerrainGrid
    views: list[SurfaceView]
    pixels_of: Callable[[str], np.ndarray]


def slope(east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """The valley's ground."""
    return 100.0 + 0.15 * east - 0.1 * north


def grid(heights: np.ndarray, spacing: float) -> TerrainGrid:
    """Posts around (0, 0)."""
    rows, cols = heights.shape
    return TerrainGrid(
        heights_m=heights.astype(np.float32),
        origin_m=(-(cols - 1) / 2 * spacing, (rows - 1) / 2 * spacing),
        post_spacing_m=(spacing, spacing),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="test",
    )


def mesh(side_m: float, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Eastings and northings of posts around (0, 0)."""
    axis = np.arange(-side_m / 2, side_m / 2 + spacing / 2, spacing)
    east, north = np.meshgrid(axis, -axis)
    return east, north


@cache
def scene(bare: bool = False, texture: float = 40.0, moved_m: float = 0.0, speed_mps: float = 0.0) -> Scene:
    """3×4 pictures of 0.46 m pixels.

    bare: no house, no mound; texture: contrast of the ground in grey levels; moved_m: how far the ground has
    sunk under the DEM; speed_mps: of an aircraft that flies along the rows of pictures, there and back, while
    they are read in 60 ms.
    """
    camera = replace(CAMERA, readout_s=0.06) if speed_mps else CAMERA
    east, north = mesh(3 * SIDE_M, 0.25)
    heights = slope(east, north) - moved_m
    if not bare:
        easts, norths, high = HOUSE
        house = (east > easts.start) & (east < easts.stop) & (north > norths.start) & (north < norths.stop)
        heights = heights + np.where(house, high, 0.0)
        heights += 4.0 * np.exp(-((east + 16.0) ** 2 + (north + 10.0) ** 2) / 40.0)
    truth = grid(heights, 0.25)
    noise = np.random.default_rng(7).normal(size=(1200, 1200)).astype(np.float32)
    pattern = cv2.GaussianBlur(noise, (0, 0), 1.6)
    pattern = 120.0 + texture * pattern / pattern.std()
    views, pictures = [], {}
    for row, n in enumerate((-16.0, 0.0, 16.0)):
        for col, e in enumerate((-21.0, -7.0, 7.0, 21.0)):
            name = f"{row}{col}"
            exterior = _looking_down(
                (e, n, 100.0 + HEIGHT_M), 0.02 * (col - 1.5), 0.03 * (row - 1), 0.4 * row
            )
            if speed_mps:
                flown = CameraMotion(
                    velocity_mps=((-1.0) ** row * speed_mps, 0.0, 0.0), turn_radps=(0.0, 0.0, 0.01)
                )
                exterior = replace(exterior, motion=flown)
            views.append(SurfaceView(frame_id=name, interior=camera, exterior=exterior))
            pictures[name] = _picture(truth, views[-1], pattern, len(views))
    wide = mesh(3 * SIDE_M, 8.0)
    return Scene(
        truth=truth, ground=grid(slope(*wide), 8.0), views=views, pixels_of=lambda name: pictures[name]
    )


def _looking_down(
    centre: tuple[float, float, float], roll: float, pitch: float, yaw: float
) -> ExteriorOrientation:
    down = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    turn = cv2.Rodrigues(np.array([roll, pitch, 0.0]))[0] @ cv2.Rodrigues(np.array([0.0, 0.0, yaw]))[0]
    rotation = turn @ down
    return ExteriorOrientation(
        projection_centre_m=centre,
        rotation=tuple(tuple(float(x) for x in r) for r in rotation),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        sigma_position_m=(0.0, 0.0, 0.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.ADJUSTED,
    )


def _picture(truth: TerrainGrid, view: SurfaceView, pattern: np.ndarray, seed: int) -> np.ndarray:
    width, height = CAMERA.image_size_px
    u, v = np.meshgrid(np.arange(width, dtype=float), np.arange(height, dtype=float))
    stood, rays = compute_viewing_rays(view.interior, view.exterior, np.stack([u.ravel(), v.ravel()], -1))
    hits = cast_rays(truth, stood, rays)
    col, row = (hits[:, 0] + 96.0) * 6.0, (96.0 - hits[:, 1] + 0.7 * hits[:, 2] - 70.0) * 6.0
    maps = [np.nan_to_num(m).astype(np.float32).reshape(height, width) for m in (col, row)]
    grey = cv2.remap(pattern, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    grey = grey * (0.9 + 0.02 * seed) + np.random.default_rng(seed).normal(size=grey.shape) * 1.5
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
