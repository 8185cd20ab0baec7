"""Real skin over drilled ground: what slid, roads and water as photographs show them.

Needs `landslide/` (an orthophoto and a mask of what slid) and `flood/` (photos and masks of the water). Of
the photos every second one, and the western half of the orthophoto, may be learnt from; the rest only tests.
Nothing of them is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from bench.change_scoring import Found
from flycam.drill.appearance import Confuser
from flycam.drill.land import CellWindow
from tests.drill.topview import TopView, ViewPair

WATERS = {"learn": 0, "test": 1}
_ORTHO_M, _ROAD_GSD_M = 0.03, 0.15
_WATER_PX, _EDGE_PX = 240, 0.7
_GREEN, _DARK = 8.0, 40.0


def mountain_road(damage: Path, half: str) -> tuple[ViewPair, np.ndarray]:
    """The orthophoto as AFTER; as BEFORE the same in other light with its own forest where it slid.

    Returns the pair and what each cell of one half is: 1 slid by the mask, 2 other bare ground (road, gravel,
    tracks, roofs), 0 the rest. Heights are made up: a river, a fan, the road's bench, a slope of 35°.
    """
    factor = _ROAD_GSD_M / _ORTHO_M
    after, slid = _ortho(damage, factor)
    shape = slid.shape
    draw = np.random.default_rng(11)
    seen = cv2.erode((after.max(-1) > 12).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    seen = cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)) > 0
    green = _green(after)
    forest = _tiled(_square(after, green & ~slid & seen), shape, draw)
    soft = cv2.GaussianBlur(slid.astype(np.float32), (0, 0), 2.0)[..., None]
    old = after * (1.0 - soft) + forest * soft
    old = cv2.GaussianBlur(old.astype(np.float32), (0, 0), 0.7) ** 1.05 * np.array([0.72, 0.74, 0.80])
    old = np.roll(old + draw.normal(0.0, 3.0, old.shape), 1, axis=1)
    rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]] * _ROAD_GSD_M
    east = cols - 8.0
    heights = np.interp(east, [0.0, 10.0, 75.0, 95.0, 200.0], [0.0, 1.0, 15.0, 16.0, 90.0]) - 0.02 * rows
    west = cols < shape[1] * _ROAD_GSD_M / 2.0
    ground = np.where(slid, 1, np.where(~green & (after.mean(-1) > _DARK), 2, 0)).astype(np.uint8)
    ground[~seen | (west if half == "east" else ~west)] = 0
    nowhere = np.zeros(shape, bool)
    views = [
        TopView(rgb=np.clip(rgb, 0, 255).astype(np.uint8), seen=seen, clouded=nowhere, glinting=nowhere)
        for rgb in (old, after)
    ]
    window = CellWindow(cell_m=_ROAD_GSD_M, west_cell=0, north_cell=shape[0], shape=shape)
    pair = ViewPair(
        seed=0,
        window=window,
        before=views[0],
        after=views[1],
        heights_m=heights.astype(np.float32),
        change=slid.astype(np.uint8),
        confuser=np.zeros(shape, np.uint8),
        old_water=nowhere,
    )
    return pair, ground


def shares_named(pair: ViewPair, ground: np.ndarray, found: Sequence[Found]) -> str:
    """How much of what slid, and of the other bare ground, is called what."""
    called = {kind: np.zeros(ground.shape, bool) for kind in ("landslide", "flood", "other")}
    for one in found:
        called[one.kind][one.rows, one.cols] |= one.mask
    parts = []
    for number, name in ((1, "slid"), (2, "road, gravel, other bare ground")):
        here = ground == number
        shares = ", ".join(f"{kind} {mask[here].mean():.2f}" for kind, mask in called.items())
        parts.append(f"{name} ({here.sum() * pair.window.cell_m**2:.0f} m²): {shares}")
    return "; ".join(parts)


def pasted(pair: ViewPair, damage: Path, photos: int) -> ViewPair:
    """A scene whose slides, floods and new roads wear real skin; photos: whose, see WATERS.

    The same water covers the old river on the after-date; before, it is as it was.
    """
    draw = np.random.default_rng([pair.seed, 12])
    ortho, slid = _ortho(damage, pair.window.cell_m / _ORTHO_M)
    west = np.arange(slid.shape[1]) < slid.shape[1] // 2
    ours = (west if photos == WATERS["learn"] else ~west)[None, :] & (ortho.max(-1) > 12)
    slide = _square(ortho, slid & ours)
    road = _square(ortho, ~slid & ours & ~_green(ortho) & (ortho.mean(-1) > 90.0))
    names = sorted((damage / "flood").glob("*_water.png"))[photos::2]
    name = names[int(draw.integers(len(names)))]
    photo = cv2.imread(str(name.with_name(name.name.replace("_water.png", ".jpg"))))[..., ::-1]
    mask = cv2.imread(str(name), cv2.IMREAD_GRAYSCALE)
    mask = cv2.resize(mask, photo.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 127
    water = cv2.resize(_square(photo, mask), (_WATER_PX, _WATER_PX), interpolation=cv2.INTER_AREA)
    after = pair.after.rgb.astype(np.float32)
    shape = pair.change.shape
    wet = (pair.change == 2) | (pair.old_water & (pair.change == 0) & (pair.change == 2).any())
    for where, skin in ((pair.change == 1, slide), (wet, water), (pair.confuser == Confuser.ROAD, road)):
        soft = cv2.GaussianBlur(where.astype(np.float32), (0, 0), _EDGE_PX)[..., None]
        shown = _tiled(skin, shape, draw) * draw.uniform(0.85, 1.15)
        after = after * (1.0 - soft) + shown * soft
    rgb = np.where(pair.after.seen[..., None], np.clip(after, 1, 255), 0).astype(np.uint8)
    return replace(pair, after=replace(pair.after, rgb=rgb))


def _ortho(damage: Path, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """The orthophoto thinned, and where it slid."""
    rgb = cv2.imread(str(damage / "landslide" / "ortho_north.jpg"))[..., ::-1]
    mask = cv2.imread(str(damage / "landslide" / "mask_north.png"), cv2.IMREAD_GRAYSCALE)
    size = (int(rgb.shape[1] / factor), int(rgb.shape[0] / factor))
    thin = cv2.resize(np.ascontiguousarray(rgb), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return thin, cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 127


def _green(rgb: np.ndarray) -> np.ndarray:
    """What grows: twice green over red and blue."""
    soft = cv2.GaussianBlur(rgb, (0, 0), 1.5)
    return 2.0 * soft[..., 1] - soft[..., 0] - soft[..., 2] > _GREEN


def _square(rgb: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The largest square of a picture that lies wholly in a mask."""
    away = cv2.distanceTransform(np.pad(where, 1).astype(np.uint8), cv2.DIST_C, 3)[1:-1, 1:-1]
    row, col = np.unravel_index(int(away.argmax()), away.shape)
    half = max(int(away[row, col]) - 1, 1)
    return np.ascontiguousarray(rgb[max(row - half, 0) : row + half + 1, max(col - half, 0) : col + half + 1])


def _tiled(skin: np.ndarray, shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    """A skin laid over a grid, mirrored at its edges, from a place by chance."""
    sizes = zip(shape, skin.shape[:2], strict=True)
    rows, cols = (_mirrored(int(draw.integers(0, 1000)) + np.arange(size), of) for size, of in sizes)
    return skin[rows[:, None], cols[None, :]].astype(np.float32)


def _mirrored(at: np.ndarray, size: int) -> np.ndarray:
    at = at % (2 * size)
    return np.where(at < size, at, 2 * size - 1 - at)
