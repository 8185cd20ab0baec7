"""Orientation correlation of images in different light or season.

Windows of two images, and orthorectified thumbnails of many, are matched by it.

Edge directions are compared, not brightness: each pixel is the doubled angle of its gradient, weighted by
how clearly it exceeds the noise, so neither exposure nor a shadow edge that turned from dark-bright to
bright-dark changes it.

Sources: Fitch, Kadyrov, Christmas and Kittler, Orientation correlation, BMVC 2002; doubled angles after
Bigün and Granlund 1987; sub-pixel peak by a paraboloid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import InteriorOrientation, project, scale_interior
from flycam.geometry.pose import ExteriorOrientation

Singles = NDArray[np.float32]
Floats = NDArray[np.float64]
Complex = NDArray[np.complex64]

_WINDOWS_AT_ONCE = 64
_SMOOTH_PX = 1.0
# Noise of a gradient, as a share of the image's median gradient.
_NOISE_SHARE = 0.5
# Gradients were smoothed over about this area, so that many pixels count as one independent observation.
_CORRELATED_PX = 9.0
# Scores this near to a peak belong to it, and do not count against its margin.
_NEAR_PEAK_PX = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowShifts:
    """Shifts of N windows; NaN where a window holds too little data.

    shift_px  N×2 (columns, rows): the content at p in the first image is at p + shift in the second
    sigma_px  N, of one coordinate, from the height and sharpness of the peak
    score     N, correlation at the peak, 0-1
    margin    N, noise sigmas by which the peak exceeds the best other place
    """

    shift_px: Floats
    sigma_px: Floats
    score: Floats
    margin: Floats

    def take(self, chosen: NDArray[np.bool_]) -> WindowShifts:
        """Select windows by a mask."""
        return WindowShifts(
            shift_px=self.shift_px[chosen],
            sigma_px=self.sigma_px[chosen],
            score=self.score[chosen],
            margin=self.margin[chosen],
        )


def compute_edge_directions(grey: Singles, valid: NDArray[np.bool_]) -> Complex:
    """Return doubled gradient angles times their weights 0-1, H×W complex64.

    grey H×W float32; valid H×W bool, pixels with data. 0 where not valid or flat. Pixels whose gradient
    reaches the rim of the data count as flat.
    """
    smooth = cv2.GaussianBlur(grey, (0, 0), _SMOOTH_PX)
    east = cv2.Scharr(smooth, cv2.CV_32F, 1, 0, scale=1.0 / 32.0)
    south = cv2.Scharr(smooth, cv2.CV_32F, 0, 1, scale=1.0 / 32.0)
    inside = cv2.erode(valid.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    gradient = east + 1j * south
    strength = np.abs(gradient)
    known = strength[inside]
    noise = _NOISE_SHARE * float(np.median(known)) if known.size else 0.0
    # squaring doubles the angle; the divisor removes the strength and damps noise
    directions = gradient * gradient / np.maximum(strength**2 + noise**2, 1e-12)
    directions[~inside] = 0.0
    return np.asarray(directions, dtype=np.complex64)


def match_windows(
    first: Complex, second: Complex, centres_px: NDArray[np.int64], *, window_px: int, reach_px: int
) -> WindowShifts:
    """Estimate the shifts of square windows of `first` against `second`.

    first, second  from `compute_edge_directions`, equal shapes
    centres_px     N×2 (column, row) of the windows; NaN results where a window or its search area leaves
                   the image
    window_px      side of a window
    reach_px       largest shift searched in each direction
    """
    count = len(centres_px)
    result = WindowShifts(
        shift_px=np.full((count, 2), np.nan),
        sigma_px=np.full(count, np.nan),
        score=np.zeros(count),
        margin=np.zeros(count),
    )
    half, wide = window_px // 2, window_px // 2 + reach_px
    rows, cols = first.shape
    fits = (
        (centres_px >= wide).all(axis=1) & (centres_px[:, 0] < cols - wide) & (centres_px[:, 1] < rows - wide)
    )
    inside = np.flatnonzero(fits)
    for start in range(0, inside.size, _WINDOWS_AT_ONCE):
        chunk = inside[start : start + _WINDOWS_AT_ONCE]
        _match_chunk(first, second, centres_px[chunk], half, reach_px, chunk, result)
    return result


def _match_chunk(
    first: Complex,
    second: Complex,
    centres: NDArray[np.int64],
    half: int,
    reach: int,
    into: NDArray[np.int64],
    result: WindowShifts,
) -> None:
    windows, areas = _cut(first, centres, half), _cut(second, centres, half + reach)
    span = 2 * reach + 1
    score = _correlation(areas, windows) / np.maximum(_overlapping_energy(areas, windows, span), 1e-6)
    best = score.reshape(len(score), -1).argmax(axis=1)
    row, col = np.divmod(best, span)
    at_rim = (row == 0) | (col == 0) | (row == span - 1) | (col == span - 1)
    enough = np.einsum("nij,nij->n", windows, windows.conj()).real > 0.02 * windows[0].size
    good = enough & ~at_rim
    peak = score[np.arange(len(score)), row, col]
    chosen, r, c, n = into[good], row[good], col[good], np.flatnonzero(good)
    if not n.size:
        return
    offset, bend = _paraboloid(score, n, r, c)
    result.shift_px[chosen] = np.stack([c, r], -1) - reach + offset
    independent = windows[0].size / _CORRELATED_PX
    noise = np.sqrt(np.maximum(1.0 - peak[n] ** 2, 1e-3) / (2.0 * independent))
    result.score[chosen] = peak[n]
    result.margin[chosen] = (peak[n] - _best_elsewhere(score, n, r, c)) / noise
    # the vertex of a parabola of curvature b is known to noise/b
    result.sigma_px[chosen] = np.clip(noise / np.maximum(bend, 1e-6), 0.02, 5.0)


def _cut(picture: Complex, centres: NDArray[np.int64], half: int) -> Complex:
    """Cut squares of side 2 half + 1 around centres: N×side×side."""
    view = np.lib.stride_tricks.sliding_window_view(picture, (2 * half + 1, 2 * half + 1))
    return np.ascontiguousarray(view[centres[:, 1] - half, centres[:, 0] - half])


def _correlation(areas: Complex, windows: Complex) -> Singles:
    """Correlate each area with its conjugate window at every shift inside it.

    Returns the real part. OpenCV's correlation over two channels is exactly that, and faster than
    transforms of all windows at once.
    """
    span = areas.shape[1] - windows.shape[1] + 1
    found = np.empty((len(areas), span, span), dtype=np.float32)
    for area, window, into in zip(_channels(areas), _channels(windows), found, strict=True):
        cv2.matchTemplate(area, window, cv2.TM_CCORR, result=into)
    return found


def _channels(numbers: Complex) -> Singles:
    """View N×H×W complex as N×H×W×2."""
    return numbers.view(np.float32).reshape(*numbers.shape, 2)


def _overlapping_energy(areas: Complex, windows: Complex, span: int) -> Floats:
    """Return the scale of the score where window and area overlap.

    Root of the product of both energies.
    """
    strength = np.abs(areas).astype(np.float32) ** 2
    side, half = windows.shape[1], windows.shape[1] // 2
    # areas are stacked: sums that run into the next area belong to shifts that are not used
    sums = cv2.boxFilter(strength.reshape(-1, areas.shape[2]), -1, (side, side), normalize=False)
    local = sums.reshape(strength.shape)[:, half : half + span, half : half + span]
    own = np.einsum("nij,nij->n", windows, windows.conj()).real
    return np.asarray(np.sqrt(np.maximum(local, 0.0) * own[:, None, None]), dtype=np.float64)


def _paraboloid(
    score: Floats, n: NDArray[np.int64], row: NDArray[np.int64], col: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Return the sub-pixel peak (columns, rows) N×2 and the mean curvature N there."""
    middle = score[n, row, col]
    left, right = score[n, row, col - 1], score[n, row, col + 1]
    above, below = score[n, row - 1, col], score[n, row + 1, col]
    bend_x, bend_y = 2.0 * middle - left - right, 2.0 * middle - above - below
    x = 0.5 * (right - left) / np.maximum(bend_x, 1e-9)
    y = 0.5 * (below - above) / np.maximum(bend_y, 1e-9)
    return np.clip(np.stack([x, y], -1), -0.5, 0.5), 0.5 * (bend_x + bend_y)


