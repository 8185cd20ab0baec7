"""Plain GeoTIFF files of arrays: terrain, truth and other rasters that are not images to look at.

`raster.CogWriter` writes those: in windows, with mask and overviews, complete or not at all. A terrain model
has a nodata value, no mask, must not be averaged into overviews, and is small: it is written here, at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

_TILE_PX = 256


def write_geotiff(
    path: Path,
    bands: NDArray[np.generic],
    transform: Sequence[float],
    crs: str,
    *,
    nodata: float | None = None,
    tags: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
) -> None:
    """Write an array as a tiled, losslessly compressed GeoTIFF.

    bands      rows×columns or rows×columns×N values
    transform  (a, b, c, d, e, f) from pixel corners (column, row) to CRS coordinates
    names      band descriptions
    Raises OSError where the file cannot be written.
    """
    cube = bands[..., None] if bands.ndim == 2 else bands
    rows, cols, count = cube.shape
    floating = np.issubdtype(cube.dtype, np.floating)
    profile = {
        "driver": "GTiff",
        "height": rows,
        "width": cols,
        "count": count,
        "dtype": cube.dtype.name,
        "crs": crs,
        "transform": Affine(*transform),
        "nodata": nodata,
        "compress": "deflate",
        "zlevel": 1,
        "predictor": 3 if floating else 2,
        "num_threads": "all_cpus",
        "interleave": "pixel" if count == 3 else "band",
    }
    if min(rows, cols) >= _TILE_PX:
        profile |= {"tiled": True, "blockxsize": _TILE_PX, "blockysize": _TILE_PX}
    with rasterio.open(path, "w", **profile) as target:
        target.update_tags(**dict(tags or {}))
        for number in range(count):
            target.write(cube[..., number], number + 1)
        for number, name in enumerate(names):
            target.set_band_description(number + 1, name)
