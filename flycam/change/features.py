"""Features of each cell on both dates, nearly independent of light and season.

Haze and light are removed, relief and prior water computed from the terrain, and `Logistic` weighs the
features.

No colour stands for a kind of change: soil and water have any. Vegetation is green; everything else is judged
only by how far it moved from the same place before, relative to what is usual around, and by its likeness to
the river now. Texture is of the logarithm: the shadow of a cloud or another exposure multiplies all of it and
cancels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, median_filter

from flycam.change.image_pair import WorkPair
from flycam.config import find_models_dir

# -- Logistic model with named features, small enough to read --------------------------------------


Reals = NDArray[np.float32]
Doubles = NDArray[np.float64]

_CHUNK_ROWS = 64
# nothing was fitted farther out, and squares would run away
_MAX_STANDARD = 1.6


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """Logistic model with products of features.

    p = 1 / (1 + exp(-z)), z = bias + Σ w_i x_i + Σ_{i≤j} v_ij x_i x_j, x = (cue - mean) / spread, held within
    ±1.6: nothing was fitted farther out, and squares would run away.

    cues      names, in the order of the weights
    weights   one for each cue
    products  (i, j, v) for pairs of cues, by number; none in a plain model
    """

    cues: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    bias: float
    weights: tuple[float, ...]
    products: tuple[tuple[int, int, float], ...] = ()

    def logits(self, values: Doubles) -> Doubles:
        """Return z of N×len(cues) values."""
        x = self.standardise(values)
        z = self.bias + x @ np.array(self.weights)
        if self.products:
            z = z + np.einsum("ni,ij,nj->n", x, self._matrix(), x)
        return np.asarray(z, np.float64)

    def standardise(self, values: Doubles) -> Doubles:
        """Return x of N×len(cues) values; 0, which is evidence of nothing, for NaN."""
        x = (values - np.array(self.mean)) / np.array(self.spread)
        return np.asarray(np.clip(np.nan_to_num(x), -_MAX_STANDARD, _MAX_STANDARD), np.float64)

    def logit_planes(self, planes: Reals) -> Reals:
        """Return z of each cell of len(cues)×H×W planes, a few rows at a time."""
        count, height, width = planes.shape
        mean = np.array(self.mean, np.float32)[:, None]
        spread = np.array(self.spread, np.float32)[:, None]
        weights, matrix = np.array(self.weights, np.float32), self._matrix().astype(np.float32)
        out = np.empty((height, width), np.float32)
        for row in range(0, height, _CHUNK_ROWS):
            part = planes[:, row : row + _CHUNK_ROWS].reshape(count, -1)
            x = np.clip((part - mean) / spread, -_MAX_STANDARD, _MAX_STANDARD)
            z = weights @ x + np.float32(self.bias)
            if self.products:
                z += ((matrix @ x) * x).sum(axis=0)
            out[row : row + _CHUNK_ROWS] = z.reshape(-1, width)
        return out

    def _matrix(self) -> Doubles:
        matrix = np.zeros((len(self.cues), len(self.cues)))
        for i, j, value in self.products:
            matrix[i, j] += value
        return matrix


def to_probability(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """Convert logits to probabilities: 1 / (1 + exp(-z))."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))))


@dataclass(frozen=True, kw_only=True)
class DetectorCoefficients:
    """Fitted values of the detector.

    models       bare, flooded, old_water: of cells; `like_KIND`: which of overlapping patches is kept, and as
                 which kind; KIND: probability that a kept one is of its kind
    min_score    by kind; less likely ones are not shown
    usual_share  by kind, of those kept
    rim_m        by kind, distance of outlines from the true ones
    """

    models: Mapping[str, Logistic]
    min_score: Mapping[str, float]
    usual_share: Mapping[str, float]
    rim_m: Mapping[str, float]


DETECTOR_FILE = find_models_dir() / "change" / "detector.json"
_fitted = json.loads(DETECTOR_FILE.read_text(encoding="utf-8"))
COEFFICIENTS = DetectorCoefficients(
    models={
        name: Logistic(
            cues=tuple(model["cues"]),
            mean=tuple(model["mean"]),
            spread=tuple(model["spread"]),
            bias=model["bias"],
            weights=tuple(model["weights"]),
            products=tuple((i, j, v) for i, j, v in model["products"]),
        )
        for name, model in _fitted["models"].items()
    },
    **{name: _fitted[name] for name in ("min_score", "usual_share", "rim_m")},
)
"""As `python -m bench.change_fit` fitted them on the development scenes."""


