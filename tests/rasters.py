"""A raster read whole, to look at what was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from flycam.errors import SourceUnreadable
from flycam.geodata.crs import describe_crs
from flycam.geodata.raster_source import open_raster
from flycam.messages import verbatim


@dataclass(frozen=True, kw_only=True, slots=True)
class Raster:
    """Pixels rows×cols×bands, a mask that is 255 where there is data, six affine numbers of pixel corners."""

    pixels: NDArray[np.generic]
    mask: NDArray[np.uint8]
    transform: tuple[float, ...]
    crs: str
    tags: Mapping[str, str]


def read_raster(path: Path) -> Raster:
    """Read it through the package's one door. Raises SourceUnreadable."""
    try:
        with open_raster(path) as source:
            return Raster(
                pixels=np.ascontiguousarray(np.moveaxis(source.read(), 0, -1)),
                mask=source.dataset_mask(),
                transform=tuple(source.transform)[:6],
                crs=describe_crs(source.crs.to_wkt()).text,
                tags=source.tags(),
            )
    except RasterioError as error:
        raise SourceUnreadable(verbatim(str(error))) from error
