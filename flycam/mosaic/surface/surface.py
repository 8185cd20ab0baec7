"""Refined surface: filtering, gap filling, heights, sigmas, contour lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid, find_nearest_posts
from flycam.mosaic.surface.plane_sweep import PostGrid, SurfaceOptions, count_odd_posts

# -- Filtering and gap filling of swept heights, sigmas, terrain correction ------------------------
#
# Outliers are removed, gaps closed, and the rim is blended into the terrain as the flight corrects it.


# -- Sigma of a height from views, base, texture, agreement, margin and scatter --------------------
#
#     match   precision · sqrt((1 - agreement) / pairs): the width of the agreement's peak, which the
#             base-to-height ratio and texture make narrow, times the uncorrelated share. The agreement is a
#             mean over n (n - 1) / 2 pairs of views, so its noise falls with their root
#     around  the scatter of the heights within a few metres: it contains noise, and where the ground bends or
#             steps a window holds both sides and the step may be displaced
#     wrong   another height would have agreed nearly as well (a small margin): then the height may be that of
#             something else nearby, and is off by the scatter of heights over a crown's width
#
# Where views were compared and did not agree, there are objects that they see differently, mostly leaves: the
# error of the height used there is about the scatter of heights over a crown's width.
#
# Factors were derived on two synthetic flights (relief 180 and 400 m, 21 photos) from the positions of
# pixels, and verified on a third (`bench/finish_pixels.py`).


Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

_MATCH_SHARE, _AROUND_SHARE, _WRONG_SHARE, _UNAGREED_SHARE = 0.4, 0.7, 0.6, 1.3
# Sides of the squares in which heights are compared.
_NEAR_M, _CROWN_M = 5.5, 9.5
_CLEAR_MARGIN, _MIN_MARGIN = 0.25, 0.05
_MIN_NOISE, _MAX_PRECISION_M = 0.05, 10.0


class SweepAgreement(Protocol):
    """Result of a sweep (see `refinement.Sweep`)."""

    @property
    def agreement(self) -> Singles: ...
    @property
    def margin(self) -> Singles: ...
    @property
    def precision_m(self) -> Singles: ...
    @property
    def views(self) -> NDArray[np.uint8]: ...


def estimate_agreed_sigma(found: SweepAgreement, dz_m: Singles, spacing_m: float) -> Singles:
    """Estimate the 1-sigma (rows×cols, metres) of heights dz_m that views agree on.

    Its parts are described above.
    """
    views = found.views.astype(np.float32)
    pairs = np.maximum(views * (views - 1.0) / 2.0, 1.0)
    noise = np.maximum(1.0 - np.nan_to_num(found.agreement), _MIN_NOISE)
    precision = np.minimum(np.nan_to_num(found.precision_m, nan=_MAX_PRECISION_M), _MAX_PRECISION_M)
    match = _MATCH_SHARE * precision * np.sqrt(noise / pairs)
    unclear = np.minimum(_CLEAR_MARGIN / np.maximum(np.nan_to_num(found.margin), _MIN_MARGIN), 1.0)
    wrong = _WRONG_SHARE * unclear * measure_scatter(dz_m, _CROWN_M, spacing_m)
    around = _AROUND_SHARE * measure_scatter(dz_m, _NEAR_M, spacing_m)
    return np.asarray(np.sqrt(match * match + around * around + wrong * wrong), np.float32)


def estimate_unagreed_sigma(found: SweepAgreement, dz_m: Singles, spacing_m: float) -> Singles:
    """Estimate the 1-sigma (rows×cols, metres) that objects add to the ground's.

    Where two views or more were compared without agreeing; NaN where fewer were.
    """
    sigma = _UNAGREED_SHARE * measure_scatter(dz_m, _CROWN_M, spacing_m)
    return np.where(found.views >= 2, sigma, np.float32(np.nan)).astype(np.float32)


def measure_scatter(heights_m: Singles, side_m: float, spacing_m: float, min_posts: int = 5) -> Singles:
    """Return the standard deviation of the heights in a square around each post.

    `min_posts` a side at least.
    """
    side = count_odd_posts(side_m, spacing_m, min_posts)
    mean = cv2.blur(heights_m, (side, side))
    squares = cv2.blur(heights_m * heights_m, (side, side))
    return np.sqrt(np.maximum(squares - mean * mean, np.float32(0.0))).astype(np.float32)


# -- Terrain model error, predicted from where the flight shows the ground -------------------------
#
# A terrain model is shifted as a whole, and its errors are correlated over hundreds of metres. So its error
# on supported ground holds a good way beyond:
#
#     surface - terrain = up - slope · (east, north) + field + ground cover
#
# The shift moves heights by the terrain's slope (Nuth and Kääb, Co-registration and bias corrections of
# satellite elevation data sets, The Cryosphere 5, 2011). Shift and field are predicted together by universal
# kriging (Cressie, Statistics for Spatial Data, 1993), so that far from all support both return to the prior,
# as the sigma shows. Trees and roofs are above the ground, never under it: cells above the field have a
# weight that falls with the square of their height (one-sided, reweighted).


Floats = NDArray[np.float64]

# Prior of a terrain model beside its shift: the spatially correlated height error as a share of that of the
# whole, and its correlation length.
_FIELD_SHARE, LENGTH_M = 0.5, 200.0
# One median a cell; a cell counts from this share of supported posts.
_CELL_M, _MAX_CELLS = 24.0, 1500
_MIN_SHARE = 0.1
_MIN_CELLS = 6
_MIN_NOISE_M, _BEND = 0.3, 1.5
_ROUNDS = 12
# Distance over which the cells' own errors are correlated.
_ALIKE_M = 48.0
_SLOPE_POSTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainErrorPrior:
    """Prior 1-sigma of a terrain model, metres: height as a whole, horizontal shift."""

    up_m: float
    shift_m: float

    @property
    def field_m(self) -> float:
        """1-sigma of the correlated height error, metres."""
        return _FIELD_SHARE * self.up_m


@dataclass(frozen=True, slots=True)
class TerrainCorrection:
    """Correction to add to the terrain at every post, and its sigma.

    rows×cols, metres. 1-sigma of the correlated error, and of the posts' own errors (a grid over rough
    ground).
    """

    dz_m: Singles
    sigma_m: Singles


def correct_terrain(
    dz_m: Singles, sigma_m: Singles, ground_m: Singles, spacing_m: float, prior: TerrainErrorPrior
) -> TerrainCorrection:
    """Predict the terrain's error from supported heights dz over it.

    dz_m, ground_m  rows×cols: heights found over the terrain, and the terrain (NaN: not known)
    sigma_m         rows×cols: of dz, NaN without support. Errors of a cell's heights are correlated (a weak
                    base, a pose), so its median has the sigma of one of them.

    Without enough support there is no correction, and its sigma is the prior's.
    """
    slopes = _slopes(ground_m, spacing_m)
    cells = _cells(dz_m, sigma_m, slopes, spacing_m)
    if cells.height.size < _MIN_CELLS:
        before = np.sqrt(prior.up_m**2 + prior.field_m**2 + prior.shift_m**2 * np.square(slopes).sum(axis=0))
        return TerrainCorrection(np.zeros_like(dz_m), before.astype(np.float32))
    inside = _covariance(prior, cells.place, cells.slope, cells.place, cells.slope)
    noisy, weights = _fitted(inside, cells.height, _alike(cells))
    nodes, shape = cells.nodes, cells.shape
    field = _field(prior, nodes, cells.place)
    # at every post: the smooth part between nodes, the shift by each post's own slope
    smooth = _to_posts((field @ weights).reshape(shape), cells.posts, dz_m.shape)
    east, north = prior.shift_m**2 * (cells.slope.T @ weights)
    up = prior.up_m**2 * weights.sum()
    across = field + prior.up_m**2 + prior.shift_m**2 * (cells.node_slope @ cells.slope.T)
    prior_variance = prior.up_m**2 + prior.field_m**2
    before = prior_variance + prior.shift_m**2 * np.square(cells.node_slope).sum(axis=1)
    left = before - np.einsum("ij,ji->i", across, np.linalg.solve(noisy, across.T))
    sigma = _to_posts(np.sqrt(np.maximum(left, 0.0)).reshape(shape), cells.posts, dz_m.shape)
    dz = smooth + np.float32(up) + np.float32(east) * slopes[0] + np.float32(north) * slopes[1]
    alone = _alone(dz_m - dz, sigma_m)
    return TerrainCorrection(np.asarray(dz, np.float32), np.hypot(sigma, alone).astype(np.float32))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells with support, and all cells as nodes.

    place K×2 (metres from the first post), slope K×2, height and its sigma K.
    """

    place: Floats
    slope: Floats
    height: Floats
    sigma: Floats
    nodes: Floats
    node_slope: Floats
    shape: tuple[int, int]
    posts: int


