"""Vector files: geometries in WGS 84 degrees, and attributes as text.

Readable formats are GeoJSON, GeoPackage, Shapefile and KML.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio._ogr import _register_drivers
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError

from flycam.errors import BoundaryInvalid, CrsMissing, SourceUnreadable
from flycam.geodata.crs import WGS84, make_point_transform
from flycam.geodata.raster_source import NO_NETWORK, VECTOR_DRIVERS
from flycam.geodata.vector_validation import open_checked_vector
from flycam.messages import _
from flycam.model.text import to_search_key

Geometries = NDArray[np.object_]
_GEOJSON = (".geojson", ".json")
_MAX_LAYERS = 500
_READ_ERRORS = (
    DataSourceError, DataLayerError, FeatureError, FieldError, UnicodeDecodeError, OSError,
    shapely.GEOSException,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorLayer:
    """One layer of a file.

    geometries  N shapely geometries in WGS 84 degrees, None where the feature has none; not yet repaired
    fields      column name to N values
    crs         as the file states it
    """

    name: str
    geometries: Geometries
    fields: dict[str, NDArray[Any]]
    crs: str


def read_polygon_layers(path: Path) -> list[VectorLayer]:
    """Read every layer of a vector file that may hold polygons, in the file's order.

    Raises the errors of `read_vector_layers`, and BoundaryInvalid if no layer holds a polygon.
    """
    layers = read_vector_layers(path, skip_geometry_types=("Point", "Line"))
    layers = [layer for layer in layers if np.isin(shapely.get_type_id(layer.geometries), (3, 6, 7)).any()]
    if not layers:
        raise BoundaryInvalid(_("{name}: holds no polygon: give a file of commune areas", name=path.name))
    return layers


def read_vector_layers(
    path: Path, *, skip_geometry_types: tuple[str, ...] = (), max_features: int | None = None
) -> list[VectorLayer]:
    """Read every layer with geometry, in the file's order.

    skip_geometry_types  layers whose geometry type has one of these words are left out

    Raises SourceUnreadable (also for more than `max_features` in all, before any is read), CrsMissing (not
    stated, or coordinates that cannot be degrees although degrees are stated).
    """
    path = Path(path)
    if not path.exists():
        raise SourceUnreadable(_("{path}: there is no such file: check the path", path=path))
    restrict_vector_drivers()
    with open_checked_vector(path) as checked:
        try:
            kinds = {str(name): kind for name, kind in pyogrio.list_layers(checked) if kind is not None}
            names = [
                name for name, kind in kinds.items() if not any(word in kind for word in skip_geometry_types)
            ]
            # each layer is searched from the beginning of the file
            if len(names) > _MAX_LAYERS:
                raise SourceUnreadable(
                    _(
                        "{name}: holds {count} layers, more than the {most_layers} taken: join them",
                        name=path.name,
                        count=len(names),
                        most_layers=_MAX_LAYERS,
                    )
                )
            infos = [pyogrio.read_info(checked, layer=name, force_feature_count=True) for name in names]
            if strange := {str(info["driver"]) for info in infos} - VECTOR_DRIVERS:
                raise DataSourceError(f"taken for {', '.join(sorted(strange))}")
            if max_features is not None:
                count = sum(info["features"] for info in infos)
                if count > max_features:
                    raise SourceUnreadable(
                        _(
                            "{name}: holds {count} features, more than the {most} taken: cut it to the "
                            "province",
                            name=path.name,
                            count=count,
                            most=max_features,
                        )
                    )
            return [_read_layer(path, checked, name) for name in names]
        except _READ_ERRORS as error:
            raise SourceUnreadable(
                _("{name}: cannot be read: give GeoJSON, GeoPackage, Shapefile or KML", name=path.name)
            ) from error


def restrict_vector_drivers() -> None:
    """Remove other formats and the network from pyogrio's GDAL, for the process.

    Harmless if repeated.
    """
    strange = sorted(set(pyogrio.list_drivers()) - VECTOR_DRIVERS - {"MEM"})
    if not strange:
        return
    # OGR_SQLITE_STATIC_VIRTUAL_OGR: no tables of a GeoPackage that lie in another file
    options = {**NO_NETWORK, "OGR_SQLITE_STATIC_VIRTUAL_OGR": "NO", "GDAL_SKIP": ",".join(strange)}
    pyogrio.set_gdal_config_options(options)
    _register_drivers()  # GDAL reads the list there, and nowhere else


def _read_layer(path: Path, checked: Path, name: str) -> VectorLayer:
    with warnings.catch_warnings():
        # heights and measures are dropped on purpose
        warnings.simplefilter("ignore", UserWarning)
        # times as text: as numbers they would lose their zone
        meta, _, wkb, values = pyogrio.raw.read(checked, layer=name, force_2d=True, datetime_as_string=True)
    geometries = shapely.from_wkb(wkb, on_invalid="fix")
    crs = meta["crs"]
    if crs is None:
        raise _without_crs(path)
    fields = dict(zip([str(f) for f in meta["fields"]], values, strict=True))
    return VectorLayer(name=name, geometries=_to_degrees(path, geometries, crs), fields=fields, crs=crs)


def _to_degrees(path: Path, geometries: Geometries, crs: str) -> Geometries:
    degrees = geometries if crs == WGS84 else shapely.transform(geometries, make_point_transform(crs, WGS84))
    xy = shapely.get_coordinates(degrees)
    if xy.size and not (np.isfinite(xy).all() and (np.abs(xy) <= (180.0, 90.0)).all()):
        x, y = shapely.get_coordinates(geometries)[0]
        if crs == WGS84 and path.suffix.lower() in _GEOJSON:
            # GeoJSON in metres, or with latitude first
            raise CrsMissing(
                _(
                    "{name}: does not name its coordinate reference system: GeoJSON then means "
                    "degrees of WGS 84, longitude first, and {x:.1f}, {y:.1f} are none: save it in "
                    "WGS 84, or as GeoPackage with its CRS",
                    name=path.name,
                    x=x,
                    y=y,
                )
            )
        raise CrsMissing(
            _(
                "{name}: coordinates such as {x:.1f}, {y:.1f} do not fit the coordinate "
                "reference system it states ({crs}): they may be metres or latitude first: "
                "save it again with its true CRS",
                name=path.name,
                x=x,
                y=y,
                crs=crs[:40],
            )
        )
    return degrees


def _without_crs(path: Path) -> CrsMissing:
    cure = _("save it again")
    if path.suffix.lower() == ".shp":
        cure = _("add {name}.prj, or save it", name=path.stem)
    return CrsMissing(
        _(
            "{name}: does not say which coordinate reference system it is in: {cure} as "
            "GeoPackage with its CRS",
            name=path.name,
            cure=cure,
        )
    )


# -- Columns of a vector file as text, under any name and encoding ---------------------------------


def to_column_key(column: str) -> str:
    """Return a column's key for comparison: "Mã xã", "ma_xa" and "MAXA" are equal."""
    return "".join(c for c in to_search_key(column) if c.isalnum())


def has_text(values: NDArray[Any]) -> bool:
    """Return True if any of a column's values is not empty."""
    return any(read_texts(values))


def read_texts(values: NDArray[Any]) -> tuple[str, ...]:
    """Return a column's values as text, NFC, single spaces; empty where missing."""
    return tuple(_text(value) for value in values.tolist())


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return " ".join(unicodedata.normalize("NFC", str(value)).split())


def repair_mojibake(names: Sequence[str], remarks: list[str], path: Path) -> tuple[str, ...]:
    """Undo UTF-8 that was read as Latin-1, as in a Shapefile without .cpg."""
    mended = []
    for name in names:
        try:
            mended.append(unicodedata.normalize("NFC", b"".join(map(_single_byte, name)).decode("utf-8")))
        except UnicodeError:
            mended.append(name)
    if tuple(mended) != tuple(names):
        remarks.append(
            f"{path.name}: names were UTF-8 although the file does not say so, and were read as such"
        )
    return tuple(mended)


def _single_byte(character: str) -> bytes:
    """Return the byte that Windows-1252 shows as this character.

    Its five undefined bytes are decoded as control characters.
    """
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")