# -- Prior water: distance and height of each place above it, and likeness to its colour now -------
#
# A flood is near and low, and its water is the river's, of whatever colour that has become: a wet-looking
# place beside it of another colour is a paddy, a shadow or the bank itself. Where no water was within 150 m,
# the lowest ground there takes its place: that fills first.

Mask = NDArray[np.bool_]

FAR_M = 150.0
_HIGH_M, _LOW_M = 12.0, -6.0
COARSE_M = 2.0
_REACH_M = 30.0
_HALF, _LITTLE = 0.5, 1e-4
_MIN_UNLIKE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorWater:
    """Prior water on the work grid H×W.

    mask        bool: was water before
    distance_m  float32: metres to the nearest of it or of the lowest ground, 150 at the most
    height_m    float32: height above the nearest, -6 to 12 m; 12 where none is within 150 m
    unlike      float32: ln of the distance of a place's colour on the after-date from that of the nearest
                (some 30 m of it) then; 0 where none is within 150 m
    """

    mask: Mask
    distance_m: Reals
    height_m: Reals
    unlike: Reals


def compute_coarse_size(shape: tuple[int, ...], cell_m: float) -> tuple[int, int]:
    """Return (columns, rows) of the cells, 2 m or larger, on which water is searched."""
    step = max(COARSE_M, cell_m)
    return max(round(shape[1] * cell_m / step), 1), max(round(shape[0] * cell_m / step), 1)


def compute_prior_water(
    there: Mask, low: Mask, heights_m: Reals, colours: Reals, cell_m: float
) -> PriorWater:
    """Compute distance to and height over water, and likeness to it.

    low        H×W: the lowest ground, where water would gather
    heights_m  H×W, smoothed and without gaps
    colours    3×h×w of the after-date on cells of `compute_coarse_size`
    """
    shape = there.shape
    step = max(COARSE_M, cell_m)
    size = compute_coarse_size(shape, cell_m)
    wet = _thinned(there, size)
    is_dry = cv2.distanceTransform((~wet).astype(np.uint8), cv2.DIST_L2, 5) >= FAR_M / step
    wet |= _thinned(low, size) & (is_dry | ~wet.any())
    if not wet.any():
        return _none(there)
    away, nearest = cv2.distanceTransformWithLabels(
        (~wet).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )

    def at_nearest(values: Reals) -> Reals:
        known = np.zeros(int(nearest.max()) + 1, np.float32)
        known[nearest[wet]] = values[wet]
        return np.asarray(known[nearest], np.float32)

    heights = np.asarray(cv2.resize(heights_m, size, interpolation=cv2.INTER_NEAREST), np.float32)
    side = round(_REACH_M / step) | 1
    share = wet.astype(np.float32)
    around = np.maximum(cv2.blur(share, (side, side)), np.float32(_LITTLE))
    off = np.zeros(share.shape, np.float32)
    for band in colours:
        mean = np.asarray(cv2.blur(band * share, (side, side)) / around, np.float32)
        off += (band - at_nearest(mean)) ** 2
    unlike = np.minimum(np.log(np.sqrt(off) + np.float32(_MIN_UNLIKE)), np.float32(0.0))
    away_m = np.minimum(away * np.float32(step), np.float32(FAR_M))
    is_far = away_m >= FAR_M
    over = np.clip(heights - at_nearest(heights), _LOW_M, _HIGH_M)
    return PriorWater(
        mask=there,
        distance_m=_upsample_depth(away_m, shape),
        height_m=_upsample_depth(np.where(is_far, np.float32(_HIGH_M), over), shape),
        unlike=_upsample_depth(np.where(is_far, np.float32(0.0), unlike), shape),
    )


def _thinned(mask: Mask, size: tuple[int, int]) -> Mask:
    """Reduce a mask to coarse cells; a brook narrower than they are is still water."""
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray((share > 0.0) & (share > min(_HALF, float(share.max()) - _LITTLE)), np.bool_)


def _none(there: Mask) -> PriorWater:
    away, over = (np.full(there.shape, value, np.float32) for value in (FAR_M, _HIGH_M))
    return PriorWater(mask=there, distance_m=away, height_m=over, unlike=np.zeros(there.shape, np.float32))