def _slopes(ground_m: Singles, spacing_m: float) -> Singles:
    """Return the fall of the terrain to the east and to the north, 2×rows×cols.

    A shift by it raises heights.
    """
    filled = np.where(np.isfinite(ground_m), ground_m, np.float32(np.nanmean(ground_m)))
    smooth = cv2.blur(filled, (_SLOPE_POSTS, _SLOPE_POSTS))
    down, right = np.gradient(smooth, spacing_m)
    slopes = np.stack([-right, down]).astype(np.float32)
    slopes[:, ~np.isfinite(ground_m)] = 0.0
    return slopes


def _cells(dz_m: Singles, sigma_m: Singles, slopes: Singles, spacing_m: float) -> _Cells:
    """Return medians over square cells.

    The cells are doubled while too many of them have support.
    """
    support = np.isfinite(sigma_m) & np.isfinite(dz_m)
    posts = max(round(_CELL_M / spacing_m), 1)
    while True:
        share = _squares(support.astype(np.float32), posts).mean(axis=-1)
        used = share >= _MIN_SHARE
        if used.sum() <= _MAX_CELLS:
            break
        posts *= 2
    rows, cols = used.shape
    height, sigma = (
        np.nanmedian(_squares(np.where(support, one, np.float32(np.nan)), posts)[used], axis=-1)
        if used.any()
        else np.empty(0)
        for one in (dz_m, sigma_m)
    )
    row, col = np.mgrid[:rows, :cols] * (posts * spacing_m)
    node_slope = np.stack([_squares(one, posts).mean(axis=-1) for one in slopes], axis=-1).astype(np.float64)
    nodes = np.stack([col.ravel(), row.ravel()], axis=-1)
    return _Cells(
        place=nodes[used.ravel()],
        slope=node_slope[used],
        height=height.astype(np.float64),
        sigma=sigma.astype(np.float64),
        nodes=nodes,
        node_slope=node_slope.reshape(-1, 2),
        shape=(rows, cols),
        posts=posts,
    )


