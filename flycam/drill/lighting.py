"""Sun, sky and cast shadows on the synthetic surface."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.spatial_noise import Singles

_SHADOW_STEP_M = 0.3
_PENUMBRA_M = 0.35
_SKY = np.array([0.30, 0.345, 0.42], np.float32)
_SUN = np.array([1.0, 0.95, 0.86], np.float32)
_LEVELS = 8192.0
_ENCODED = np.rint(255.0 * (np.arange(_LEVELS) / (_LEVELS - 1.0)) ** (1 / 2.2)).astype(np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sun:
    """Position of the sun: azimuth clockwise from grid north and elevation, radians.

    strength  1 under a clear sky
    """

    azimuth_rad: float
    elevation_rad: float
    strength: float = 1.0


def compute_lit_fraction(surface: Singles, cell_m: float, sun: Sun) -> Singles:
    """Return the fraction of the sun that each cell sees, rows×columns float32.

    The surface is rotated so that the sun is to the left; a cell is in shadow when something to its left
    rises above its ray: a running maximum of height + distance * tan(elevation) along each row.
    """
    rows, cols = surface.shape
    step = max(_SHADOW_STEP_M, cell_m)
    scale = cell_m / step
    # image axes: x east, y south; unit vector away from the sun
    away = (-math.sin(sun.azimuth_rad), math.cos(sun.azimuth_rad))
    turn = np.array([[away[0], away[1]], [-away[1], away[0]]]) * scale
    corners = np.array([[0, 0], [cols, 0], [0, rows], [cols, rows]], float) @ turn.T
    low, high = corners.min(0), corners.max(0)
    matrix = np.hstack([turn, -low[:, None]])
    size = (int(high[0] - low[0]) + 2, int(high[1] - low[1]) + 2)
    turned = cv2.warpAffine(
        surface, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-1e4
    )
    climb = (np.arange(size[0]) * step * math.tan(sun.elevation_rad)).astype(np.float32)
    rising = turned + climb
    above = np.maximum.accumulate(rising, axis=1) - rising
    shade = np.clip(above / _PENUMBRA_M - 0.3, 0.0, 1.0)
    back = cv2.warpAffine(
        shade,
        matrix,
        (cols, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(1.0 - back, np.float32)


def render_lit_ground(
    albedo: Singles, surface: Singles, lit: Singles, cell_m: float, sun: Sun, shading: float = 1.0
) -> NDArray[np.uint8]:
    """Return sRGB uint8 rows×columns×3 of lit ground.

    Lambertian sun plus sky, multiplied in linear light.

    albedo        rows×columns×3, linear 0-1
    surface, lit  (rows + 2)×columns: one more row above and below
    shading       0 to 1: factor of the difference of the light from that of open level ground
    """
    padded = np.pad(surface, ((0, 0), (1, 1)), mode="edge")
    east = (padded[1:-1, 2:] - padded[1:-1, :-2]) / (2.0 * cell_m)
    north = (surface[:-2] - surface[2:]) / (2.0 * cell_m)
    # walls and crown edges are one cell wide: their slope says little about their light
    east, north = np.clip(east, -2.5, 2.5), np.clip(north, -2.5, 2.5)
    length = np.sqrt(1.0 + east * east + north * north)
    horizontal = math.cos(sun.elevation_rad)
    towards = -east * math.sin(sun.azimuth_rad) - north * math.cos(sun.azimuth_rad)
    direct = np.clip((towards * horizontal + math.sin(sun.elevation_rad)) / length, 0.0, None) * lit[1:-1]
    sky = 0.5 + 0.5 / length
    light = (direct * sun.strength)[..., None] * _SUN + (sky * (1.25 - 0.25 * sun.strength))[..., None] * _SKY
    if shading != 1.0:
        level = math.sin(sun.elevation_rad) * sun.strength * _SUN + (1.25 - 0.25 * sun.strength) * _SKY
        light = level + np.float32(shading) * (light - level)
    linear = np.clip(albedo * light * _LEVELS, 0.0, _LEVELS - 1.0)
    return np.asarray(_ENCODED[linear.astype(np.uint16)])
