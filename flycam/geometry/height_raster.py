"""Terrain heights on the pixels of a raster.

Bilinear, axis by axis, strip by strip.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_STRIP_ROWS = 512


def interpolate_heights_on_grid(terrain: TerrainGrid, east_m: Floats, north_m: Floats) -> Singles:
    """Interpolate heights where `east_m` and `north_m` cross, N×M float32.

    east_m are M columns, north_m N rows. As `interpolate_heights`, at a tenth of its cost: NaN outside
    the posts or beside one that is not known.
    """
    (west, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    rows, cols = terrain.heights_m.shape
    c0, right, beside = _between((np.asarray(east_m) - west) / step_e, cols)
    r0, below, beyond = _between((north - np.asarray(north_m)) / step_s, rows)
    out = np.empty((len(r0), len(c0)), np.float32)
    for top in range(0, len(r0), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        first, share = r0[strip], below[strip, None]
        along = terrain.heights_m[first] * (1 - share) + terrain.heights_m[first + 1] * share
        out[strip] = along[:, c0] * (1 - right) + along[:, c0 + 1] * right
    out[beyond] = np.nan
    out[:, beside] = np.nan
    return out


def _between(at: Floats, count: int) -> tuple[NDArray[np.int64], Singles, NDArray[np.bool_]]:
    """Return the post before each place, the next post's share, and where off posts."""
    off = (at < 0.0) | (at > count - 1.0)
    first = np.clip(np.floor(at), 0, count - 2).astype(np.int64)
    return first, (np.clip(at, 0.0, count - 1.0) - first).astype(np.float32), off
