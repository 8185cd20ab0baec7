"""Ground control points as OpenDroneMap's list writes them.

First line: the coordinate system ("EPSG:32648", a PROJ string, or "WGS84 UTM 48N"). Then one mark a line:
x y z column row photo [name …], separated by blanks or tabs; a point seen in five photos has five lines. The
image position counts from the picture's top left corner.

Format: OpenDroneMap documentation, "Ground Control Points", gcp_list.txt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flycam.errors import CrsMissing, SourceUnreadable
from flycam.geodata.crs import parse_crs

_UTM = re.compile(r"^WGS\s*84\s+UTM\s+(\d{1,2})\s*([NS])$", re.IGNORECASE)
_CORNER_TO_CENTRE_PX = 0.5
_LARGEST_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundMark:
    """One ground point in one photo.

    point   the point's name, or its coordinates where it has none
    x, y    in the list's CRS as written; z NaN where it is not given
    uv_px   (column, row), pixel centres at integers
    """

    point: str
    x: float
    y: float
    z: float
    uv_px: tuple[float, float]
    photo: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundControl:
    """A list of marks and the CRS that its x and y are in."""

    path: Path
    crs: str
    marks: Sequence[GroundMark]


def read_gcp(path: Path) -> GroundControl:
    """Read a list. Raises SourceUnreadable naming file and line, CrsMissing without a usable first line."""
    lines = _lines(path)
    crs = _crs(path, lines[0][1])
    marks = [_mark(path, number, text) for number, text in lines[1:]]
    if not marks:
        raise SourceUnreadable(
            f"{path.name}: names a coordinate system but no point; write one line for each mark: "
            "x y z column row photo name",
            vi=f"{path.name}: có hệ toạ độ nhưng không có điểm nào; mỗi dấu ghi một dòng: x y z cột hàng ảnh "
            "tên",
        )
    return GroundControl(path=path, crs=crs, marks=tuple(marks))


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise SourceUnreadable(
                f"{path.name}: is too large for a list of ground control points; check it",
                vi=f"{path.name}: quá lớn so với một danh sách điểm khống chế; hãy kiểm tra lại",
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceUnreadable(
            f"{path}: cannot be read ({error.strerror}); check the path",
            vi=f"{path}: không đọc được; hãy kiểm tra đường dẫn",
        ) from error
    except UnicodeDecodeError as error:
        raise SourceUnreadable(
            f"{path.name}: is not a text file; give the list of ground control points (gcp_list.txt)",
            vi=f"{path.name}: không phải tệp văn bản; hãy đưa danh sách điểm khống chế (gcp_list.txt)",
        ) from error
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), start=1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if not lines:
        raise SourceUnreadable(
            f"{path.name}: is empty; give the list of ground control points",
            vi=f"{path.name}: tệp rỗng; hãy đưa danh sách điểm khống chế",
        )
    return lines


def _crs(path: Path, text: str) -> str:
    if utm := _UTM.match(text):
        return f"EPSG:{(32600 if utm[2].upper() == 'N' else 32700) + int(utm[1])}"
    try:
        parse_crs(text)
    except CrsMissing as error:
        raise CrsMissing(
            f"{path.name}: its first line must name the coordinate system, e.g. EPSG:32648, and is "
            f"{text[:60]!r}",
            vi=f"{path.name}: dòng đầu phải ghi hệ toạ độ, ví dụ EPSG:32648, nhưng lại là {text[:60]!r}",
        ) from error
    return text


def _mark(path: Path, number: int, text: str) -> GroundMark:
    fields = text.split("\t") if text.count("\t") >= 5 else text.split()
    fields = [field.strip() for field in fields]
    try:
        x, y, z, column, row = (float(field) for field in fields[:5])
        photo = fields[5]
    except (ValueError, IndexError) as error:
        raise SourceUnreadable(
            f"{path.name}, line {number}: does not read as x y z column row photo name: {text[:60]!r}",
            vi=f"{path.name}, dòng {number}: không đúng dạng x y z cột hàng ảnh tên: {text[:60]!r}",
        ) from error
    if not all(map(math.isfinite, (x, y, column, row))):
        raise SourceUnreadable(
            f"{path.name}, line {number}: a coordinate is not a number: {text[:60]!r}",
            vi=f"{path.name}, dòng {number}: có toạ độ không phải là số: {text[:60]!r}",
        )
    name = fields[6] if len(fields) > 6 and fields[6] else f"{fields[0]} {fields[1]}"
    return GroundMark(
        point=name,
        x=x,
        y=y,
        z=z,
        uv_px=(column - _CORNER_TO_CENTRE_PX, row - _CORNER_TO_CENTRE_PX),
        photo=photo,
    )
