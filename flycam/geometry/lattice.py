"""Lattice of a frame over tiles: exact at its nodes, interpolated between.

Every tile has a lattice of its own, so that its bytes do not depend on which other tiles are computed.
Its nodes are the corners of cells of step×step pixels, which fill the tile: bilinear interpolation between
them is exactly what `cv2.resize` computes when it enlarges the nodes by the step. Adjacent tiles have the
same nodes on their common side. All arithmetic is element by element and all arrays of a tile always have
the same shape: no result depends on its neighbours.

The interpolation error is measured, not assumed: the exact projection at the centre of every lattice cell
(where bilinear interpolation is worst) is compared with the mean of the cell's four nodes. Where a few
quarters (64 pixels) of a tile are worse than the rest, across a cliff or a silhouette, only those get a
finer lattice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.frame_view import FrameBatch, FrameView
from flycam.geometry.grid import HALF_WORLD_M, TILE_SIZE_PX, TileRange, compute_grid_pixel_m

# -- Reductions over lattice cells of T tiles at once, in T×rows×columns arrays --------------------


Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_Scalar = TypeVar("_Scalar", bound=np.generic)


def reduce_squares(cells: NDArray[_Scalar], count: int, extreme: np.ufunc) -> NDArray[_Scalar]:
    """Return the extremes of T×n×n cells over count×count squares."""
    tiles, side = cells.shape[:2]
    m = side // count
    rows = extreme.reduce(cells.reshape(tiles, count, m, side), axis=2)
    found: NDArray[_Scalar] = extreme.reduce(rows.reshape(tiles, count, count, m), axis=3)
    return found


def find_touching_cells(touches: NDArray[np.bool_]) -> Indices:
    """Return the smallest block of cells that touches the image.

    T×4: first row, last row, first and last column.
    """
    rows, cols = (np.asarray(touches.any(axis=a), dtype=np.bool_) for a in (2, 1))
    last = touches.shape[1] - 1
    ends = [(a.argmax(axis=1), last - a[:, ::-1].argmax(axis=1)) for a in (rows, cols)]
    return np.stack([*ends[0], *ends[1]], axis=-1)


def compute_uv_bounds(u: Floats, v: Floats) -> NDArray[np.float32]:
    """Return the lowest and highest known u and v of T×rows×columns nodes.

    T×2×2, the extreme first.
    """
    ends = [[extreme.reduce(flatten_cells(a), axis=1) for a in (u, v)] for extreme in (np.fmin, np.fmax)]
    return np.moveaxis(np.array(ends, dtype=np.float32), 2, 0)


def reduce_any(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return T flags, True where any cell of a tile is True."""
    return np.asarray(flatten_cells(cells).any(axis=1), dtype=np.bool_)


