"""Scenes of another, much simpler renderer: nothing of the drill's terrain, covers, paint or light is in it.

Flat colours with a little grain over a valley of smooth noise, shaded by its slope; a river, a road, fields,
houses. After the storm some slopes have come down, as tapered tongues along the steepest way, and the river
stands higher: water covers what lies under its level. Never fitted on.
"""

from __future__ import annotations

import cv2
import numpy as np

from flycam.drill.appearance import Confuser
from flycam.drill.land import make_cell_window
from tests.drill.topview import TopView, ViewPair

_FOREST, _MEADOW = np.array([44.0, 84.0, 40.0]), np.array([110.0, 140.0, 70.0])
_FIELDS = np.array([[150, 160, 80], [120, 150, 70], [180, 160, 100], [140, 110, 80]], float)
_ROAD, _ROOF = np.array([120.0, 120.0, 122.0]), np.array([150.0, 70.0, 60.0])
_WATERS = np.array([[70, 90, 110], [90, 105, 95], [60, 70, 75], [110, 120, 130]], float)
_FLOODS = np.array([[130, 110, 80], [120, 125, 125], [95, 100, 90], [150, 130, 100], [80, 90, 110]], float)
_SOILS = np.array([[150, 110, 80], [140, 138, 135], [175, 150, 115], [110, 90, 80], [120, 125, 135]], float)
_FLAT_M = 30.0


def plain_pair(seed: int, side_m: float, gsd_m: float, *, storm: bool = True) -> ViewPair:
    """A valley before and after; without a storm only light and some fields differ."""
    draw = np.random.default_rng([seed, 99])
    window = make_cell_window((0.0, 0.0, side_m, side_m), gsd_m)
    rows, cols = window.shape
    north, east = np.mgrid[0:rows, 0:cols] * window.cell_m - side_m / 2.0
    turn = draw.uniform(0.0, np.pi)
    along, across = east * np.cos(turn) + north * np.sin(turn), north * np.cos(turn) - east * np.sin(turn)
    across = across + draw.uniform(10.0, 25.0) * np.sin(along / draw.uniform(60.0, 110.0))
    tilt, steep = draw.uniform(0.0, 0.012), draw.uniform(0.45, 0.85)
    height = tilt * along + 0.02 * np.abs(across)
    height += steep * np.maximum(
        np.abs(across) - _FLAT_M - 8.0 * _waves(draw, window.shape, 70.0, gsd_m), 0.0
    )
    height += 6.0 * _waves(draw, window.shape, 60.0, gsd_m) * np.clip((np.abs(across) - _FLAT_M) / 30.0, 0, 1)
    bed = np.abs(across) < 6.0
    height = cv2.GaussianBlur((height - 1.5 * bed).astype(np.float32), (0, 0), 2.0 / gsd_m)
    colour, lots = _covers(draw, height, along, across, bed)
    change, confuser = np.zeros(window.shape, np.uint8), np.zeros(window.shape, np.uint8)
    after = colour.copy()
    worked = (lots >= 0) & np.isin(lots, draw.choice(64, 20, replace=False))
    after[worked] = _FIELDS[(lots[worked] * 7 + 3) % len(_FIELDS)]
    confuser[worked] = Confuser.CROP
    if storm:
        slid = _slides(draw, height, gsd_m)
        after[slid], change[slid] = _SOILS[draw.integers(len(_SOILS))] * draw.uniform(0.85, 1.15), 1
        water = height < tilt * along + draw.uniform(1.2, 3.0)
        _, labels = cv2.connectedComponents(water.astype(np.uint8))
        wet = water & np.isin(labels, np.unique(labels[bed]))
        after[wet] = _FLOODS[draw.integers(len(_FLOODS))] * draw.uniform(0.9, 1.1)
        change[wet] = np.where(bed[wet], 0, 2)
    else:
        after[bed] = colour[bed]
    confuser[change > 0] = 0
    views = [
        _view(draw, picture, height, gsd_m, flat)
        for picture, flat in ((colour, bed), (after, bed | (change == 2)))
    ]
    told = cv2.GaussianBlur(height, (0, 0), 5.0 / gsd_m)
    told = told + np.float32(1.0) * _waves(draw, window.shape, 90.0, gsd_m)
    return ViewPair(
        seed=seed,
        window=window,
        before=views[0],
        after=views[1],
        heights_m=told.astype(np.float32),
        change=change,
        confuser=confuser,
        old_water=bed,
    )


