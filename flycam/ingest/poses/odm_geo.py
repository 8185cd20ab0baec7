"""Positions of photos in OpenDroneMap's geo.txt format.

First line: the coordinate system, as in gcp_list.txt. Then one photo a line: name x y [z [omega phi kappa
[horizontal accuracy, vertical accuracy]]], separated by blanks. Angles are not read: programs that write the
list do not agree on their meaning.

Format: OpenDroneMap documentation, "Image Geolocation Files", geo.txt.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from flycam.errors import CrsMissing
from flycam.geodata.crs import WGS84, to_lonlat
from flycam.ingest.poses.gcp import parse_crs_line
from flycam.messages import _

NAME_COLUMNS = ("filename", "file", "name", "image", "imagename", "label", "photo", "sourcefile")
"""Header names of the column of photo names, in lower case."""

_HEADER = ("filename", "longitude", "latitude", "altitude", "horizontal_accuracy", "vertical_accuracy")
_PLACED, _WITH_HEIGHT, _WITH_ACCURACY = 3, 4, 9


def detect_geo_list_crs(path: Path, lines: Sequence[str]) -> str | None:
    """Return the CRS of the list in `lines`, none of them blank.

    None for another kind of table. Without a line that names it: longitudes and latitudes, if all values can
    be. Raises CrsMissing.
    """
    rows = [line for line in lines if not line.startswith("#")]
    if not rows or not all(map(_is_place, rows[1:])) or _names_columns(rows[0]):
        return None
    if _is_place(rows[0]):
        places = [[float(one) for one in row.split()[1:_PLACED]] for row in rows]
        if all(abs(x) <= 180.0 and abs(y) <= 90.0 for x, y in places):
            return WGS84
        raise CrsMissing(
            _(
                "{name}: lists photos with x and y in metres and does not say in which "
                "coordinate system: write it as the first line, e.g. EPSG:32648",
                name=path.name,
            )
        )
    return parse_crs_line(path, list(enumerate(rows, start=1))) if len(rows) > 1 else None


def parse_geo_list(lines: Sequence[str], crs: str) -> tuple[list[str], list[list[str]]]:
    """Convert the list to a table of longitudes and latitudes: header and rows."""
    fields = [line.split() for line in lines if not line.startswith("#") and _is_place(line)]
    least = min(len(row) for row in fields)
    lonlat = to_lonlat(np.array([[float(one) for one in row[1:_PLACED]] for row in fields]), crs)
    places = [[repr(lon), repr(lat)] for lon, lat in lonlat.tolist()]
    rows = [[row[0], *place] for row, place in zip(fields, places, strict=True)]
    if least >= _WITH_HEIGHT:
        rows = [[*row, given[3]] for row, given in zip(rows, fields, strict=True)]
    if least >= _WITH_ACCURACY:
        rows = [[*row, *given[7:9]] for row, given in zip(rows, fields, strict=True)]
    return list(_HEADER[: len(rows[0])]), rows


def _names_columns(line: str) -> bool:
    return any(word.strip("'\",;").lower() in NAME_COLUMNS for word in line.split())


def _is_place(line: str) -> bool:
    """Return True if a line begins with a photo's name and two numbers."""
    fields = line.split()
    return len(fields) >= _PLACED and "." in fields[0] and all(map(_is_number, fields[1:_PLACED]))


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
