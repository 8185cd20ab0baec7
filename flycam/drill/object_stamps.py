"""Trees and houses drawn into the surface, the cover and the parcels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import CellWindow
from flycam.drill.land_cover import LandCover
from flycam.drill.scene_objects import Houses, Trees
from flycam.drill.spatial_noise import Floats, Singles

_YARD_M = 3.0
_LEAF_M = 0.24
_LEAF_SIZE_M = 0.3


def draw_yards(houses: Houses, window: CellWindow, height: Singles, cover: NDArray[np.uint8]) -> None:
    """Level a yard under each house and plant a garden around it.

    Changes `height` and `cover` in place.
    """
    for k in range(len(houses.length_m)):
        patch = _patch(window, houses.centre_m[k], houses.length_m[k] / 2 + 14.0)
        if patch is None:
            continue
        rows, cols, x, y = patch
        u, v = _house_axes(houses.azimuth_rad[k], x, y)
        beyond = np.maximum(np.abs(u) - houses.length_m[k] / 2, np.abs(v) - houses.width_m[k] / 2)
        level = float(np.median(height[rows, cols][beyond < 1.0])) if (beyond < 1.0).any() else None
        if level is None:
            continue
        ease = np.clip((7.0 - beyond) / 4.0, 0.0, 1.0)
        ease = (ease * ease * (3.0 - 2.0 * ease)).astype(np.float32)
        height[rows, cols] += ease * (level - height[rows, cols])
        part = cover[rows, cols]
        free = ~np.isin(part, (LandCover.ROAD, LandCover.TRACK, LandCover.WATER, LandCover.GRAVEL))
        front = beyond - np.where(v > 0, 5.0, 0.0)
        part[free & (beyond < 8.0)] = LandCover.GARDEN
        part[free & (front < _YARD_M * 0.6) & (np.abs(u) < houses.length_m[k] / 2 + 1.0)] = LandCover.YARD


def draw_houses(
    houses: Houses,
    window: CellWindow,
    ground: Singles,
    surface: Singles,
    cover: NDArray[np.uint8],
    parcel: Singles,
) -> None:
    """Draw gable roofs above the ground, in place; roof parcels are colour numbers."""
    for k in range(len(houses.length_m)):
        patch = _patch(window, houses.centre_m[k], houses.length_m[k])
        if patch is None:
            continue
        rows, cols, x, y = patch
        u, v = _house_axes(houses.azimuth_rad[k], x, y)
        under = (np.abs(u) <= houses.length_m[k] / 2) & (np.abs(v) <= houses.width_m[k] / 2)
        if not under.any():
            continue
        floor = float(ground[rows, cols][under].max())
        fall = (houses.ridge_m[k] - houses.eaves_m[k]) * np.abs(v) / (houses.width_m[k] / 2)
        surface[rows, cols][under] = (floor + houses.ridge_m[k] - fall)[under]
        cover[rows, cols][under] = LandCover.ROOF
        parcel[rows, cols][under] = houses.roof[k]


def draw_trees(
    trees: Trees,
    window: CellWindow,
    ground: Singles,
    surface: Singles,
    cover: NDArray[np.uint8],
    parcel: Singles,
) -> None:
    """Draw crowns where they rise above what is there, in place.

    Crowns are paraboloids on a stem with bumps of leaves.
    """
    centre_col, centre_row = window.to_cells(trees.centre_m[:, 0], trees.centre_m[:, 1])
    leaves = _leaves(window.cell_m, float(trees.radius_m.max(initial=0.0)))
    for k in range(len(trees.height_m)):
        reach = trees.radius_m[k] / window.cell_m
        row_0, row_1 = int(centre_row[k] - reach) + 1, int(centre_row[k] + reach) + 1
        col_0, col_1 = int(centre_col[k] - reach) + 1, int(centre_col[k] + reach) + 1
        if row_0 < 0 or col_0 < 0 or row_1 > window.shape[0] or col_1 > window.shape[1]:
            continue
        y = (np.arange(row_0, row_1) - centre_row[k]) / reach
        x = (np.arange(col_0, col_1) - centre_col[k]) / reach
        inside = 1.0 - (y * y)[:, None] - (x * x)
        foot = ground[round(centre_row[k]), round(centre_col[k])]
        crown = foot + trees.height_m[k] * (0.25 + 0.75 * np.maximum(inside, 0.0) ** 0.7)
        shift_row, shift_col = int(trees.tint[k] * 64), int(trees.tint[k] * 4096) % 64
        crown += leaves[shift_row : shift_row + len(y), shift_col : shift_col + len(x)]
        part = surface[row_0:row_1, col_0:col_1]
        higher = (inside > 0.0) & (crown > part)
        part[higher] = crown[higher]
        cover[row_0:row_1, col_0:col_1][higher] = LandCover.CROWN
        parcel[row_0:row_1, col_0:col_1][higher] = trees.tint[k]


def _leaves(cell_m: float, radius_m: float) -> Singles:
    """Return bumps of leaves, metres.

    The array is large enough to shift by up to 64 cells under the largest crown.
    """
    side = 64 + int(2.0 * radius_m / cell_m) + 3
    leaves = np.random.default_rng(1).standard_normal((side, side), dtype=np.float32)
    smooth = cv2.GaussianBlur(leaves, (0, 0), max(_LEAF_SIZE_M / cell_m, 0.3))
    return np.asarray(smooth * (_LEAF_M / float(smooth.std())), np.float32)


def _house_axes(azimuth: float, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return (along the ridge, across it) of offsets east and north."""
    return x * np.sin(azimuth) + y * np.cos(azimuth), y * np.sin(azimuth) - x * np.cos(azimuth)


def _patch(window: CellWindow, centre: Floats, reach_m: float) -> tuple[slice, slice, Floats, Floats] | None:
    """Return rows and columns around a centre, and the cells' offsets (east, north).

    None at the border.
    """
    col, row = window.to_cells(centre[0], centre[1])
    reach = int(np.ceil(reach_m / window.cell_m))
    row_0, col_0 = int(row) - reach, int(col) - reach
    row_1, col_1 = row_0 + 2 * reach + 1, col_0 + 2 * reach + 1
    if row_0 < 0 or col_0 < 0 or row_1 > window.shape[0] or col_1 > window.shape[1]:
        return None
    x = (np.arange(col_0, col_1) - col) * window.cell_m
    y = (row - np.arange(row_0, row_1)) * window.cell_m
    return slice(row_0, row_1), slice(col_0, col_1), *np.meshgrid(x, y)
