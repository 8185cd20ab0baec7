"""Vector files: geometries in WGS 84 degrees, attributes as text, specialist layers.

Only GeoJSON, GeoPackage, Shapefile and KML are read. GDAL knows formats that name other files or addresses
(OGR VRT, WFS descriptions …) and recognises them by their content, whatever the name. So a file that is not
plainly one of these four is refused, an archive is inspected (its contents and its unpacked size), and all
other formats are removed from GDAL.
"""

from __future__ import annotations

import lzma
import re
import shutil
import sqlite3
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any
from xml.parsers import expat

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio._ogr import _register_drivers
from pyogrio.errors import DataLayerError, DataSourceError, FeatureError, FieldError

from flycam.errors import BoundaryInvalid, CrsMissing, LayerInvalid, SourceUnreadable
from flycam.geodata.crs import WGS84, has_file_reference, make_point_transform
from flycam.geodata.raster_source import NO_NETWORK, VECTOR_DRIVERS
from flycam.messages import Message, _, join, ngettext, pgettext
from flycam.model.board import Condition, LayerKind, parse_condition
from flycam.model.text import strip_unprintable, to_search_key
from flycam.model.time import parse_timestamp
from flycam.storage.files import require_regular

# -- Validation from their bytes, before GDAL sees them --------------------------------------------


MAX_BYTES = 512 << 20
"""Size of a file, and of an unpacked archive: ten times the largest layer that a province keeps."""

_MAX_TEXT_BYTES = 64 << 20
"""Size of GeoJSON and KML, which GDAL reads whole, in up to 17 times the memory. The communes of a province
take 20 to 60 MB; larger layers belong in a GeoPackage, which is read row by row."""

_MAX_COLUMNS = 2000
"""Columns of GeoJSON or KML: GDAL compares each with all others. A GeoPackage holds no more."""

_MAX_MEMBERS = 2000
_MAX_LIST_BYTES = 1 << 20
"""Of an archive's list of members, read at once: half a kilobyte of memory for each 50 bytes."""
_MAX_PROJECTION_BYTES = 1 << 20
_SHAPE_HEAD_BYTES = 100
_HEAD_BYTES = 16384
_BLOCK_BYTES, _OVERLAP_BYTES = 1 << 20, 1024
_SQLITE, _SHAPEFILE, _ZIP = b"SQLite format 3\0", b"\x00\x00\x27\x0a", b"PK"
_SIDECAR_SUFFIXES = frozenset(
    {".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".qpj", ".qmd", ".xml", ".txt"}
)
_PARTS = frozenset({".shx", ".dbf", ".prj", ".cpg"})
"""Parts of a Shapefile that GDAL needs to read it completely."""

_ARCHIVES = frozenset({".zip", ".kmz"})
_MAIN = frozenset({".shp", ".geojson", ".json", ".gpkg", ".kml"})
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif"})
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeDecodeError,  # a name flagged as UTF-8 that is not
    NotImplementedError,
    RuntimeError,
)
"""Errors of an archive that is broken, encrypted, or packed by an unknown method."""

# "crs" in any case and with any of its letters escaped, as GDAL finds it; then anything but a plain object,
# or one within it, of names and numbers. No backtracking: each character is read at most twice.
_PLAIN_CRS = rb"""(?:(?!["'](?:link|url)["'])[^{}\\=])*+"""
_STRANGE_CRS = re.compile(
    rb"""["'](?:c|\\u00[46]3)(?:r|\\u00[57]2)(?:s|\\u00[57]3)["']\s*+(?:/|:\s*+(?:/|\{(?!"""
    + _PLAIN_CRS
    + rb"(?:\{"
    + _PLAIN_CRS
    + rb"\}"
    + _PLAIN_CRS
    + rb")?+\})))",
    re.IGNORECASE,
)
_NETWORK_LINK = re.compile(rb"NetworkLink")
# Every string, in either quotes, with the colon that makes it a name, and comments, which GDAL skips as well.
# Each character is read once.
_JSON_TEXT = re.compile(
    rb"""\"((?:[^"\\]++|\\.)*+)"?+\s*+(:)?+|'((?:[^'\\]++|\\.)*+)'?+\s*+(:)?+"""
    rb"""|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?+|//[^\n]*+""",
    re.DOTALL,
)
_KML_NAME = re.compile(rb"""\sname\s*=\s*["']([^"']{0,999})["']""")
_RTREE = re.compile(r'CREATE VIRTUAL TABLE\s+(?:"(?:[^"]|"")*"|\w+)\s+USING\s+rtree\s*\(.*', re.I | re.S)

