"""Shape of a patch in numbers: length, straightness of its rim, share of its box and hull."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Outline = NDArray[np.int32]

_STRAIGHT_M = 9.0
_STRAIGHT_OFF_M = 1.1


def trace_patch_outline(mask: Mask) -> Outline:
    """Trace the longest outline of a mask, N×1×2 (column, row) of cells."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(max(contours, key=len), np.int32)


def compute_axes(mask: Mask) -> tuple[float, float, NDArray[np.float64]]:
    """Compute the extent along and across the principal axis, cells, and that axis.

    The axis is (column, row); the extents are of 98 % of the cells.
    """
    rows, cols = np.nonzero(mask)
    points = np.stack([cols, rows], -1).astype(np.float64)
    points -= points.mean(0)
    if len(points) < 3:
        return 1.0, 1.0, np.array([1.0, 0.0])
    _, vectors = np.linalg.eigh(points.T @ points / len(points) + 1e-9 * np.eye(2))
    spans = [np.ptp(np.percentile(points @ vectors[:, k], (1, 99))) + 1.0 for k in (1, 0)]
    return float(spans[0]), float(spans[1]), np.asarray(vectors[:, 1], np.float64)


def compute_box_fill(outline: Outline, cells: int) -> float:
    """Compute the share of the smallest rotated box that the patch fills.

    1 for a field, less for natural shapes.
    """
    (_, (width, height), _) = cv2.minAreaRect(outline)
    return cells / max((width + 1.0) * (height + 1.0), 1.0)


def compute_solidity(outline: Outline, cells: int) -> float:
    """Compute the share of the convex hull that the patch fills."""
    return cells / max(cv2.contourArea(cv2.convexHull(outline)), 1.0)


def compute_straightness(outline: Outline, cell_m: float) -> tuple[float, float]:
    """Compute the outline's shares in straight runs of 9 m and more, and in two runs.

    Those two are the longest.
    """
    corners = cv2.approxPolyDP(outline, _STRAIGHT_OFF_M / cell_m, closed=True)[:, 0, :].astype(np.float64)
    runs = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    total = float(runs.sum())
    if not total:
        return 0.0, 0.0
    return float(runs[runs * cell_m >= _STRAIGHT_M].sum()) / total, float(np.sort(runs)[-2:].sum()) / total
