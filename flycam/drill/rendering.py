"""Photos of the synthetic camera: rays, colours, haze, cloud shadows, exposure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.flight import Exposure
from flycam.drill.ray_casting import HeightField, build_height_field, cast_image_rays
from flycam.drill.spatial_noise import Floats, Singles, generate_smooth_noise
from flycam.drill.world import DrillWorld
from flycam.geometry.camera import compute_ray_directions
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.rotation import rotation_from_angle_axis

HAZE_COLOUR = np.array([0.44, 0.49, 0.56], np.float32)
_CLOUD_STEP_M = 8.0
_CLOUD_SPEED_MPS = (5.0, 2.5)
_VIGNETTE = 0.14


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """Weather and exposure.

    haze_per_m  extinction
    clouds      0-1, darkness of their shadows
    drift       relative swing of the exposure
    """

    haze_per_m: float = 0.00045
    clouds: float = 0.35
    drift: float = 0.10


@dataclass(frozen=True, slots=True)
class Renderer:
    """A world, a camera and its rays, prepared once for all exposures."""

    world: DrillWorld
    surface: HeightField
    camera: InteriorOrientation
    directions: Floats
    weather: Weather
    seed: int

    def coordinates(self, exposure: Exposure) -> Floats:
        """Return the true ground of every pixel, H×W×3 (east, north, height).

        NaN where a ray leaves the world.
        """
        exterior = exposure.exterior
        rotation = np.asarray(exterior.rotation)
        motion, moved = exterior.motion, None
        if motion is None:
            rays = self.directions @ rotation
        else:
            after = self._row_seconds()[:, None]
            rays = self.directions @ (rotation_from_angle_axis(after * motion.turn_radps) @ rotation)
            moved = after * motion.velocity_mps
        rays[..., 2] /= exterior.grid_scale
        return cast_image_rays(self.surface, exterior.projection_centre_m, rays, moved)

    def _row_seconds(self) -> Floats:
        """Return the readout time of each row, seconds after the middle of the frame."""
        height = self.camera.image_size_px[1]
        readout: float = self.camera.readout_s or 0.0
        return np.asarray(readout * ((np.arange(height) + 0.5) / height - 0.5))

    def photo(self, exposure: Exposure) -> NDArray[np.uint8]:
        """Render an exposure, H×W×3 uint8 RGB."""
        return self.shade(exposure, self.coordinates(exposure))

    def shade(self, exposure: Exposure, points: Floats) -> NDArray[np.uint8]:
        """Render known ground points H×W×3."""
        col, row = self.world.window.to_cells(points[..., 0], points[..., 1])
        colour = cv2.remap(
            self.world.rgb,
            np.nan_to_num(col).astype(np.float32),
            np.nan_to_num(row).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        light, clear = self.light(exposure, points)
        linear = LINEAR[colour]
        linear *= light[..., None]
        linear = linear * clear[..., None] + (1.0 - clear[..., None]) * HAZE_COLOUR
        encoded = ENCODED[np.clip(linear * 4095.0, 0, 4095).astype(np.uint16)]
        return np.asarray(cv2.GaussianBlur(encoded, (3, 3), 0.45))

    def light(self, exposure: Exposure, points: Floats) -> tuple[Singles, Singles]:
        """Return the light on ground points H×W×3 as exposed, and haze transmission."""
        light = self._exposure(exposure) * self._clouds(exposure, points) * self._vignette()
        return light, np.exp(-self.weather.haze_per_m * self._distance(exposure, points))

    def _exposure(self, exposure: Exposure) -> float:
        """Return the automatic exposure's factor: a slow swing and small jumps."""
        jump = np.random.default_rng([self.seed, 5, exposure.number]).normal() * 0.25
        return 1.2 * (1.0 + self.weather.drift * (math.sin(exposure.seconds / 47.0) + jump))

    def _clouds(self, exposure: Exposure, points: Floats) -> Singles:
        """Return cloud shadows, which drift over the ground, smooth over tens of metres."""
        east, north = points[..., 0], points[..., 1]
        low = np.nanmin(points[..., :2], axis=(0, 1)) - _CLOUD_STEP_M
        high = np.nanmax(points[..., :2], axis=(0, 1)) + _CLOUD_STEP_M
        easts, norths = (
            np.arange(a, b + _CLOUD_STEP_M, _CLOUD_STEP_M) for a, b in zip(low, high, strict=True)
        )
        moved = [s * exposure.seconds for s in _CLOUD_SPEED_MPS]
        field = generate_smooth_noise(easts - moved[0], norths - moved[1], 240.0, self.seed, "clouds")
        shade = 1.0 - self.weather.clouds / (1.0 + np.exp(-5.0 * (field - 0.75)))
        moving = cv2.remap(
            shade.astype(np.float32),
            ((np.nan_to_num(east, nan=low[0]) - low[0]) / _CLOUD_STEP_M).astype(np.float32),
            ((np.nan_to_num(north, nan=low[1]) - low[1]) / _CLOUD_STEP_M).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(moving, np.float32)

    def _vignette(self) -> Singles:
        """Return the fall-off of light towards the corners."""
        square = self.directions[..., 0] ** 2 + self.directions[..., 1] ** 2
        return np.asarray(1.0 - _VIGNETTE * square / square.max(), np.float32)

    @staticmethod
    def _distance(exposure: Exposure, points: Floats) -> Singles:
        centre = np.array(exposure.exterior.projection_centre_m)
        far = np.linalg.norm((points - centre).astype(np.float32), axis=-1)
        return np.asarray(np.nan_to_num(far, nan=1e3), np.float32)


def prepare_renderer(
    world: DrillWorld, camera: InteriorOrientation, seed: int, weather: Weather | None = None
) -> Renderer:
    """Prepare everything that does not depend on the exposure."""
    width, height = camera.image_size_px
    u, v = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    directions = np.stack(compute_ray_directions(camera, u, v), -1)
    surface = build_height_field(world.window, world.surface_m)
    return Renderer(world, surface, camera, directions, weather or Weather(), seed)


LINEAR = (np.arange(256) / 255.0).astype(np.float32) ** np.float32(2.2)
ENCODED = np.rint(255.0 * (np.arange(4096) / 4095.0) ** (1 / 2.2)).astype(np.uint8)