_GENERATED = """
SELECT 1 FROM sqlite_master AS made, pragma_table_xinfo(made.name) AS held
WHERE made.type = 'table' AND made.sql NOT LIKE 'CREATE VIRTUAL%' AND held.hidden IN (2, 3)
"""


@contextmanager
def open_checked_vector(path: Path) -> Iterator[Path]:
    """Check a file or a folder, and yield the path that GDAL opens in its place.

    It holds what was checked, under our own names and suffixes, in a folder of our own: GDAL and its callers
    take archives apart by their names alone, and find more beside a file than was checked.

    Raises SourceUnreadable unless it is GeoJSON, GeoPackage, Shapefile, KML, or a folder, a ZIP or a KMZ of
    those that stays below MAX_BYTES when it is unpacked.
    """
    with TemporaryDirectory(prefix="flycam-layer-") as made:
        try:
            place = _lay_out(path.name, path.resolve(), Path(made))
        except (OSError, *_BROKEN) as error:
            raise _unknown(path.name) from error
        yield place


def _lay_out(name: str, path: Path, folder: Path) -> Path:
    """Fill a folder with a file's contents, check it, and return the path to open."""
    several = path.is_dir() or _is_archive(path)
    if not several and path.suffix.lower() in _ARCHIVES:
        raise _unknown(name)
    placed = _unpack(name, path, folder) if several and not path.is_dir() else _link(path, folder)
    mains = []
    for place, source in placed.items():
        shown = f"{name}/{source.name}" if several else name if source == path else source.name
        if place.suffix not in _PARTS or source == path:
            mains.append(_check_content(shown, place))
        elif place.suffix == ".prj":
            with place.open("rb") as file:
                text = file.read(_MAX_PROJECTION_BYTES + 1).decode("latin-1")
            if len(text) > _MAX_PROJECTION_BYTES or has_file_reference(text):
                raise _no_own_crs(shown)
    if not mains:
        raise _unknown(name)
    # as in a KMZ: the first one links to the others
    if all(one.suffix == ".kml" for one in mains):
        return min(mains, key=lambda one: one.name != "doc.kml")
    return mains[0] if len(mains) == 1 else folder


class _ArchiveFile(FileIO):
    """An archive's file, of which no list of members is read that is too long."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_LIST_BYTES:
            raise zipfile.BadZipFile(f"a list of {size} bytes")
        return super().read(size)


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def _link(path: Path, folder: Path) -> dict[Path, Path]:
    """Link a file with its parts, or a folder's relevant files; map links to files."""
    if path.is_dir():
        require_regular(path)
        found = [one for one in path.iterdir() if one.suffix.lower() in _MAIN | _PARTS]
    else:
        require_regular(path.parent, path.stem)
        neighbours = (one for one in path.parent.iterdir() if one.stem == path.stem and one != path)
        found = [path, *(one for one in neighbours if one.suffix.lower() in _PARTS)]
    # of two names that differ in case the lower-case one, as GDAL does
    placed = {_place(folder, one.name): one for one in sorted(found) if one.is_file()}
    for place, one in placed.items():
        place.symlink_to(one.resolve())
    return placed


def _place(folder: Path, name: str) -> Path:
    """Return the path for a file in a folder.

    "!" and "?" would be parsed as marks in an address, and lone surrogates cannot be encoded.
    """
    stem = re.sub("[!?\ud800-\udfff]", "_", Path(name).stem)
    return folder / f"{stem}{Path(name).suffix.lower()}"


def has_network_link(path: Path) -> bool:
    """Return True if a KML file, or one in an archive, has a NetworkLink.

    Such links are never followed. False for other formats. Only for files that passed `open_checked_vector`:
    members are read to their ends.
    """
    if path.is_dir():
        return False
    try:
        if not _is_archive(path):
            with path.open("rb") as file:
                return path.suffix.lower() == ".kml" and _holds(file, _NETWORK_LINK)
        with _ArchiveFile(path) as packed, zipfile.ZipFile(packed) as archive:
            return any(
                _member_holds(archive, one, _NETWORK_LINK)
                for one in archive.infolist()
                if one.filename.lower().endswith(".kml")
            )
    except (OSError, *_BROKEN) as error:
        raise _unknown(path.name) from error


