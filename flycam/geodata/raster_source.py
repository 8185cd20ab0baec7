"""Opening of rasters, confined so that no file can make another be read.

No other module opens rasters. This one also lists the versions of the geographic libraries.

GDAL follows names that a file holds: sources of a VRT, `OVERVIEW_FILE` in a GeoTIFF's metadata, overviews and
masks beside it. So drivers are named at each open, those that fetch are also removed from the process, and
anything that may name a file is checked before GDAL follows it. What a header of some hundred bytes may
request is bounded as well: GDAL unpacks a block whole, and a scan of a raster reads all of it.

The checked bytes are the bytes read only while nobody else writes in that folder: GDAL opens a mosaic's
sources when it needs them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import BinaryIO
from warnings import catch_warnings
from xml.etree.ElementTree import Element, ParseError, tostring  # parsing is defusedxml's

import numpy as np
import rasterio
import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from rasterio import Env, _env
from rasterio.enums import Interleaving
from rasterio.env import set_gdal_config
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader, MemoryFile

from flycam.errors import SourceUnreadable
from flycam.geodata.crs import get_proj_version, has_file_reference
from flycam.messages import _
from flycam.model.text import is_printable
from flycam.storage.files import require_regular

# -- Allowed GDAL drivers: the formats read here, and nothing over the network ---------------------
#
# GDAL takes a file by its content. Formats that name other files or addresses (VRT, WMS, WFS, HTTP …) would
# make this machine read what the sender of a file cannot read himself: no format but those read here is
# enabled. pyogrio and rasterio each bring their own GDAL, confined by `vector_file` and by this module.


# else PROJ downloads missing grids, in each library that has its own PROJ
os.environ["PROJ_NETWORK"] = "OFF"

VECTOR_DRIVERS = frozenset({"GeoJSON", "GPKG", "ESRI Shapefile", "KML", "LIBKML"})
"""Formats of features read here, those that `feature_file` writes among them."""

RASTER_DRIVERS = ("GTiff", "SRTMHGT", "JPEG", "PNG", "JP2OpenJPEG")
"""Formats of images and heights that name no other file."""

NO_NETWORK = {
    # GeoJSON may name its CRS by a URL (crs of type "link"), and GDAL would fetch it. It has no option to
    # prevent that; a proxy of a non-existent kind ends every request before a name is resolved.
    "GDAL_HTTP_PROXY": "none://nowhere",
    "GDAL_HTTPS_PROXY": "none://nowhere",
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
}


# -- Opening of rasters, with checks of all that a file may name -----------------------------------


_MOSAIC = ".vrt"
_MOSAIC_MARK = b"<vrtdataset"
"""Mark by which GDAL recognises a VRT, at the head of a file or in its path."""

_HEAD_BYTES = 16384
_MAX_MOSAIC_BYTES = 32 << 20
_MAX_PIXELS = 40_000_000_000
"""Pixels of a raster: 100 by 100 km at 0.5 m. A scan of so many takes minutes, not hours."""

_MAX_BLOCK_BYTES = 64 << 20
"""Size of an unpacked tile or strip: 4096 by 4096 heights. Rows of images and strips are far below."""

_MAX_DIRECTORIES = 64
"""Directories of a TIFF: overviews and masks within it. An image of 40e9 pixels has 20 of them."""

_GEO_TEXT = 34737
"""Tag of a TIFF: GeoAsciiParams, names of CRSs, or a whole one ("ESRI PE String")."""

_MAX_TAGS = 65535
_MAX_STATED_BYTES = 32 << 20
_JPEG_2000 = b"\x00\x00\x00\x0cjP  "
_ALLOWED_DRIVERS = ("COG", "MEM", "Memory", "VRT")
"""Drivers for writing, and for tracing outlines (Memory); a VRT is opened only here, after it was checked."""

_SIDECAR_SUFFIXES = (".ovr", ".OVR", ".msk", ".MSK")
"""Suffixes of overviews and masks that GDAL opens by itself, with any driver that accepts them."""

_NAMING_DOMAINS = ("OVERVIEWS", "GEOLOCATION")
"""Metadata domains in which GDAL looks up the names of further files."""

# A mosaic as gdalbuildvrt and gdal_translate write it. In lower case: GDAL accepts any case, and an attribute
# in place of an element of that name.
_MOSAIC_ELEMENTS = """
vrtdataset srs geotransform metadata mdi gcplist gcp blockxsize blockysize overviewlist vrtrasterband maskband
colorinterp colortable entry categorynames category nodatavalue hidenodatavalue description unittype offset
scale histograms histitem histmin histmax bucketcount includeoutofrange approximate histcounts
simplesource complexsource averagedsource sourcefilename sourceband sourceproperties srcrect dstrect
nodata scaleoffset scaleratio exponent srcmin srcmax dstmin dstmax clamp lut usemaskband colortablecomponent
"""
_MOSAIC_ATTRIBUTES = """
rasterxsize rasterysize dataaxistosrsaxismapping coordinateepoch domain key projection id info pixel line x y
z datatype band blockxsize blockysize c1 c2 c3 c4 relativetovrt shared resampling xoff yoff xsize ysize
"""
_ELEMENTS, _ATTRIBUTES = frozenset(_MOSAIC_ELEMENTS.split()), frozenset(_MOSAIC_ATTRIBUTES.split())
_DOMAINS = ("", "IMAGE_STRUCTURE", "IMAGERY")
"""Metadata domains kept of a mosaic: its other metadata, which may be any XML, are not read here."""

_Signature = tuple[tuple[int, int, int, int] | None, ...]


def restrict_raster_drivers() -> None:
    """Remove other formats and the network from rasterio's GDAL, for the process.

    Harmless if repeated, but not while a file of such a format is open: its driver goes with its memory.
    """
    with Env() as env:
        strange = sorted(set(env.drivers()).difference(RASTER_DRIVERS, _ALLOWED_DRIVERS))
    if not strange:
        return
    options = {**NO_NETWORK, "GDAL_VRT_ENABLE_PYTHON": "NO", "GDAL_SKIP": ",".join(strange)}
    for name, value in options.items():
        set_gdal_config(name, value)
    _env._have_registered_drivers = False
    # GDAL reads the list when it registers drivers, and nowhere else
    with Env():
        pass


def open_raster(path: Path) -> DatasetReader:
    """Open a local raster to read: GeoTIFF, HGT, JPEG, PNG, JPEG 2000, or VRT mosaic.

    A VRT is recognised only by its suffix, and may name only plain files of these formats in its own folder
    or below. A copy of an object from the store lies in a folder of its own, where a mosaic has nothing to
    name.

    Raises RasterioError if it is none of these; SourceUnreadable if it names other files.
    """
    path = Path(path).absolute()  # cannot begin with a GDAL prefix ("GTIFF_DIR:…")
    if not path.is_file() or path.parts[1].startswith("vsi"):
        raise RasterioIOError(f"{path}: no local file")
    # callers that need georeferencing report its absence themselves
    with Env.from_defaults(), catch_warnings(category=NotGeoreferencedWarning, action="ignore"):
        return _open_mosaic(path) if is_mosaic(path) else _open_plain(path)


def is_mosaic(path: Path) -> bool:
    """Return True if a file, by its suffix, only names others (VRT)."""
    return path.suffix.lower() == _MOSAIC


def list_raster_files(source: DatasetReader, path: Path) -> list[Path]:
    """List the file itself, then what GDAL reads with it: sources, files beside it."""
    named = (Path(name) for name in source.files)
    return [path, *(one for one in named if one.is_file() and not one.samefile(path))]


def _open_plain(path: Path) -> DatasetReader:
    # GDAL's readers of satellite metadata look for files with other names in the folder
    require_regular(path.parent)
    # Raise RasterioIOError for a file that GDAL would take for a VRT.
    # GDAL does so where no driver is named, as when it opens a file by itself: sources, overviews, masks.
    # VRT is tried first there, and HGT, which is recognised by name and size, may begin with anything.
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if _MOSAIC_MARK in head.lower() or _MOSAIC_MARK in os.fsencode(path).lower():
        raise RasterioIOError(f"{path}: holds a VRT, whatever it is called")
    _require_own_crs(path, (*_signature(path), _written(str(path.parent))))
    for sidecar in (path.with_name(path.name + ending) for ending in _SIDECAR_SUFFIXES):
        if sidecar.exists():
            _require_plain(sidecar, path)
    source = DatasetReader(path, driver=list(RASTER_DRIVERS))
    with _closed_on_failure(source):
        if any(source.tags(ns=domain) for domain in _NAMING_DOMAINS):
            raise SourceUnreadable(
                _(
                    "{name}: names other files to be read in its place, which is not done: "
                    "save it again as a plain GeoTIFF",
                    name=path.name,
                )
            )
        _require_bounded(source, path)
        if source.driver == "GTiff":
            _require_bounded_directories(path, _signature(path))
    return source


@lru_cache(maxsize=8192)  # as `_require_source`
def _require_own_crs(path: Path, _: _Signature) -> None:
    """Raise SourceUnreadable if a raster's CRS names a grid or another file."""
    siblings = (one for one in path.parent.iterdir() if one.name.lower().startswith(path.stem.lower()))
    for one in (one for one in siblings if one.suffix.lower() == ".xml" and one.is_file()):
        with one.open("rb") as file:
            stated = file.read(_MAX_STATED_BYTES + 1)
        if len(stated) > _MAX_STATED_BYTES or _states_file(stated):
            raise _no_own_crs(one)
    stated_bytes = 0
    with path.open("rb") as file:
        head = file.read(16)
        for part in _boxes(file) if head.startswith(_JPEG_2000) else _geo_texts(file, head):
            stated_bytes += len(part)
            if stated_bytes > _MAX_STATED_BYTES:
                raise _too_large(path)
            if _states_file(part):
                raise _no_own_crs(path)


