"""Trees and houses: they stand above the ground, so terrain models lack them."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as fields_of

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import Bounds, CellWindow
from flycam.drill.land_cover import LandCover, compute_road_distance
from flycam.drill.spatial_noise import Floats, Ints, hash_unit
from flycam.drill.valley import ValleyFields

_TREE_STEP_M = 4.3
_HOUSE_ALONG_M = 19.0
# chance that a tree stands at a candidate place, and its height range in metres, by cover
_TREES: dict[LandCover, tuple[float, float, float]] = {
    LandCover.FOREST: (0.93, 6.0, 15.0),
    LandCover.SCRUB: (0.22, 2.0, 7.0),
    LandCover.MAIZE: (0.015, 4.0, 8.0),
    LandCover.TEA: (0.03, 4.0, 8.0),
    LandCover.RISER: (0.03, 2.0, 6.0),
    LandCover.GARDEN: (0.4, 2.5, 7.0),
    LandCover.ROCK: (0.2, 1.5, 4.0),
}
ROOF_COLOURS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Houses:
    """N houses.

    centre_m                              N×2
    azimuth_rad                           N, of the ridge
    length_m, width_m, eaves_m, ridge_m   N
    roof                                  N, number of its colour, 0 to ROOF_COLOURS - 1
    """

    centre_m: Floats
    azimuth_rad: Floats
    length_m: Floats
    width_m: Floats
    eaves_m: Floats
    ridge_m: Floats
    roof: Floats

    def select(self, keep: NDArray[np.bool_]) -> Houses:
        """Return the houses for which `keep` (N) is true."""
        return Houses(**{f.name: getattr(self, f.name)[keep] for f in fields_of(self)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Trees:
    """N trees. centre_m N×2, height_m N, radius_m N, tint N in [0, 1)."""

    centre_m: Floats
    height_m: Floats
    radius_m: Floats
    tint: Floats


def place_houses(fields: ValleyFields, bounds: Bounds) -> Houses:
    """Place a village along the road and some houses up the terraces.

    Returns them in the order of their places.
    """
    seed = fields.valley.seed
    i, j, east, north = _jittered(bounds, _HOUSE_ALONG_M, seed, "house")
    right, river = fields.sample("right", east, north), fields.sample("river", east, north)
    along, _ = fields.valley.to_valley(east, north)
    to_road = compute_road_distance(right)
    near = (np.abs(to_road) > 10.0) & (to_road > -24.0) & (to_road < 46.0)
    village = np.cos(along / 120.0 + 0.6) > -0.1
    chance = np.where(
        near & village, 0.8, np.where(near, 0.12, np.where((right > 0) & (right < 150), 0.035, 0.0))
    )
    gentle = fields.sample("slope", east, north) < 0.5
    keep = (hash_unit(i, j, seed, "is house") < chance) & gentle & (np.abs(river) > 26.0)
    i, j = i[keep], j[keep]

    def number(name: str) -> Floats:
        return hash_unit(i, j, seed, name)

    big = number("big") > 0.93
    length = np.where(big, 20.0 + 6.0 * number("length"), 8.0 + 5.0 * number("length"))
    width = np.where(big, 8.5, 5.5 + 2.5 * number("width"))
    eaves = 2.8 + 1.6 * number("eaves") + np.where(big, 2.5, 0.0)
    turn = np.where(number("turn") < 0.5, 0.0, np.pi / 2.0) + 0.35 * (number("skew") - 0.5)
    return Houses(
        centre_m=np.stack([east[keep], north[keep]], -1),
        azimuth_rad=fields.valley.azimuth_rad + turn,
        length_m=length,
        width_m=width,
        eaves_m=eaves,
        ridge_m=eaves + width * (0.22 + 0.12 * number("pitch")),
        roof=np.floor(number("roof") * ROOF_COLOURS),
    )


def place_trees(window: CellWindow, cover: NDArray[np.uint8], seed: int) -> Trees:
    """Place trees by the cover at their foot; `cover` is rows×columns of `window`."""
    i, j, east, north = _jittered(window.bounds, _TREE_STEP_M, seed, "tree")
    col, row = (np.rint(x).astype(int) for x in window.to_cells(east, north))
    inside = (col >= 0) & (row >= 0) & (col < window.shape[1]) & (row < window.shape[0])
    i, j, col, row = i[inside], j[inside], col[inside], row[inside]
    east, north = east[inside], north[inside]
    chance = np.zeros(256)
    low, high = np.zeros(256), np.zeros(256)
    for kind, (p, shortest, tallest) in _TREES.items():
        chance[kind], low[kind], high[kind] = p, shortest, tallest
    kind = cover[row, col]
    keep = hash_unit(i, j, seed, "is tree") < chance[kind]
    i, j, kind = i[keep], j[keep], kind[keep]
    size = hash_unit(i, j, seed, "tree height")
    height = low[kind] + (high[kind] - low[kind]) * size**1.3
    radius = np.clip(0.33 * height * (0.75 + 0.5 * hash_unit(i, j, seed, "crown")), 0.8, 4.6)
    return Trees(
        centre_m=np.stack([east[keep], north[keep]], -1),
        height_m=height,
        radius_m=radius,
        tint=hash_unit(i, j, seed, "tint"),
    )


def _jittered(bounds: Bounds, step: float, seed: int, name: str) -> tuple[Ints, Ints, Floats, Floats]:
    """Return i, j, east, north of candidate places, one in each square of `step`."""
    west, south, east, north = (int(np.floor(b / step)) for b in bounds)
    i, j = (x.ravel() for x in np.meshgrid(np.arange(west, east + 1), np.arange(south, north + 1)))
    jitter_e = hash_unit(i, j, seed, name + " east")
    jitter_n = hash_unit(i, j, seed, name + " north")
    return i, j, (i + 0.1 + 0.8 * jitter_e) * step, (j + 0.1 + 0.8 * jitter_n) * step