def _member_holds(archive: zipfile.ZipFile, one: zipfile.ZipInfo, pattern: re.Pattern[bytes]) -> bool:
    with archive.open(one) as member:
        return _holds(member, pattern)


def _ending_of(head: bytes) -> str | None:
    """Return the suffix by which GDAL knows this content; None for other formats."""
    if head.startswith(_SQLITE):
        return ".gpkg"
    if head.startswith(_SHAPEFILE):
        return ".shp"
    # GDAL looks for this mark anywhere in the head of a text; UTF-16 is not supported
    if b"<ogr" in head.lower() or b"\0" in head:
        return None
    if _text_of(head).startswith(b"{"):
        return ".geojson"
    return ".kml" if _root_of(head) == "kml" else None


def _text_of(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def _root_of(head: bytes) -> str | None:
    """Return the root element's name in XML, without its prefix; else None.

    None also where a document type precedes it: KML has none, and entities are what XML bombs are made of.
    """
    names: list[str] = []
    reader = expat.ParserCreate()

    def begin(name: str, _: dict[str, str]) -> None:
        names.append(name)

    def refuse(*_: object) -> None:
        names.append("")

    reader.StartElementHandler = begin
    reader.StartDoctypeDeclHandler = refuse
    # GDAL reports errors further on in a text that begins as KML
    with suppress(expat.ExpatError, ValueError, LookupError):
        reader.Parse(_text_of(head), False)
    return names[0].rpartition(":")[2] or None if names else None


def _unpack(name: str, path: Path, folder: Path) -> dict[Path, Path]:
    """Unpack an archive's relevant members; map paths to members.

    Raises SourceUnreadable.
    """
    with _ArchiveFile(path) as whole, zipfile.ZipFile(whole) as archive:
        # not `is_dir`, which fails on an empty name
        members = [one for one in archive.infolist() if not one.filename.endswith("/")]
        if len(members) > _MAX_MEMBERS or sum(one.file_size for one in members) > MAX_BYTES:
            raise _too_large(name, MAX_BYTES)
        placed: dict[Path, Path] = {}
        for one in members:
            member = Path(one.filename)
            ending = member.suffix.lower()
            if ending in _PICTURES | _SIDECAR_SUFFIXES - _PARTS or member.name.startswith("."):
                continue
            place = _place(folder, member.name)
            if ending not in _MAIN | _PARTS or place in placed:
                raise _unknown(f"{name}/{one.filename}")
            with archive.open(one) as packed, place.open("xb") as out:
                shutil.copyfileobj(packed, out)
            placed[place] = member
    return placed


def _check_content(name: str, path: Path) -> Path:
    """Rename a file to the suffix of its format, and return it.

    Raises SourceUnreadable unless it is of a format read here, and within the limits of memory.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise _too_large(name, MAX_BYTES)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        ending = _ending_of(head)
        if ending in (".geojson", ".kml"):
            if size > _MAX_TEXT_BYTES:
                raise _too_large(name, _MAX_TEXT_BYTES)
            file.seek(0)
            if ending == ".geojson":
                _check_columns(name, _json_names(text := file.read()))
                # an address would have to be fetched, a description may name files
                if _STRANGE_CRS.search(text):
                    raise SourceUnreadable(
                        _(
                            "{name}: states its coordinate reference system by an address or a "
                            "description, which is not followed: save it again in WGS 84",
                            name=name,
                        )
                    )
            else:
                _check_columns(name, (one for block in _blocks(file) for one in _KML_NAME.findall(block)))
    if ending is None:
        raise _unknown(name)
    if ending == ".gpkg":
        # SQLite looks for -wal and -journal beside the real file, not beside the link
        _check_geopackage(name, path.resolve())
    if ending == ".shp":
        _check_shapes(name, path)
    return path if path.suffix == ending else path.rename(path.with_suffix(ending))


def _check_shapes(name: str, path: Path) -> None:
    """Raise SourceUnreadable if a Shapefile's index names more than the file holds.

    Such an index names one shape many times.
    """
    if not (index := path.with_suffix(".shx")).exists():
        return  # GDAL reads no Shapefile without it
    words = np.fromfile(index, ">i4", offset=_SHAPE_HEAD_BYTES).astype(np.int64)
    # lengths are in words of two bytes, without each record's header of eight bytes
    lengths = words[1::2] * 2
    most = path.stat().st_size - _SHAPE_HEAD_BYTES
    if (lengths < 0).any() or int((lengths + 8).sum()) > most:
        raise SourceUnreadable(
            _(
                "{name}: its index ({index_name}) names more than the file holds: save the layer again",
                name=name,
                index_name=index.name,
            )
        )


def _check_geopackage(name: str, path: Path) -> None:
    """Raise SourceUnreadable if reading a table would run SQL that the file brings.

    That is a view, a generated column, or a virtual table other than a spatial index. Triggers run on writes,
    which never happen here.
    """
    # for GDAL -wal and -journal are part of the file; without them a read-only file opens only as immutable
    is_whole = not any(Path(f"{path}{ending}").exists() for ending in ("-wal", "-journal"))
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if is_whole else ''}"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            made = database.execute("SELECT type, sql FROM sqlite_master WHERE type IN ('table', 'view')")
            runs = any(
                kind == "view" or (sql.upper().startswith("CREATE VIRTUAL") and not _RTREE.fullmatch(sql))
                for kind, sql in made
            )
            runs = runs or database.execute(_GENERATED).fetchone() is not None
            stated = () if runs else database.execute("SELECT * FROM gpkg_spatial_ref_sys")
            if any(has_file_reference(str(value)) for row in stated for value in row):
                raise _no_own_crs(name)
            if not runs and _geometry_bytes(database) > _database_bytes(database):
                raise _unknown(name)
    except (sqlite3.Error, AttributeError, UnicodeDecodeError) as error:
        raise _unknown(name) from error
    if runs:
        raise SourceUnreadable(
            _(
                "{name}: holds views, or columns that are worked out as they are read, which "
                "is not done: save the layer again as a plain GeoPackage",
                name=name,
            )
        )


def _geometry_bytes(database: sqlite3.Connection) -> int:
    """Return the size of the geometries as read.

    It exceeds the file's where many rows share the pages of one.
    """
    placed = database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall()
    quoted = [[str(one).replace('"', '""') for one in names] for names in placed]
    # SQLite gives the length of a blob without reading it
    selections = [f'TOTAL(LENGTH("{column}")) FROM "{table}"' for table, column in quoted]
    lengths = (database.execute(f"SELECT {one}").fetchone() for one in selections)
    return sum(int(length) for (length,) in lengths)


def _database_bytes(database: sqlite3.Connection) -> int:
    (pages,), (size,) = (database.execute(f"PRAGMA page_{one}").fetchone() for one in ("count", "size"))
    return int(pages * size)


def _check_columns(name: str, found: Iterable[bytes]) -> None:
    names: set[bytes] = set()
    for one in found:
        names.add(one)
        if len(names) > _MAX_COLUMNS:
            raise SourceUnreadable(
                _(
                    "{name}: holds more than {most_columns} columns: leave out those that are not needed",
                    name=name,
                    most_columns=_MAX_COLUMNS,
                )
            )


def _json_names(text: bytes) -> Iterator[bytes]:
    for one in _JSON_TEXT.finditer(text):
        if one.lastindex in (2, 4):
            yield one[one.lastindex - 1]


def _no_own_crs(name: str) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: names a grid or another file in its coordinate reference system, which "
            "is not opened: save the layer again in WGS 84",
            name=name,
        )
    )


def _holds(file: IO[bytes], pattern: re.Pattern[bytes]) -> bool:
    return any(pattern.search(block) for block in _blocks(file))


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file block by block, each with the end of the one before."""
    before = b""
    while block := file.read(_BLOCK_BYTES):
        yield before + block
        before = block[-_OVERLAP_BYTES:]


def _unknown(name: str) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: cannot be read: give GeoJSON, GeoPackage, Shapefile or KML (a ZIP of "
            "one of them is read too)",
            name=name,
        )
    )


