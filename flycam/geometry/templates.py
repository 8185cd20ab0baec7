"""Matching of small image windows by least squares and normalised correlation.

Normalised correlation searches a square around a predicted place; least-squares matching refines to a few
hundredths of a pixel.

In least-squares matching a patch of the first image, warped by the predicted geometry, is moved over the
second until the grey values agree up to gain and offset; then its shape may change too. Gradients are taken
from the patch, once (inverse composition), and all patches advance together.

Sources: Förstner 1982 and Gruen 1985 (least-squares matching); Baker and Matthews, IJCV 56(3), 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

# -- Square windows of a grey image ----------------------------------------------------------------


Bytes = NDArray[np.uint8]


def cut_windows(grey: Bytes, uv_px: NDArray[np.float64], half_px: int) -> Bytes:
    """Cut windows N×(2·half_px + 1)² around the pixels nearest to N×2 points.

    The edge is repeated.
    """
    height, width = grey.shape
    around = np.arange(-half_px, half_px + 1)
    column, row = np.rint(uv_px).astype(np.int64).T
    rows = np.clip(row[:, None] + around, 0, height - 1)
    columns = np.clip(column[:, None] + around, 0, width - 1)
    cut: Bytes = grey[rows[:, :, None], columns[:, None, :]]
    return cut


# -- Least-squares matching, to a few hundredths of a pixel ----------------------------------------


Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Indices = NDArray[np.int64]

HALF_PX = 8
WINDOW_PX = 33
_MIDDLE = WINDOW_PX // 2
# Windows processed together: they and their gradients stay in the processor's cache.
_CHUNK = 160
_SHIFT_STEPS = 3
_SHAPE_STEPS = 3
_BLUR_PX = 0.8
# Errors of neighbouring grey values are correlated (demosaicing, JPEG, the blur): this many count as one.
_DEPENDENT = 9.0
# Prior weight of the predicted shape, in the units of the normal matrix.
_HELD = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchFit:
    """Result of matching N patches.

    uv_px        N×2
    correlation  N, -1…1
    sigma_px     N, of one coordinate, by the grey values alone (inf where there is no texture)
    """

    uv_px: Floats
    correlation: Floats
    sigma_px: Floats


def cut_patch_windows(grey: Bytes, uv_px: Floats) -> Bytes:
    """Cut windows N×33×33 of a grey image around the pixels nearest to N×2 points.

    The edge is repeated.
    """
    return cut_windows(grey, uv_px, _MIDDLE)


def reduce_to_grey(pixels: Bytes, times: int) -> Bytes:
    """Convert H×W×3 RGB pixels to grey, `times` smaller each way, pixels averaged.

    Returns H // times × W // times. Image points map as (uv + 0.5) / times - 0.5.
    """
    height, width = (pixels.shape[0] // times) * times, (pixels.shape[1] // times) * times
    grey = cv2.cvtColor(pixels[:height, :width], cv2.COLOR_RGB2GRAY)
    if times > 1:
        grey = cv2.resize(grey, (width // times, height // times), interpolation=cv2.INTER_AREA)
    return np.asarray(grey, dtype=np.uint8)


def fit_patches(
    first: Bytes,
    uv_first: Floats,
    index: Indices,
    second: Bytes,
    uv_second: Floats,
    affine: Floats,
) -> PatchFit:
    """Move uv_second until the second image matches the first at uv_first[index].

    first      M×33×33 windows around the rounded points uv_first M×2 (`cut_patch_windows`)
    index      N, the window of the first that each of the second is compared with, ascending
    second     N×33×33 windows around the rounded uv_second N×2
    affine     N×2×2, maps a step in the first image to one in the second
    """
    fits = []
    for start in range(0, len(index), _CHUNK):
        k = slice(start, start + _CHUNK)
        used = slice(int(index[k][0]), int(index[k][-1]) + 1)
        templates = _templates(first[used], uv_first[used])
        fits.append(_fit(templates, index[k] - used.start, second[k], uv_second[k], affine[k]))
    if not fits:
        return PatchFit(uv_px=np.empty((0, 2)), correlation=np.empty(0), sigma_px=np.empty(0))
    return PatchFit(
        uv_px=np.concatenate([f.uv_px for f in fits]),
        correlation=np.concatenate([f.correlation for f in fits]),
        sigma_px=np.concatenate([f.sigma_px for f in fits]),
    )


_GRID = np.arange(-HALF_PX, HALF_PX + 1, dtype=np.float32)
_PX, _PY = (axis.reshape(-1) for axis in np.meshgrid(_GRID, _GRID))
_WEIGHT = np.exp(-0.5 * (_PX**2 + _PY**2) / (HALF_PX / 1.7) ** 2).astype(np.float32)
_WEIGHT /= _WEIGHT.sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Templates:
    """M patches prepared for matching.

    Values M×P (mean 0, variance 1), weighted slopes M×6×P, inverse normals.
    """

    values: Singles
    weighted: Singles
    shift: Floats
    shape: Floats
    textured: NDArray[np.bool_]


def _templates(windows: Bytes, uv: Floats) -> _Templates:
    smooth = _smooth(windows)
    x, y = _places(uv - np.rint(uv), np.broadcast_to(np.eye(2), (len(uv), 2, 2)))
    values, spread = _standard(_sample(smooth, x, y))
    half = np.float32(0.5)
    gx = (_sample(smooth, x + half, y) - _sample(smooth, x - half, y)) / spread
    gy = (_sample(smooth, x, y + half) - _sample(smooth, x, y - half)) / spread
    slopes = np.stack([gx, gy, gx * _PX, gx * _PY, gy * _PX, gy * _PY], axis=1)
    weighted = slopes * _WEIGHT
    normal = (weighted @ np.swapaxes(slopes, 1, 2)).astype(np.float64)
    textured = np.linalg.det(normal[:, :2, :2]) > 1e-6
    normal[~textured] = np.eye(6)
    # prior weight that holds the predicted shape unless the patch has enough texture to change it
    damped = normal + np.diag([0.0, 0.0, _HELD, _HELD, _HELD, _HELD])
    return _Templates(
        values=values,
        weighted=weighted,
        shift=np.linalg.inv(normal[:, :2, :2]),
        shape=np.linalg.inv(damped),
        textured=textured,
    )


def _fit(t: _Templates, of: Indices, second: Bytes, uv_second: Floats, affine: Floats) -> PatchFit:
    smooth = _smooth(second)
    d, shape = uv_second - np.rint(uv_second), affine.copy()
    values, weighted, shift_of, shape_of = t.values[of], t.weighted[of], t.shift[of], t.shape[of]
    for step in range(_SHIFT_STEPS + _SHAPE_STEPS):
        seen, _ = _standard(_sample(smooth, *_places(d, shape)))
        right = (weighted @ (seen - values)[:, :, None])[:, :, 0].astype(np.float64)
        if step < _SHIFT_STEPS:
            move = np.einsum("nij,nj->ni", shift_of, right[:, :2])
        else:
            full = np.einsum("nij,nj->ni", shape_of, right)
            change = np.eye(2) + np.clip(full[:, 2:].reshape(-1, 2, 2), -0.2, 0.2)
            shape = shape @ np.linalg.inv(change)
            move = full[:, :2]
        d -= np.einsum("nij,nj->ni", shape, np.clip(move, -1.0, 1.0))
    seen, _ = _standard(_sample(smooth, *_places(d, shape)))
    textured = t.textured[of]
    likeness = np.where(textured, (seen * values) @ _WEIGHT, -1.0).astype(np.float64)
    noise = np.maximum(2.0 - 2.0 * likeness, 1e-4) * float((_WEIGHT**2).sum()) * _DEPENDENT
    sigma = np.sqrt(0.5 * np.trace(shift_of, axis1=1, axis2=2) * noise)
    return PatchFit(
        uv_px=np.rint(uv_second) + d, correlation=likeness, sigma_px=np.where(textured, sigma, np.inf)
    )


def _places(d: Floats, shape: Floats) -> tuple[Singles, Singles]:
    """Return the patch's points x, y N×P in window coordinates."""
    d32, m = (d + _MIDDLE).astype(np.float32), shape.astype(np.float32)
    x = m[:, 0, :1] * _PX + m[:, 0, 1:] * _PY + d32[:, :1]
    y = m[:, 1, :1] * _PX + m[:, 1, 1:] * _PY + d32[:, 1:]
    return x, y