def flatten_cells(cells: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """Reshape T×rows×columns to T×(rows·columns).

    Reductions along the last axis are the fast ones.
    """
    return cells.reshape(cells.shape[0], cells.shape[1] * cells.shape[2])


def interpolate_cell_centres(nodes: Floats) -> Floats:
    """Interpolate bilinearly at the centre of each cell, T×(rows-1)×(columns-1)."""
    rows = nodes[:, :-1] + nodes[:, 1:]
    mean: Floats = 0.25 * (rows[:, :, :-1] + rows[:, :, 1:])
    return mean


def compute_corner_extremes(nodes: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and largest known value of the four nodes of each cell."""
    low, high = np.fmin(nodes[:, :-1], nodes[:, 1:]), np.fmax(nodes[:, :-1], nodes[:, 1:])
    return np.fmin(low[:, :, :-1], low[:, :, 1:]), np.fmax(high[:, :, :-1], high[:, :, 1:])


# -- Lattices of frames over tiles -----------------------------------------------------------------


# Half a source pixel, reached only at kinks of the terrain; see decision 0009.
MAX_LATTICE_ERROR_PX = 0.5
STEPS_PX = (32, 16, 8, 4, 2, 1)
QUARTER_PX = 64
QUARTERS = TILE_SIZE_PX // QUARTER_PX
# If more quarters than this need a finer lattice, the whole tile gets it (one enlargement, not many), but
# none finer than step 8 (decision 0009).
_MAX_QUARTERS = 5
_TILE_STEP_PX = 8
# Nodes evaluated together: keeps intermediate arrays small and in the cache, for any range.
_NODES_AT_ONCE = 70_000
# Holes and the rim of the terrain are refined down to this step; their cells are dropped, not guessed.
_HOLE_STEP_PX = 8
# Image coordinates are cut here: far outside every image, and within the range of cv2.remap.
_FAR_PX = 30000.0
# A cell this near to the image counts as touching it, beyond twice its measured error.
_TOUCH_PX = 2.0
_ARRAYS = ("map_uv", "quality", "margin", "box", "reach_uv", "known", "hidden", "error_px")  # of TileLattices


@dataclass(frozen=True, kw_only=True)
class TileLattices:
    """Lattices of T tiles (or quarters) at one step.

    Node arrays are T×(n+1)×(n+1) with n = side / step. Node i lies at pixel i · step - 1/2 of the tile
    (or quarter); at step 1, at pixel i.

    index    number of the requested tile (T); of quarters: 16 × tile + 4 × row + column
    side_px  256 of tiles, 64 of quarters
    map_uv   T×(n+1)×(n+1)×2 float32, NaN where nothing is known; cut at ±30,000 px
    quality  uint16 node values
    margin   float32, metres above the line of sight (< 0 hidden)
    box      T×4: rows and columns of the cells (first, last) outside which nothing is in the image
    reach_uv T×2×2 float32, lowest and highest (u, v) of the known nodes
    known    all nodes are known
    hidden   some node is hidden
    error_px largest measured interpolation error inside the image (T)
    """

    step_px: int
    side_px: int
    index: Indices
    map_uv: NDArray[np.float32]
    quality: NDArray[np.uint16]
    margin: NDArray[np.float32]
    box: Indices
    reach_uv: NDArray[np.float32]
    known: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    error_px: Floats

    def take(self, which: NDArray[np.bool_] | slice, index: Indices) -> TileLattices:
        """Select some lattices under other numbers; of a slice, views."""
        arrays = {name: getattr(self, name)[which] for name in _ARRAYS}
        return TileLattices(step_px=self.step_px, side_px=self.side_px, index=index, **arrays)


@dataclass(frozen=True, slots=True)
class TilePositions:
    """Tiles of one zoom, or quarters of them.

    Columns and rows in the world's grid of squares of this side, the caller's number of each, and the number
    of the frame that views it (T).
    """

    z: int
    side_px: int
    x: Indices
    y: Indices
    index: Indices
    frame: Indices

    def __len__(self) -> int:
        return int(self.index.size)

    def take(self, which: NDArray[np.bool_] | slice) -> TilePositions:
        """Select some of the tiles."""
        x, y, index, frame = (one[which] for one in (self.x, self.y, self.index, self.frame))
        return TilePositions(self.z, self.side_px, x, y, index, frame)

    def quarters(self, which: NDArray[np.bool_]) -> TilePositions:
        """Select some of the tiles' quarters, by a mask T×4×4."""
        tile, row, column = np.nonzero(which)
        x, y = self.x[tile] * QUARTERS + column, self.y[tile] * QUARTERS + row
        index = (self.index[tile] * QUARTERS + row) * QUARTERS + column
        return TilePositions(self.z, QUARTER_PX, x, y, index, self.frame[tile])

    def merge(self, other: TilePositions) -> TilePositions:
        """Merge with others of the same zoom and side, ordered by their numbers."""
        order = np.argsort(np.concatenate([self.index, other.index]), kind="stable")
        x, y, index, frame = (
            np.concatenate(pair)[order]
            for pair in (
                (self.x, other.x),
                (self.y, other.y),
                (self.index, other.index),
                (self.frame, other.frame),
            )
        )
        return TilePositions(self.z, self.side_px, x, y, index, frame)

    def mercator(self, offset_px: Floats) -> tuple[Floats, Floats]:
        """Return EPSG:3857 coordinates at offsets from the north-west corners.

        Abscissae T×1×N and ordinates T×N×1.
        """
        res = compute_grid_pixel_m(self.z)
        x = (self.x[:, None] * self.side_px + offset_px) * res - HALF_WORLD_M
        y = HALF_WORLD_M - (self.y[:, None] * self.side_px + offset_px) * res
        return x[:, None, :], y[:, :, None]


@dataclass(frozen=True, slots=True)
class _Scale:
    step_px: int
    side_px: int
    cell_m: float
    tolerance_px: float


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Decision for each place.

    Refine it, keep it, or (neither) drop it as outside the image.

    next_step  step to try next (T); 0: none
    quarters   step to try next in each quarter of a tile that is kept (T×4×4); 0: it is good
    """

    next_step: Indices
    quarters: Indices
    keep: NDArray[np.bool_]
    error_px: Floats
    touches: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FrameLattices:
    """Lattices of a frame: of tiles, and of quarters that need a finer one."""

    tiles: list[TileLattices]
    quarters: list[TileLattices]

    @property
    def finest_step_px(self) -> int:
        """Finest step that was needed; 0 if no tile is in the frame."""
        return min((one.step_px for one in (*self.tiles, *self.quarters)), default=0)

    @property
    def largest_error_px(self) -> float:
        """Largest interpolation error measured inside the image."""
        return max((float(one.error_px.max()) for one in (*self.tiles, *self.quarters)), default=0.0)

    @property
    def size_bytes(self) -> int:
        """Memory of the arrays."""
        every = (*self.tiles, *self.quarters)
        return sum(one.index.nbytes + sum(getattr(one, a).nbytes for a in _ARRAYS) for one in every)

    def split(self, counts: Sequence[int]) -> Iterator[FrameLattices]:
        """Yield each frame's own lattices from those of several frames numbered through.

        counts  number of tiles of each frame

        Each is numbered in its own tiles, and shares the memory of all.
        """
        stops = np.cumsum(counts)
        for first, stop in zip((stops - counts).tolist(), stops.tolist(), strict=True):

            def some(lattices: list[TileLattices], parts: int, first: int, stop: int) -> list[TileLattices]:
                found = []
                for one in lattices:
                    here = slice(*np.searchsorted(one.index, (first * parts, stop * parts)).tolist())
                    if here.start < here.stop:
                        found.append(one.take(here, one.index[here] - first * parts))
                return found

            quarters = some(self.quarters, QUARTERS * QUARTERS, first, stop)
            yield FrameLattices(some(self.tiles, 1, first, stop), quarters)

    def restrict(self, source_range: TileRange, tiles: TileRange, wanted: NDArray[np.bool_]) -> FrameLattices:
        """Return the lattices of the wanted tiles of another range, numbered in that one.

        source_range  range that these lattices were made for
        wanted        flags of the tiles of `tiles`, row by row
        """

        def some(lattices: list[TileLattices], parts: int) -> list[TileLattices]:
            found = []
            for one in lattices:
                tile, part = np.divmod(one.index, parts)
                row, col = np.divmod(tile, source_range.shape_tiles[1])
                row, col = (
                    row + (source_range.y_start - tiles.y_start),
                    col + (source_range.x_start - tiles.x_start),
                )
                rows, cols = tiles.shape_tiles
                which = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
                number = np.where(which, row * cols + col, 0)
                which &= wanted[number]
                if which.any():
                    found.append(one.take(which, (number * parts + part)[which]))
            return found

        return FrameLattices(some(self.tiles, 1), some(self.quarters, QUARTERS * QUARTERS))


def build_frame_lattices(
    view: FrameView, tiles: TileRange, tolerance_px: float, wanted: NDArray[np.bool_] | None = None
) -> FrameLattices:
    """Build the lattices of all tiles that the frame sees.

    Coarse steps come first; every tile comes once.

    wanted  flags of the requested tiles, row by row; None: all
    """
    return _lattices_at(FrameBatch([view]), _places_in([tiles], [wanted]), tolerance_px)


def build_joint_lattices(
    views: Sequence[FrameView], tiles: Sequence[TileRange], tolerance_px: float
) -> FrameLattices:
    """Build the lattices of several compatible frames over tiles of one zoom.

    Each as `build_frame_lattices`. The frames must form a `FrameBatch` (`group_compatible_views`). Numbered
    through the tiles of the first frame, then those of the second, and so on: see `FrameLattices.split`.
    """
    return _lattices_at(FrameBatch(views), _places_in(tiles, [None] * len(tiles)), tolerance_px)


def _places_in(tiles: Sequence[TileRange], wanted: Sequence[NDArray[np.bool_] | None]) -> TilePositions:
    """Return the requested tiles of several frames' ranges, numbered through."""
    x, y, index, frame, first = [], [], [], [], 0
    for number, (one, mask) in enumerate(zip(tiles, wanted, strict=True)):
        within = np.arange(len(one)) if mask is None else np.flatnonzero(mask)
        row, column = np.divmod(within, one.shape_tiles[1])
        x.append(one.x_start + column)
        y.append(one.y_start + row)
        index.append(first + within)
        frame.append(np.full(within.size, number))
        first += len(one)
    every = (np.concatenate(parts) for parts in (x, y, index, frame))
    return TilePositions(tiles[0].z, TILE_SIZE_PX, *every)


def _lattices_at(sights: FrameBatch, tiles: TilePositions, tolerance_px: float) -> FrameLattices:
    due = dict.fromkeys(STEPS_PX, tiles.take(slice(0)))
    due[STEPS_PX[0]] = tiles
    due_quarters = {step: due[step].quarters(np.zeros((0, QUARTERS, QUARTERS), bool)) for step in STEPS_PX}
    found = FrameLattices([], [])
    for step in STEPS_PX:
        for places in _chunks(due[step], step):
            good, verdict = build_tile_lattices(sights, places, step, tolerance_px)
            found.tiles.extend([good] if good.index.size else [])
            for finer in _steps_in(verdict.next_step):
                due[finer] = due[finer].merge(places.take(verdict.next_step == finer))
            for finer in _steps_in(verdict.quarters):
                due_quarters[finer] = due_quarters[finer].merge(places.quarters(verdict.quarters == finer))
        for places in _chunks(due_quarters[step], step):
            good, verdict = build_tile_lattices(sights, places, step, tolerance_px)
            found.quarters.extend([good] if good.index.size else [])
            for finer in _steps_in(verdict.next_step):
                due_quarters[finer] = due_quarters[finer].merge(places.take(verdict.next_step == finer))
    return found


def _steps_in(steps_px: Indices) -> list[int]:
    """Return the steps that are due; 0 is none."""
    return [step for step in set(steps_px.ravel().tolist()) if step]


def _chunks(places: TilePositions, step_px: int) -> Iterator[TilePositions]:
    at_once = max(1, _NODES_AT_ONCE // (places.side_px // step_px + 1) ** 2)
    for start in range(0, len(places), at_once):
        yield places.take(slice(start, start + at_once))


def build_tile_lattices(
    sights: FrameBatch, places: TilePositions, step_px: int, tolerance_px: float
) -> tuple[TileLattices, _Verdict]:
    """Build lattices at one step, and decide what to do with each place.

    Returns the lattices of the places that touch the image and are good enough, and the decisions.
    """
    count = places.side_px // step_px
    # offsets of pixel corners are half a pixel less than those of pixel centres
    corner: Floats = np.arange(count + 1, dtype=np.float64) * step_px + (0.5 if step_px == 1 else 0.0)
    nodes = sights.project(*places.mercator(corner), places.frame)
    centres = sights.project(*places.mercator(corner[:-1] + 0.5 * step_px), places.frame)
    u, v = np.clip(nodes.u, -_FAR_PX, _FAR_PX), np.clip(nodes.v, -_FAR_PX, _FAR_PX)
    margin = sights.margin(nodes)
    scale = _Scale(step_px, places.side_px, step_px * compute_grid_pixel_m(places.z), tolerance_px)
    verdict = _judge(sights, scale, (u, v), (centres.u, centres.v), margin)
    keep = np.flatnonzero(verdict.keep)
    u, v, margin = u[keep], v[keep], margin[keep]
    lattices = TileLattices(
        step_px=step_px,
        side_px=places.side_px,
        index=places.index[keep],
        map_uv=np.stack([u, v], axis=-1, dtype=np.float32, casting="same_kind"),
        quality=sights.quality(nodes.take(keep)),
        margin=margin.astype(np.float32),
        box=find_touching_cells(verdict.touches[keep]),
        reach_uv=compute_uv_bounds(u, v),
        known=~reduce_any(np.isnan(u)),
        hidden=flatten_cells(margin).min(axis=1) < 0.0,
        error_px=verdict.error_px[keep],
    )
    return lattices, verdict


def _judge(
    sights: FrameBatch,
    scale: _Scale,
    nodes: tuple[Floats, Floats],
    centres: tuple[Floats, Floats],
    margin: Floats,
) -> _Verdict:
    width, height = sights.interior.image_size_px
    du, dv = (c - interpolate_cell_centres(n) for n, c in zip(nodes, centres, strict=True))
    error = np.sqrt(du * du + dv * dv)
    known = np.isfinite(error)
    slack = np.where(known, 2.0 * error, 0.0) + _TOUCH_PX
    low_u, high_u = compute_corner_extremes(nodes[0])
    low_v, high_v = compute_corner_extremes(nodes[1])
    touches = (low_u <= width - 1.0 + slack) & (high_u >= -slack)
    touches &= (low_v <= height - 1.0 + slack) & (high_v >= -slack)
    counts, broken = touches & known, np.zeros(touches.shape, dtype=bool)
    if margin.min(initial=0.0) < 0.0:
        low_margin, high_margin = compute_corner_extremes(margin)
        counts &= high_margin >= 0.0
        if scale.cell_m > 0.5 * min(sights.terrain.post_spacing_m):
            broken |= touches & (low_margin < 0.0) & (high_margin >= 0.0)
    if scale.step_px > _HOLE_STEP_PX:
        broken |= touches & ~known
    error = np.where(counts, error, 0.0)
    if scale.step_px == STEPS_PX[-1]:
        # nodes are the pixels themselves
        error[:] = 0.0
    return _verdict(scale, error, broken, touches)


def _verdict(
    scale: _Scale, error_px: Floats, broken: NDArray[np.bool_], touches: NDArray[np.bool_]
) -> _Verdict:
    """Decide on tiles from their cells.

    The whole tile is refined if many quarters need it, else only those.
    """
    count = scale.side_px // QUARTER_PX
    worst = reduce_squares(error_px, count, np.maximum)
    torn = reduce_squares(broken, count, np.logical_or)
    wanting = np.where(torn, np.maximum(worst, np.nextafter(scale.tolerance_px, np.inf)), worst)
    if count == 1:
        next_step = _next_step(scale, wanting[:, 0, 0])
        quarters = np.zeros(wanting.shape, dtype=np.int64)
        # a quarter outside the image is kept too: it overrides the tile's coarse lattice
        keep = next_step == 0
    else:
        ranked = np.sort(flatten_cells(wanting), axis=1)
        next_step = np.maximum(_next_step(scale, ranked[:, -1 - _MAX_QUARTERS]), _TILE_STEP_PX)
        next_step[(ranked[:, -1 - _MAX_QUARTERS] <= scale.tolerance_px) | (next_step >= scale.step_px)] = 0
        quarters = np.where((next_step == 0)[:, None, None], _next_step(scale, wanting), 0)
        keep = reduce_any(touches) & (next_step == 0)
    error = flatten_cells(np.where(quarters > 0, 0.0, worst)).max(axis=1)
    return _Verdict(next_step, quarters, keep, error, touches)


def _next_step(scale: _Scale, error_px: Floats) -> Indices:
    """Return the step to try next, 0 for none.

    Interpolation errors fall with the square of the step where the ground is smooth, slower across its edges:
    steps that would fail even so are not tried.
    """
    next_step = np.zeros(error_px.shape, dtype=np.int64)
    for step in STEPS_PX[STEPS_PX.index(scale.step_px) + 1 :]:
        coarser = 2 * step
        best_case = error_px * (coarser / scale.step_px) ** 2
        next_step = np.where(best_case > scale.tolerance_px, step, next_step)
    return next_step