def _states_file(stated: bytes) -> bool:
    """Return True if a CRS within these bytes names a file, as text or as XML."""
    text = stated.decode("latin-1")
    return has_file_reference(text) or has_file_reference(unescape(text))


def _geo_texts(file: BinaryIO, head: bytes) -> Iterator[bytes]:
    """Yield the CRS texts of a TIFF, by directory, up to a truncated one.

    GDAL does not read that one either. Nothing for other formats, which state the CRS only in files beside
    them.
    """
    if not head.startswith((b"II", b"MM")):
        return
    order = "<" if head.startswith(b"II") else ">"
    # counts and offsets are of four bytes, or in a BigTIFF of eight
    is_big = head[2:4] in (b"+\0", b"\0+")
    number, counted = ("Q", "Q") if is_big else ("I", "H")
    entry = struct.Struct(f"{order}HH2{number}")
    with suppress(struct.error, OverflowError):
        (at,) = struct.unpack_from(f"{order}{number}", head, 8 if is_big else 4)
        # more directories are refused by _require_bounded_directories
        for __ in range(_MAX_DIRECTORIES + 1):
            if not at:
                return
            file.seek(at)
            (count,) = struct.unpack(f"{order}{counted}", file.read(struct.calcsize(f"={counted}")))
            entries = file.read(min(count, _MAX_TAGS) * entry.size)
            (at,) = struct.unpack(f"{order}{number}", file.read(struct.calcsize(f"={number}")))
            for tag, __, length, offset in entry.iter_unpack(entries):
                if tag == _GEO_TEXT:
                    file.seek(offset)
                    yield file.read(min(length, _MAX_STATED_BYTES + 1))