def _smooth(windows: Bytes) -> Singles:
    """Stack windows to (N·33 × 33), lightly blurred.

    Bilinear values are then those of a smooth surface. The blur runs into the next window at rows that no
    patch reads.
    """
    n, size, _ = windows.shape
    stacked = windows.reshape(n * size, size).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(stacked, (5, 5), sigmaX=_BLUR_PX), dtype=np.float32)


def _sample(stacked: Singles, x: Singles, y: Singles) -> Singles:
    """Sample bilinear values N×P at places (x, y) of each window, clamped inside it."""
    last = np.float32(WINDOW_PX - 1)
    rows = (np.arange(len(y), dtype=np.float32) * WINDOW_PX)[:, None]
    values = cv2.remap(stacked, np.clip(x, 0.0, last), np.clip(y, 0.0, last) + rows, cv2.INTER_LINEAR)
    return np.asarray(values, dtype=np.float32)


def _standard(values: Singles) -> tuple[Singles, Singles]:
    """Normalise values N×P to weighted mean 0 and variance 1.

    Also returns their standard deviations N×1.
    """
    centred = values - (values @ _WEIGHT)[:, None]
    spread = np.sqrt(np.maximum((centred * centred) @ _WEIGHT, 1.0))[:, None]
    return centred / spread, spread


