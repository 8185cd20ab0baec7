"""Least-squares image matching, to a few hundredths of a pixel.

A patch of the first image, warped by the predicted geometry, is moved over the second until the grey values
agree up to gain and offset; then its shape may change too. Gradients are taken from the patch, once
(inverse composition), and all patches advance together.

Sources: Förstner 1982 and Gruen 1985 (least-squares matching); Baker and Matthews, IJCV 56(3), 2004.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.windows import cut_windows

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Bytes = NDArray[np.uint8]
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
    held = normal + np.diag([0.0, 0.0, _HELD, _HELD, _HELD, _HELD])
    return _Templates(
        values=values,
        weighted=weighted,
        shift=np.linalg.inv(normal[:, :2, :2]),
        shape=np.linalg.inv(held),
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