def _too_large(name: str, most: int) -> SourceUnreadable:
    megabytes = most >> 20
    return SourceUnreadable(
        _(
            "{name}: is, or would unpack to, more than {megabytes} MB: cut it to the "
            "province first, or save it as GeoPackage",
            name=name,
            megabytes=megabytes,
        )
    )


# -- Geometries and attributes, read by GDAL -------------------------------------------------------


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


# -- Specialist layers (power lines, masts, …) from a file, with owner and date --------------------
#
# Columns are recognised under any usual name; what a file does not state is left empty, never guessed. Format
# page: docs/formats/layers.md.


MAX_FEATURES = 300_000
"""A province has some 250,000 houses; more is another country, or a broken file."""

_LETTERS = 200
_NAMED = 3

_NAME_COLUMNS = (
    "ten", "tendoituong", "tenduong", "tencongtrinh", "tentram", "tentruong", "tensong", "tenthon", "tenban",
    "name", "label", "title", "sohieu", "maso", "matram", "ref", "code", "id",
)  # fmt: skip
_OWNER_COLUMNS = (
    "chusohuu", "chuquan", "donvi", "donviquanly", "quanly", "coquan", "nhamang", "owner", "operator",
)  # fmt: skip
_STATUS_COLUMNS = (
    "tinhtrang", "trangthai", "hientrang", "status", "state", "condition",
)  # fmt: skip
_TIME_COLUMNS = (
    "thoidiem", "thoigian", "capnhat", "ngaycapnhat", "gio", "ngay", "validtime", "valid", "updated",
    "updatedat", "lastupdate", "timestamp", "datetime", "date", "time",
)  # fmt: skip