# -- Template matching by normalised correlation ---------------------------------------------------
#
# Each window is searched in a square around its predicted place, in the window's own axes, so that images
# rotated or scaled against each other compare pixel by pixel. Grey values may differ by gain and offset.
# Source: Lewis, Fast Normalized Cross-Correlation, 1995 (the products by FFT, the sums as box filters).


TEMPLATE_PX = 17
"""Side of a window."""

_HALF = TEMPLATE_PX // 2
# Other places this near to the best one are the same peak.
_PEAK_PX = 3
# Grey values with a smaller standard deviation are compression noise.
_MIN_CONTRAST = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateMatches:
    """Matches of N windows.

    uv_px        N×2, the window's centre; NaN where the image has no contrast there
    correlation  N, correlation -1…1 at that place
    margin       N, correlation above the best other place; 0 at the rim of the search
    """

    uv_px: Floats
    correlation: Floats
    margin: Floats


def cut_templates(grey: Bytes, uv_px: Floats) -> Bytes:
    """Cut windows N×17×17 of a grey image around points N×2 rounded to pixels.

    The edge is repeated.
    """
    return cut_windows(grey, uv_px, _HALF)


def match_templates(
    grey: Bytes, uv_px: Floats, affine: Floats, templates: Bytes, reach_px: int
) -> TemplateMatches:
    """Find N templates in a grey image, searched around uv_px N×2.

    affine    N×2×2, maps a step in the template to one in the image
    reach_px  search distance in each direction, in pixels of the template
    """
    count = len(uv_px)
    if count == 0:
        return TemplateMatches(uv_px=np.empty((0, 2)), correlation=np.empty(0), margin=np.empty(0))
    area = _sampled(grey, uv_px, affine, _HALF + reach_px)
    score = _correlation(area, templates)
    side = score.shape[1]
    flat = score.reshape(count, -1)
    best = flat.argmax(axis=1)
    row, col = np.divmod(best, side)
    each = np.arange(count)
    likeness = flat[each, best]
    inside = (row > 0) & (row < side - 1) & (col > 0) & (col < side - 1)
    r, c = np.clip(row, 1, side - 2), np.clip(col, 1, side - 2)
    dx = _vertex(score[each, r, c - 1], score[each, r, c], score[each, r, c + 1])
    dy = _vertex(score[each, r - 1, c], score[each, r, c], score[each, r + 1, c])
    at = np.arange(side)
    near = (np.abs(at - row[:, None]) <= _PEAK_PX)[:, :, None] & (np.abs(at - col[:, None]) <= _PEAK_PX)[
        :, None, :
    ]
    other = np.where(near, -1.0, score).reshape(count, -1).max(axis=1)
    moved = np.stack([c + dx, r + dy], axis=1) - reach_px
    found = uv_px + np.einsum("nij,nj->ni", affine, moved)
    seen = np.isfinite(likeness) & (likeness > -1.0)
    return TemplateMatches(
        uv_px=np.where(seen[:, None], found, np.nan),
        correlation=np.where(seen, likeness, -1.0),
        margin=np.where(seen & inside, likeness - other, 0.0),
    )


