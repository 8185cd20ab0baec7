"""Is a file one of the vector formats that are read here? Settled from its bytes before GDAL sees it.

GDAL knows formats that name other files or addresses (OGR VRT, WFS descriptions …) and takes them by their
content, whatever the name says. So what is not plainly one of these four is refused, and an archive is looked
into: what it holds and how large it would become. `gdal_drivers` takes those formats from GDAL besides.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO
from xml.parsers import expat

from flycam.errors import SourceUnreadable
from flycam.store.regular import require_regular

MOST_BYTES = 512 << 20
"""Of a file, and of what an archive unpacks to: ten times the largest layer that a province keeps."""

_MOST_TEXT_BYTES = 64 << 20
"""Of GeoJSON and KML, which GDAL reads whole, in up to 17 times the memory. The communes of a province take
20 to 60 MB; what is larger has its place in a GeoPackage, where it is read row by row."""

_MOST_COLUMNS = 2000
"""Names of values in GeoJSON or KML: GDAL compares each with all others. A GeoPackage holds no more."""

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
_JSON_NAME = re.compile(rb'"((?:[^"\\]|\\.){0,999})"\s*:')
_KML_NAME = re.compile(rb"""\sname\s*=\s*["']([^"']{0,999})["']""")
_RTREE = re.compile(r'CREATE VIRTUAL TABLE\s+(?:"(?:[^"]|"")*"|\w+)\s+USING\s+rtree\s*\(.*', re.I | re.S)

_GENERATED = """
SELECT 1 FROM sqlite_master AS made, pragma_table_xinfo(made.name) AS held
WHERE made.type = 'table' AND made.sql NOT LIKE 'CREATE VIRTUAL%' AND held.hidden IN (2, 3)
"""


def check_vector_file(path: Path) -> None:
    """Raise SourceUnreadable unless the file is GeoJSON, GeoPackage, Shapefile, KML, or a ZIP or KMZ of those
    that stays below MOST_BYTES when it is unpacked. A folder is left to GDAL."""
    try:
        require_regular(*((path,) if path.is_dir() else (path.parent, path.stem)))
        if path.is_dir():
            return
        with path.open("rb") as file:
            size = path.stat().st_size
            if size > MOST_BYTES:
                raise _too_large(path.name, MOST_BYTES)
            if file.read(len(_ZIP)) == _ZIP:
                _check_archive(path)
                return
            file.seek(0)
            _check_content(path.name, file, size, path)
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
    # GDAL looks for this mark anywhere in the head of a text; UTF-16 is not looked into
    is_plain = b"<ogr" not in head.lower() and b"\0" not in head
    return is_plain and (_is_json(head) or _root_of(head) == "kml")


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
                raise _too_large(path.name, MOST_BYTES)
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
                    _check_content(name, member, one.file_size)
    except _BROKEN as error:
        raise _unknown(path.name) from error


def _check_content(name: str, file: IO[bytes], size: int, path: Path | None = None) -> None:
    """Raise SourceUnreadable unless a file, or a member of an archive (no path), is of a format read here and
    takes no more than there is to read it with."""
    head = file.read(_HEAD_BYTES)
    file.seek(0)
    if not _is_vector(head):
        raise _unknown(name)
    if head.startswith(_SHAPEFILE):
        return
    if not head.startswith(_SQLITE):
        if size > _MOST_TEXT_BYTES:
            raise _too_large(name, _MOST_TEXT_BYTES)
        _check_columns(name, file, _JSON_NAME if _is_json(head) else _KML_NAME)
        file.seek(0)
        _check_crs(name, file)
    elif path is not None:
        _check_geopackage(name, path)
    else:
        with NamedTemporaryFile(suffix=".gpkg") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            _check_geopackage(name, Path(copy.name))


def _check_geopackage(name: str, path: Path) -> None:
    """Raise SourceUnreadable where reading a table would run what the file brings: a view, a generated
    column, a virtual table but an index of places. Triggers run for who writes, which nobody does."""
    # what lies beside is part of it for GDAL; what cannot be written is not opened but with this word
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
    except (sqlite3.Error, AttributeError, UnicodeDecodeError) as error:
        raise _unknown(name) from error
    if runs:
        raise SourceUnreadable(
            f"{name}: holds views, or columns that are worked out as they are read, which is not done: save "
            "the layer again as a plain GeoPackage",
            vi=f"{name}: có khung nhìn (view) hoặc cột tính toán, flycam không chạy; hãy lưu lại lớp thành "
            "GeoPackage thường",
        )


def _check_columns(name: str, file: IO[bytes], pattern: re.Pattern[bytes]) -> None:
    names: set[bytes] = set()
    for block in _blocks(file):
        names.update(pattern.findall(block))
        if len(names) > _MOST_COLUMNS:
            raise SourceUnreadable(
                f"{name}: holds more than {_MOST_COLUMNS} columns: leave out those that are not needed",
                vi=f"{name}: có hơn {_MOST_COLUMNS} cột; hãy bỏ các cột không cần",
            )


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


def _too_large(name: str, most: int) -> SourceUnreadable:
    megabytes = most >> 20
    return SourceUnreadable(
        f"{name}: is, or would unpack to, more than {megabytes} MB: cut it to the province first, or save it "
        "as GeoPackage",
        vi=f"{name}: tệp, hoặc dữ liệu sau khi giải nén, lớn hơn {megabytes} MB; hãy cắt theo địa bàn tỉnh, "
        "hoặc lưu dạng GeoPackage",
    )
