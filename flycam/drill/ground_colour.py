"""Colours of the synthetic ground before lighting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.drill.appearance import Appearance
from flycam.drill.cell_window import CellWindow
from flycam.drill.land_cover import LandCover
from flycam.drill.spatial_noise import Floats, Singles, generate_smooth_noise, generate_white_noise

Numbers = NDArray[np.uint8]
Place = tuple[Singles, Singles]

_GREYER = 0.16
LEAFY = (
    LandCover.FOREST,
    LandCover.SCRUB,
    LandCover.CROWN,
    LandCover.TEA,
    LandCover.GARDEN,
    LandCover.RISER,
    LandCover.BUND,
    LandCover.MAIZE,
    LandCover.PADDY,
    LandCover.TERRACE,
)
# sRGB of each cover, and how much its brightness varies (broadly, per metre, per cell)
_PALETTE: dict[LandCover, tuple[tuple[int, int, int], tuple[float, float, float]]] = {
    LandCover.FOREST: ((52, 62, 36), (0.10, 0.18, 0.16)),
    LandCover.SCRUB: ((104, 116, 62), (0.12, 0.16, 0.12)),
    LandCover.PADDY: ((118, 142, 62), (0.05, 0.05, 0.05)),
    LandCover.TERRACE: ((128, 142, 64), (0.05, 0.06, 0.05)),
    LandCover.RISER: ((84, 96, 52), (0.10, 0.14, 0.10)),
    LandCover.PLOUGHED: ((138, 98, 68), (0.08, 0.10, 0.07)),
    LandCover.MAIZE: ((126, 132, 66), (0.08, 0.12, 0.12)),
    LandCover.TEA: ((66, 98, 46), (0.08, 0.08, 0.08)),
    LandCover.ROAD: ((126, 124, 120), (0.04, 0.05, 0.03)),
    LandCover.TRACK: ((172, 142, 108), (0.08, 0.10, 0.05)),
    LandCover.YARD: ((186, 178, 164), (0.04, 0.06, 0.03)),
    LandCover.WATER: ((92, 104, 84), (0.05, 0.03, 0.01)),
    LandCover.GRAVEL: ((168, 160, 144), (0.06, 0.12, 0.10)),
    LandCover.ROCK: ((142, 138, 130), (0.12, 0.18, 0.08)),
    LandCover.GARDEN: ((96, 104, 60), (0.10, 0.22, 0.12)),
    LandCover.BUND: ((110, 110, 66), (0.06, 0.12, 0.08)),
    LandCover.ROOF: ((128, 128, 128), (0.02, 0.05, 0.02)),
    LandCover.CROWN: ((66, 88, 40), (0.05, 0.10, 0.13)),
    LandCover.SCAR: ((158, 110, 76), (0.09, 0.07, 0.05)),
    LandCover.FLOOD: ((136, 112, 84), (0.05, 0.015, 0.008)),
    LandCover.CUTTING: ((152, 108, 76), (0.10, 0.09, 0.06)),
}
_ROOFS = np.array(
    [
        (142, 70, 54),
        (164, 92, 72),
        (72, 106, 150),
        (94, 128, 114),
        (152, 154, 154),
        (120, 116, 110),
        (98, 86, 74),
    ],
    np.float32,
)
# paddies and terraces: young rice, tall rice, ripening, ripe, harvested, water, ploughed mud
_STAGES = np.array(
    [
        (114, 138, 74),
        (98, 124, 62),
        (136, 142, 72),
        (168, 150, 80),
        (150, 134, 96),
        (108, 114, 102),
        (114, 96, 76),
    ],
    np.float32,
)
# broadleaf, dark evergreen, bamboo, dry leaf
_CROWNS = np.array([(70, 92, 42), (48, 72, 38), (108, 124, 58), (58, 84, 44), (92, 98, 46)], np.float32)


def compute_albedo(
    window: CellWindow,
    cover: Numbers,
    parcel: Singles,
    height: Singles,
    place: Place,
    seed: int,
    look: Appearance,
) -> Singles:
    """Return linear reflectance 0-1 of one band of cells, rows×columns×3 float32.

    cover, parcel, height  rows×columns; height: of the surface, metres
    place                  valley coordinates (along, across)
    """
    east, north = window.eastings, window.northings
    base, varies = _tables(look)
    colour = base[cover]
    for kind, table in ((LandCover.PADDY, _STAGES), (LandCover.TERRACE, _STAGES), (LandCover.CROWN, _CROWNS)):
        where = cover == kind
        colour[where] = _linear(table)[(parcel[where] * len(table)).astype(int)]
    roofs = cover == LandCover.ROOF
    colour[roofs] = _linear(_ROOFS)[parcel[roofs].astype(int)]
    if look.leaves != (1.0, 1.0, 1.0):
        colour[np.isin(cover, LEAFY)] *= np.array(look.leaves, np.float32)

    amount = varies[cover]
    bright = 1.0 + amount[..., 0] * generate_smooth_noise(east, north, 26.0, seed, "broad")
    bright += amount[..., 1] * generate_smooth_noise(east, north, 2.4, seed, "metre")
    start = (window.west_cell, window.north_cell)
    bright += amount[..., 2] * generate_white_noise(*start, window.shape, seed, "grain")
    patterns = _patterns(
        cover, parcel, height, place, generate_smooth_noise(east, north, 8.0, seed, "streak")
    )
    bright *= patterns if look.texture == 1.0 else 1.0 + np.float32(look.texture) * (patterns - 1.0)
    warm = 0.05 * generate_smooth_noise(east, north, 11.0, seed, "warm")
    tint = np.stack([1.0 + warm, np.ones_like(warm), 1.0 - warm], -1)
    # variations are meant in perceived brightness; the square approximates reflectance
    bright = np.maximum(bright, 0.15) ** 2
    return np.asarray(np.clip(colour * bright[..., None] * tint, 0.002, 1.0), np.float32)


def _patterns(cover: Numbers, parcel: Singles, height: Singles, place: Place, streak: Singles) -> Singles:
    """Return factors of brightness for rows, furrows and streaks.

    Furrows, rows of tea and maize, corrugated roofs, streaks of rock and mud.
    """
    along, across = place
    factor = np.ones(cover.shape, np.float32)

    def rows(kind: LandCover, phase: Floats, depth: float) -> None:
        where = cover == kind
        factor[where] += depth * np.sin(phase[where])

    turned = np.where(parcel < 0.25, along, across + 0.2 * along)
    rows(LandCover.PLOUGHED, turned * (2 * np.pi / 1.5) + 0.6 * streak, 0.13)
    rows(LandCover.MAIZE, turned * (2 * np.pi / 1.9) + streak, 0.16)
    rows(LandCover.TEA, height * (2 * np.pi / 0.62) + 0.4 * streak, 0.30)
    rows(LandCover.ROCK, along * 1.1 + 2.0 * streak, 0.12)
    rows(LandCover.ROOF, along * (2 * np.pi / 1.1), 0.05)
    rows(LandCover.SCAR, along * 1.3 + 1.6 * streak, 0.05)
    rows(LandCover.SCAR, along * 0.37 + 2.2 * streak, 0.07)
    rows(LandCover.FLOOD, across * 0.28 + 2.4 * streak, 0.035)
    return factor


def _tables(look: Appearance) -> tuple[Singles, Singles]:
    base, varies = np.zeros((256, 3), np.float32), np.zeros((256, 3), np.float32)
    for kind, (colour, amount) in _PALETTE.items():
        base[kind], varies[kind] = look.paints.get(kind, colour), amount
    return _linear(base), np.float32(look.texture) * varies


def _linear(srgb: Singles) -> Singles:
    """Return linear reflectance of sRGB 0-255, slightly greyer than the palette."""
    grey = srgb.mean(-1, keepdims=True)
    return np.asarray(((srgb + _GREYER * (grey - srgb)) / 255.0) ** 2.2, np.float32)
