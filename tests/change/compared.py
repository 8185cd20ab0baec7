"""Pictures of made-up ground as GeoTIFFs, and detectors that are no detectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from flycam.change.image_pair import ImagePair
from flycam.geodata.raster import write_geotiff

CRS = "EPSG:32648"
WEST, NORTH = 430_000.0, 2_400_000.0
GSD_M = 0.25


@dataclass(frozen=True)
class Found:
    """A candidate as a detector tells it."""

    rings: Sequence[np.ndarray]
    kind: str = "landslide"
    score: float = 0.7
    area_m2: float = 0.0
    length_m: float = 30.0
    mean_slope_deg: float = 25.0


@dataclass
class Finder:
    """Hands out what it was given, and keeps what it was asked.

    found  with pixels counted from the upper left corner of what was seen before
    """

    found: Sequence[Found] = ()
    pairs: list[ImagePair] = field(default_factory=list)
    stable: list[np.ndarray | None] = field(default_factory=list)

    def __call__(
        self, pair: ImagePair, *, stable: np.ndarray | None = None
    ) -> Callable[[], tuple[Found, ...]]:
        self.pairs.append(pair)
        self.stable.append(stable)
        rows, cols = np.nonzero(pair.before_seen)
        corner = (cols.min(), rows.min())
        moved = tuple(replace(one, rings=[ring + corner for ring in one.rings]) for one in self.found)
        return lambda: moved


def square(pair_px: tuple[float, float], side_px: float) -> list[np.ndarray]:
    """Ring of a square, upper left pixel middle and side."""
    x, y = pair_px
    return [np.array([(x, y), (x + side_px, y), (x + side_px, y + side_px), (x, y + side_px), (x, y)])]


def picture(
    path: Path,
    rgb: np.ndarray,
    *,
    gsd_m: float = GSD_M,
    west: float = WEST,
    north: float = NORTH,
    hole: tuple[slice, slice] | None = None,
) -> Path:
    """A GeoTIFF in UTM; black is no data where there is a hole."""
    values = np.maximum(rgb, 1)
    if hole is not None:
        values[hole] = 0
    write_geotiff(
        path, values, (gsd_m, 0.0, west, 0.0, -gsd_m, north), CRS, nodata=None if hole is None else 0
    )
    return path
