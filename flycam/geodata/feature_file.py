"""Writing of features and lines with attributes to GeoPackage, GeoJSON or CSV.

A file is written completely or not at all.
"""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from shapely.geometry.base import BaseGeometry

from flycam.errors import OptionUnusable, StorageFailed
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.messages import _
from flycam.model.text import to_visible_lines
from flycam.storage.files import move_into_place

Floats = NDArray[np.float64]
# of those that `restrict_vector_drivers` leaves a process that has read a layer
_DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON"}


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureLayer:
    """One layer of a file.

    kind    "LineString", "Polygon", "MultiPolygon", "Point"
    shapes  N shapely geometries of that kind
    fields  N values by name: numbers (integers with unknowns as masked arrays), or text as object arrays
    """

    name: str
    kind: str
    shapes: NDArray[np.object_]
    fields: Mapping[str, NDArray[Any]]


def require_suffix(out: Path, suffixes: Collection[str] = tuple(_DRIVERS)) -> str:
    """Return the suffix of a name in lower case; OptionUnusable unless it selects a format."""
    suffix = out.suffix.lower()
    if suffix not in suffixes:
        raise OptionUnusable(
            _("{out}: give a name that ends in {endings}", out=out, endings=", ".join(suffixes))
        )
    return suffix


def write_features(
    path: Path,
    layers: Sequence[FeatureLayer],
    *,
    crs: str,
    members: Mapping[str, BaseGeometry | FeatureLayer | str] | None = None,
) -> None:
    """Write layers in `crs`: all into a GeoPackage, the first alone into GeoJSON.

    GeoJSON is written in WGS 84, as its standard requires; `members` (geometries in `crs`, text, or layers,
    each a collection of its own) are written beside its features, in the collection itself. Raises
    OptionUnusable for another suffix, StorageFailed, CrsMissing.
    """
    driver = _DRIVERS[require_suffix(path)]
    options: dict[str, str] = {}
    if driver == "GeoJSON":
        to_degrees = make_point_transform(crs, WGS84)
        layers = [layers[0]]
        options = _collection_members(members, to_degrees) if members else {}
    partial = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        for layer in layers:
            shapes, values = layer.shapes, list(layer.fields.values())
            if driver == "GeoJSON":
                shapes = shapely.transform(shapes, to_degrees)
            pyogrio.raw.write(
                partial,
                np.asarray(shapely.to_wkb(shapes), dtype=object),
                [_shown(np.ma.getdata(one)) for one in values],
                list(layer.fields),
                field_mask=[np.ma.getmaskarray(one) if np.ma.isMA(one) else None for one in values],
                geometry_type=layer.kind,
                crs=WGS84 if driver == "GeoJSON" else crs,
                driver=driver,
                layer=layer.name,
                layer_options=options,
            )
        move_into_place(partial, path)
    except (DataSourceError, DataLayerError, OSError) as error:
        raise StorageFailed(
            _(
                "{path}: cannot be written ({error}); free some space there and run again",
                path=path,
                error=error,
            )
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _shown(values: NDArray[Any]) -> NDArray[Any]:
    """Make a column's control characters visible: its text may come from others."""
    if values.dtype != object:
        return values
    return np.array([to_visible_lines(one) if isinstance(one, str) else one for one in values], dtype=object)


def _collection_members(
    members: Mapping[str, BaseGeometry | FeatureLayer | str], to_degrees: Callable[[Floats], Floats]
) -> dict[str, str]:
    """Return GDAL's layer options for members of a collection (RFC 7946, 6.1)."""
    converted = {name: _member(value, to_degrees) for name, value in members.items()}
    # GDAL writes the CRS beside members only where they have it too
    converted["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    return {"NATIVE_DATA": json.dumps(converted), "NATIVE_MEDIA_TYPE": "application/vnd.geo+json"}


def _member(value: BaseGeometry | FeatureLayer | str, to_degrees: Callable[[Floats], Floats]) -> Any:
    """Convert a value to JSON."""
    if isinstance(value, str):
        return value
    if not isinstance(value, FeatureLayer):
        return json.loads(shapely.to_geojson(shapely.transform(value, to_degrees)))
    shapes = shapely.to_geojson(shapely.transform(value.shapes, to_degrees))
    rows = zip(*(list(column) for column in value.fields.values()), strict=True)
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": json.loads(shape),
                "properties": {name: _plain(one) for name, one in zip(value.fields, row, strict=True)},
            }
            for shape, row in zip(shapes, rows, strict=True)
        ],
    }


def _plain(value: Any) -> Any:
    """Round numbers to a millionth; unknown ones become null."""
    if isinstance(value, str):
        return value
    return round(float(value), 6) if np.isfinite(value) else None


# -- Lines with numeric attributes -----------------------------------------------------------------

Numbers = NDArray[np.float64] | NDArray[np.int32]


def write_lines(
    path: Path, lines: Sequence[Floats], fields: Mapping[str, Numbers], *, crs: str, layer: str
) -> None:
    """Write lines (each K×2 in `crs`) with one number of every field each.

    fields  numbers by field name

    Raises the errors of `write_features`.
    """
    points = np.concatenate([np.empty((0, 2)), *lines])
    shapes = shapely.linestrings(points, indices=np.repeat(np.arange(len(lines)), [len(k) for k in lines]))
    written = FeatureLayer(
        name=layer, kind="LineString", shapes=np.asarray(shapes, dtype=object), fields=fields
    )
    write_features(path, [written], crs=crs)


def encode_csv(rows: Iterable[Iterable[object]]) -> bytes:
    """Encode rows as CSV: UTF-8 with the byte order mark by which spreadsheets know it."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8-sig")
