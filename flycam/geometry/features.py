"""SIFT features of a reduced image, spread evenly over the frame.

A frame's yaw is known to a few degrees, so descriptors are taken *upright*: rotated by the direction of
north in the image instead of by the gradients around the point. They are more distinctive, and more
repeatable on canopy.

Sources: Lowe, IJCV 60(2), 2004 (SIFT); Arandjelovic and Zisserman, CVPR 2012 (RootSIFT).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bytes = NDArray[np.uint8]
Indices = NDArray[np.int64]

# SIFT doubles its input: half a megapixel is searched as two. An image of 1.3 megapixels has no detail
# below its own pixels, so a quarter of it is enough; smaller images are reduced less.
_MAX_SEARCHED_PX, _MIN_SEARCHED_PX = 0.5e6, 0.33e6
# Norm of a stored descriptor: dot products of two are integers below 2^24, exact in float32, so that a
# matrix product gives the same bits on any number of threads.
DESCRIPTOR_NORM = 512.0
# SIFT's contrast threshold.
_CONTRAST = 0.008
# Features nearer to the border (full-size pixels) are dropped.
_BORDER_PX = 6.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """Features of one image.

    The strongest of every cell come first, then the second of every cell …

    uv_px       N×2 float64 (u, v) of the full-size image, pixel centres at integers
    size_px     N float32, diameter of the blob in full-size pixels
    descriptor  N×128 uint8, RootSIFT of norm DESCRIPTOR_NORM
    """

    uv_px: Floats
    size_px: NDArray[np.float32]
    descriptor: Bytes

    def __len__(self) -> int:
        return len(self.uv_px)


def make_empty_features() -> Features:
    """Return the features of an image that has none."""
    return Features(
        uv_px=np.empty((0, 2)),
        size_px=np.empty(0, dtype=np.float32),
        descriptor=np.empty((0, 128), dtype=np.uint8),
    )


def find_features(
    pixels: Bytes, *, max_features: int = 4000, cells: int = 16, up_deg: float | None = None
) -> Features:
    """Detect up to `max_features` features of an image H×W×3 (RGB) or H×W uint8.

    cells   the image is divided into cells × cells; the strongest points of each are taken in turn
    up_deg  direction of the descriptors (north, say), clockwise from the image's right; None: each by
            its own gradients (for a frame whose yaw is not known)
    """
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = compute_search_scale((width, height))
    small_size = max(round(width * scale), 1), max(round(height * scale), 1)
    if min(small_size) < 32:
        return make_empty_features()
    small = grey if scale == 1.0 else cv2.resize(grey, small_size, interpolation=cv2.INTER_AREA)
    # without the precise upscale every point is a quarter of a reduced pixel too far right and down
    sift = cv2.SIFT.create(contrastThreshold=_CONTRAST, enable_precise_upscale=True)
    found = sift.detect(small)
    if not found:
        return make_empty_features()
    ratio = np.array([width / small_size[0], height / small_size[1]])
    uv = (np.array([k.pt for k in found], dtype=np.float64) + 0.5) * ratio - 0.5
    response = np.array([k.response for k in found])
    usable = _one_each(uv, response) if up_deg is not None else np.arange(len(found))
    inside = ((uv > _BORDER_PX) & (uv < np.array([width, height]) - 1.0 - _BORDER_PX)).all(axis=1)
    usable = usable[inside[usable]]
    chosen = usable[select_evenly(uv[usable], response[usable], (width, height), cells, max_features)]
    if chosen.size == 0:
        return make_empty_features()
    points = [found[i] for i in chosen]
    if up_deg is not None:
        for point in points:
            point.angle = up_deg % 360.0
    kept, raw = sift.compute(small, points)
    uv = (np.array([k.pt for k in kept], dtype=np.float64) + 0.5) * ratio - 0.5
    size = np.array([k.size for k in kept]) * ratio.mean()
    return Features(
        uv_px=uv, size_px=size.astype(np.float32), descriptor=compute_root_sift(np.asarray(raw, np.float32))
    )


def compute_search_scale(size_px: tuple[int, int]) -> float:
    """Return the scale (at most 1) of the image that features are detected in.

    size_px is (width, height) of the full-size image.
    """
    pixels = float(size_px[0] * size_px[1])
    searched = min(max(pixels / 4.0, _MIN_SEARCHED_PX), _MAX_SEARCHED_PX)
    return min(1.0, float(np.sqrt(searched / pixels)))


def compute_root_sift(raw: NDArray[np.float32]) -> Bytes:
    """Convert SIFT descriptors N×128 to RootSIFT, as bytes.

    Square roots of the L1-normalised descriptors.
    """
    total = np.maximum(raw.sum(axis=1, keepdims=True), 1e-6)
    rooted = np.sqrt(np.maximum(raw, 0.0) / total) * DESCRIPTOR_NORM
    stored: Bytes = np.minimum(np.rint(rooted), 255.0).astype(np.uint8)
    return stored


def rotate_descriptors(descriptor: Bytes, quarters: int) -> Bytes:
    """Rotate descriptors N×128 by `quarters` × 90° clockwise.

    OpenCV's order: 4 rows, 4 columns, 8 directions. A rotation of the patch by 90° only permutes them.
    """
    bins = descriptor.reshape(-1, 4, 4, 8)
    turned = np.roll(np.rot90(bins, quarters, axes=(1, 2)), 2 * quarters, axis=3)
    return np.ascontiguousarray(turned.reshape(-1, 128))


def select_evenly(
    uv: Floats, response: Floats, size_px: tuple[int, int], cells: int, max_points: int
) -> Indices:
    """Return indices of up to `max_points` points N×2, evenly spread.

    Points are taken from cells × cells in turn, strongest first in each.
    """
    cell = compute_cell_index(uv, size_px, cells)
    order = np.lexsort((uv[:, 1], uv[:, 0], -response, cell))
    rank = rank_in_group(cell[order])
    turn = np.lexsort((cell[order], rank))
    chosen: Indices = order[turn[:max_points]]
    return chosen


def compute_cell_index(uv: Floats, size_px: tuple[int, int], cells: int) -> Indices:
    """Return the cell number (row · cells + column) of image points N×2.

    size_px is the image's (width, height).
    """
    place = np.floor((uv + 0.5) * (cells / np.asarray(size_px, dtype=np.float64)))
    column, row = np.clip(place, 0, cells - 1).astype(np.int64).T
    number: Indices = row * cells + column
    return number


def rank_in_group(sorted_groups: Indices) -> Indices:
    """Return 0, 1, 2, … inside each run of equal numbers."""
    n = sorted_groups.size
    first = np.flatnonzero(np.diff(sorted_groups, prepend=sorted_groups[:1] - 1))
    length = np.diff(np.append(first, n))
    rank: Indices = np.arange(n) - np.repeat(first, length)
    return rank


def _one_each(uv: Floats, response: Floats) -> Indices:
    """Return one point for each place.

    SIFT repeats a point for every strong direction of its gradients.
    """
    order = np.lexsort((-response, uv[:, 1], uv[:, 0]))
    step = np.abs(np.diff(uv[order], axis=0, prepend=-10.0)).max(axis=1)
    return np.sort(order[step > 1e-6])
