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
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import camera_coordinates, distort, image_rays, valid_radius
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.footprint import view_range
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, grid_pixel_m
from flycam.geometry.interior import InteriorOrientation
from flycam.geometry.occlusion import HorizonScan, never_hidden
from flycam.geometry.planar import PlanarMap
from flycam.geometry.terrain import TerrainGrid, lowest_height, surface_heights
from flycam.geometry.viewing import pixel_quality

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_Scalar = TypeVar("_Scalar", bound=np.generic)

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
    box      T×4: rows and columns of the cells (first, last) outside which nothing is in the picture
    whole    every pixel is in the picture
    hidden   some node is hidden
    error_px largest measured interpolation error inside the picture (T)
    """

    step_px: int
    index: Indices
    map_uv: NDArray[np.float32]
    quality: NDArray[np.uint16]
    margin: NDArray[np.float32]
    box: Indices
    whole: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    error_px: Floats


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
        self._horizon: HorizonScan | None = None
        self._mean_focal = 0.5 * (interior.focal_length_px[0] + interior.focal_length_px[1])

    @property
    def horizon(self) -> HorizonScan:
        """The horizon scan of the frame, made when first needed (over gentle ground it never is)."""
        if self._horizon is None:
            forward, down = self.exterior.rotation[2], self.exterior.rotation[1]
            oblique = np.hypot(forward[0], forward[1]) > 0.1
            heading = (forward[0], forward[1]) if oblique else (-down[0], -down[1])
            centre = self.exterior.projection_centre_m
            self._horizon = HorizonScan(self.terrain, centre, self._corner_distance(), heading)
        return self._horizon

    def _corner_distance(self) -> float:
        """How far from the plumb line the corners look at the lowest ground, at most the range: it sets how
        fine the horizon's azimuths are, and depends on the frame alone."""
        width, height = self.interior.image_size_px
        corners = np.array([[0.0, 0.0], [width - 1.0, 0.0], [0.0, height - 1.0], [width - 1.0, height - 1.0]])
        rays = image_rays(self.interior, self.exterior, corners)
        drop = self.exterior.projection_centre_m[2] - lowest_height(self.terrain)
        level = np.hypot(rays[:, 0], rays[:, 1])
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(rays[:, 2] < 0.0, drop * level / -rays[:, 2], np.inf)
        return float(np.fmin(distance, self.reach_m).max())

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

    def take(self, tiles: Indices) -> _Looks:
        """The looks of some of the tiles."""
        return _Looks(
            self.east[tiles],
            self.north[tiles],
            self.height[tiles],
            self.distance2[tiles],
            self.u[tiles],
            self.v[tiles],
        )


@dataclass(frozen=True, slots=True)
class _Scale:
    step_px: int
    cell_m: float
    tolerance_px: float


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What to do with each tile: refine it, keep it, or (neither) leave it out of the picture."""

    next_step: Indices
    keep: NDArray[np.bool_]
    error_px: Floats
    touches: NDArray[np.bool_]


def lattice_of(
    view: View, places: TilePlaces, step_px: int, tolerance_px: float
) -> tuple[TileLattices, Indices]:
    """Lattices at one step of the tiles that touch the picture and are good enough, and for each place the
    step at which it must be tried next (0: it is finished, or does not see the frame).
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
    keep = np.flatnonzero(verdict.keep)
    u, v, margin = u[keep], v[keep], margin[keep]
    lattices = TileLattices(
        step_px=step_px,
        index=places.index[keep],
        map_uv=np.stack([u, v], axis=-1, dtype=np.float32, casting="same_kind"),
        quality=view.quality(nodes.take(keep)),
        margin=margin.astype(np.float32),
        box=_box(verdict.touches[keep]),
        whole=_whole(view, u, v),
        hidden=_per_tile(margin).min(axis=1) < 0.0,
        error_px=verdict.error_px[keep],
    )
    return lattices, verdict.next_step


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
    counts = touches & known
    silhouette: NDArray[np.bool_] = np.zeros(touches.shape[0], dtype=bool)
    if margin.min(initial=0.0) < 0.0:
        low_margin, high_margin = _extremes4(margin)
        counts &= high_margin >= 0.0
        if scale.cell_m > 0.5 * min(view.terrain.post_spacing_m):
            silhouette = _any(touches & (low_margin < 0.0) & (high_margin >= 0.0))
    tile_error = _per_tile(np.where(counts, error, 0.0)).max(axis=1)
    if scale.step_px == STEPS_PX[-1]:
        tile_error[:] = 0.0  # nodes are the pixels themselves
    rim = _any(touches & ~known) & (scale.step_px > _HOLE_STEP_PX)
    next_step = _next_step(scale, tile_error, silhouette | rim)
    keep = _any(touches) & (next_step == 0)
    return _Verdict(next_step, keep, tile_error, touches)


def _next_step(scale: _Scale, error_px: Floats, broken: NDArray[np.bool_]) -> Indices:
    """The step to try next, 0 for none. Interpolation errors fall with the square of the step where the
    ground is smooth, slower across its edges: steps that would fail even so are not tried."""
    next_step = np.where(broken, scale.step_px // 2, 0)
    for step in STEPS_PX[STEPS_PX.index(scale.step_px) + 1 :]:
        coarser = 2 * step
        best_case = error_px * (coarser / scale.step_px) ** 2
        next_step = np.where(best_case > scale.tolerance_px, step, next_step)
    return next_step.astype(np.int64)


def _box(touches: NDArray[np.bool_]) -> Indices:
    """Smallest block of cells that touches the picture: T×4 (first row, last row, first and last column)."""
    rows, cols = (np.asarray(touches.any(axis=a), dtype=np.bool_) for a in (2, 1))
    last = touches.shape[1] - 1
    ends = [(a.argmax(axis=1), last - a[:, ::-1].argmax(axis=1)) for a in (rows, cols)]
    return np.stack([*ends[0], *ends[1]], axis=-1)


def _whole(view: View, u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Tiles whose nodes all lie in the picture: interpolation stays between nodes, so every pixel does."""
    width, height = view.interior.image_size_px
    u, v = _per_tile(u), _per_tile(v)
    whole: NDArray[np.bool_] = (
        (u.min(axis=1) >= 0.0)
        & (u.max(axis=1) <= width - 1.0)
        & (v.min(axis=1) >= 0.0)
        & (v.max(axis=1) <= height - 1.0)
    )
    return whole


def _any(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(_per_tile(cells).any(axis=1), dtype=np.bool_)


def _per_tile(cells: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """T×rows×columns to T×(rows·columns): the reductions along the last axis are the fast ones."""
    return cells.reshape(cells.shape[0], cells.shape[1] * cells.shape[2])


def _mean4(nodes: Floats) -> Floats:
    rows = nodes[:, :-1] + nodes[:, 1:]
    mean: Floats = 0.25 * (rows[:, :, :-1] + rows[:, :, 1:])
    return mean


def _extremes4(nodes: Floats) -> tuple[Floats, Floats]:
    """Smallest and largest known of the four nodes of each cell."""
    low, high = np.fmin(nodes[:, :-1], nodes[:, 1:]), np.fmax(nodes[:, :-1], nodes[:, 1:])
    return np.fmin(low[:, :, :-1], low[:, :, 1:]), np.fmax(high[:, :, :-1], high[:, :, 1:])
