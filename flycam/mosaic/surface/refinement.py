"""Refinement of a surface: sweeps, filtering, gap filling, heights to orthorectify on.

Block by block of ground, each a pure function of its views and the terrain: the result does not depend on
the number of threads, and memory does not grow with the flight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import is_in_image, project, transform_to_camera
from flycam.geometry.terrain import MAX_BEND_PX, WINDOW_PX, TerrainGrid, interpolate_heights, measure_bend_m
from flycam.mosaic.surface.plane_sweep import (
    MatchImageCache,
    PixelsOf,
    PostBlock,
    PostGrid,
    SurfaceOptions,
    SurfacePlan,
    SurfaceView,
    ViewSampler,
    choose_views,
    compute_agreement,
    compute_likeness,
    count_odd_posts,
    count_views,
    plan_surface,
    sample_terrain_posts,
    split_blocks,
)
from flycam.mosaic.surface.surface import FilledHeights, Surface, assemble_surface, fill_heights

# -- Laying surface: heights to orthorectify on, exact where images support them -------------------
#
# Stereo on leaves is rough, and an image that is orthorectified on rough heights is torn: a metre of height
# moves it by tan(off nadir) metres, and where neighbouring posts move it differently crowns are smeared. A
# DSM may be rough; the heights under an orthophoto must not be rougher than its images bear, which can be
# measured: orthorectified on correct heights they are alike in every leaf, and on guesses they are not
# (`plane_sweep.compute_likeness`: houses, roads, fields 0.5 … 0.9; forest 0 … 0.3). So each height is
# weighted by how far its surroundings bend the image against what the likeness there allows, and a smooth
# surface is fitted to the heights by their weights: exact on houses, slides and open ground, a gentle hull
# over crowns.
#
# Then the resulting orthophoto is evaluated, window by window (`geometry.terrain.measure_bend_m`). Where it
# would be bent, heights yield: noise of firm ground is smoothed between its steps, heights that images do not
# support are dropped, until the window is intact; where it stays bent all the same (a wall, a bank) they are
# kept.
#
# Factors were chosen on Toledo and Brighton Beach (shared data) and two synthetic flights (seeds 21, 22);
# those of yielding on Toledo.
#
# Images that are orthorectified as they arrive use the terrain raised to landmarks instead (`raise_terrain`).


# -- Nadir-most view of each post, as a rule the one shown in a finished mosaic --------------------


Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_COARSER = 8
_MIN_SIDE = 4
_ROWS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class NadirViews:
    """View that looks most steeply down on each post.

    px_per_m  displacement of its image point by a metre of height, in its pixels (rows×cols of the posts; 0
              where no view looks)
    centre_m  its position (every `_COARSER`-th row and column ×3; NaN)
    pixel_m   typical side of a pixel on the ground
    """

    posts: PostGrid
    px_per_m: Singles
    centre_m: Floats
    pixel_m: float

    @property
    def side(self) -> int:
        """Posts along a window of `WINDOW_PX` pixels."""
        return max(round(WINDOW_PX * self.pixel_m / self.posts.spacing_m), _MIN_SIDE)

    def bends_px(self, height_m: Singles, trend_m: Singles) -> Singles:
        """Return the bend of an orthophoto by heights against their trend, by window.

        Heights and trend rows×cols; windows side by side: pixels RMS (rows×cols of windows; NaN where not
        all is known).
        """
        side, spacing = self.side, self.posts.spacing_m
        high, wide = (-(-count // side) for count in height_m.shape)
        step = spacing * np.arange(side)
        east, south = (axis.ravel() for axis in np.meshgrid(step, step))
        cols = side * np.arange(wide)
        bends = np.empty((high, wide), np.float32)
        for first in range(0, high, _ROWS_AT_ONCE):
            rows = side * np.arange(first, min(first + _ROWS_AT_ONCE, high))
            part = slice(rows[0], rows[-1] + side)
            windows = _windows(height_m[part] - trend_m[part], side)
            row, col = (grid.ravel() for grid in np.meshgrid(rows, cols, indexing="ij"))
            middle = [
                np.minimum(at + side // 2, n - 1) for at, n in zip((row, col), height_m.shape, strict=True)
            ]
            bends[first : first + len(rows)] = measure_bend_m(
                self.posts.west_m + spacing * col[:, None] + east,
                self.posts.north_m - spacing * row[:, None] - south,
                windows + trend_m[middle[0], middle[1], None],
                self.centre_m[middle[0] // _COARSER, middle[1] // _COARSER],
            ).reshape(len(rows), wide)
        return np.asarray(bends / np.float32(self.pixel_m), np.float32)

    def spread_to_posts(self, windows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Spread flags of windows to the posts in them."""
        rows, cols = self.posts.shape
        return windows.repeat(self.side, axis=0).repeat(self.side, axis=1)[:rows, :cols]


