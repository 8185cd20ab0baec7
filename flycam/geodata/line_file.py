"""Lines with numbers into GeoPackage or GeoJSON, whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from flycam.errors import InputUnusable, StorageTrouble
from flycam.geodata.crs import WGS84, transform_points

Floats = NDArray[np.float64]
Numbers = NDArray[np.float64] | NDArray[np.int32]

_DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON"}


def write_lines(
    path: Path, lines: Sequence[Floats], fields: Mapping[str, Numbers], *, crs: str, layer: str
) -> None:
    """Write lines (each K×2 in `crs`) with a number each of every field, by its name.

    GeoJSON is written in WGS 84, as its standard asks.

    Raises InputUnusable for another suffix than .gpkg or .geojson, StorageTrouble, CrsMissing.
    """
    driver = _DRIVERS.get(path.suffix.lower())
    if driver is None:
        raise InputUnusable(
            f"{path}: give a file that ends in .gpkg or .geojson",
            vi=f"{path}: hãy đặt tên tệp có đuôi .gpkg hoặc .geojson",
        )
    if driver == "GeoJSON":
        lines, crs = [transform_points(line, crs, WGS84) for line in lines], WGS84
    sizes = [len(line) for line in lines]
    points = np.concatenate([np.empty((0, 2)), *lines])
    shapes = shapely.linestrings(points, indices=np.repeat(np.arange(len(lines)), sizes))
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        pyogrio.raw.write(
            partial,
            np.asarray(shapely.to_wkb(shapes), dtype=object),
            list(fields.values()),
            list(fields),
            geometry_type="LineString",
            crs=crs,
            driver=driver,
            layer=layer,
        )
        partial.replace(path)
    except (DataSourceError, DataLayerError, OSError) as error:
        raise StorageTrouble(
            f"{path}: cannot be written ({error}); make room there and run again",
            vi=f"{path}: không ghi được vào đây; hãy giải phóng bớt ổ đĩa rồi chạy lại",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