def _waves(draw: np.random.Generator, shape: tuple[int, int], length_m: float, gsd_m: float) -> np.ndarray:
    """Smooth noise of mean 0 and spread 1."""
    step = max(round(length_m / gsd_m / 2.0), 1)
    small = draw.standard_normal((shape[0] // step + 4, shape[1] // step + 4)).astype(np.float32)
    large = cv2.resize(small, (small.shape[1] * step, small.shape[0] * step), interpolation=cv2.INTER_CUBIC)
    return large[step : step + shape[0], step : step + shape[1]] * 1.3


def _covers(
    draw: np.random.Generator, height: np.ndarray, along: np.ndarray, across: np.ndarray, bed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours H×W×3 and numbers of fields (-1: none)."""
    colour = np.empty((*height.shape, 3))
    colour[:] = _FOREST
    colour[_waves(draw, height.shape, 80.0, 0.5) > 0.8] = _MEADOW
    floor = np.abs(across) < _FLAT_M + 6.0
    lots = ((along // 28.0).astype(int) * 5 + (across // 19.0).astype(int) * 11) % 64
    lots = np.where(floor & ~bed, lots, -1)
    colour[lots >= 0] = _FIELDS[lots[lots >= 0] % len(_FIELDS)]
    colour[np.abs(across - _FLAT_M - 4.0) < 2.5] = _ROAD
    for _ in range(25):
        row, col = draw.integers(0, height.shape[0] - 20), draw.integers(0, height.shape[1] - 24)
        if floor[row, col] and not bed[row : row + 16, col : col + 20].any():
            colour[row : row + 16, col : col + 20] = _ROOF
    colour[bed] = _WATERS[draw.integers(len(_WATERS))]
    return colour, lots


def _slides(draw: np.random.Generator, height: np.ndarray, gsd_m: float) -> np.ndarray:
    """Tongues down the steepest way from heads on steep ground: bool H×W."""
    smooth = cv2.GaussianBlur(height, (0, 0), 6.0 / gsd_m)
    south, east = np.gradient(smooth, gsd_m)
    out = np.zeros(height.shape, np.uint8)
    rows, cols = np.nonzero(np.hypot(south, east) > 0.35)
    for at in draw.choice(len(rows), min(9, len(rows)), replace=False) if len(rows) else ():
        place = np.array([rows[at], cols[at]], float)
        length, width = draw.uniform(25.0, 120.0), draw.uniform(5.0, 12.0)
        steps = int(length)
        for step in range(steps):
            row, col = int(place[0]), int(place[1])
            if not (0 <= row < height.shape[0] and 0 <= col < height.shape[1]):
                break
            fall = np.array([south[row, col], east[row, col]])
            if np.hypot(*fall) < 0.12:
                break
            radius = width * (0.5 + 0.5 * min(4.0 * step / steps, 1.0)) + draw.uniform(-0.7, 0.7)
            cv2.circle(out, (col, row), max(round(radius / gsd_m), 1), 1, -1)
            place -= fall / np.hypot(*fall) / gsd_m
    return out > 0


def _view(
    draw: np.random.Generator, colour: np.ndarray, height: np.ndarray, gsd_m: float, flat: np.ndarray
) -> TopView:
    """Shaded by the slope of the land, one light and exposure, a little grain."""
    south, east = np.gradient(height, gsd_m)
    azimuth, low = draw.uniform(0.0, 2.0 * np.pi), draw.uniform(0.5, 1.0)
    facing = (low - np.cos(azimuth) * east - np.sin(azimuth) * south) / np.sqrt(1.0 + east**2 + south**2)
    shade = np.where(flat, 1.0, 0.55 + 0.45 * np.clip(facing / low, 0.0, 2.0))
    grain = draw.normal(0.0, draw.uniform(1.0, 4.0), (*height.shape, 1))
    tint = draw.uniform(0.85, 1.1) * (1.0 + draw.normal(0.0, 0.02, 3))
    rgb = cv2.GaussianBlur(
        np.clip(colour * shade[..., None] * tint + grain, 1, 254).astype(np.uint8), (3, 3), 0.6
    )
    nowhere = np.zeros(height.shape, bool)
    return TopView(rgb=rgb, seen=~nowhere, clouded=nowhere, glinting=nowhere)
