"""Small terrain files with known ground, written for the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray

Floats = NDArray[np.float64]
EAST, NORTH = 400_000.0, 2_420_000.0
"""First post (north-west) of the files in UTM 48N."""


def hills(e: Floats, n: Floats) -> Floats:
    """Smooth ground, 300-500 m, some hundreds of metres from crest to crest."""
    return 400.0 + 60.0 * np.sin(e / 310.0) + 40.0 * np.cos(n / 270.0)


def write_dem(
    path: Path,
    heights: NDArray[Any],
    *,
    first_post: tuple[float, float] = (EAST, NORTH),
    step: float = 10.0,
    crs: str | None = "EPSG:32648",
    nodata: float | None = None,
    tags: dict[str, str] | None = None,
    unit: str | None = None,
) -> Path:
    """A one-band GeoTIFF whose pixel centres are the posts."""
    transform = Affine(step, 0, first_post[0] - step / 2, 0, -step, first_post[1] + step / 2)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=heights.shape[0],
        width=heights.shape[1],
        count=1,
        dtype=heights.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
    ) as target:
        target.write(heights, 1)
        if tags:
            target.update_tags(**tags)
        if unit:
            target.units = (unit,)
    return path


def ground(
    rows: int,
    cols: int,
    *,
    first_post: tuple[float, float] = (EAST, NORTH),
    step: float = 10.0,
    surface: Callable[[Floats, Floats], Floats] = hills,
) -> NDArray[np.float32]:
    """Heights of `surface` at rows×cols posts."""
    e = first_post[0] + step * np.arange(cols)
    n = first_post[1] - step * np.arange(rows)
    return surface(*np.meshgrid(e, n)).astype(np.float32)