def _squares(values: Singles, posts: int) -> Singles:
    """Group values by square cell, R×C×posts²; the rim is padded with 0."""
    rows, cols = (-(-n // posts) for n in values.shape)
    padded = np.zeros((rows * posts, cols * posts), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    by_cell = padded.reshape(rows, posts, cols, posts).transpose(0, 2, 1, 3)
    return by_cell.reshape(rows, cols, posts * posts)


def _field(believed: TerrainErrorPrior, one: Floats, other: Floats) -> Floats:
    """Return the covariance of the correlated height error."""
    square = np.square(one[:, None] - other[None]).sum(axis=-1)
    return np.asarray(believed.field_m**2 * np.exp(-square / LENGTH_M**2))


def _covariance(
    believed: TerrainErrorPrior, one: Floats, one_slope: Floats, other: Floats, other_slope: Floats
) -> Floats:
    shift: Floats = believed.shift_m**2 * (one_slope @ other_slope.T)
    return _field(believed, one, other) + believed.up_m**2 + shift


def _alike(cells: _Cells) -> Floats:
    """Return the covariance of the cells' own errors.

    With a weak base neighbouring cells have the same error.
    """
    square = np.square(cells.place[:, None] - cells.place[None]).sum(axis=-1)
    near: Floats = np.exp(-square / _ALIKE_M**2)
    return near * np.outer(cells.sigma, cells.sigma)


def _fitted(covariance: Floats, height: Floats, correlated: Floats) -> tuple[Floats, Floats]:
    """Return the covariance with the cells' noise K×K, and prediction weights K."""
    trust = np.where(height <= np.median(height), 1.0, 0.01)
    noise = 1.0
    for _ in range(_ROUNDS):
        variance = noise**2 + np.diag(correlated)
        noisy = covariance + correlated + np.diag(variance / trust - np.diag(correlated))
        weights = np.asarray(np.linalg.solve(noisy, height), np.float64)
        above = height - covariance @ weights
        under = -above[above < 0.0]
        noise = max(1.4826 * float(np.median(under)) if under.size else 0.0, _MIN_NOISE_M)
        trust = np.square(np.minimum(_BEND * np.sqrt(variance) / np.maximum(above, 1e-6), 1.0))
    return noisy, weights


def _alone(left_m: Singles, sigma_m: Singles) -> np.float32:
    """Estimate the 1-sigma of single posts about the prediction, from those under it.

    Above it are objects. The heights' own sigma is subtracted.
    """
    with np.errstate(invalid="ignore"):
        under = np.isfinite(sigma_m) & (left_m < 0.0)
    if not under.any():
        return np.float32(0.0)
    spread = 1.4826 * float(np.median(-left_m[under]))
    measured = float(np.median(sigma_m[under]))
    return np.float32(np.sqrt(max(spread**2 - measured**2, 0.0)))


def _to_posts(nodes: Floats, posts: int, shape: tuple[int, ...]) -> Singles:
    """Interpolate bilinearly from the cells' centres to the posts.

    The rim is extended.
    """
    scale, start = 1.0 / posts, 0.5 / posts - 0.5
    matrix = np.array([[scale, 0.0, start], [0.0, scale, start]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    moved = cv2.warpAffine(nodes.astype(np.float32), matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


# -- Filtering, gap filling, and blending into the corrected terrain -------------------------------


# Pieces smaller than this that differ in height from their surroundings are errors.
_SPECKLE_M2, _SPECKLE_STEP_M = 6.0, 0.8
# Units of the speckle filter: 5 cm in an int16.
_CENTIMETRES = 20.0
# Heights with less weight do not extend the surface beyond the support.
_MIN_TRUST = 0.25
# Without support, heights are averaged over the first, and used only where they scatter less than the second.
_AROUND_M, _MAX_ROUGH_M = 1.5, 1.0
# Fewest posts for a mean height of ground cover.
_ENOUGH_POSTS = 1000


class SweepHeights(SweepAgreement, Protocol):
    """Result of a sweep (see `refinement.Sweep`)."""

    @property
    def dz_m(self) -> Singles: ...


@dataclass(frozen=True, slots=True)
class FilledHeights:
    """Filtered and filled heights, rows×cols each.

    dz_m              over the terrain
    support           the height is the flight's own
    sigma_m           NaN without support
    terrain_sigma_m   of the terrain as corrected
    unagreed_sigma_m  added where views did not agree (NaN where none were compared)
    cover_m           RMS height of ground cover, NaN where too little of it was seen
    """

    dz_m: Singles
    support: Bools
    sigma_m: Singles
    terrain_sigma_m: Singles
    unagreed_sigma_m: Singles
    cover_m: float


def fill_heights(
    found: SweepHeights, base_m: Singles, ground_m: Singles, spacing_m: float, options: SurfaceOptions
) -> FilledHeights:
    """Filter, smooth, fill and blend the heights of the fine sweep.

    found counts from base_m, the result from the terrain ground_m.
    """
    with np.errstate(invalid="ignore"):
        support: Bools = (found.agreement >= options.min_agreement) & (found.margin >= _MIN_MARGIN)
    dz = np.where(np.isnan(found.dz_m), np.float32(0.0), found.dz_m) + base_m
    dz = np.asarray(cv2.medianBlur(dz.astype(np.float32), 3), np.float32)
    support &= _not_speckles(dz, support, spacing_m)
    sigma = np.where(support, estimate_agreed_sigma(found, dz, spacing_m), np.float32(np.nan))
    unagreed = estimate_unagreed_sigma(found, dz, spacing_m)
    up_m, shift_m = options.terrain_sigma_m
    terrain = correct_terrain(dz, sigma, ground_m, spacing_m, TerrainErrorPrior(up_m=up_m, shift_m=shift_m))
    cover_m = _cover(dz - terrain.dz_m, found.views >= 2)
    trust = _trust(found, dz - terrain.dz_m, support, spacing_m, options.min_agreement)
    dz = _blended(dz, support, trust, terrain.dz_m, spacing_m, options.blend_m)
    return FilledHeights(dz, support, sigma, terrain.sigma_m, unagreed, cover_m)


def _cover(above_m: Singles, compared: Bools) -> float:
    """Return the RMS height above the corrected terrain where views were compared."""
    seen = above_m[compared & np.isfinite(above_m)]
    if seen.size < _ENOUGH_POSTS:
        return float("nan")
    return float(np.sqrt(np.mean(np.square(np.maximum(seen, 0.0), dtype=np.float64))))


def _not_speckles(dz: Singles, support: Bools, spacing_m: float) -> Bools:
    """Return the support without small isolated pieces."""
    away = -32768
    scaled = np.clip(dz * _CENTIMETRES, -32000, 32000).astype(np.int16)
    scaled[~support] = away
    cv2.filterSpeckles(scaled, away, int(_SPECKLE_M2 / spacing_m**2), int(_SPECKLE_STEP_M * _CENTIMETRES))
    return np.asarray(scaled != away, np.bool_)


def _trust(
    found: SweepHeights, above_m: Singles, support: Bools, spacing_m: float, min_agreement: float
) -> Singles:
    """Return the weight of each post's height, rows×cols 0 … 1.

    1 with support; with less agreement its share, where the heights around it are consistent. A height with
    little agreement is still the minimum of the semi-global sum over all images: on synthetic flights it was
    nearer the truth than the terrain at every agreement. Over leaves in the wind and water it is noise, and
    noise forms spikes that hide the ground from every frame.
    """
    rough = measure_scatter(above_m, _AROUND_M, spacing_m, min_posts=3)
    share = np.clip(np.nan_to_num(found.agreement) / np.float32(min_agreement), 0.0, 1.0)
    return np.where(support, 1.0, share * (rough < _MAX_ROUGH_M)).astype(np.float32)


def _blended(
    dz: Singles, support: Bools, trust: Singles, corrected_m: Singles, spacing_m: float, blend_m: float
) -> Singles:
    """Return dz in the support, blended around it into the corrected terrain.

    First the mean of trusted heights nearby, then with the distance the terrain.
    """
    looked: Bools = trust >= _MIN_TRUST
    if not looked.any():
        return corrected_m
    away = cv2.distanceTransform((~looked).astype(np.uint8), cv2.DIST_L2, 5) * np.float32(spacing_m)
    share = np.clip(1.0 - away / np.float32(blend_m), 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    wide = (0, 0), _AROUND_M / spacing_m
    weight = np.asarray(cv2.GaussianBlur(trust, *wide, borderType=cv2.BORDER_REPLICATE), np.float32)
    total = cv2.GaussianBlur(trust * (dz - corrected_m), *wide, borderType=cv2.BORDER_REPLICATE)
    mean = np.asarray(total / np.maximum(weight, 1e-6), np.float32)
    near = pull_push(mean, np.minimum(weight * np.float32(2.0), np.float32(1.0)))
    return np.where(support, dz, corrected_m + near * share).astype(np.float32)


def pull_push(values: Singles, trust: Singles | Bools) -> Singles:
    """Fill values smoothly where trust is 0, and keep them where it is 1.

    In proportion between (Gortler et al., The Lumigraph, 1996; normalised convolution of Knutsson and Westin,
    CVPR 1993).
    """
    weight = trust.astype(np.float32)
    sums, weights = [np.where(weight > 0.0, values * weight, np.float32(0.0))], [weight]
    while min(weights[-1].shape) > 1 and weights[-1].min() < 1.0:
        sums.append(np.asarray(cv2.pyrDown(sums[-1]), np.float32))
        weights.append(np.asarray(cv2.pyrDown(weights[-1]), np.float32))
    filled = sums[-1] / np.maximum(weights[-1], 1e-6)
    for total, share in zip(reversed(sums[:-1]), reversed(weights[:-1]), strict=True):
        coarser = cv2.resize(filled, total.shape[::-1], interpolation=cv2.INTER_LINEAR)
        believed = np.minimum(share * 4.0, 1.0)
        filled = total / np.maximum(share, 1e-6) * believed + coarser * (1.0 - believed)
    return np.where(weight == 1.0, values, filled).astype(np.float32)


# -- Refined surface: heights, support by the flight, sigmas, contour lines ------------------------


# -- Contour lines of a height grid ----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ContourLine:
    """Line at one height: points K×2 (east, north) of the work CRS.

    A closed line repeats its first point.
    """

    height_m: float
    points_m: Floats
    closed: bool

    def split(self, is_own: NDArray[np.bool_]) -> list[tuple[ContourLine, bool]]:
        """Split into pieces along which `is_own` (K, of every point) is the same.

        Neighbouring pieces share the point between.
        """
        changes = np.flatnonzero(is_own[1:] != is_own[:-1]) + 1
        if not changes.size:
            return [(self, bool(is_own[0]))]
        starts, stops = [0, *changes.tolist()], [*(changes + 1).tolist(), len(self.points_m)]
        return [
            (replace(self, points_m=self.points_m[i:j], closed=False), bool(is_own[i]))
            for i, j in zip(starts, stops, strict=True)
            if j - i > 1
        ]


def trace_contour_lines(terrain: TerrainGrid, interval_m: float, min_points: int = 2) -> list[ContourLine]:
    """Trace contour lines at all multiples of an interval, in ascending order.

    Unknown posts end a line. Lines of fewer than `min_points` points are left out. Along a line the higher
    ground is on its right. A post exactly at a level counts as above it. Raises ValueError where the
    interval is not positive.
    """
    if not interval_m > 0.0:
        raise ValueError(f"the contour interval must be positive, it is {interval_m}")
    from contourpy import LineType, contour_generator  # noqa: PLC0415  only an export needs it

    heights = terrain.heights_m.astype(np.float64)
    known = heights[np.isfinite(heights)]
    if not known.size:
        return []
    # of depths: the library counts a post exactly at a level as below it
    depths = np.ma.masked_invalid(-heights)
    generator = contour_generator(z=depths, line_type=LineType.Separate, corner_mask=False)
    (east, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    lines: list[ContourLine] = []
    numbers = np.arange(np.floor(known.min() / interval_m) + 1.0, np.floor(known.max() / interval_m) + 1.0)
    for height_m in (interval_m * numbers).tolist():
        for line in generator.lines(-height_m):
            points = np.asarray(line)
            if len(points) < min_points:
                continue
            east_m, north_m = east + points[::-1, 0] * step_e, north - points[::-1, 1] * step_s
            placed = np.stack([east_m, north_m], axis=-1)
            closed = bool((points[0] == points[-1]).all())
            lines.append(ContourLine(height_m=height_m, points_m=placed, closed=closed))
    return lines


# -- Refined surface: heights, support by the flight, and sigmas -----------------------------------


_STRAIGHTEN_POSTS = 0.7
# Shorter lines are stones and leaves.
_MIN_LINE_POINTS = 8
_HALF = 0.5
# of the Gaussian over heights before contours are traced
_CONTOUR_SIGMA_M = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """DSM where the flight shows it; elsewhere the terrain as the flight corrects it.

    terrain  heights on fine posts, blended into the terrain it was refined from; NaN where neither is known
    support  rows×cols bool: the height is the flight's own
    sigma_m  rows×cols float32, 1-sigma of the height against the flight's poses; NaN without support
    terrain_sigma_m  rows×cols float32, 1-sigma of bare ground where there is no support: of the terrain as
                     corrected by the supported ground; ground cover is not included. None: not known
    unagreed_sigma_m rows×cols float32, added where views were compared and did not agree; NaN where none
                     were. None: not known
    cover_m          RMS height of ground cover where it was compared; NaN: too little was
    laying_m         rows×cols float32, laying surface: heights to orthorectify on (`refinement`). None:
                     those of `terrain`
    """

    terrain: TerrainGrid
    support: NDArray[np.bool_]
    sigma_m: Singles
    terrain_sigma_m: Singles | None = None
    unagreed_sigma_m: Singles | None = None
    cover_m: float = float("nan")
    laying_m: Singles | None = None

    @property
    def supported_pct(self) -> float:
        """Share of the posts that have support, 0-100."""
        return 100.0 * float(self.support.mean())

    def rectification_terrain(self) -> TerrainGrid:
        """Return the heights to orthorectify on, with straightened roof edges.

        For `geometry.orthorectification`. A step that is off by single posts tears a roof's edge in the
        image; a Gaussian of less than a post removes the teeth. A median removes crowns too: measured
        worse.
        """
        laying_heights = self.terrain.heights_m if self.laying_m is None else self.laying_m
        return _with_heights(self.terrain, _straightened(laying_heights))


def extract_contours(
    surface: Surface, interval_m: float, within: NDArray[np.bool_] | None = None
) -> list[tuple[ContourLine, bool]]:
    """Extract contour lines (`trace_contour_lines`), split by the flight's support.

    Heights are smoothed by a Gaussian; support is that of most posts around.

    within  rows×cols: posts elsewhere are not contoured. None: all

    Each piece comes with True if it is on the flight's own heights.
    """
    terrain, own = surface.terrain, surface.support
    sigma = _CONTOUR_SIGMA_M / terrain.post_spacing_m[0]
    smooth, share = (
        cv2.GaussianBlur(np.asarray(grid, np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        for grid in (terrain.heights_m, own)
    )
    terrain, own = _with_heights(terrain, np.asarray(smooth, np.float32)), np.asarray(share) > _HALF
    if within is not None:
        terrain = _with_heights(terrain, np.where(within, terrain.heights_m, np.float32(np.nan)))
    lines = trace_contour_lines(terrain, interval_m, _MIN_LINE_POINTS)
    own_posts = np.asarray(own, np.bool_).reshape(-1)
    pieces: list[tuple[ContourLine, bool]] = []
    for line in lines:
        post, _ = find_nearest_posts(terrain, line.points_m[:, 0], line.points_m[:, 1])
        pieces += line.split(own_posts[post])
    return pieces


def assemble_surface(
    terrain: TerrainGrid, posts: PostGrid, ground_m: Singles, finished: FilledHeights, laying_m: Singles
) -> Surface:
    """Assemble a surface from the terrain at the posts and the heights over it.

    finished and laying_m both count from the terrain.
    """
    refined = TerrainGrid(
        heights_m=np.ascontiguousarray(ground_m + finished.dz_m, np.float32),
        origin_m=(posts.west_m, posts.north_m),
        post_spacing_m=(posts.spacing_m, posts.spacing_m),
        work_crs=terrain.work_crs,
        vertical_datum=terrain.vertical_datum,
        dem_id="",
    )
    refined = _with_heights(refined, refined.heights_m)
    return Surface(
        terrain=refined,
        support=finished.support,
        sigma_m=finished.sigma_m,
        terrain_sigma_m=finished.terrain_sigma_m,
        unagreed_sigma_m=finished.unagreed_sigma_m,
        cover_m=finished.cover_m,
        laying_m=np.asarray(ground_m + laying_m, np.float32),
    )


def _with_heights(terrain: TerrainGrid, heights_m: Singles) -> TerrainGrid:
    """Return the same posts with other heights.

    The id is derived from the heights and the position of the posts.
    """
    place = np.array([*terrain.origin_m, *terrain.post_spacing_m])
    digest = hashlib.sha256(place.tobytes() + np.ascontiguousarray(heights_m).tobytes())
    return replace(terrain, heights_m=heights_m, dem_id=f"surface:{digest.hexdigest()[:32]}")


def _straightened(heights_m: Singles) -> Singles:
    """Apply a narrow Gaussian; unknown posts stay unknown and affect no others."""
    known = np.isfinite(heights_m)
    if not known.any():
        return heights_m
    filled = heights_m if known.all() else pull_push(np.nan_to_num(heights_m), known)
    smooth = cv2.GaussianBlur(filled, (0, 0), _STRAIGHTEN_POSTS, borderType=cv2.BORDER_REPLICATE)
    return np.where(known, np.asarray(smooth, np.float32), np.float32(np.nan))
