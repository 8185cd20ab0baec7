"""The lattice of one frame over the tiles: exact where its nodes are, measured in between.

Every tile has a lattice of its own, so that its bytes do not depend on which other tiles are asked for.
Its nodes are the centres of blocks of step×step pixels, one block beyond the tile on each side: bilinear
interpolation between block centres is what `cv2.resize` computes, exactly, when it enlarges the nodes by
the step. All arithmetic is element by element and all arrays of a tile have the same shape always: no
result depends on its neighbours.

How good the interpolation is, is measured and not assumed: the exact projection at the middle of every
lattice cell (where bilinear interpolation is worst) is compared with the mean of the cell's four nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import camera_coordinates, distort, valid_radius
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import view_range
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, grid_pixel_m
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.occlusion import HorizonScan, never_hidden
from flycam.geometry.planar import PlanarMap
from flycam.geometry.terrain import TerrainGrid, surface_heights
from flycam.geometry.viewing import pixel_quality

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

STEPS_PX = (32, 16, 8, 4, 2, 1)
# Holes and the rim of the terrain are followed down to this step; their cells are lost, not guessed.
_HOLE_STEP_PX = 8
# Image coordinates are cut here: far outside every picture, and inside what cv2.remap can take.
_FAR_PX = 30000.0
# Ground this far beside the picture gets a visibility too, so that cells across the border have four.
_BESIDE_PX = 64.0
_TOUCH_PX = 2.0


@dataclass(frozen=True, kw_only=True)
class TileLattices:
    """Lattices of T tiles at one step, node arrays T×(n+2)×(n+2) with n = 256 / step.

    index    which of the tiles asked for (T)
    map_uv   T×(n+2)×(n+2)×2 float32, NaN where nothing is known; cut at ±30,000 px
    quality  uint16 node values
    margin   float32, metres above the line of sight (< 0 hidden)
    error_px largest measured interpolation error inside the picture (T)
    """

    step_px: int
    index: Indices
    map_uv: NDArray[np.float32]
    quality: NDArray[np.uint16]
    margin: NDArray[np.float32]
    error_px: Floats

    def take(self, keep: NDArray[np.bool_]) -> TileLattices:
        """The lattices of some of the tiles."""
        return TileLattices(
            step_px=self.step_px,
            index=self.index[keep],
            map_uv=self.map_uv[keep],
            quality=self.quality[keep],
            margin=self.margin[keep],
            error_px=self.error_px[keep],
        )


@dataclass(frozen=True, slots=True)
class TilePlaces:
    """Tiles of one zoom: their columns and rows in the world's grid, and the caller's number of each (T)."""

    z: int
    x: Indices
    y: Indices
    index: Indices

    def __len__(self) -> int:
        return int(self.index.size)

    def take(self, which: NDArray[np.bool_] | slice) -> TilePlaces:
        """Some of the tiles."""
        return TilePlaces(self.z, self.x[which], self.y[which], self.index[which])

    def mercator(self, offset_px: Floats) -> tuple[Floats, Floats]:
        """EPSG:3857 abscissae T×1×N and ordinates T×N×1 at offsets from the tiles' north-west corners."""
        res = grid_pixel_m(self.z)
        x = (self.x[:, None] * TILE_SIZE_PX + offset_px) * res - HALF_WORLD_M
        y = HALF_WORLD_M - (self.y[:, None] * TILE_SIZE_PX + offset_px) * res
        return x[:, None, :], y[:, :, None]


class View:
    """One frame over one terrain: looks from any ground point of the tile grid into the picture."""

    def __init__(
        self,
        interior: InteriorOrientation,
        exterior: ExteriorOrientation,
        terrain: TerrainGrid,
        to_work: PlanarMap,
        max_range_m: float | None,
    ) -> None:
        self.interior, self.exterior = interior, exterior
        self.terrain, self.to_work = terrain, to_work
        self.reach_m = view_range(exterior, terrain) if max_range_m is None else max_range_m
        forward = exterior.rotation[2]
        up = exterior.rotation[1]
        level = np.hypot(forward[0], forward[1])
        heading = (forward[0], forward[1]) if level > 0.1 else (-up[0], -up[1])
        self.horizon = HorizonScan(terrain, exterior.projection_centre_m, self.reach_m, heading)
        self._mean_focal = 0.5 * (interior.focal_length_px[0] + interior.focal_length_px[1])

    def image_of(self, x: Floats, y: Floats) -> _Looks:
        """Image points of ground at mercator abscissae and ordinates that broadcast."""
        east, north = self.to_work.mesh(x, y)
        height = surface_heights(self.terrain, east, north)
        xc, yc, depth = camera_coordinates(self.exterior, east, north, height)
        distance2 = xc * xc + yc * yc + depth * depth
        seen = (depth > 0.0) & (distance2 <= self.reach_m * self.reach_m)
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / depth
            xn, yn = xc * inverse, yc * inverse
            limit = valid_radius(self.interior)
            if np.isfinite(limit):
                seen &= xn * xn + yn * yn <= limit * limit
            if not seen.all():
                xn = np.where(seen, xn, np.nan)
            u, v = distort(self.interior, xn, yn)
        return _Looks(east, north, height, distance2, u, v)

    def quality(self, looks: _Looks) -> NDArray[np.uint16]:
        """Quality 1..65535 of the looks (see `viewing.pixel_quality`)."""
        distance = np.sqrt(looks.distance2)
        drop = (self.exterior.projection_centre_m[2] - looks.height) * self.exterior.grid_scale
        with np.errstate(invalid="ignore"):
            return pixel_quality(
                self.interior, looks.u, looks.v, drop / distance, distance * (1.0 / self._mean_focal)
            )

    def margin(self, looks: _Looks) -> Floats:
        """Visibility margins; 0 where no slope can hide the point, and far beside the picture."""
        width, height = self.interior.image_size_px
        asked = (
            (looks.u > -_BESIDE_PX)
            & (looks.u < width + _BESIDE_PX)
            & (looks.v > -_BESIDE_PX)
            & (looks.v < height + _BESIDE_PX)
        )
        free = never_hidden(
            self.terrain, self.exterior.projection_centre_m, looks.east, looks.north, looks.height
        )
        margin = np.zeros(looks.u.shape)
        unsure = asked & ~free
        if unsure.any():
            margin[unsure] = self.horizon.margin(
                looks.east[unsure], looks.north[unsure], looks.height[unsure]
            )
        return margin