def _boxes(file: BinaryIO) -> Iterator[bytes]:
    """Yield the boxes of a JPEG 2000 other than its codestream."""
    at = 0
    with suppress(struct.error, OverflowError):
        while True:
            file.seek(at)
            length, kind, longer = struct.unpack(">I4sQ", file.read(16).ljust(16, b"\0"))
            length = longer if length == 1 else length
            if not kind.strip(b"\0"):
                return
            if kind != b"jp2c":
                file.seek(at)
                yield file.read(min(length or _MAX_STATED_BYTES, _MAX_STATED_BYTES) + 1)
            if length < 8:  # 0: to the end of the file
                return
            at += length


@contextmanager
def _closed_on_failure(source: DatasetReader) -> Iterator[None]:
    try:
        yield
    except BaseException:
        source.close()
        raise


def _require_bounded(source: DatasetReader, path: Path) -> None:
    """Raise SourceUnreadable if an open raster, or a block of it, is too large."""
    together = source.count if source.interleaving is Interleaving.pixel else 1
    blocks = zip(source.block_shapes, source.dtypes, strict=True)
    block_bytes = max((rows * cols * np.dtype(kind).itemsize for (rows, cols), kind in blocks), default=0)
    if block_bytes * together > _MAX_BLOCK_BYTES or source.width * source.height > _MAX_PIXELS:
        raise _too_large(path)


@lru_cache(maxsize=8192)  # as `_require_source`
def _require_bounded_directories(path: Path, _: _Signature) -> None:
    """Raise SourceUnreadable if an overview or a mask within a TIFF is too large."""
    for number in range(1, _MAX_DIRECTORIES + 1):
        try:
            source = DatasetReader(f"GTIFF_DIR:{number}:{path}", driver=["GTiff"])
        except RasterioIOError as error:
            # past the last directory; GDAL does not use one that it cannot open
            if "not found" in str(error):
                return
            continue
        with source:
            _require_bounded(source, path)
    raise _too_large(path)


def _require_plain(path: Path, of: Path) -> None:
    """Raise SourceUnreadable unless a file that GDAL opens with `of` names none."""
    try:
        _open_plain(path).close()
    except RasterioError as error:
        raise SourceUnreadable(
            _(
                "{name}: needs {path_name}, which cannot be read as a plain raster: put a "
                "sound copy in its place, or take it away",
                name=of.name,
                path_name=path.name,
            )
        ) from error


