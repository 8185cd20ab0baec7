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
from flycam.geometry.terrain import TerrainGrid
from flycam.surface.gap_filling import fill_heights
from flycam.surface.height_extraction import select_best_heights
from flycam.surface.height_search import (
    FineSearch,
    SearchRange,
    TieOffsets,
    compute_tie_offsets,
    extract_padded_window,
    make_fine_search,
)
from flycam.surface.laying_surface import fit_laying_surface
from flycam.surface.match_images import MatchImageCache, PixelsOf, SurfaceView
from flycam.surface.nadir_views import find_nadir_views
from flycam.surface.options import SurfaceOptions
from flycam.surface.plane_sweep import ViewSampler, compute_agreement, compute_likeness, count_views
from flycam.surface.post_grid import PostBlock, PostGrid, split_blocks
from flycam.surface.surface import Surface, assemble_surface
from flycam.surface.surface_plan import SurfacePlan, plan_surface, sample_terrain_posts
from flycam.surface.view_selection import choose_views

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
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
    (`terrain_error`), and has no support. Raises OutsideTerrain where no view sees the terrain at all, and
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
    laid = fit_laying_surface(fine, finished.dz_m, finished.sigma_m, ground, straight)
    return assemble_surface(terrain, plan.fine, ground, finished, laid)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Result of a sweep, on all posts (rows×cols); NaN where nothing was tried.

    dz_m         over the base
    agreement, margin  as in `height_extraction.BestHeights`
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
        alike = np.zeros_like(found.dz_m)
        # nothing is orthorectified on the coarse sweep's heights
        if self.posts == self.plan.fine:
            finest = (shelf.get(number, np.inf) for number in chosen.views)
            laid = [
                ViewSampler.from_posts(picture, self.views[number], east, north, above)
                for number, picture in zip(chosen.views, finest, strict=True)
            ]
            alike = compute_likeness(laid, found.dz_m, _LAYING_POSTS)
        inside = block.core_in_window
        return BlockSweep(
            found.dz_m[inside],
            found.agreement[inside],
            found.margin[inside],
            precision.astype(np.float32)[inside],
            alike[inside],
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
    dz, agreed, margin, precision, alike = (np.full(level.posts.shape, np.nan, np.float32) for _ in range(5))
    views, total = np.zeros(level.posts.shape, np.uint8), len(level.blocks)
    for done, (block, parts) in enumerate(swept, start=1):
        if parts is not None:
            dz[block.core], agreed[block.core] = parts.dz_m, parts.agreement
            margin[block.core], precision[block.core] = parts.margin, parts.precision_m
            alike[block.core], views[block.core] = parts.likeness, parts.views
        progress(level.name, done, total)
    return Sweep(dz, agreed, margin, precision, alike, views)


def _labels(search: SearchRange, step_m: float) -> Singles:
    count = int(np.ceil((search.high_m - search.low_m) / step_m)) + 1
    count = min(max(count, _MIN_LABELS), _MAX_LABELS)
    step = max(step_m, (search.high_m - search.low_m) / (count - 1))
    return (search.low_m + step * np.arange(count)).astype(np.float32)
