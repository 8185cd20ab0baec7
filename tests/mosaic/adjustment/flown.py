"""A little flight over textured ground, pictures and all: exact poses, and priors with a drone's noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from flycam.geometry.camera import InteriorOrientation, LensModel, compute_image_rays
from flycam.geometry.pose import (
    ExteriorOrientation,
    PoseSource,
    rotation_from_angle_axis,
    rotation_from_gimbal,
    to_mat3,
)
from flycam.geometry.terrain import TerrainGrid, cast_rays
from flycam.mosaic.adjustment.block import BlockFrame
from flycam.mosaic.finish.report import assign_strips

SIZE = (480, 360)
PIXEL_M = 0.25
ORIGIN = (500_000.0, 2_400_000.0)
TURN_180 = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class Flown:
    """frames with prior poses, their exact exteriors, the pictures' function and the terrain."""

    frames: list[BlockFrame]
    exact: list[ExteriorOrientation]
    terrain: TerrainGrid
    pictures: list[np.ndarray]

    def pixels_of(self, number: int) -> np.ndarray:
        return self.pictures[number]


def camera() -> InteriorOrientation:
    return InteriorOrientation(
        model=LensModel.BROWN,
        image_size_px=SIZE,
        focal_length_px=(330.0, 330.0),
        principal_point_px=(241.0, 178.0),
        distortion=(-0.02, 0.01, 2e-4, -1e-4, 0.0),
        calibration_id="test",
        sigma_focal_rel=0.01,
    )


def hill() -> TerrainGrid:
    """A smooth hill of 25 m over 800 m of ground."""
    x, y = np.meshgrid(np.linspace(-1, 1, 81), np.linspace(-1, 1, 81))
    heights = 100.0 + 25.0 * np.exp(-3.0 * (x**2 + y**2)) + 4.0 * np.sin(6.0 * x)
    return TerrainGrid(
        heights_m=heights.astype(np.float32),
        origin_m=(ORIGIN[0] - 400.0, ORIGIN[1] + 400.0),
        post_spacing_m=(10.0, 10.0),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        dem_id="test",
    )


def texture(seed: int = 1) -> np.ndarray:
    """Ground colours (grey) of 800 × 800 m at 0.25 m, with blobs of many sizes."""
    rng = np.random.default_rng(seed)
    side = round(800 / PIXEL_M)
    total = np.zeros((side, side), dtype=np.float32)
    for sigma in (1.2, 3.0, 8.0, 20.0):
        small = max(int(side / max(sigma / 2, 1)), 8)
        noise = rng.normal(size=(small, small)).astype(np.float32)
        total += cv2.resize(cv2.GaussianBlur(noise, (0, 0), 1.0), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 45 * total / total.std(), 0, 255).astype(np.float32)


def pose(place, yaw_deg: float, sigma=(1.5, 1.5, 3.0)) -> ExteriorOrientation:
    east, north, height = (float(p) for p in place)
    return ExteriorOrientation(
        projection_centre_m=(east, north, height),
        rotation=to_mat3(rotation_from_gimbal(*np.radians([yaw_deg, -89.0, 0.0]))),
        work_crs="EPSG:32648",
        vertical_datum="EGM96",
        grid_scale=0.9996,
        sigma_position_m=sigma,
        sigma_attitude_rad=(0.01, 0.01, 0.02),
        source=PoseSource.GNSS,
    )


def picture(exterior: ExteriorOrientation, terrain: TerrainGrid, ground: np.ndarray, seed: int) -> np.ndarray:
    """What the camera sees: every pixel's ray on the terrain, its colour, and a little noise."""
    v, u = np.mgrid[: SIZE[1], : SIZE[0]]
    uv = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64)
    points = cast_rays(
        terrain, np.array(exterior.projection_centre_m), compute_image_rays(camera(), exterior, uv)
    )
    column = (points[:, 0] - (ORIGIN[0] - 400.0)) / PIXEL_M
    row = ((ORIGIN[1] + 400.0) - points[:, 1]) / PIXEL_M
    maps = (m.reshape(SIZE[1], SIZE[0]).astype(np.float32) for m in (column, row))
    seen = cv2.remap(ground, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=80)
    seen = seen + np.random.default_rng(seed).normal(0, 2.0, seen.shape)
    grey = np.clip(seen, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def flown(strips: int = 2, per_strip: int = 3, seed: int = 5, *, seen: bool = True) -> Flown:
    """Strips 60 m apart with a photo every 35 m, flown to and fro 110 m above ground.

    seen False leaves the pictures out.
    """
    terrain, rng = hill(), np.random.default_rng(seed)
    exact, places = [], []
    for strip in range(strips):
        for k in range(per_strip):
            along = (k if strip % 2 == 0 else per_strip - 1 - k) - (per_strip - 1) / 2
            across = strip - (strips - 1) / 2
            places.append((ORIGIN[0] + 60.0 * across, ORIGIN[1] + 35.0 * along, 225.0))
            exact.append(pose(places[-1], 0.0 if strip % 2 == 0 else 180.0))
    ground = texture() if seen else None
    pictures = [] if ground is None else [picture(e, terrain, ground, 100 + k) for k, e in enumerate(exact)]
    priors = [disturbed(e, rng) for e in exact]
    times = [k * 3_000_000_000 for k in range(len(exact))]
    legs = assign_strips(times, np.array(places))
    frames = [
        BlockFrame(
            frame_id=f"{k:032x}",
            source_name=f"{k}.jpg",
            camera="test",
            strip=leg,
            captured_ns=t,
            interior=camera(),
            exterior=p,
        )
        for k, (leg, t, p) in enumerate(zip(legs, times, priors, strict=True))
    ]
    return Flown(frames=frames, exact=exact, terrain=terrain, pictures=pictures)


def disturbed(exact: ExteriorOrientation, rng: np.random.Generator) -> ExteriorOrientation:
    """The pose as telemetry tells it."""
    place = np.add(exact.projection_centre_m, [1.0, -0.6, 1.5]) + rng.normal(0, 0.6, 3)
    tilt = rotation_from_angle_axis(rng.normal(0, [0.007, 0.007, 0.012]))
    east, north, height = (float(p) for p in place)
    return replace(
        exact,
        projection_centre_m=(east, north, height),
        rotation=to_mat3(tilt @ np.array(exact.rotation)),
    )
