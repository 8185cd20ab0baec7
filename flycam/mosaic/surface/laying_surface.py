"""Laying surface: heights to orthorectify on, exact where images support them.

Stereo on leaves is rough, and an image that is orthorectified on rough heights is torn: a metre of height
moves it by tan(off nadir) metres, and where neighbouring posts move it differently crowns are smeared. A DSM
may be rough; the heights under an orthophoto must not be rougher than its images bear, which can be measured:
orthorectified on correct heights they are alike in every leaf, and on guesses they are not
(`plane_sweep.compute_likeness`: houses, roads, fields 0.5 … 0.9; forest 0 … 0.3). So each height is weighted
by how far its surroundings bend the image against what the likeness there allows, and a smooth surface is
fitted to the heights by their weights: exact on houses, slides and open ground, a gentle hull over crowns.

Then the resulting orthophoto is evaluated, window by window (`geometry.terrain.measure_bend_m`). Where it
would be bent, heights yield: noise of firm ground is smoothed between its steps, heights that images do not
support are dropped, until the window is intact; where it stays bent all the same (a wall, a bank) they are
kept.

Factors were chosen on Toledo and Brighton Beach (shared data) and two synthetic flights (seeds 21, 22); those
of yielding on Toledo.

Images that are orthorectified as they arrive use the terrain raised to landmarks instead (`raise_terrain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import is_in_image, project
from flycam.geometry.terrain import MAX_BEND_PX, WINDOW_PX, TerrainGrid, interpolate_heights, measure_bend_m
from flycam.mosaic.surface.gap_filling import FilledHeights
from flycam.mosaic.surface.plan import PostGrid, count_odd_posts
from flycam.mosaic.surface.plane_sweep import SurfaceView

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


class SweepLikeness(Protocol):
    """Result of a sweep (see `refinement.Sweep`)."""

    @property
    def likeness(self) -> Singles: ...
    @property
    def views(self) -> NDArray[np.uint8]: ...


def fit_laying_surface(
    found: SweepLikeness, finished: FilledHeights, ground_m: Singles, straight: NadirViews
) -> Singles:
    """Return heights to orthorectify on, over the ground (rows×cols, metres).

    finished  the flight's heights over ground_m, and the terrain's where there are none
    straight  the nadir views of the posts

    NaN where the heights are.
    """
    known = np.isfinite(finished.dz_m)
    dz = np.where(known, finished.dz_m, np.float32(0.0))
    weight = _weigh(found, dz + np.nan_to_num(ground_m), straight.px_per_m, straight.posts.spacing_m)
    # what is seen where the terrain is used is its cover
    covered_m = np.hypot(finished.terrain_sigma_m, np.nan_to_num(finished.cover_m))
    sigma_m = np.where(finished.support, finished.sigma_m, covered_m)
    loose = np.minimum(_LOOSE / np.square(sigma_m * np.maximum(straight.px_per_m, _MIN_BEND)), 1.0)
    # nothing was compared: the terrain is firm if its cover is thin wherever an image shows it
    covered_px = covered_m * straight.px_per_m.max()
    thin = 1.0 / (1.0 + (covered_px / _MAX_COVER_PX) ** _STEEPNESS)
    weights = np.maximum(np.maximum(weight, loose), np.where(found.views < 2, thin, 0.0))
    weights[~known] = 0.0
    firm = weight >= _MIN_FIRM_WEIGHT
    sure = (np.nan_to_num(found.likeness) >= _SURE_LIKENESS) & (found.views >= _MIN_VIEWS)
    # at the edge of leaves the windows of the likeness still hold firm ground, the heights are the leaves'
    sure = cv2.erode(sure.astype(np.uint8), np.ones((_EDGE_POSTS, _EDGE_POSTS), np.uint8)) > 0
    # no image was compared: only the terrain is known
    sure |= found.views == 0
    laying_dz = _flatten_bends(dz, weights.astype(np.float32), firm, sure, ground_m, straight)
    return np.where(known, laying_dz, np.float32(np.nan))


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


def _weigh(found: SweepLikeness, height_m: Singles, bend_px_per_m: Singles, spacing_m: float) -> Singles:
    """Return the firmness of each height, 0 … 1 (rows×cols)."""
    bent_px = compute_plane_residuals(height_m, count_odd_posts(_PLANE_M, spacing_m)) * bend_px_per_m
    above = np.maximum(np.nan_to_num(found.likeness) - np.float32(_MIN_LIKENESS), np.float32(1e-4))
    firm = 1.0 / (1.0 + (bent_px / (_PX_PER_LIKENESS * above)) ** _STEEPNESS)
    firm = np.where(found.views >= _MIN_VIEWS, firm, 0.0).astype(np.float32)
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
_MARGIN_POSTS = 2
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
    first = max(int(np.floor(begin_m / spacing)) - _MARGIN_POSTS, 0)
    last = min(int(np.ceil(end_m / spacing)) + _MARGIN_POSTS, (count - 1) * between)
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