def _windows(values: Singles, side: int) -> Floats:
    """Cut squares of `side` posts, side by side: W×side², NaN beyond the posts."""
    high, wide = (-(-count // side) for count in values.shape)
    padded = np.full((high * side, wide * side), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(high, side, wide, side).swapaxes(1, 2).reshape(-1, side * side)


def find_nadir_views(views: Sequence[SurfaceView], posts: PostGrid, height_m: Singles) -> NadirViews:
    """Find the view that looks most steeply down on each post at this height.

    height_m rows×cols. Focal length · horizontal distance / depth², the least of all views.
    """
    rows, cols = (slice(0, count, _COARSER) for count in posts.shape)
    east, north = (grid[rows, cols].ravel() for grid in posts.mesh(*(slice(0, n) for n in posts.shape)))
    places = np.column_stack([east, north, np.nan_to_num(height_m[rows, cols]).ravel()])
    least, pixel = np.full(len(places), np.inf), np.full(len(places), np.nan)
    centre = np.full((len(places), 3), np.nan)
    for view in views:
        uv, _ = project(view.interior, view.exterior, places)
        from_m = np.asarray(view.exterior.projection_centre_m)
        away, focal = places - from_m, view.interior.focal_length_px[0]
        with np.errstate(divide="ignore"):
            moved = focal * np.hypot(away[:, 0], away[:, 1]) / np.square(away[:, 2])
        sees = is_in_image(view.interior, uv[:, 0], uv[:, 1]) & (away[:, 2] < 0.0) & (moved < least)
        least[sees], centre[sees], pixel[sees] = moved[sees], from_m, -away[sees, 2] / focal
    shape = height_m[rows, cols].shape
    coarse = np.where(np.isfinite(least), least, 0.0).reshape(shape).astype(np.float32)
    return NadirViews(
        posts,
        np.asarray(cv2.resize(coarse, posts.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32),
        centre.reshape(*shape, 3),
        float(np.nanmedian(pixel)) if np.isfinite(pixel).any() else posts.spacing_m,
    )


# -- Fit of the laying surface ---------------------------------------------------------------------


Bools = NDArray[np.bool_]

# Sides of the squares in which heights are compared with a plane, and that a piece of firm ground must hold.
_PLANE_M, _PIECE_M = 4.5, 6.0
# Bend of the image (px, RMS) allowed per unit of likeness above the least, and the sharpness of that bound.
_MIN_LIKENESS, _PX_PER_LIKENESS, _STEEPNESS = 0.35, 48.0, 6
# Two views agree on any height.
_MIN_VIEWS = 3
_MIN_FIRM_WEIGHT = 0.5
# Weights of heights that are not firm, over their variance in the image (px²), and of dropped ones.
_LOOSE, _DROPPED = 1e-4, 1e-8
# Displacement of thin cover in the image.
_MAX_COVER_PX = 4.0
_MIN_BEND = np.float32(0.5)
# A larger difference in height is another object, and is not smoothed.
_STEP_M, _EVENINGS = 0.7, 3
# A height that bends the image is kept where the images orthorectified on it are at least this alike.
_SURE_LIKENESS = 0.55
# Half of a window of the likeness.
_EDGE_POSTS = 9
# A mountainside moves images as a whole: heights over this many windows are a trend, not a bend.
_TREND_WINDOWS = 32
_ROUNDS = 6
# Lens and tilt bend a window too: half of the bound is left to them.
_MAX_BEND_PX = 0.5 * MAX_BEND_PX
# Largest share of a bend that remains where yielding was of use.
_MAX_BEND_RATIO = 0.8


def fit_laying_surface(
    finished: FilledHeights,
    ground_m: Singles,
    likeness: Singles,
    views: NDArray[np.uint8],
    straight: NadirViews,
) -> Singles:
    """Return heights to orthorectify on, over the ground (rows×cols, metres).

    finished         the flight's heights over ground_m, and the terrain's where there are none
    likeness, views  of the sweep (see `Sweep`)
    straight         the nadir views of the posts

    NaN where the heights are.
    """
    known = np.isfinite(finished.dz_m)
    dz = np.where(known, finished.dz_m, np.float32(0.0))
    firmness = _rate_firmness(dz + np.nan_to_num(ground_m), likeness, views, straight)
    weights, sure = _weigh_heights(finished, firmness, likeness, views, straight)
    laying_dz = _flatten_bends(dz, weights, firmness >= _MIN_FIRM_WEIGHT, sure, ground_m, straight)
    return np.where(known, laying_dz, np.float32(np.nan))


def _weigh_heights(
    finished: FilledHeights,
    firmness: Singles,
    likeness: Singles,
    views: NDArray[np.uint8],
    straight: NadirViews,
) -> tuple[Singles, Bools]:
    """Return weights of heights, and which are kept though they bend the image, rows×cols."""
    # what is seen where the terrain is used is its cover
    covered_m = np.hypot(finished.terrain_sigma_m, np.nan_to_num(finished.cover_m))
    sigma_m = np.where(finished.support, finished.sigma_m, covered_m)
    loose = np.minimum(_LOOSE / np.square(sigma_m * np.maximum(straight.px_per_m, _MIN_BEND)), 1.0)
    # nothing was compared: the terrain is firm if its cover is thin wherever an image shows it
    covered_px = covered_m * straight.px_per_m.max()
    thin = 1.0 / (1.0 + (covered_px / _MAX_COVER_PX) ** _STEEPNESS)
    weights = np.maximum(np.maximum(firmness, loose), np.where(views < 2, thin, 0.0))
    weights[~np.isfinite(finished.dz_m)] = 0.0
    sure = (np.nan_to_num(likeness) >= _SURE_LIKENESS) & (views >= _MIN_VIEWS)
    # at the edge of leaves the windows of the likeness still hold firm ground, the heights are the leaves'
    sure = cv2.erode(sure.astype(np.uint8), np.ones((_EDGE_POSTS, _EDGE_POSTS), np.uint8)) > 0
    # no image was compared: only the terrain is known
    sure |= views == 0
    return weights.astype(np.float32), sure


def _flatten_bends(
    dz: Singles, weights: Singles, firm: Bools, sure: Bools, ground_m: Singles, straight: NadirViews
) -> Singles:
    """Fit a smooth surface to dz by weights, without bends that serve no purpose."""
    dropped_weights = np.minimum(weights, np.float32(_DROPPED))
    trend_weights = np.sign(weights) * np.float32((_TREND_WINDOWS * straight.side) ** -2.0)

    def bends(heights: Singles) -> Singles:
        trend = extend_smoothly(heights, trend_weights)
        return straight.bends_px(
            np.where(weights > 0.0, ground_m + heights, np.float32(np.nan)), ground_m + trend
        )

    before = bends(extend_smoothly(dz, weights))
    even = _evened(dz, straight.side)
    noisy = (before > _MAX_BEND_PX) & (bends(extend_smoothly(even, weights)) <= _MAX_BEND_RATIO * before)
    share = (straight.spread_to_posts(noisy) & firm).astype(np.float32)
    share = np.minimum(2.0 * cv2.GaussianBlur(share, (0, 0), straight.side / 4.0), 1.0)
    dz = np.asarray(dz + (even - dz) * share, np.float32)
    del even, share
    current_weights = weights
    heights = extend_smoothly(dz, current_weights)
    for _ in range(_ROUNDS):
        bent = bends(heights)
        torn = bent > _MAX_BEND_PX
        around = cv2.dilate(torn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        to_drop = (straight.spread_to_posts(torn) | (straight.spread_to_posts(around) & ~firm)) & ~sure
        less = np.where(to_drop, dropped_weights, current_weights)
        if np.array_equal(less, current_weights):
            break
        current_weights, heights = less, extend_smoothly(dz, less)
    else:
        bent = bends(heights)
    in_vain = straight.spread_to_posts((bent > _MAX_BEND_PX) & (bent > _MAX_BEND_RATIO * before))
    return extend_smoothly(dz, np.where(in_vain, weights, current_weights))


def _evened(dz: Singles, side: int) -> Singles:
    """Remove noise from heights and keep steps.

    Bilateral filter of Tomasi and Manduchi, ICCV 1998.
    """
    for _ in range(_EVENINGS):
        dz = np.asarray(cv2.bilateralFilter(dz, 2 * (side // 2) + 1, _STEP_M, side / 3.0), np.float32)
    return dz


def _rate_firmness(
    height_m: Singles, likeness: Singles, views: NDArray[np.uint8], straight: NadirViews
) -> Singles:
    """Return the firmness of each height, 0 … 1 (rows×cols)."""
    spacing_m = straight.posts.spacing_m
    bent_px = compute_plane_residuals(height_m, count_odd_posts(_PLANE_M, spacing_m)) * straight.px_per_m
    above = np.maximum(np.nan_to_num(likeness) - np.float32(_MIN_LIKENESS), np.float32(1e-4))
    firm = 1.0 / (1.0 + (bent_px / (_PX_PER_LIKENESS * above)) ** _STEEPNESS)
    firm = np.where(views >= _MIN_VIEWS, firm, 0.0).astype(np.float32)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (count_odd_posts(_PIECE_M, spacing_m),) * 2)
    return np.asarray(cv2.morphologyEx(firm, cv2.MORPH_OPEN, disc), np.float32)


def compute_plane_residuals(height_m: Singles, side: int) -> Singles:
    """Return the RMS of the heights from their best-fitting plane.

    rows×cols, metres. In the square of `side` posts around each: the variance less its linear parts to
    east and north.
    """
    step = np.arange(side, dtype=np.float32) - np.float32(side // 2)
    flat, slope = np.full(side, 1.0 / side, np.float32), step / np.float32(side)
    heights = height_m - np.float32(np.mean(height_m))

    def over(grid: Singles, across: Singles, down: Singles) -> Singles:
        return np.asarray(cv2.sepFilter2D(grid, cv2.CV_32F, across, down, borderType=cv2.BORDER_REFLECT_101))

    mean, squares = over(heights, flat, flat), over(heights * heights, flat, flat)
    east, north = over(heights, slope, flat), over(heights, flat, slope)
    left = squares - mean * mean - (east * east + north * north) / np.mean(step * step)
    return np.asarray(np.sqrt(np.maximum(left, 0.0)), np.float32)


def extend_smoothly(values: Singles, weights: Singles) -> Singles:
    """Extend values of weight 1 smoothly to where the weight is less.

    Weights of a neighbourhood add up, level by level, until they are 1 (pull-push of Gortler et al., The
    Lumigraph, SIGGRAPH 1996).
    """
    sums, shares = [values * weights], [weights]
    while min(shares[-1].shape) > 1:
        total, share = (4.0 * cv2.pyrDown(grid[-1]) for grid in (sums, shares))
        full = np.maximum(share, np.float32(1.0))
        sums.append(total / full)
        shares.append(share / full)
    filled = sums[-1] / np.maximum(shares[-1], 1e-12)
    for total, share in zip(reversed(sums[:-1]), reversed(shares[:-1]), strict=True):
        filled = total + (1.0 - share) * cv2.resize(filled, total.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(filled, np.float32)


# -- Terrain raised to the heights of landmarks on it, against relief displacement -----------------
#
# Crowns and roofs are displaced less in images that are orthorectified on it. For images that are
# orthorectified as they arrive, when there is no time for the flight's own DSM: some hundred heights,
# smoothed over the posts by their sigmas, and from far away where there are none near.

Bounds = tuple[float, float, float, float]

MIN_POST_SPACING_M = 4.0
"""Finer terrain is better than such sparse heights: it is not raised."""

_MAX_POST_SPACING_M = 10.0
_FIT_MARGIN_POSTS = 2
# A larger offset is no crown or roof; a larger sigma says nothing.
_MAX_OFFSET_M, _MAX_SIGMA_M = 60.0, 4.0
# Neighbours differ by this much even if each is well known.
_UNEVEN_M = 1.0
_REACH_M = 5.0
# Multiples of that reach, and their weights.
_SCALES = ((1.0, 1.0), (2.0, 0.1), (4.0, 0.01), (8.0, 0.001))
# Weight, 1/m², of the unchanged terrain against the heights in reach.
_GROUND = 0.005
# Heights are rounded to this fraction of a metre: that halves their compressed size.
_STEPS_PER_M = 64.0


def raise_terrain(terrain: TerrainGrid, point_m: Floats, sigma_m: Floats, bounds_m: Bounds) -> TerrainGrid:
    """Return part of the terrain, raised to the heights of points on it.

    point_m   N×3 (east, north, height) in the terrain's work CRS and vertical datum
    sigma_m   N, of their heights
    bounds_m  (west, south, east, north) of the part, which is extended by some posts

    Posts are at most 10 m apart; its id is that of the terrain. Returns the terrain itself where it is too
    fine, where no height is useful or where the part is outside it.
    """
    if min(terrain.post_spacing_m) < MIN_POST_SPACING_M:
        return terrain
    offset = point_m[:, 2] - interpolate_heights(terrain, point_m[:, :2])
    with np.errstate(invalid="ignore"):
        useful = (np.abs(offset) <= _MAX_OFFSET_M) & (sigma_m <= _MAX_SIGMA_M)
    part = _part(terrain, bounds_m)
    if part is None or not useful.any():
        return terrain
    weight = 1.0 / (np.square(sigma_m[useful]) + _UNEVEN_M**2)
    lift = _smoothed(part, point_m[useful, :2], offset[useful], weight)
    heights = np.round((part.heights_m + lift) * _STEPS_PER_M) / _STEPS_PER_M
    return replace(part, heights_m=heights.astype(np.float32))


def _part(terrain: TerrainGrid, bounds_m: Bounds) -> TerrainGrid | None:
    """Return the terrain's posts over a rectangle, densified where far apart.

    The surface is the same. None: it holds no cell of it.
    """
    west, south, east, north = bounds_m
    rows, cols = terrain.heights_m.shape
    (first_e, first_n), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    x, spacing_e = _posts(west - first_e, east - first_e, step_e, cols)
    y, spacing_s = _posts(first_n - north, first_n - south, step_s, rows)
    if x.size < 2 or y.size < 2:
        return None
    heights = _between(_between(terrain.heights_m, y).T, x).T
    return replace(
        terrain,
        heights_m=heights.astype(np.float32),
        origin_m=(first_e + x[0] * step_e, first_n - y[0] * step_s),
        post_spacing_m=(spacing_e, spacing_s),
    )


def _posts(begin_m: float, end_m: float, step_m: float, count: int) -> tuple[Floats, float]:
    """Return posts of one direction from before `begin_m` to after `end_m`.

    In steps of the terrain's, and their spacing in metres.
    """
    between = max(1, int(np.ceil(step_m / _MAX_POST_SPACING_M)))
    spacing = step_m / between
    first = max(int(np.floor(begin_m / spacing)) - _FIT_MARGIN_POSTS, 0)
    last = min(int(np.ceil(end_m / spacing)) + _FIT_MARGIN_POSTS, (count - 1) * between)
    return np.arange(first, last + 1) / between, spacing


def _between(heights: NDArray[np.floating], at: Floats) -> Floats:
    """Interpolate rows of posts linearly at places counted in rows.

    On a row nothing but that row counts.
    """
    row = np.floor(at).astype(np.int64)
    share = (at - row)[:, None]
    here, after = heights[row].astype(np.float64), heights[np.minimum(row + 1, len(heights) - 1)]
    return np.where(share == 0.0, here, here + share * (after - here))


def _smoothed(part: TerrainGrid, place_m: Floats, offset_m: Floats, weight: Floats) -> Floats:
    """Return offsets at places N×2 as a field over the posts.

    Their mean by weight and nearness, 0 where the terrain has more weight (normalised convolution: Knutsson
    and Westin, CVPR 1993).
    """
    total, weighed = _spread(part, place_m, weight), _spread(part, place_m, weight * offset_m)
    spacing = np.array(part.post_spacing_m)
    above, below = np.zeros(total.shape), np.full(total.shape, _GROUND)
    for reach, share in _SCALES:
        sigma_x, sigma_y = (reach * _REACH_M / spacing).tolist()
        gain = share * 2.0 * np.pi * sigma_x * sigma_y
        above += gain * _blurred(weighed, sigma_x, sigma_y)
        below += gain * _blurred(total, sigma_x, sigma_y)
    field: Floats = above / below
    return field


def _blurred(values: Floats, sigma_x: float, sigma_y: float) -> Floats:
    blurred = cv2.GaussianBlur(values, (0, 0), sigma_x, sigmaY=sigma_y, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, dtype=np.float64)


def _spread(part: TerrainGrid, place_m: Floats, amount: Floats) -> Floats:
    """Share amounts at places N×2 out to the four posts around each.

    Places outside are ignored.
    """
    rows, cols = part.heights_m.shape
    col = (place_m[:, 0] - part.origin_m[0]) / part.post_spacing_m[0]
    row = (part.origin_m[1] - place_m[:, 1]) / part.post_spacing_m[1]
    inside = (col >= 0.0) & (col < cols - 1.0) & (row >= 0.0) & (row < rows - 1.0)
    col, row, amount = col[inside], row[inside], amount[inside]
    c, r = np.floor(col), np.floor(row)
    s, q = col - c, row - r
    first = (r * cols + c).astype(np.int64)
    spread = np.zeros(rows * cols)
    for step, share in ((0, (1 - s) * (1 - q)), (1, s * (1 - q)), (cols, (1 - s) * q), (cols + 1, s * q)):
        spread += np.bincount(first + step, weights=amount * share, minlength=rows * cols)
    return spread.reshape(rows, cols)


# -- Refinement of a surface: coarse sweep, fine sweep, filtering, gap filling ---------------------


# -- Height search ranges: around tie points first, then around the coarse sweep -------------------


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
    # What follows takes as many grids again: images and grids that only the sweeps needed make room.
    shelf.clear()
    del wide, coarse, near
    finished = fill_heights(fine, search.base_m, ground, plan.fine.spacing_m, options)
    likeness, counts = fine.likeness, fine.views
    del fine, search
    straight = find_nadir_views(views, plan.fine, ground + finished.dz_m)
    laying_m = fit_laying_surface(finished, ground, likeness, counts, straight)
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
