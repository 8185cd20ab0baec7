"""The recipe of the refined surface: a coarse sweep over the whole range, a fine one around it, filter, fill.

Block by block of ground, each a pure function of its views and the terrain: the result does not depend on
the number of threads, and memory does not grow with the flight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import camera_coordinates
from flycam.geometry.terrain import TerrainGrid
from flycam.surface.blocks import Block, Posts, blocks_of
from flycam.surface.choice import choose_views
from flycam.surface.filling import finish_heights
from flycam.surface.heights import winners
from flycam.surface.options import SurfaceOptions
from flycam.surface.pictures import PictureShelf, PixelsOf, SurfaceView
from flycam.surface.planning import Plan, ground_posts, plan_surface
from flycam.surface.search import SearchRange, fine_search, padded_window, tie_offsets
from flycam.surface.surface import Surface, surface_of
from flycam.surface.sweep import Sampler, agreement, views_seeing

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Progress = Callable[[str, int, int], None]

_CORE_POSTS, _MARGIN_POSTS = 144, 16
# Side of a picture's pixel on the ground, in spacings of the posts.
_PIXEL_SPACINGS = 0.8
# One step of height moves the image points of a view, against the mean of all, by so many spacings (RMS).
_STEP_SPACINGS = 0.3
_MOST_LABELS, _LEAST_LABELS = 160, 5
# Agreement taken from heights outside a post's own range.
_OUT_OF_RANGE = np.float32(0.5)
# Agreement below which the coarse sweep says nothing.
_COARSE_LEAST = 0.12


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""


def refine_surface(
    views: Sequence[SurfaceView],
    pixels_of: PixelsOf,
    terrain: TerrainGrid,
    *,
    ties_m: Floats | None = None,
    spacing_m: float,
    options: SurfaceOptions = SurfaceOptions(),  # noqa: B008 - frozen
    workers: int = 2,
    progress: Progress = silent,
) -> Surface:
    """The ground as the views show it, on posts `spacing_m` apart; the terrain where they do not.

    views in one work CRS and vertical datum, those of the terrain; pixels_of(frame_id) gives H×W×3 uint8
    RGB, may be called more than once for a frame and from `workers` threads. ties_m N×3 (east, north,
    height): tie points that narrow the search. progress(stage, blocks done, blocks in all).

    The surface reaches over all ground that a view sees on the terrain; where no two views make a base or the
    pictures have no texture, it is the terrain, moved by what the supported ground says of the terrain's
    error (`terrain_error`), and has no support. Raises OutsideTerrain
    where no view sees the terrain at all, and what `pixels_of` raises.
    """
    plan = plan_surface(views, terrain, spacing_m, options.most_posts)
    work = _Work(views, PictureShelf(views, pixels_of, plan.finest_px, options.shelf_bytes), plan, options)
    ties = tie_offsets(terrain, ties_m)
    with ThreadPoolExecutor(max_workers=max(workers, 1)) as pool:
        wide = _Level(
            "coarse", _CORE_POSTS // 2, plan.coarse, ground_posts(terrain, plan.coarse), work, progress
        )
        coarse = wide.sweep(pool, lambda block: ties.around(plan.coarse, block, options))
        search = fine_search(coarse.told(_COARSE_LEAST), plan.coarse, plan.fine)
        ground = ground_posts(terrain, plan.fine)
        near = _Level("fine", _CORE_POSTS, plan.fine, ground + search.base_m, work, progress)
        fine = near.sweep(pool, search.around)
    finished = finish_heights(fine, search.base_m, ground, plan.fine.spacing_m, options)
    return surface_of(terrain, plan.fine, ground, finished)


@dataclass(frozen=True, slots=True)
class _Work:
    views: Sequence[SurfaceView]
    shelf: PictureShelf
    plan: Plan
    options: SurfaceOptions


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found, on all posts (rows×cols); NaN where nothing was tried.

    dz_m over the base; agreement, margin as in `heights.Winners`; precision_m: how far dz may move before
    the agreement at its peak falls by 1, per root of agreement (1 / sqrt(curvature)); views: how many of the
    views that were compared see the post at dz, uint8, 0 where nothing was tried
    """

    dz_m: Singles
    agreement: Singles
    margin: Singles
    precision_m: Singles
    views: NDArray[np.uint8]

    def told(self, least: float) -> Singles:
        """dz where the agreement is at least so good, else NaN."""
        with np.errstate(invalid="ignore"):
            return np.where(self.agreement >= least, self.dz_m, np.float32(np.nan))