def _upsample_depth(values: Reals, shape: tuple[int, ...]) -> Reals:
    return np.asarray(cv2.resize(values, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


# -- Radiometric normalisation ---------------------------------------------------------------------
#
# Removal of the effects of light, haze and season on a neighbourhood: the rest belongs to the place.


_BLOCK_M = 40.0
_AROUND_BLOCKS = 7
_DARK_PERCENT = 1.0
_DARK_BLOCKS = 3
_DARK_SHARE = 0.92
_DARKEST = 0.004
_MIN_SHARE = 0.25
_FILL_BLOCKS = (1.0, 2.0, 4.0, 8.0, 16.0)


def remove_haze(linear: Reals, seen: Mask, cell_m: float) -> Reals:
    """Subtract haze from linear light H×W×3: most of the darkest within 80 m.

    Dark-object subtraction band by band (Chavez 1988, Remote Sensing of Environment 24); some shadow is near
    every place in mountains, and its own skylight is little.
    """
    out = np.empty_like(linear)
    for band in range(3):
        smooth = np.asarray(cv2.blur(linear[..., band], (3, 3)), np.float32)
        dark = _block_percentiles(smooth, seen, cell_m, _DARK_PERCENT)
        lowest = cv2.erode(dark, np.ones((_DARK_BLOCKS, _DARK_BLOCKS), np.uint8))
        level = _spread(np.asarray(cv2.GaussianBlur(lowest, (0, 0), 1.5), np.float32), linear.shape[:2])
        np.maximum(linear[..., band] - _DARK_SHARE * level, _DARKEST, out=out[..., band])
    return out


def subtract_local_percentile(values: Reals, where: Mask, cell_m: float, percent: float = 50.0) -> Reals:
    """Subtract from values H×W their robust percentile in the neighbourhood (280 m).

    The usual value there becomes 0.

    where  bool H×W: cells that define what is usual; a block with few of them uses its neighbours
    """
    usual = _block_percentiles(values, where, cell_m, percent)
    robust = np.asarray(median_filter(usual, _AROUND_BLOCKS, mode="nearest"), np.float32)
    smooth = np.asarray(cv2.GaussianBlur(robust, (0, 0), 1.0), np.float32)
    return np.asarray(values - _spread(smooth, values.shape), np.float32)


def _block_percentiles(values: Reals, where: Mask, cell_m: float, percent: float) -> Reals:
    """Return one percentile a block of 40 m; fill blocks that have little data."""
    side = max(round(_BLOCK_M / cell_m), 1)
    rows, cols = -(-values.shape[0] // side), -(-values.shape[1] // side)
    found = np.full((rows, cols), np.nan, np.float32)
    for row in range(rows):
        for col in range(cols):
            place = (slice(row * side, (row + 1) * side, 2), slice(col * side, (col + 1) * side, 2))
            known = values[place][where[place]]
            if known.size >= max(_MIN_SHARE * where[place].size, 1.0):
                found[row, col] = np.percentile(known, percent)
    # strips, specks: together they still define what is usual
    if not np.isfinite(found).any() and where.any():
        found[:] = np.percentile(values[where], percent)
    return _filled(found)


def _filled(grid: Reals) -> Reals:
    """Replace NaN by the mean of known values around, from near to far.

    Beyond 16 blocks by the nearest; 0 where nothing is known at all.
    """
    known = np.isfinite(grid)
    if not known.any():
        return np.zeros_like(grid)
    values, weight = np.where(known, grid, 0.0).astype(np.float32), known.astype(np.float32)
    out = grid.copy()
    for sigma in _FILL_BLOCKS:
        unknown = ~np.isfinite(out)
        if not unknown.any():
            return out
        sums, weights = (cv2.GaussianBlur(a, (0, 0), sigma) for a in (values, weight))
        reached = unknown & (weights > 1e-3)
        out[reached] = sums[reached] / weights[reached]
    unknown = ~np.isfinite(out)
    _, labels = cv2.distanceTransformWithLabels(
        unknown.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    by_label = np.zeros(labels.max() + 1, np.float32)
    by_label[labels[~unknown]] = out[~unknown]
    return np.asarray(by_label[labels], np.float32)


def _spread(grid: Reals, shape: tuple[int, int]) -> Reals:
    return np.asarray(cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


# -- Terrain relief: slope, direction down, height above the valley floor --------------------------


_STEP_M = 4.0
_SMOOTH_M = 6.0
_FLOOR_REACH_M, _BED_REACH_M = 110.0, 30.0
# middle values, so that unknown terrain is evidence of nothing
_UNKNOWN_SLOPE = 0.3
_UNKNOWN_ABOVE_M = 12.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainRelief:
    """Relief on the work grid; all float32 H×W except `known`.

    slope           tangent of the steepest slope
    down_x, down_y  unit vector of the way down, columns and rows; 0, 0 on level ground
    above_floor_m   height above the lowest ground within 110 m: small on valley floors and in hollows
    above_bed_m     the same within 30 m: small in the bed of a brook, on a wide floor, in a hollow
    heights_m       smoothed heights; where the terrain is not known, those of the nearest that is
    known           bool
    """

    slope: Reals
    down_x: Reals
    down_y: Reals
    above_floor_m: Reals
    above_bed_m: Reals
    heights_m: Reals
    known: NDArray[np.bool_]


def compute_relief(heights_m: Reals, cell_m: float) -> TerrainRelief:
    """Compute the relief of heights H×W, NaN where unknown.

    There slope and height above the floor take a middle value, which is evidence of nothing.
    """
    shape = heights_m.shape
    known = np.isfinite(heights_m)
    step = max(_STEP_M, cell_m)
    size = (max(round(shape[1] * cell_m / step), 2), max(round(shape[0] * cell_m / step), 2))
    coarse = _filled_heights(
        np.asarray(cv2.resize(heights_m, size, interpolation=cv2.INTER_NEAREST), np.float32)
    )
    coarse = np.asarray(cv2.GaussianBlur(coarse, (0, 0), _SMOOTH_M / step), np.float32)
    south, east = np.gradient(coarse, step)
    slope = np.hypot(south, east)
    steep = np.maximum(slope, 1e-6)

    def above(reach_m: float) -> Reals:
        side = 2 * max(round(reach_m / step), 1) + 1
        lowest = cv2.erode(coarse, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
        return np.where(known, spread(coarse - lowest), np.float32(_UNKNOWN_ABOVE_M))

    def spread(values: NDArray[np.floating]) -> Reals:
        return np.asarray(
            cv2.resize(values.astype(np.float32), shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32
        )

    return TerrainRelief(
        slope=np.where(known, spread(slope), np.float32(_UNKNOWN_SLOPE)),
        down_x=spread(-east / steep),
        down_y=spread(-south / steep),
        above_floor_m=above(_FLOOR_REACH_M),
        above_bed_m=above(_BED_REACH_M),
        heights_m=spread(coarse),
        known=known,
    )


def _filled_heights(heights: Reals) -> Reals:
    """Fill unknown posts with the nearest known height; 0 where none is known."""
    unknown = ~np.isfinite(heights)
    if unknown.all():
        return np.zeros_like(heights)
    if not unknown.any():
        return heights
    rows, cols = distance_transform_edt(unknown, return_distances=False, return_indices=True)
    return np.asarray(heights[rows, cols], np.float32)


# -- Features of each cell on both dates -----------------------------------------------------------


PIXEL_FEATURES = (
    "green_before",
    "green_after",
    "rough_before",
    "rough_after",
    "greener",
    "tinted",
    "lit",
    "dim",
    "alike",
    "slope",
    "above_floor",
    "above_bed",
    "over_water",
    "unlike_water",
)
"""Names of the feature planes, in their order; the last two are of the prior water (`PriorWater`)."""
TERRAIN_FEATURES = ("slope", "above_floor", "above_bed", "over_water")
"""Features of a cell's terrain, not of its look."""
_COLOUR_M = 1.5
_ROUGH_M = 2.5
_ALIKE_M = 7.0
_MIN_LIGHT, _MIN_HAZY = 0.006, 0.001
_FURROW_LIGHT, _MAX_GRAIN = 0.02, 1.0
_MIN_SPREAD, _LITTLE_STRUCTURE = 0.02, 0.08
# of colours over their spread: smaller differences are no edge
_LITTLE_VARIANCE = 0.1
_GUIDE_M = 0.5
_STRIP_ROWS = 256
_OTHER_TINT = 0.2
_VEGETATION_PERCENT = 65.0
# a quarter of the ground did not change, even under a flood: its difference is light, noise, season
_USUAL_PERCENT, _MIN_USUAL, _MIN_CHANGE = 25.0, 0.04, 0.05


def compute_cell_features(work: WorkPair, relief: TerrainRelief) -> tuple[Reals, Reals]:
    """Compute each cell's features, and the coarse colours of the after-date.

    Features: float32 len(PIXEL_FEATURES)×H×W, about -3 to 3 each. Colours: float32 3×h×w (green, red, bright
    as below) on cells of `COARSE_M`, from which the last two features are made.

    green   ln G - (ln R + ln B) / 2 of 1.5 m, less the vegetation's value in the neighbourhood
    rough   ln of the spread of ln brightness over 2.5 m, less what is usual in the neighbourhood
    greener after less before, less what is usual: below 0 where cover was lost
    tinted, lit  ln of how far its colour (green, and red: ln R - ln B) and its brightness moved, in either
            direction, over what is usual; like greener, the lesser of the colours as they are and with less
            haze: where the air was clear, shade would else tint what it falls on
    dim     the lesser brightness of the two dates, less what is usual: in deep shade colours say little
    alike   correlation of both dates' brightness over 7 m, less its mean around each cell: of one structure,
            whatever the light, and from whichever side it falls on the slope; where there is no structure, as
            far as the colour is the same
    """
    planes = np.zeros((len(PIXEL_FEATURES), *work.seen.shape), np.float32)
    index = {name: number for number, name in enumerate(PIXEL_FEATURES)}
    # the before-date is kept in these planes: over large ground there is no memory for both beside them
    dim = planes[index["dim"]]
    dim[:] = np.inf
    change_planes = [planes[index[name]] for name in ("greener", "tinted", "lit")]
    logs = []
    for when in ("before", "after"):
        clear = remove_haze(work.before if when == "before" else work.after, work.seen, work.cell_m)
        colours = _colours(clear, work.cell_m)
        for plane, values in zip(change_planes, colours, strict=True):
            plane[:] = values if when == "before" else values - plane
        fine = np.log(clear.mean(-1) + _MIN_LIGHT)
        logs.append(fine)
        side = max(round(_ROUGH_M / work.cell_m) | 1, 3)
        mean = cv2.blur(fine, (side, side))
        square = cv2.blur(fine * fine, (side, side))
        rough = np.asarray(0.5 * np.log(np.maximum(square - mean * mean, 0.0) + _MIN_SPREAD**2), np.float32)
        green = subtract_local_percentile(colours[0], work.seen, work.cell_m, _VEGETATION_PERCENT)
        planes[index[f"green_{when}"]] = green
        np.minimum(dim, subtract_local_percentile(colours[2], work.seen, work.cell_m), out=dim)
        planes[index[f"rough_{when}"]] = subtract_local_percentile(rough, work.seen, work.cell_m)
    size = compute_coarse_size(work.seen.shape, work.cell_m)
    coarse = np.stack([cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in colours])
    greener, tint_change, brightness_change = _went(change_planes, work)
    before, after = (_colours(linear, work.cell_m, _MIN_HAZY) for linear in (work.before, work.after))
    as_it_is = _went([values - was for was, values in zip(before, after, strict=True)], work)
    planes[index["greener"]] = np.where(np.abs(as_it_is[0]) < np.abs(greener), as_it_is[0], greener)
    tint_change = np.minimum(tint_change, as_it_is[1])
    planes[index["tinted"]] = _over_usual(tint_change, work)
    planes[index["lit"]] = _over_usual(np.minimum(brightness_change, as_it_is[2]), work)
    similarity = _correlation(
        logs[0], logs[1], np.exp(tint_change / np.float32(-_OTHER_TINT)), round(_ALIKE_M / work.cell_m)
    )
    planes[index["alike"]] = similarity
    planes[index["slope"]] = np.minimum(relief.slope, 1.5)
    for name, above in (("above_floor", relief.above_floor_m), ("above_bed", relief.above_bed_m)):
        planes[index[name]] = np.log1p(np.maximum(above, 0.0)) - 2.0
    return np.clip(planes, -3.0, 3.0, out=planes), np.asarray(coarse, np.float32)


def _went(differences: Sequence[Reals], work: WorkPair) -> tuple[Reals, Reals, Reals]:
    """Return greening, colour change and brightness change, less what is usual."""
    greener, redder, brighter = (
        subtract_local_percentile(plane, work.stable, work.cell_m) for plane in differences
    )
    return greener, np.hypot(greener, redder), np.abs(brighter)


def _over_usual(change: Reals, work: WorkPair) -> Reals:
    """Return ln of each cell's change over what is usual in its neighbourhood."""
    usual = change - subtract_local_percentile(change, work.stable, work.cell_m, _USUAL_PERCENT)
    ratio = (change + _MIN_CHANGE) / (np.maximum(usual, _MIN_USUAL) + _MIN_CHANGE)
    return np.asarray(np.log(ratio), np.float32)


def compute_grain(linear: Reals) -> Reals:
    """Compute the structure tensor of an image's fine grain.

    float32 3×H×W: Jxx - Jyy, 2 Jxy, Jxx + Jyy.

    linear  H×W×3, linear light 0-1

    Furrows and rows of plants run one way all over a field, landslide debris does not (Bigün and Granlund
    1987).
    """
    fine = np.log(linear.mean(-1) + _FURROW_LIGHT)
    x, y = (cv2.Sobel(fine, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    # clipped, because an outline or a roof is no grain
    limit = np.float32(_MAX_GRAIN)
    x, y = np.clip(x, -limit, limit), np.clip(y, -limit, limit)
    return np.stack([x * x - y * y, 2.0 * x * y, x * x + y * y])


def smooth_along_edges(values: Reals, linear: Reals, seen: Mask, radius: int, cell_m: float) -> Reals:
    """Smooth values H×W within what looks alike on an image, and not across its edges.

    Guided filter (He, Sun, Tang 2013, IEEE TPAMI 35), its guide the three colours of the image, each over its
    spread: within each square the values are a linear function of the colours, and the functions of all
    squares that hold a cell are averaged.

    linear  H×W×3, linear light 0-1
    radius  half the side of the squares, cells
    """
    guide = np.stack(_colours(linear, cell_m, width_m=_GUIDE_M))
    guide /= guide[:, seen].std(axis=1)[:, None, None] + np.float32(_MIN_SPREAD)
    out = np.empty_like(values)
    rows = len(values)
    for top in range(0, rows, _STRIP_ROWS):
        # what is averaged comes from two squares away
        strip = slice(max(top - 2 * radius, 0), min(top + _STRIP_ROWS + 2 * radius, rows))
        smooth = _filter_guided(values[strip], guide[:, strip], seen[strip], radius)
        out[top : top + _STRIP_ROWS] = smooth[top - strip.start :][:_STRIP_ROWS]
    return out


def _filter_guided(values: Reals, guide: Reals, seen: Mask, radius: int) -> Reals:
    weight = seen.astype(np.float32)
    square = (2 * radius + 1,) * 2
    count = np.maximum(np.asarray(cv2.blur(weight, square), np.float32), np.float32(1e-3))

    def mean(plane: Reals) -> Reals:
        return np.asarray(cv2.blur(plane * weight, square) / count, np.float32)

    means, value_mean = np.stack([mean(plane) for plane in guide]), mean(values)
    covariance = np.empty((*values.shape, 3, 3), np.float32)
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        covariance[..., i, j] = mean(guide[i] * guide[j]) - means[i] * means[j]
        covariance[..., j, i] = covariance[..., i, j]
    covariance += np.float32(_LITTLE_VARIANCE) * np.eye(3, dtype=np.float32)
    with_values = np.stack([mean(plane * values) for plane in guide], -1) - np.moveaxis(
        means * value_mean, 0, -1
    )
    slopes = np.moveaxis(np.linalg.solve(covariance, with_values[..., None])[..., 0], -1, 0)
    offset = value_mean - (slopes * means).sum(axis=0)
    out = mean(offset)
    for slope, plane in zip(slopes, guide, strict=True):
        out += mean(slope) * plane
    return out


def _colours(
    linear: Reals, cell_m: float, min_light: float = _MIN_LIGHT, width_m: float = _COLOUR_M
) -> tuple[Reals, Reals, Reals]:
    """Return greenness, redness, brightness (H×W each) of light averaged over a square."""
    side = max(round(width_m / cell_m), 1)
    light = np.asarray(cv2.blur(linear, (side, side)), np.float32)
    light += np.float32(min_light)
    np.log(light, out=light)
    red, green, blue = (np.asarray(band, np.float32) for band in cv2.split(light))
    return green - 0.5 * (red + blue), red - blue, (red + green + blue) / 3.0


def _correlation(x: Reals, y: Reals, same: Reals, side: int) -> Reals:
    """Correlate the detail finer than `side` cells of two images, -1 to 1.

    Computed over squares of `side` cells; `same` where they have no detail. What is broader is the slope's
    light, which another sun reverses.
    """
    side = max(side | 1, 3)

    def mean(values: Reals) -> Reals:
        return np.asarray(cv2.blur(values, (side, side)), np.float32)

    x, y = x - mean(x), y - mean(y)
    both = mean(x * y)
    spread_x, spread_y = (np.maximum(mean(some * some), 0.0) for some in (x, y))
    little = np.float32(_LITTLE_STRUCTURE**2)
    return np.asarray((both + little * same) / (np.sqrt(spread_x * spread_y) + little), np.float32)
