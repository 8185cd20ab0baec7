"""Rendering of the synthetic camera's photos and video frames.

Rays are cast on the surface, independently of what the drill verifies. Photos have colours, haze, cloud
shadows and exposure; video frames are rendered faster, on a lattice of rays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.flight import Exposure
from flycam.drill.land import CellWindow, Floats, Singles, generate_smooth_noise
from flycam.drill.world import DrillWorld
from flycam.geometry.camera import InteriorOrientation, compute_ray_directions
from flycam.geometry.pose import rotation_from_angle_axis

# -- Forward ray casting on the synthetic surface, independent of what it verifies -----------------
#
# The surface is a height field, bilinear between cell centres. Rays are followed downwards by height: at a
# height z all rays of a block of pixels are close together, so a block is first lowered against a dilated
# maximum of the surface (nothing can be hit on the way), then every ray is followed in steps of a third of a
# cell until it is below the surface, and the crossing is found by bisection with secants.


_BLOCK_PX = 8
_COARSE_M = 1.0
_REACHES_M = (24.0, 6.0, 2.5)
_WALK_CELLS = 0.3
_WALK_DOWN_M = 0.5
_MAX_WALKS = 4000
_REFINEMENTS = 5
_MIN_FALL = 0.05
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class HeightField:
    """A height field with dilated maxima.

    envelopes  (reach in metres, coarse maxima) each
    """

    window: CellWindow
    height_m: Singles
    coarse_cells: int
    envelopes: tuple[tuple[float, Singles], ...]
    top_m: float
    bottom_m: float


def build_height_field(window: CellWindow, height_m: Singles) -> HeightField:
    """Build a height field with its maxima, once per world."""
    k = max(round(_COARSE_M / window.cell_m), 1)
    rows, cols = -(-window.shape[0] // k) * k, -(-window.shape[1] // k) * k
    padded = np.pad(height_m, ((0, rows - window.shape[0]), (0, cols - window.shape[1])), mode="edge")
    coarse = np.ascontiguousarray(padded.reshape(rows // k, k, cols // k, k).max((1, 3)))
    envelopes = []
    for reach in _REACHES_M:
        radius = int(np.ceil(reach / (k * window.cell_m))) + 1
        kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        envelopes.append((reach, np.asarray(cv2.dilate(coarse, kernel), np.float32)))
    return HeightField(
        window=window,
        height_m=height_m,
        coarse_cells=k,
        envelopes=tuple(envelopes),
        top_m=float(height_m.max()),
        bottom_m=float(height_m.min()),
    )


def cast_image_rays(
    surface: HeightField,
    centre_m: tuple[float, float, float],
    directions: Floats,
    moved_m: Floats | None = None,
) -> Floats:
    """Return the first intersections of an image's rays with the surface.

    H×W×3 (east, north, height), NaN where none.

    directions  H×W×3 in work-CRS axes, any length
    moved_m     H×3: offset of each row's rays from the centre

    A ray that grazes less than a third of a cell of something may pass it; a hit is on the surface to a
    few millimetres along its ray.
    """
    height, width = directions.shape[:2]
    fall = -directions[..., 2]
    steep = fall > _MIN_FALL * np.linalg.norm(directions, axis=-1)
    safe = np.where(steep, fall, 1.0)
    slope_e, slope_n = directions[..., 0] / safe, directions[..., 1] / safe
    from_e: Floats | float = centre_m[0]
    from_n: Floats | float = centre_m[1]
    # where the rays pass the height of the centre
    if moved_m is not None:
        from_e = centre_m[0] + moved_m[:, None, 0] + slope_e * moved_m[:, None, 2]
        from_n = centre_m[1] + moved_m[:, None, 1] + slope_n * moved_m[:, None, 2]
    start = _lower_blocks(surface, centre_m, slope_e, slope_n, from_e - centre_m[0], from_n - centre_m[1])
    origin = surface.window.to_cells(np.asarray(from_e), np.asarray(from_n))
    z = _walk_down(
        surface, centre_m[2], origin, *(np.ascontiguousarray(a.ravel()) for a in (slope_e, slope_n, start))
    ).reshape(height, width)
    z[~steep] = np.nan
    drop = centre_m[2] - z
    return np.stack([from_e + slope_e * drop, from_n + slope_n * drop, z], -1)


def _lower_blocks(
    surface: HeightField,
    centre: tuple[float, float, float],
    slope_e: Floats,
    slope_n: Floats,
    moved_e: Floats | float,
    moved_n: Floats | float,
) -> Floats:
    """Return a height per pixel above which no ray of its block has met the surface.

    moved_e, moved_n  from the centre to where the rays pass its height
    """
    height, width = slope_e.shape
    rows, cols = -(-height // _BLOCK_PX), -(-width // _BLOCK_PX)
    pad = ((0, rows * _BLOCK_PX - height), (0, cols * _BLOCK_PX - width))
    blocks = [
        np.pad(s, pad, mode="edge").reshape(rows, _BLOCK_PX, cols, _BLOCK_PX) for s in (slope_e, slope_n)
    ]
    middle_e, middle_n = (0.5 * (b.min((1, 3)) + b.max((1, 3))) for b in blocks)
    spread = np.maximum(*(0.5 * (b.max((1, 3)) - b.min((1, 3))) for b in blocks))
    steepness = np.maximum(np.maximum(np.abs(middle_e), np.abs(middle_n)), 1e-3)
    farthest = float(np.max(np.hypot(moved_e, moved_n)))
    z = np.full((rows, cols), min(centre[2], surface.top_m + 1.0))
    for reach, envelope in surface.envelopes:
        for _ in range(400):
            drop = centre[2] - z
            col, row = surface.window.to_cells(centre[0] + middle_e * drop, centre[1] + middle_n * drop)
            high = envelope[
                np.clip((row / surface.coarse_cells).astype(int), 0, envelope.shape[0] - 1),
                np.clip((col / surface.coarse_cells).astype(int), 0, envelope.shape[1] - 1),
            ]
            room = (reach - farthest - drop * spread) / (steepness + spread)
            lower = np.maximum(np.maximum(high, z - np.maximum(room, 0.0)), surface.bottom_m)
            moving = lower < z - 0.05
            if not moving.any():
                break
            z = np.where(moving, lower, z)
    return np.repeat(np.repeat(z, _BLOCK_PX, 0), _BLOCK_PX, 1)[:height, :width]


def _walk_down(
    surface: HeightField,
    centre_z: float,
    origin: tuple[Floats, Floats],
    slope_e: Floats,
    slope_n: Floats,
    start: Floats,
) -> Floats:
    """Return heights N at which rays meet the surface, followed down from `start`.

    NaN where they leave it.

    origin  (column, row) where the rays pass the height centre_z: of all, or of each
    """
    window = surface.window
    col_0, row_0 = (one.ravel() for one in origin)
    moving = col_0.size > 1
    first_col, first_row = (one.astype(np.float32) for one in (col_0, row_0))
    col_per_m, row_per_m = slope_e / window.cell_m, -slope_n / window.cell_m
    step = np.minimum(_WALK_DOWN_M, _WALK_CELLS / np.maximum(np.hypot(col_per_m, row_per_m), 1e-6))
    above, below = start.copy(), np.full(len(start), np.nan)
    active = np.arange(len(start))
    # single precision detects crossings; the crossing itself is computed in double precision
    cols, rows, steps = (a.astype(np.float32) for a in (col_per_m, row_per_m, step))
    drop, deepest = (centre_z - start).astype(np.float32), np.float32(centre_z - surface.bottom_m + 1.0)
    for _ in range(_MAX_WALKS):
        drop += steps
        ground = _quick_bilinear(surface.height_m, first_col + cols * drop, first_row + rows * drop)
        hit = ground >= centre_z - drop
        if hit.any():
            found = active[hit]
            below[found] = centre_z - drop[hit].astype(np.float64)
            above[found] = below[found] + step[found]
        unfinished = ~hit & (drop < deepest)
        active, drop = active[unfinished], drop[unfinished]
        cols, rows, steps = cols[unfinished], rows[unfinished], steps[unfinished]
        if moving:
            first_col, first_row = first_col[unfinished], first_row[unfinished]
        if not len(active):
            break
    return _refine(surface, centre_z, (col_0, row_0), col_per_m, row_per_m, above, below)


def _refine(
    surface: HeightField,
    centre_z: float,
    origin: tuple[Floats, Floats],
    col_per_m: Floats,
    row_per_m: Floats,
    above: Floats,
    below: Floats,
) -> Floats:
    """Refine crossings between a height above the surface and one below it."""
    found = np.flatnonzero(np.isfinite(below))
    out = np.full(len(above), np.nan)
    high, low = above[found], below[found]
    cols, rows = col_per_m[found], row_per_m[found]
    col_0, row_0 = (one[found] if one.size > 1 else one for one in origin)

    def gap(z: Floats) -> Floats:
        drop = centre_z - z
        return z - _bilinear(surface.height_m, col_0 + cols * drop, row_0 + rows * drop)

    gap_high, gap_low = gap(high), gap(low)
    for turn in range(_REFINEMENTS):
        share = np.clip(gap_high / np.maximum(gap_high - gap_low, 1e-12), 0.02, 0.98)
        middle = high + (low - high) * (share if turn % 2 == 0 else 0.5)
        at = gap(middle)
        over = at > 0.0
        high, gap_high = np.where(over, middle, high), np.where(over, at, gap_high)
        low, gap_low = np.where(over, low, middle), np.where(over, gap_low, at)
    share = np.clip(gap_high / np.maximum(gap_high - gap_low, 1e-12), 0.0, 1.0)
    z = high + (low - high) * share
    drop = centre_z - z
    col, row = col_0 + cols * drop, row_0 + rows * drop
    shape = surface.window.shape
    inside = (col >= 0) & (row >= 0) & (col <= shape[1] - 1) & (row <= shape[0] - 1)
    out[found] = np.where(inside, z, np.nan)
    return out


def _bilinear(heights: Singles, col: Floats, row: Floats) -> Floats:
    rows, cols = heights.shape
    i = np.clip(np.floor(row).astype(np.int32), 0, rows - 2)
    j = np.clip(np.floor(col).astype(np.int32), 0, cols - 2)
    t, s = np.clip(row - i, 0.0, 1.0), np.clip(col - j, 0.0, 1.0)
    flat = heights.ravel()
    at = i.astype(np.int64) * cols + j
    a, b = flat[at], flat[at + 1]
    c, d = flat[at + cols], flat[at + cols + 1]
    return np.asarray((a + (b - a) * s) * (1 - t) + (c + (d - c) * s) * t)


def _quick_bilinear(heights: Singles, col: Floats, row: Floats) -> NDArray[np.float32]:
    """Interpolate bilinearly to 1/32 cell, enough to detect a crossing."""
    count = len(col)
    padded = -(-count // _CHUNK) * _CHUNK
    maps = np.zeros((2, padded), np.float32)
    maps[0, :count], maps[1, :count] = col, row
    out = cv2.remap(
        heights,
        maps[0].reshape(-1, _CHUNK),
        maps[1].reshape(-1, _CHUNK),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(out.ravel()[:count])


# -- Photos: colours, haze, cloud shadows, exposure ------------------------------------------------


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
            # seconds after the middle of the frame
            height = self.camera.image_size_px[1]
            readout: float = self.camera.readout_s or 0.0
            after = np.asarray(readout * ((np.arange(height) + 0.5) / height - 0.5))[:, None]
            rays = self.directions @ (rotation_from_angle_axis(after * motion.turn_radps) @ rotation)
            moved = after * motion.velocity_mps
        rays[..., 2] /= exterior.grid_scale
        return cast_image_rays(self.surface, exterior.projection_centre_m, rays, moved)

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
        # a slow swing and small jumps of the automatic exposure
        jump = np.random.default_rng([self.seed, 5, exposure.number]).normal() * 0.25
        # the fall-off of light towards the corners
        square = self.directions[..., 0] ** 2 + self.directions[..., 1] ** 2
        # cloud shadows, which drift over the ground, smooth over tens of metres
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
        light = (
            (1.2 * (1.0 + self.weather.drift * (math.sin(exposure.seconds / 47.0) + jump)))
            * np.asarray(moving, np.float32)
            * np.asarray(1.0 - _VIGNETTE * square / square.max(), np.float32)
        )
        centre = np.array(exposure.exterior.projection_centre_m)
        far = np.linalg.norm((points - centre).astype(np.float32), axis=-1)
        return light, np.exp(-self.weather.haze_per_m * np.asarray(np.nan_to_num(far, nan=1e3), np.float32))


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


# -- Video frames, rendered faster than photos on a lattice of rays --------------------------------
#
# Rays are cast for every `step_px`-th pixel of every `step_px`-th row. Between them the ground points are
# interpolated, which is exact to a fraction of a cell on open ground and smears the ground over two pixels at
# occluding edges (crowns, eaves); colours are read for every pixel. Light (exposure, cloud shadows,
# vignetting, haze) is smooth and computed on the same lattice. A plain frame, of far fewer rays, has the
# ground's colours without light, haze and lens.


STEP_PX, _PLAIN_STEP_PX = 2, 24
_LENS_BLUR_PX = 0.45


@dataclass(frozen=True, slots=True)
class VideoRenderer:
    """Renderer of video frames.

    coarse   casts rays at image points (step_px column, step_px row)
    size_px  (width, height) of the frames
    """

    coarse: Renderer
    size_px: tuple[int, int]
    step_px: int
    is_plain: bool

    def picture(self, exposure: Exposure) -> NDArray[np.uint8]:
        """Render an exposure, H×W×3 uint8 RGB."""
        points = self.coarse.coordinates(exposure)
        world = self.coarse.world
        col, row = world.window.to_cells(points[..., 0], points[..., 1])
        colour = cv2.remap(
            world.rgb,
            self._filled(np.nan_to_num(col)),
            self._filled(np.nan_to_num(row)),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        if self.is_plain:
            return np.asarray(colour)
        light, clear = self.coarse.light(exposure, points)
        linear = LINEAR[colour]
        linear *= self._filled(light * clear)[..., None]
        linear += self._filled(1.0 - clear)[..., None] * HAZE_COLOUR
        linear *= 4095.0
        np.clip(linear, 0.0, 4095.0, out=linear)
        return np.asarray(cv2.GaussianBlur(ENCODED[linear.astype(np.uint16)], (3, 3), _LENS_BLUR_PX))

    def _filled(self, coarse: Floats) -> Singles:
        """Interpolate values of the lattice to every pixel: H×W float32."""
        width, height = self.size_px
        rows, cols = coarse.shape
        # a lattice point is at pixel (step_px k); cv2.resize would place it otherwise, so the map is
        # explicit
        turn = np.array([[self.step_px, 0.0, 0.0], [0.0, self.step_px, 0.0]])
        out = cv2.warpAffine(
            coarse.astype(np.float32),
            turn,
            (self.step_px * cols, self.step_px * rows),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(out[:height, :width])


def prepare_video_renderer(
    world: DrillWorld,
    camera: InteriorOrientation,
    seed: int,
    weather: Weather | None = None,
    *,
    plain: bool = False,
) -> VideoRenderer:
    """Prepare everything that does not depend on the frame."""
    step_px = _PLAIN_STEP_PX if plain else STEP_PX
    width, height = camera.image_size_px
    cols, rows = width // step_px + 1, height // step_px + 1
    u, v = (step_px * index.astype(np.float64) for index in np.meshgrid(np.arange(cols), np.arange(rows)))
    base = prepare_renderer(world, camera, seed, weather)
    directions = np.stack(compute_ray_directions(camera, u, v), -1)
    return VideoRenderer(replace(base, directions=directions), camera.image_size_px, step_px, plain)
