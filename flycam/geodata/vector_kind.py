"""Is a file one of the vector formats that are read here? Settled from its bytes before GDAL sees it.

GDAL knows formats that name other files or addresses (OGR VRT, WFS descriptions …) and takes them by their
content, whatever the name says. So what is not plainly one of these four is refused, and an archive is looked
into: what it holds and how large it would become.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from flycam.errors import SourceUnreadable

MOST_BYTES = 512 << 20
"""Of a file, and of what an archive unpacks to: ten times the largest layer that a province keeps."""

_MOST_MEMBERS = 2000
_HEAD_BYTES = 4096
_SQLITE, _SHAPEFILE, _ZIP = b"SQLite format 3\0", b"\x00\x00\x27\x0a", b"PK"
_BESIDE = frozenset({".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".qpj", ".qmd", ".xml", ".txt"})
_MAIN = frozenset({".shp", ".geojson", ".json", ".gpkg", ".kml"})
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif"})


def check_vector_file(path: Path) -> None:
    """Raise SourceUnreadable unless the file is GeoJSON, GeoPackage, Shapefile, KML, or a ZIP or KMZ of those
    that stays below MOST_BYTES when it is unpacked. A folder is left to GDAL."""
    if path.is_dir():
        return
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if path.stat().st_size > MOST_BYTES:
            raise _too_large(path)
        if head.startswith(_ZIP):
            _check_archive(path)
        elif not _is_vector(head):
            raise _unknown(path.name)
    except OSError as error:
        raise _unknown(path.name) from error


def holds_network_link(path: Path) -> bool:
    """Whether a KML file points elsewhere (NetworkLink): that is never followed. False for other formats."""
    try:
        if path.suffix.lower() == ".kmz" and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.lower().endswith(".kml")]
                return any(b"NetworkLink" in archive.read(name) for name in names)
        return path.suffix.lower() == ".kml" and b"NetworkLink" in path.read_bytes()
    except (OSError, zipfile.BadZipFile, zlib.error):
        return False


def _is_vector(head: bytes) -> bool:
    if head.startswith((_SQLITE, _SHAPEFILE)):
        return True
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") or (text.startswith(b"<") and b"<kml" in text.lower())


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if len(members) > _MOST_MEMBERS or sum(one.file_size for one in members) > MOST_BYTES:
                raise _too_large(path)
            mains = [one for one in members if Path(one.filename).suffix.lower() in _MAIN]
            strange = [
                one
                for one in members
                if Path(one.filename).suffix.lower() not in _MAIN | _BESIDE | _PICTURES
                and not Path(one.filename).name.startswith(".")
            ]
            if strange or not mains:
                raise _unknown(f"{path.name}/{strange[0].filename}" if strange else path.name)
            for one in mains:
                with archive.open(one) as member:
                    if not _is_vector(member.read(_HEAD_BYTES)):
                        raise _unknown(f"{path.name}/{one.filename}")
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise _unknown(path.name) from error  # broken, encrypted, or packed in a way not known here


def _unknown(name: str) -> SourceUnreadable:
    return SourceUnreadable(
        f"{name}: cannot be read: give GeoJSON, GeoPackage, Shapefile or KML (a ZIP of one of them is read "
        "too)",
        vi=f"{name}: không đọc được; hãy đưa tệp GeoJSON, GeoPackage, Shapefile hoặc KML (kể cả nén ZIP)",
    )


def _too_large(path: Path) -> SourceUnreadable:
    most = MOST_BYTES >> 20
    return SourceUnreadable(
        f"{path.name}: is, or would unpack to, more than {most} MB: cut it to the province first",
        vi=f"{path.name}: tệp, hoặc dữ liệu sau khi giải nén, lớn hơn {most} MB; hãy cắt theo địa bàn tỉnh",
    )
