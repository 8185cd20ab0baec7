"""Raster files read whole, by rasterio alone."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio


class Raster(NamedTuple):
    """Pixels rows×cols×bands, mask rows×cols (255 = data), corner transform, CRS and tags."""

    pixels: np.ndarray
    mask: np.ndarray
    transform: tuple[float, ...]
    crs: str
    tags: dict[str, str]


def read_raster(path: Path) -> Raster:
    with rasterio.open(path) as source:
        return Raster(
            pixels=np.ascontiguousarray(np.moveaxis(source.read(), 0, -1)),
            mask=source.dataset_mask(),
            transform=tuple(source.transform)[:6],
            crs=source.crs.to_string(),
            tags=source.tags(),
        )
