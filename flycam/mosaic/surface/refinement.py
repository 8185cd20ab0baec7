"""Refinement of a surface: coarse sweep, fine sweep, filtering, gap filling.

Block by block of ground, each a pure function of its views and the terrain: the result does not depend on
the number of threads, and memory does not grow with the flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import transform_to_camera
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.mosaic.surface.gap_filling import fill_heights
from flycam.mosaic.surface.laying_surface import find_nadir_views, fit_laying_surface
from flycam.mosaic.surface.plan import (
    PostBlock,
    PostGrid,
    SurfaceOptions,
    SurfacePlan,
    plan_surface,
    sample_terrain_posts,
    split_blocks,
)
from flycam.mosaic.surface.plane_sweep import (
    MatchImageCache,
    PixelsOf,
    SurfaceView,
    ViewSampler,
    choose_views,
    compute_agreement,
    compute_likeness,
    count_views,
)
from flycam.mosaic.surface.surface import Surface, assemble_surface

# -- Height search ranges: around tie points first, then around the coarse sweep -------------------


Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Tie points are sparse: ground and objects between them may be lower or higher by this much.
_BELOW_TIES_M, _ABOVE_TIES_M = 5.0, 12.0
_TIES_WITHIN_M = 40.0
_FEW_TIES = 8
# The fine sweep extends this far beyond the coarse heights nearby, in coarse steps of about a post.
_BEYOND_SPACINGS = 4.0
# Trees and houses narrower than this do not bend the base that windows follow.
_OPENING_M, _SMOOTH_M = 12.0, 8.0


@dataclass(frozen=True, slots=True)
class SearchRange:
    """Heights over the base to search.

    In all of a block, and post by post (rows×cols; None: the same).
    """

    low_m: float
    high_m: float
    lows_m: Singles | None = None
    highs_m: Singles | None = None


@dataclass(frozen=True, slots=True)
class TieOffsets:
    """Heights of tie points above the terrain: places K×2 and offsets K, metres."""

    places_m: Floats
    offsets_m: Floats

    def around(self, posts: PostGrid, block: PostBlock, options: SurfaceOptions) -> SearchRange:
        """Return the range of the offsets near a block.

        Of all offsets where there are few; of the options without any.
        """
        if self.offsets_m.size < _FEW_TIES:
            return SearchRange(-options.below_m, options.above_m)
        east, north = posts.axes(block.rows, block.cols)
        e, n = self.places_m.T
        near = (e > east[0] - _TIES_WITHIN_M) & (e < east[-1] + _TIES_WITHIN_M)
        near &= (n < north[0] + _TIES_WITHIN_M) & (n > north[-1] - _TIES_WITHIN_M)
        offsets = self.offsets_m[near] if near.sum() >= _FEW_TIES else self.offsets_m
        low, high = np.percentile(offsets, (1.0, 99.0))
        return SearchRange(float(low) - _BELOW_TIES_M, float(high) + _ABOVE_TIES_M)


def compute_tie_offsets(terrain: TerrainGrid, ties_m: Floats | None) -> TieOffsets:
    """Return offsets of tie points N×3 from the terrain.

    Those without a position or terrain are left out.
    """
    if ties_m is None or not len(ties_m):
        return TieOffsets(np.empty((0, 2)), np.empty(0))
    offsets = ties_m[:, 2] - interpolate_heights(terrain, ties_m[:, :2])
    known = np.isfinite(offsets)
    return TieOffsets(ties_m[known, :2], offsets[known])


@dataclass(frozen=True, slots=True)
class FineSearch:
    """Search of the fine sweep, on its posts.

    base_m           base that the windows follow, over the terrain
    lows_m, highs_m  over that base
    """

    base_m: Singles
    lows_m: Singles
    highs_m: Singles

    def around(self, block: PostBlock) -> SearchRange:
        """Return the range in a block's window."""
        lows, highs = (extract_padded_window(a, block.rows, block.cols) for a in (self.lows_m, self.highs_m))
        return SearchRange(float(lows.min()), float(highs.max()), lows, highs)


