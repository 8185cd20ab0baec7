"""Is a file one of the vector formats that are read here? Settled from its bytes before GDAL sees it.

GDAL knows formats that name other files or addresses (OGR VRT, WFS descriptions …) and takes them by their
content, whatever the name says. So what is not plainly one of these four is refused, and an archive is looked
into: what it holds and how large it would become. `gdal_drivers` takes those formats from GDAL besides.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO
from xml.parsers import expat

from flycam.errors import SourceUnreadable

MOST_BYTES = 512 << 20
"""Of a file, and of what an archive unpacks to: ten times the largest layer that a province keeps."""

_MOST_MEMBERS = 2000
_HEAD_BYTES = 16384
_BLOCK_BYTES, _OVERLAP_BYTES = 1 << 20, 1024
_SQLITE, _SHAPEFILE, _ZIP = b"SQLite format 3\0", b"\x00\x00\x27\x0a", b"PK"
_BESIDE = frozenset({".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".qpj", ".qmd", ".xml", ".txt"})
_MAIN = frozenset({".shp", ".geojson", ".json", ".gpkg", ".kml"})
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".gif"})
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
"""What an archive raises that is broken, encrypted, or packed in a way not known here."""

_LINKED_CRS = re.compile(
    rb"""["']crs["']\s*:\s*\{[^}]{0,400}\}?[^}]{0,100}["'](?:link|url)["']""", re.IGNORECASE
)
_NETWORK_LINK = re.compile(rb"NetworkLink")


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
                return
            if not _is_vector(head):
                raise _unknown(path.name)
            if _is_json(head):
                file.seek(0)
                _check_crs(path.name, file)
    except OSError as error:
        raise _unknown(path.name) from error


def holds_network_link(path: Path) -> bool:
    """Whether a KML file, or one in an archive, points elsewhere (NetworkLink): that is never followed. False
    for other formats. Only for what `check_vector_file` let through: members are read to their ends."""
    if path.is_dir():
        return False
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return path.suffix.lower() == ".kml" and _holds(file, _NETWORK_LINK)
        with zipfile.ZipFile(path) as archive:
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


def _is_vector(head: bytes) -> bool:
    if head.startswith((_SQLITE, _SHAPEFILE)):
        return True
    # GDAL looks for this mark anywhere in the head of a text
    return b"<ogr" not in head.lower() and (_is_json(head) or _root_of(head) == "kml")


def _is_json(head: bytes) -> bool:
    return _text_of(head).startswith(b"{")


def _text_of(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def _root_of(head: bytes) -> str | None:
    """The name of the outermost element of an XML text, without its prefix; None where there is none, or a
    document type stands before it: KML has none, and entities are what bombs are made of."""
    names: list[str] = []
    reader = expat.ParserCreate()

    def begin(name: str, _: dict[str, str]) -> None:
        names.append(name)

    def refuse(*_: object) -> None:
        names.append("")

    reader.StartElementHandler = begin
    reader.StartDoctypeDeclHandler = refuse
    # what is broken further on GDAL says of what begins as KML
    with suppress(expat.ExpatError, ValueError, LookupError):
        reader.Parse(_text_of(head), False)
    return names[0].rpartition(":")[2] or None if names else None


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
                name = f"{path.name}/{one.filename}"
                with archive.open(one) as member:
                    head = member.read(_HEAD_BYTES)
                    if not _is_vector(head):
                        raise _unknown(name)
                    if _is_json(head):
                        member.seek(0)
                        _check_crs(name, member)
    except _BROKEN as error:
        raise _unknown(path.name) from error


def _check_crs(name: str, file: IO[bytes]) -> None:
    """Raise SourceUnreadable where GeoJSON states its CRS by an address, which would have to be asked."""
    if _holds(file, _LINKED_CRS):
        raise SourceUnreadable(
            f"{name}: states its coordinate reference system by an address, which is not asked: save it "
            "again in WGS 84",
            vi=f"{name}: tệp ghi hệ toạ độ bằng một địa chỉ mạng, flycam không truy cập; hãy lưu lại theo "
            "WGS 84",
        )


def _holds(file: IO[bytes], pattern: re.Pattern[bytes]) -> bool:
    return any(pattern.search(block) for block in _blocks(file))


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """A file block by block, each with the end of the one before."""
    before = b""
    while block := file.read(_BLOCK_BYTES):
        yield before + block
        before = block[-_OVERLAP_BYTES:]


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