def _best_elsewhere(
    score: Floats, n: NDArray[np.int64], row: NDArray[np.int64], col: NDArray[np.int64]
) -> Floats:
    """Return the best score farther than a few pixels from each peak."""
    span = score.shape[1]
    grid = np.arange(span)
    near = (np.abs(grid[None, :, None] - row[:, None, None]) <= _NEAR_PEAK_PX) & (
        np.abs(grid[None, None, :] - col[:, None, None]) <= _NEAR_PEAK_PX
    )
    elsewhere: Floats = np.where(near, -1.0, score[n]).reshape(len(n), -1).max(axis=1)
    return elsewhere


# -- Orthorectified thumbnails, and the test whether they show the same ground ---------------------
#
# Each thumbnail is orthorectified on a ground raster that all share; where two overlap, windows of one are
# searched in the other, by edge directions (`match_windows`), within the range of pose errors. On textured
# ground all windows match at nearly one shift; with a wrongly rotated image none do.

Bytes = NDArray[np.uint8]

SIDE_PX = 160
"""Side of the square raster on which a thumbnail of 128 pixels is orthorectified."""
_STEP_PX = 20
_WINDOW_PX = 32
_REACH_PX = 14
_WINDOW_STEP_PX = 16
# Noise sigmas by which the peak of a clear match exceeds the best other place.
_CLEAR = 5.0
_MAX_SHIFT_DIFFERENCE_PX = 3.0
MIN_DISTANCE_PX = 12
"""Images with nearer centres agree on a shift within reach even if both are rotated."""
MAX_DISTANCE_PX = 100
QUICK_WINDOWS = 9
ALL_WINDOWS = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ThumbnailSquare:
    """Square of the ground raster, by its first (column, row).

    Columns run east, rows south.
    """

    column: int
    row: int

    def nodes_m(self, gsd_m: float) -> Floats:
        """Return N×2 (east, north) of the lattice that needs heights, row by row."""
        steps = np.arange(0, SIDE_PX + 1, _STEP_PX)
        east = (self.column + steps) * gsd_m
        north = -(self.row + steps) * gsd_m
        return np.stack(np.meshgrid(east, north), axis=-1).reshape(-1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrthoThumbnail:
    """Thumbnail on its square: edge directions, and where it has pixels.

    Both are SIDE_PX square.
    """

    square: ThumbnailSquare
    edges: Complex
    valid: NDArray[np.bool_]


def locate_square(middle_m: Floats, gsd_m: float) -> ThumbnailSquare:
    """Return the square whose centre is nearest to a place (east, north)."""
    column, row = np.rint([middle_m[0] / gsd_m, -middle_m[1] / gsd_m]).astype(int)
    return ThumbnailSquare(column=int(column) - SIDE_PX // 2, row=int(row) - SIDE_PX // 2)


def orthorectify_thumbnail(
    thumbnail: Bytes,
    interior: InteriorOrientation,
    exterior: ExteriorOrientation,
    square: ThumbnailSquare,
    nodes_m: Floats,
) -> OrthoThumbnail:
    """Orthorectify a grey thumbnail H×W uint8.

    nodes_m  N×3, the `ThumbnailSquare.nodes_m` with their heights
    """
    height, width = thumbnail.shape
    uv, _ = project(scale_interior(interior, (width, height)), exterior, nodes_m)
    nodes = SIDE_PX // _STEP_PX + 1
    uv = np.nan_to_num(uv, nan=-1e4).clip(-1e4, 1e4).reshape(nodes, nodes, 2)
    weights = _between()
    maps = (weights @ np.moveaxis(uv, -1, 0) @ weights.T).astype(np.float32)
    inside = (maps[0] >= 0) & (maps[0] <= width - 1) & (maps[1] >= 0) & (maps[1] <= height - 1)
    picture = cv2.remap(thumbnail, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return OrthoThumbnail(
        square=square, edges=compute_edge_directions(picture.astype(np.float32), inside), valid=inside
    )


def count_agreeing_windows(a: OrthoThumbnail, b: OrthoThumbnail, max_windows: int = ALL_WINDOWS) -> int:
    """Count the windows that match clearly at one shift.

    Of up to `max_windows` windows where `a` and `b` both have pixels.
    """
    return len(find_common_shifts(a, b, max_windows))


def find_common_shifts(a: OrthoThumbnail, b: OrthoThumbnail, max_windows: int = ALL_WINDOWS) -> Floats:
    """Return shifts of windows of `a` that match `b` clearly, at nearly one shift.

    N×2 (columns, rows).
    """
    left, top = max(a.square.column, b.square.column), max(a.square.row, b.square.row)
    right = min(a.square.column, b.square.column) + SIDE_PX
    bottom = min(a.square.row, b.square.row) + SIDE_PX
    if min(right - left, bottom - top) < _WINDOW_PX + 2 * _REACH_PX:
        return np.empty((0, 2))
    part_a, part_b = (
        (
            slice(top - one.square.row, bottom - one.square.row),
            slice(left - one.square.column, right - one.square.column),
        )
        for one in (a, b)
    )
    centres = _centres(a.valid[part_a] & b.valid[part_b])
    if not len(centres):
        return np.empty((0, 2))
    centres = centres[:: -(-len(centres) // max_windows)]
    found = match_windows(a.edges[part_a], b.edges[part_b], centres, window_px=_WINDOW_PX, reach_px=_REACH_PX)
    shift = found.shift_px[(found.margin >= _CLEAR) & np.isfinite(found.shift_px).all(axis=1)]
    if not len(shift):
        return shift
    near = np.abs(shift[:, None] - shift[None]).max(axis=-1) <= _MAX_SHIFT_DIFFERENCE_PX
    common: Floats = shift[near[near.sum(axis=1).argmax()]]
    return common


def _between() -> Floats:
    """Return linear interpolation weights SIDE_PX×nodes at pixel centres."""
    place = (np.arange(SIDE_PX) + 0.5) / _STEP_PX
    nodes = np.arange(SIDE_PX // _STEP_PX + 1)
    return np.maximum(0.0, 1.0 - np.abs(place[:, None] - nodes[None]))


def _centres(both: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return centres (column, row) of windows full of data.

    Their search area lies inside the raster.
    """
    wide = _WINDOW_PX // 2 + _REACH_PX
    rows = np.arange(wide, both.shape[0] - wide, _WINDOW_STEP_PX)
    cols = np.arange(wide, both.shape[1] - wide, _WINDOW_STEP_PX)
    centres = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)
    share = cv2.boxFilter(both.astype(np.float32), -1, (_WINDOW_PX, _WINDOW_PX))
    full: NDArray[np.int64] = centres[share[centres[:, 1], centres[:, 0]] > 0.8].astype(np.int64)
    return full