def make_fine_search(coarse_dz_m: Singles, coarse: PostGrid, fine: PostGrid) -> FineSearch:
    """Make the fine search from the coarse sweep's heights over the terrain.

    NaN: none, the terrain is used.
    """
    dz = np.nan_to_num(coarse_dz_m, nan=0.0).astype(np.float32)
    dz = np.asarray(cv2.medianBlur(dz, 5), np.float32)
    width = 2 * max(round(_OPENING_M / coarse.spacing_m / 2.0), 1) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    opened = cv2.morphologyEx(dz, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_REPLICATE)
    base = cv2.GaussianBlur(opened, (0, 0), _SMOOTH_M / coarse.spacing_m, borderType=cv2.BORDER_REPLICATE)
    near = np.ones((5, 5), np.uint8)
    beyond = np.float32(_BEYOND_SPACINGS * fine.spacing_m)
    low = cv2.erode(dz, near, borderType=cv2.BORDER_REPLICATE) - beyond
    high = cv2.dilate(dz, near, borderType=cv2.BORDER_REPLICATE) + beyond
    base_f, low_f, high_f = (
        resample_posts(np.asarray(a, np.float32), coarse, fine) for a in (base, low, high)
    )
    return FineSearch(base_f, low_f - base_f, high_f - base_f)