def _sampled(grey: Bytes, uv: Floats, affine: Floats, half: int) -> Singles:
    """Sample squares N×S×S of the image in the templates' axes.

    Bilinear; the edge is repeated.
    """
    axis = np.arange(-half, half + 1, dtype=np.float64)
    x, y = (one.reshape(-1) for one in np.meshgrid(axis, axis))
    u = uv[:, :1] + affine[:, 0, :1] * x + affine[:, 0, 1:] * y
    v = uv[:, 1:] + affine[:, 1, :1] * x + affine[:, 1, 1:] * y
    values = cv2.remap(
        grey, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return values.reshape(len(uv), axis.size, axis.size).astype(np.float32)


def _correlation(area: Singles, templates: Bytes) -> Singles:
    """Return the normalised correlation N×K×K of each template at all shifts.

    -1 without contrast.
    """
    size, side = TEMPLATE_PX, area.shape[1] - TEMPLATE_PX + 1
    template = templates.astype(np.float32)
    template -= template.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(np.square(template).sum(axis=(1, 2)))
    # small numbers keep the products exact enough in float32
    area = area - area.mean(axis=(1, 2), keepdims=True)
    padded = ((area.shape[1] + 3) // 4 * 4,) * 2
    # scipy's FFT takes a quarter of NumPy's time on many small squares
    spectrum = fft.rfft2(area, s=padded) * np.conj(fft.rfft2(template, s=padded))
    product = fft.irfft2(spectrum, s=padded)[:, :side, :side]
    total, squares = _boxes(area, size), _boxes(area * area, size)
    spread = np.sqrt(np.maximum(squares - total * total / size**2, 0.0))
    least = _MIN_CONTRAST * size
    known = (spread > least) & (norm > least)[:, None, None]
    return np.where(known, product / np.maximum(spread * norm[:, None, None], 1e-9), -1.0)


def _boxes(values: Singles, size: int) -> Singles:
    """Sum over all size × size boxes of N×S×S, in double precision."""
    count, side, _ = values.shape
    # squares are stacked; boxes that span two of them are dropped below
    column = values.reshape(count * side, side)
    sums = np.asarray(
        cv2.boxFilter(
            column, cv2.CV_32F, (size, size), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
        ),
        dtype=np.float32,
    )
    return sums.reshape(values.shape)[:, : side - size + 1, : side - size + 1]


def _vertex(left: Singles, middle: Singles, right: Singles) -> Floats:
    """Return the vertex of the parabola through three values around a maximum.

    From the middle one, at most half a step.
    """
    bend = left - 2.0 * middle + right
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.where(bend < 0.0, 0.5 * (left - right) / bend, 0.0)
    vertex: Floats = np.clip(at, -0.5, 0.5)
    return vertex