def _open_mosaic(path: Path) -> DatasetReader:
    path = path.resolve()
    text, sources = _checked_mosaic(path, _signature(path))
    for source in sources:
        _require_source(source, path, _signature(source))
    # GDAL gets the checked text, not the file, which it might parse differently
    with MemoryFile(text, filename=path.name) as checked:
        source = DatasetReader(checked.name, driver=["VRT"])
    with _closed_on_failure(source):
        _require_bounded(source, path)
    return source


# A province's terrain is hundreds of files, opened for each tile of the map: none is checked again until it
# is rewritten.
@lru_cache(maxsize=64)
def _checked_mosaic(path: Path, _: _Signature) -> tuple[bytes, tuple[Path, ...]]:
    """Return a VRT with full paths of its sources, and these; raise SourceUnreadable."""
    try:
        if path.stat().st_size > _MAX_MOSAIC_BYTES:
            raise _no_mosaic(path)
        root = fromstring(path.read_bytes(), forbid_dtd=True)
    except (OSError, ParseError, DefusedXmlException, ValueError) as error:
        raise _no_mosaic(path) from error
    if root.tag.lower() != "vrtdataset":
        raise _no_mosaic(path)
    for element in list(root.iter()):
        for one in [one for one in element if one.tag.lower() == "metadata"]:
            if one.get("domain", "") not in _DOMAINS:
                element.remove(one)
    stated = (text for element in root.iter() for text in (element.text or "", *element.attrib.values()))
    if any(has_file_reference(text) for text in stated):
        raise _no_own_crs(path)
    sources = dict.fromkeys(source for element in root.iter() if (source := _source_of(path, element)))
    return tostring(root), tuple(sources)


def _source_of(path: Path, element: Element) -> Path | None:
    """Return the file that a VRT element names, in full from now on; else None.

    Raises SourceUnreadable for an element that no plain mosaic has, and a file elsewhere.
    """
    attributes = map(str.lower, element.attrib)
    if element.tag.lower() not in _ELEMENTS or not _ATTRIBUTES.issuperset(attributes):
        raise _no_mosaic(path)
    if element.tag.lower() != "sourcefilename":
        return None
    named = (path.parent / (element.text or "")).resolve()
    # GDAL parses the name from XML again: a name that does not survive this would name another file
    is_same = is_printable(name := str(named)) and name == name.strip()
    if not (is_same and named.is_relative_to(path.parent)) or len(element):
        raise _no_mosaic(path)
    element.text, element.attrib = name, {"relativeToVRT": "0"}
    return named


@lru_cache(maxsize=8192)
def _require_source(path: Path, of: Path, _: _Signature) -> None:
    """Raise SourceUnreadable unless a mosaic's source is a plain file, not a link."""
    if is_mosaic(path) or not path.is_file() or path.resolve() != path:
        raise _no_mosaic(of)
    _require_plain(path, of)


def _signature(path: Path) -> _Signature:
    """Return a value that changes once a file is rewritten.

    It also covers files that GDAL reads along with it.
    """
    return tuple(_written(f"{path}{ending}") for ending in ("", ".aux.xml", *_SIDECAR_SUFFIXES))


def _written(path: str) -> tuple[int, int, int, int] | None:
    try:
        at = os.stat(path)  # noqa: PTH116 - six of a source, hundreds of sources: a Path takes five times as long
    except OSError:
        return None
    # mtime can be set back, ctime cannot
    return at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns


def _too_large(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: has more pixels, or larger blocks, than are read here: cut it to the "
            "place, and save it in tiles (gdal_translate -co TILED=YES)",
            name=path.name,
        )
    )


def _no_own_crs(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: names a grid or another file in its coordinate reference system, which "
            "is not opened: write the system into the raster as a number, e.g. with "
            "gdal_edit -a_srs EPSG:32648",
            name=path.name,
        )
    )


def _no_mosaic(path: Path) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{name}: is read only as a plain mosaic of files in its own folder: make it "
            "there with gdalbuildvrt, or give one GeoTIFF",
            name=path.name,
        )
    )


# at import, which comes before any thread has a file open
restrict_raster_drivers()


# -- Versions of the loaded geographic libraries, which decide heights, places and bytes -----------


def list_library_versions() -> dict[str, str]:
    """List versions by name; rasterio and pyproj each bring their own PROJ."""
    return {
        "rasterio": rasterio.__version__,
        "GDAL": rasterio.__gdal_version__,
        "GDAL's PROJ": rasterio.__proj_version__,
        "PROJ": get_proj_version(),
        "GEOS": shapely.geos_version_string,
    }