@dataclass(frozen=True, slots=True)
class _Level:
    """One sweep: which posts, over which base (rows×cols heights)."""

    name: str
    core_posts: int
    posts: Posts
    base_m: Singles
    work: _Work
    progress: Progress

    def sweep(self, pool: Executor, ranges: Callable[[Block], SearchRange]) -> Sweep:
        dz, agreed, margin, precision = (np.full(self.posts.shape, np.nan, np.float32) for _ in range(4))
        out = Sweep(dz, agreed, margin, precision, np.zeros(self.posts.shape, np.uint8))
        blocks = blocks_of(self.posts, self.core_posts, _MARGIN_POSTS)

        def one(block: Block) -> None:
            self._sweep_block(block, ranges, out)

        for done, _ in enumerate(pool.map(one, blocks), start=1):
            self.progress(self.name, done, len(blocks))
        return out

    def _sweep_block(self, block: Block, ranges: Callable[[Block], SearchRange], out: Sweep) -> None:
        base = padded_window(self.base_m, block.rows, block.cols)
        if not np.isfinite(base).all():
            return
        east, north = self.posts.mesh(block.rows, block.cols)
        some = (slice(None, None, 20), slice(None, None, 20))
        places = np.stack([a[some].ravel() for a in (east, north, base.astype(np.float64))], axis=-1)
        candidates = self.work.plan.seeing(places)
        chosen = choose_views(self.work.views, candidates, places, self.work.options.views)
        if chosen is None:
            return
        cv2.setNumThreads(1)
        samplers = [self._sampler(number, east, north, base, places) for number in chosen.views]
        search = ranges(block)
        heights = _labels(search, _STEP_SPACINGS * self.posts.spacing_m / chosen.spread)
        volume = agreement(samplers, heights, self.work.options.window_posts)
        if search.lows_m is not None and search.highs_m is not None:
            outside = (heights[:, None, None] < search.lows_m) | (heights[:, None, None] > search.highs_m)
            volume -= outside * _OUT_OF_RANGE
        found = winners(volume, heights)
        with np.errstate(divide="ignore"):
            precision = 1.0 / np.sqrt(found.curvature)
        parts: list[Singles] = [found.dz_m, found.agreement, found.margin, precision.astype(np.float32)]
        targets: list[Singles] = [out.dz_m, out.agreement, out.margin, out.precision_m]
        for target, part in zip(targets, parts, strict=True):
            target[block.core] = part[block.inside]
        out.views[block.core] = views_seeing(samplers, found.dz_m)[block.inside]

    def _sampler(self, number: int, east: Floats, north: Floats, base: Singles, places: Floats) -> Sampler:
        view = self.work.views[number]
        _, _, depth = camera_coordinates(view.exterior, *places.T)
        focal = float(np.median(depth)) / (_PIXEL_SPACINGS * self.posts.spacing_m)
        return Sampler.over(self.work.shelf.get(number, focal), view, east, north, base.astype(np.float64))


def _labels(search: SearchRange, step_m: float) -> Singles:
    count = int(np.ceil((search.high_m - search.low_m) / step_m)) + 1
    count = min(max(count, _LEAST_LABELS), _MOST_LABELS)
    step = max(step_m, (search.high_m - search.low_m) / (count - 1))
    return (search.low_m + step * np.arange(count)).astype(np.float32)