def resample_posts(values: Singles, source: PostGrid, target: PostGrid) -> Singles:
    """Resample bilinearly from one post grid to another; the rim is extended."""
    scale = target.spacing_m / source.spacing_m
    col = (target.west_m - source.west_m) / source.spacing_m
    row = (source.north_m - target.north_m) / source.spacing_m
    matrix = np.array([[scale, 0.0, col], [0.0, scale, row]])
    rows, cols = target.shape
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(values, matrix, (cols, rows), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def extract_padded_window(values: Singles, rows: slice, cols: slice) -> Singles:
    """Extract a window that may reach beyond the array; the rim is extended."""
    row = np.clip(np.arange(rows.start, rows.stop), 0, values.shape[0] - 1)
    col = np.clip(np.arange(cols.start, cols.stop), 0, values.shape[1] - 1)
    window: Singles = values[row[:, None], col[None, :]]
    return window


# -- Semi-global aggregation of an agreement volume ------------------------------------------------
#
# Smooth where the images have no texture, with steps where they show them. Hirschmüller, Stereo processing by
# semi-global matching and mutual information, PAMI 30(2), 2008; here over heights above ground posts instead
# of disparities, a whole scan line of posts at a time.


def aggregate_costs(cost: Singles, small: float, large: float) -> Singles:
    """Return the mean of the path costs over four directions.

    cost   heights×rows×cols, lower is better
    small  penalty for a change by one step of height between neighbours
    large  penalty for a larger one

    Returns the shape of cost.
    """
    total = _both_ways(cost, small, large)
    turned = np.ascontiguousarray(cost.transpose(0, 2, 1))
    total += _both_ways(turned, small, large).transpose(0, 2, 1)
    total *= np.float32(0.25)
    return total


def _both_ways(cost: Singles, small: float, large: float) -> Singles:
    """Sum the path costs down and up the rows."""
    total = np.zeros_like(cost)
    rows = cost.shape[1]
    for order in (range(rows), range(rows - 1, -1, -1)):
        path: Singles | None = None
        for row in order:
            path = _step(path, cost[:, row], np.float32(small), np.float32(large))
            total[:, row] += path
    return total


def _step(before: Singles | None, cost: Singles, small: np.float32, large: np.float32) -> Singles:
    if before is None:
        return cost.copy()
    lowest = before.min(axis=0)
    best = np.minimum(before, lowest + large)
    raised = before + small
    np.minimum(best[1:], raised[:-1], out=best[1:])
    np.minimum(best[:-1], raised[1:], out=best[:-1])
    best += cost
    best -= lowest
    result: Singles = best
    return result


# -- Height of each post from a volume of agreements, with its reliability -------------------------


# Penalties of the aggregation, in units of agreement (a correlation): a change by one step, and by more.
STEP_PENALTY, JUMP_PENALTY = 0.05, 0.4
# Labels this near to the winner belong to its own peak.
_PEAK_LABELS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class BestHeights:
    """Heights of posts (rows×cols).

    dz_m       over the base
    agreement  at that height
    margin     agreement above the best one elsewhere (negative: another height is better)
    curvature  of the agreement at its peak, per square metre, >= 0
    """

    dz_m: Singles
    agreement: Singles
    margin: Singles
    curvature: Singles


def select_best_heights(volume: Singles, heights_m: Singles) -> BestHeights:
    """Aggregate an agreement volume (heights×rows×cols) and select the best heights.

    To a fraction of a step.
    """
    total = aggregate_costs(np.float32(1.0) - volume, STEP_PENALTY, JUMP_PENALTY)
    best = total.argmin(axis=0)
    last = heights_m.size - 1
    inner = np.clip(best, 1, last - 1)
    step = np.float32(heights_m[1] - heights_m[0])

    def take(cube: Singles, label: NDArray[np.intp]) -> Singles:
        return np.asarray(np.take_along_axis(cube, label[None], axis=0)[0], np.float32)

    below, here, above = (take(total, inner + k) for k in (-1, 0, 1))
    bend = below - 2.0 * here + above
    part = np.where(bend > 1e-6, 0.5 * (below - above) / np.maximum(bend, 1e-6), 0.0)
    part = np.where(best == inner, np.clip(part, -0.5, 0.5), 0.0)
    low, mid, high = (take(volume, inner + k) for k in (-1, 0, 1))
    curvature = np.maximum(2.0 * mid - low - high, 0.0) / (step * step)
    elsewhere = np.full_like(mid, -1.0)
    for label in range(heights_m.size):
        away = np.abs(best - label) > _PEAK_LABELS
        np.maximum(elsewhere, volume[label], out=elsewhere, where=away)
    agreement = take(volume, best)
    return BestHeights(
        dz_m=(heights_m[best] + part * step).astype(np.float32),
        agreement=agreement,
        margin=agreement - elsewhere,
        curvature=curvature.astype(np.float32),
    )


# -- Refinement of a surface -----------------------------------------------------------------------

Progress = Callable[[str, int, int], None]

_CORE_POSTS, _MARGIN_POSTS = 144, 16
# Side of an image's pixel on the ground, in spacings of the posts.
_PIXEL_SPACINGS = 0.8
# A height step moves the image points of a view, against the mean of all, by this many spacings (RMS).
_STEP_SPACINGS = 0.3
_MAX_LABELS, _MIN_LABELS = 160, 5
# Side of the square in which images at the heights found are compared.
_LAYING_POSTS = 17
# Agreement subtracted at heights outside a post's own range.
_OUT_OF_RANGE = np.float32(0.5)
# Agreement below which the coarse sweep's heights are not used.
_MIN_COARSE_AGREEMENT = 0.12


def discard_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


def refine_surface(
    views: Sequence[SurfaceView],
    pixels_of: PixelsOf,
    terrain: TerrainGrid,
    *,
    ties_m: Floats | None = None,
    spacing_m: float,
    options: SurfaceOptions = SurfaceOptions(),  # noqa: B008 - frozen
    workers: int = 2,
    progress: Progress = discard_progress,
    elsewhere: Callable[[SweepLevel], Iterable[SweptBlock]] | None = None,
) -> Surface:
    """Refine the surface from the views, on posts `spacing_m` apart.

    views      in one work CRS and vertical datum, those of the terrain
    pixels_of  returns H×W×3 uint8 RGB of a frame_id; may be called more than once for a frame and from
               `workers` threads
    ties_m     N×3 (east, north, height): tie points that narrow the search
    progress   (stage, blocks done, blocks in all)
    elsewhere  sweeps the blocks of a level, in any order, instead of threads here

    The surface covers all ground that a view sees on the terrain; where no two views make a base or the
    images have no texture, it is the terrain, corrected by the error found on supported ground
    (`correct_terrain`), and has no support. Raises OutsideTerrain where no view sees the terrain at all, and
    what `pixels_of` raises.
    """
    plan = plan_surface(views, terrain, spacing_m, options.max_posts)
    shelf = MatchImageCache(views, pixels_of, plan.finest_px, options.cache_bytes)
    ties = TieSearch(compute_tie_offsets(terrain, ties_m), plan.coarse, options)
    ground = sample_terrain_posts(terrain, plan.coarse)
    wide = SweepLevel("coarse", _CORE_POSTS // 2, plan.coarse, ground, ties, views, plan, options)
    with ThreadPoolExecutor(max_workers=max(workers, 1)) as pool:

        def here(level: SweepLevel) -> Iterable[SweptBlock]:
            return zip(
                level.blocks, pool.map(lambda block: level.sweep(block, shelf), level.blocks), strict=True
            )

        by = elsewhere or here
        coarse = _assembled_sweep(wide, by(wide), progress)
        search = make_fine_search(coarse.reliable_heights(_MIN_COARSE_AGREEMENT), plan.coarse, plan.fine)
        ground = sample_terrain_posts(terrain, plan.fine)
        near = SweepLevel(
            "fine", _CORE_POSTS, plan.fine, ground + search.base_m, search, views, plan, options
        )
        fine = _assembled_sweep(near, by(near), progress)
    finished = fill_heights(fine, search.base_m, ground, plan.fine.spacing_m, options)
    straight = find_nadir_views(views, plan.fine, ground + finished.dz_m)
    laying_m = fit_laying_surface(fine, finished, ground, straight)
    return assemble_surface(terrain, plan.fine, ground, finished, laying_m)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Result of a sweep, on all posts (rows×cols); NaN where nothing was tried.

    dz_m         over the base
    agreement, margin  as in `BestHeights`
    precision_m  change of dz that lowers the agreement at its peak by 1, per root of agreement
                 (1 / sqrt(curvature))
    likeness     correlation of the finest images at dz (`plane_sweep.compute_likeness`; 0 in the coarse
                 sweep)
    views        number of the compared views that see the post at dz, uint8, 0 where nothing was tried
    """

    dz_m: Singles
    agreement: Singles
    margin: Singles
    precision_m: Singles
    likeness: Singles
    views: NDArray[np.uint8]

    def reliable_heights(self, min_agreement: float) -> Singles:
        """Return dz where the agreement is at least `min_agreement`, else NaN."""
        with np.errstate(invalid="ignore"):
            return np.where(self.agreement >= min_agreement, self.dz_m, np.float32(np.nan))


@dataclass(frozen=True, slots=True)
class BlockSweep:
    """Result of a sweep on a block's core, as `Sweep`."""

    dz_m: Singles
    agreement: Singles
    margin: Singles
    precision_m: Singles
    likeness: Singles
    views: NDArray[np.uint8]


SweptBlock = tuple[PostBlock, BlockSweep | None]
"""A block and its result; None where nothing was tried."""


@dataclass(frozen=True, slots=True)
class TieSearch:
    """Search of the coarse sweep, around the tie points."""

    ties: TieOffsets
    posts: PostGrid
    options: SurfaceOptions

    def around(self, block: PostBlock) -> SearchRange:
        """Return the range in a block's window."""
        return self.ties.around(self.posts, block, self.options)


@dataclass(frozen=True, slots=True)
class SweepLevel:
    """One sweep: posts, base (rows×cols heights), search range and views."""

    name: str
    core_posts: int
    posts: PostGrid
    base_m: Singles
    search: TieSearch | FineSearch
    views: Sequence[SurfaceView]
    plan: SurfacePlan
    options: SurfaceOptions

    @property
    def blocks(self) -> list[PostBlock]:
        """Blocks that hold all posts once."""
        return split_blocks(self.posts, self.core_posts, _MARGIN_POSTS)

    def sweep(self, block: PostBlock, shelf: MatchImageCache) -> BlockSweep | None:
        """Sweep one block: a pure function of the level and the images."""
        base = extract_padded_window(self.base_m, block.rows, block.cols)
        if not np.isfinite(base).all():
            return None
        east, north = self.posts.mesh(block.rows, block.cols)
        some = (slice(None, None, 20), slice(None, None, 20))
        places = np.stack([a[some].ravel() for a in (east, north, base.astype(np.float64))], axis=-1)
        candidates = self.plan.find_views(places)
        chosen = choose_views(self.views, candidates, places, self.options.views)
        if chosen is None:
            return None
        cv2.setNumThreads(1)
        above = base.astype(np.float64)
        samplers = [self._sampler(number, shelf, east, north, above, places) for number in chosen.views]
        search = self.search.around(block)
        heights = _labels(search, _STEP_SPACINGS * self.posts.spacing_m / chosen.spread)
        volume = compute_agreement(samplers, heights, self.options.window_posts)
        if search.lows_m is not None and search.highs_m is not None:
            outside = (heights[:, None, None] < search.lows_m) | (heights[:, None, None] > search.highs_m)
            volume -= outside * _OUT_OF_RANGE
        found = select_best_heights(volume, heights)
        with np.errstate(divide="ignore"):
            precision = 1.0 / np.sqrt(found.curvature)
        likeness = np.zeros_like(found.dz_m)
        # nothing is orthorectified on the coarse sweep's heights
        if self.posts == self.plan.fine:
            finest = (shelf.get(number, np.inf) for number in chosen.views)
            laying_samplers = [
                ViewSampler.from_posts(picture, self.views[number], east, north, above)
                for number, picture in zip(chosen.views, finest, strict=True)
            ]
            likeness = compute_likeness(laying_samplers, found.dz_m, _LAYING_POSTS)
        inside = block.core_in_window
        return BlockSweep(
            found.dz_m[inside],
            found.agreement[inside],
            found.margin[inside],
            precision.astype(np.float32)[inside],
            likeness[inside],
            count_views(samplers, found.dz_m)[inside],
        )

    def _sampler(
        self,
        number: int,
        shelf: MatchImageCache,
        east: Floats,
        north: Floats,
        base: Floats,
        places: Floats,
    ) -> ViewSampler:
        view = self.views[number]
        _, _, depth = transform_to_camera(view.exterior, *places.T)
        focal = float(np.median(depth)) / (_PIXEL_SPACINGS * self.posts.spacing_m)
        return ViewSampler.from_posts(shelf.get(number, focal), view, east, north, base)


def _assembled_sweep(level: SweepLevel, swept: Iterable[SweptBlock], progress: Progress) -> Sweep:
    """Assemble a level's blocks."""
    dz, agreed, margin, precision, likenesses = (
        np.full(level.posts.shape, np.nan, np.float32) for _ in range(5)
    )
    views, total = np.zeros(level.posts.shape, np.uint8), len(level.blocks)
    for done, (block, parts) in enumerate(swept, start=1):
        if parts is not None:
            dz[block.core], agreed[block.core] = parts.dz_m, parts.agreement
            margin[block.core], precision[block.core] = parts.margin, parts.precision_m
            likenesses[block.core], views[block.core] = parts.likeness, parts.views
        progress(level.name, done, total)
    return Sweep(dz, agreed, margin, precision, likenesses, views)


def _labels(search: SearchRange, step_m: float) -> Singles:
    count = int(np.ceil((search.high_m - search.low_m) / step_m)) + 1
    count = min(max(count, _MIN_LABELS), _MAX_LABELS)
    step = max(step_m, (search.high_m - search.low_m) / (count - 1))
    return (search.low_m + step * np.arange(count)).astype(np.float32)