_POINT, _LINE, _AREA = "point", "line", "area"
_SHAPE_OF = {0: _POINT, 4: _POINT, 1: _LINE, 2: _LINE, 5: _LINE, 3: _AREA, 6: _AREA}
_FITTING: Mapping[LayerKind, frozenset[str]] = {
    LayerKind.MAST: frozenset({_POINT, _AREA}),
    LayerKind.SCHOOL: frozenset({_POINT, _AREA}),
    LayerKind.HOUSE: frozenset({_POINT, _AREA}),
    LayerKind.SETTLEMENT: frozenset({_POINT, _AREA}),
    LayerKind.ROAD: frozenset({_LINE, _AREA}),
}
"""The two shapes as which features of a kind can be drawn; other kinds allow all."""

_SHAPES = {
    _POINT: pgettext("shape of a feature", "points"),
    _LINE: pgettext("shape of a feature", "lines"),
    _AREA: pgettext("shape of a feature", "areas"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFeature:
    """One feature of a layer. Empty text and None: the file does not state it.

    status     the owner's own words; `condition` is their classification
    valid_ns   time of that status
    geometry   WGS 84 degrees, valid
    """

    name: str
    owner: str
    status: str
    condition: Condition
    valid_ns: int | None
    geometry: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerImport:
    """Result of importing a file: features in its order, and what was done to them."""

    features: tuple[LayerFeature, ...]
    repaired: int
    removed: int
    remarks: tuple[Message, ...]


def read_layer(path: Path, kind: LayerKind) -> LayerImport:
    """Read and repair a layer: GeoJSON, GeoPackage, Shapefile or KML in any CRS.

    Raises SourceUnreadable, CrsMissing, LayerInvalid (nothing in it, or nothing that can be of this kind).
    """
    path = Path(path)
    remarks: list[Message] = []
    features: list[LayerFeature] = []
    repaired: list[str] = []
    removed: list[str] = []
    layers = read_vector_layers(path, max_features=MAX_FEATURES)
    linked = has_network_link(path)  # after the checks: nothing is unpacked before them
    if linked:
        remarks.append(
            _(
                "{name}: points elsewhere (NetworkLink), which is not followed: what is there is missing",
                name=path.name,
            )
        )
    for layer in layers:
        features += _features_of(layer, path, repaired, removed, remarks)
    if not features:
        raise _empty(path, linked=linked)
    _check_kind(path, kind, features)
    if repaired:
        remarks.append(
            ngettext(
                "{count} feature with edges that cross: repaired ({names})",
                "{count} features with edges that cross: repaired ({names})",
                len(repaired),
                names=_list_first(repaired),
            )
        )
    if removed:
        remarks.append(
            ngettext(
                "{count} feature without a usable geometry: left out ({names})",
                "{count} features without a usable geometry: left out ({names})",
                len(removed),
                names=_list_first(removed),
            )
        )
    return LayerImport(
        features=tuple(features),
        repaired=len(repaired),
        removed=len(removed),
        remarks=tuple({str(one): one for one in remarks}.values()),
    )


def _features_of(
    layer: VectorLayer, path: Path, repaired: list[str], removed: list[str], remarks: list[Message]
) -> list[LayerFeature]:
    columns = _Columns(layer.fields, len(layer.geometries), path, remarks)
    geometries, was_repaired = _mended(layer.geometries)
    usable = ~(shapely.is_missing(geometries) | shapely.is_empty(geometries))
    features = []
    for row in range(len(geometries)):
        label = columns.names[row] or f"#{row + 1}"
        if not usable[row]:
            removed.append(label)
            continue
        if was_repaired[row]:
            repaired.append(label)
        features.append(
            LayerFeature(
                name=columns.names[row],
                owner=columns.owners[row],
                status=columns.statuses[row],
                condition=parse_condition(columns.statuses[row]),
                valid_ns=columns.moments[row],
                geometry=geometries[row],
            )
        )
    return features


def _mended(geometries: Geometries) -> tuple[Geometries, NDArray[np.bool_]]:
    """Return valid geometries (N) and which were repaired.

    Empty where nothing of the same type was left.
    """
    broken = ~shapely.is_valid(geometries) & ~shapely.is_missing(geometries)
    mended = geometries.copy()
    mended[broken] = shapely.make_valid(geometries[broken], method="structure", keep_collapsed=False)
    return mended, broken & ~shapely.is_empty(mended)


class _Columns:
    """Name, owner, status and time of each feature of a layer."""

    def __init__(
        self, fields: Mapping[str, NDArray[Any]], count: int, path: Path, remarks: list[Message]
    ) -> None:
        self._by_key = {to_column_key(column): values for column, values in reversed(list(fields.items()))}
        self._count = count
        scrambled: list[str] = []
        self.names = self._text(_NAME_COLUMNS, scrambled, path)
        self.owners = self._text(_OWNER_COLUMNS, scrambled, path)
        self.statuses = self._text(_STATUS_COLUMNS, scrambled, path)
        self.moments = self._moments()
        if scrambled:
            remarks.append(
                _(
                    "{name}: text was UTF-8 although the file does not say so, and was read as such",
                    name=path.name,
                )
            )

    def _column(self, wanted: tuple[str, ...]) -> NDArray[Any] | None:
        found = (self._by_key[key] for key in wanted if key in self._by_key)
        return next((values for values in found if has_text(values)), None)

    def _text(self, wanted: tuple[str, ...], scrambled: list[str], path: Path) -> tuple[str, ...]:
        values = self._column(wanted)
        if values is None:
            return ("",) * self._count
        return tuple(_short(text) for text in repair_mojibake(read_texts(values), scrambled, path))

    def _moments(self) -> tuple[int | None, ...]:
        values = self._column(_TIME_COLUMNS)
        if values is None:
            return (None,) * self._count
        return tuple(parse_timestamp(text) for text in read_texts(values))


def _short(text: str) -> str:
    """Strip control characters and cut overlong text."""
    printable = strip_unprintable(text)
    return printable if len(printable) <= _LETTERS else printable[: _LETTERS - 1] + "…"


def _check_kind(path: Path, kind: LayerKind, features: list[LayerFeature]) -> None:
    """Raise LayerInvalid unless some feature can be of the kind: masts are not lines."""
    fitting = _FITTING.get(kind)
    if fitting is None:
        return
    shapes = {_SHAPE_OF.get(int(one), _AREA) for one in shapely.get_type_id([f.geometry for f in features])}
    if shapes & fitting:
        return
    one, other = sorted(fitting)
    raise LayerInvalid(
        _(
            "{name}: holds {held} only, but --kind {kind} is drawn as {wanted}: give the kind that it is",
            name=path.name,
            held=join((_SHAPES[shape] for shape in sorted(shapes)), ", "),
            kind=kind,
            wanted=pgettext(
                "shapes of a feature", "{one} or {other}", one=_SHAPES[one], other=_SHAPES[other]
            ),
        )
    )


def _empty(path: Path, *, linked: bool) -> LayerInvalid:
    if linked:
        return LayerInvalid(
            _(
                "{name}: holds nothing but a link elsewhere (NetworkLink): open that and save it as KML",
                name=path.name,
            )
        )
    return LayerInvalid(
        _("{name}: holds no feature with a place: give a file of points, lines or areas", name=path.name)
    )


def _list_first(labels: list[str]) -> str:
    return ", ".join(labels[:_NAMED]) + (", …" if len(labels) > _NAMED else "")
