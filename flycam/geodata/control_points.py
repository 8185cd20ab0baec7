"""Ground control points in OpenDroneMap's list format.

First line: the coordinate system ("EPSG:32648", a PROJ string, or "WGS84 UTM 48N"). Then one mark a line: x y
z column row photo [name …], separated by blanks or tabs; a point marked in five photos has five lines. The
image position counts from the image's top left corner.

Format: OpenDroneMap documentation, "Ground Control Points", gcp_list.txt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flycam.errors import CrsMissing, SourceUnreadable
from flycam.geodata.crs import describe_crs, get_zone, has_meridian, parse_crs
from flycam.messages import Message, _
from flycam.storage.files import guard_foreign_reader, read_regular


def format_crs_accuracy(name: str, accuracy_m: float) -> Message:
    """Describe a coordinate system that is accurate only to metres."""
    return _(
        "{name}: its coordinate system is brought to that of the map to about {accuracy_m:.0f} m here, for "
        "want of a better transformation, and nothing placed by it is surer: give coordinates in WGS 84 "
        "(EPSG:4326 or a UTM zone) where metres matter.",
        name=name,
        accuracy_m=accuracy_m,
    )


_UTM = re.compile(r"^WGS\s*84\s+UTM\s+(\d{1,2})\s*([NS])$", re.IGNORECASE)
# VN-2000 and, anywhere after it, a Vietnamese central meridian: 104°45', 104.75, 104-45, 104 45
_VN2000 = re.compile(
    r"^VN[-\s]?2000\b(?!.*UTM)"
    r"(?:.*?\b(?P<degrees>10[2-9])(?:\s*(?P<mark>[°.,\-ºd\s])\s*(?P<part>\d{1,2})\b)?)?",
    re.IGNORECASE,
)
_MAX_DEGREES = 180.0
# The list counts from the image's corner, flycam from the centre of the first pixel.
_CORNER_TO_CENTRE_PX = 0.5
_MAX_FILE_BYTES = 8 << 20
# Tolerance between lines for the coordinates of one point.
_SAME_M, _SAME_DEG = 1.0, 1e-5


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundMark:
    """Image mark of a ground control point in one photo.

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
    """List of marks and the CRS of their x and y."""

    path: Path
    crs: str
    marks: Sequence[GroundMark]


@guard_foreign_reader
def read_ground_control(path: Path) -> GroundControl:
    """Read a list of ground control points.

    Raises SourceUnreadable naming file and line, CrsMissing without a usable first line.
    """
    try:
        text = read_regular(path, _MAX_FILE_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise SourceUnreadable(
            _("{path}: cannot be read ({strerror}); check the path", path=path, strerror=error.strerror)
        ) from error
    except UnicodeDecodeError as error:
        raise SourceUnreadable(
            _(
                "{name}: is not a text file; give the list of ground control points (gcp_list.txt)",
                name=path.name,
            )
        ) from error
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), start=1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if not lines:
        raise SourceUnreadable(_("{name}: is empty; give the list of ground control points", name=path.name))
    crs = parse_crs_line(path, lines)
    marks = [_mark(path, number, text) for number, text in lines[1:]]
    _require_one_place(path, marks, lines[1:], _SAME_DEG if describe_crs(crs).is_geographic else _SAME_M)
    if not marks:
        raise SourceUnreadable(
            _(
                "{name}: names a coordinate system but no point; write one line for each "
                "mark: x y z column row photo name",
                name=path.name,
            )
        )
    return GroundControl(path=path, crs=crs, marks=tuple(marks))


def _require_one_place(
    path: Path, marks: Sequence[GroundMark], lines: Sequence[tuple[int, str]], same: float
) -> None:
    """Raise SourceUnreadable unless each point name has one position.

    A name for two positions would shift the mosaic.
    """
    first: dict[str, tuple[GroundMark, int]] = {}
    for mark, (number, __) in zip(marks, lines, strict=True):
        before, line = first.setdefault(mark.point, (mark, number))
        difference = max(
            abs(mark.x - before.x) / same, abs(mark.y - before.y) / same, abs(mark.z - before.z) / _SAME_M
        )
        if difference > 1.0:
            raise SourceUnreadable(
                _(
                    "{name}, line {number}: point {point!r} has other coordinates than in "
                    "line {line}; correct them, or give each point a name of its own (the "
                    "seventh field)",
                    name=path.name,
                    number=number,
                    point=mark.point[:60],
                    line=line,
                )
            )


def _vn2000(path: Path, text: str, lines: Sequence[tuple[int, str]]) -> str | None:
    """Return the zone's code if the line names VN-2000 with a central meridian.

    As people write it: "VN-2000 104°45'", "VN2000 KTT 104.75". None for any other line. Raises CrsMissing
    where the zone is not named and the coordinates are metres.
    """
    if not (named := _VN2000.match(text)):
        return None
    if degrees := named["degrees"]:
        part = named["part"] or "0"
        minutes = float(part) if named["mark"] not in (".", ",") else float(f"0.{part}") * 60.0
        if has_meridian(meridian := round(float(degrees) + minutes / 60.0, 6)):
            return get_zone(meridian)
    first = lines[1][1].split()[0] if len(lines) > 1 else ""
    if degrees or _is_metres(first):
        raise CrsMissing(
            _(
                "{name}: its first line names VN-2000 without a zone that is known "
                "({text!r}); write the zone's code, e.g. EPSG:9208 for the central "
                "meridian 104°45' (Lao Cai)",
                name=path.name,
                text=text[:60],
            )
        )
    return None


def _is_metres(number: str) -> bool:
    try:
        return abs(float(number)) > _MAX_DEGREES
    except ValueError:
        return False


def parse_crs_line(path: Path, lines: Sequence[tuple[int, str]]) -> str:
    """Return the coordinate system that the first numbered line names.

    Raises CrsMissing.
    """
    text = lines[0][1]
    if zone := _vn2000(path, text, lines):
        return zone
    if utm := _UTM.match(text):
        return f"EPSG:{(32600 if utm[2].upper() == 'N' else 32700) + int(utm[1])}"
    try:
        parse_crs(text)
    except CrsMissing as error:
        raise CrsMissing(
            _(
                "{name}: its first line must name the coordinate system, e.g. EPSG:32648, and is {text!r}",
                name=path.name,
                text=text[:60],
            )
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
            _(
                "{name}, line {number}: does not read as x y z column row photo name: {text!r}",
                name=path.name,
                number=number,
                text=text[:60],
            )
        ) from error
    if not all(map(math.isfinite, (x, y, column, row))):
        raise SourceUnreadable(
            _(
                "{name}, line {number}: a coordinate is not a number: {text!r}",
                name=path.name,
                number=number,
                text=text[:60],
            )
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
