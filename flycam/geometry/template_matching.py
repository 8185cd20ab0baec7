"""Template matching of small windows by normalised correlation, all at once.

Each window is searched in a square around its predicted place, in the window's own axes, so that images
rotated or scaled against each other compare pixel by pixel. Grey values may differ by gain and offset.
Source: Lewis, Fast Normalized Cross-Correlation, 1995 (the products by FFT, the sums as box filters).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from flycam.geometry.windows import cut_windows

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Bytes = NDArray[np.uint8]

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