@dataclass(frozen=True, slots=True)
class _Looks:
    east: Floats
    north: Floats
    height: Floats
    distance2: Floats
    u: Floats
    v: Floats


@dataclass(frozen=True, slots=True)
class _Scale:
    step_px: int
    cell_m: float
    tolerance_px: float


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What to do with each tile: refine it, keep it, or (neither) leave it out of the picture."""

    refine: NDArray[np.bool_]
    keep: NDArray[np.bool_]
    error_px: Floats


def lattice_of(
    view: View, places: TilePlaces, step_px: int, tolerance_px: float
) -> tuple[TileLattices, TilePlaces]:
    """Lattices at one step of the tiles that touch the picture and are good enough, and the places of
    those that must be refined. Tiles in neither do not see the frame.
    """
    count = TILE_SIZE_PX // step_px
    block: Floats = (np.arange(count + 2, dtype=np.float64) - 0.5) * step_px
    between: Floats = np.arange(count + 1, dtype=np.float64) * step_px
    nodes = view.image_of(*places.mercator(block))
    centres = view.image_of(*places.mercator(between))
    u, v = np.clip(nodes.u, -_FAR_PX, _FAR_PX), np.clip(nodes.v, -_FAR_PX, _FAR_PX)
    margin = view.margin(nodes)
    scale = _Scale(step_px, step_px * grid_pixel_m(places.z), tolerance_px)
    verdict = _judge(view, scale, (u, v), (centres.u, centres.v), margin)
    lattices = TileLattices(
        step_px=step_px,
        index=places.index,
        map_uv=np.stack([u, v], axis=-1, dtype=np.float32, casting="same_kind"),
        quality=view.quality(nodes),
        margin=margin.astype(np.float32),
        error_px=verdict.error_px,
    )
    return lattices.take(verdict.keep), places.take(verdict.refine)


def _judge(
    view: View,
    scale: _Scale,
    nodes: tuple[Floats, Floats],
    centres: tuple[Floats, Floats],
    margin: Floats,
) -> _Verdict:
    width, height = view.interior.image_size_px
    du, dv = (c - _mean4(n) for n, c in zip(nodes, centres, strict=True))
    error = np.sqrt(du * du + dv * dv)
    known = np.isfinite(error)
    slack = np.where(known, 2.0 * error, 0.0) + _TOUCH_PX
    low_u, high_u = _extremes4(nodes[0])
    low_v, high_v = _extremes4(nodes[1])
    touches = (low_u <= width - 1.0 + slack) & (high_u >= -slack)
    touches &= (low_v <= height - 1.0 + slack) & (high_v >= -slack)
    low_margin, high_margin = _extremes4(margin)
    worst = np.where(touches & known & (high_margin >= 0.0), error, 0.0)
    tile_error = worst.reshape(worst.shape[0], -1).max(axis=1)
    refine = tile_error > scale.tolerance_px
    if scale.step_px > _HOLE_STEP_PX:
        refine |= _any(touches & ~known)
    if scale.cell_m > 0.5 * min(view.terrain.post_spacing_m):
        refine |= _any(touches & (low_margin < 0.0) & (high_margin >= 0.0))
    if scale.step_px == STEPS_PX[-1]:
        refine[:], tile_error = False, np.zeros_like(tile_error)
    return _Verdict(refine=refine, keep=_any(touches) & ~refine, error_px=tile_error)


def _any(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(cells.reshape(cells.shape[0], -1).any(axis=1), dtype=np.bool_)


def _mean4(nodes: Floats) -> Floats:
    rows = nodes[:, :-1] + nodes[:, 1:]
    mean: Floats = 0.25 * (rows[:, :, :-1] + rows[:, :, 1:])
    return mean


def _extremes4(nodes: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest known of the four nodes of each cell."""
    low, high = np.fmin(nodes[:, :-1], nodes[:, 1:]), np.fmax(nodes[:, :-1], nodes[:, 1:])
    return np.fmin(low[:, :, :-1], low[:, :, 1:]), np.fmax(high[:, :, :-1], high[:, :, 1:])
