"""Tables that ExifTool writes (`exiftool -csv`): a flight's metadata without its pixels.

Columns are ExifTool's tag names; values are its printed form ("8 deg 27' 55.22\\" N", "+390.734") or its
numeric one (`-n`). Unknown columns are ignored.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from flycam.ingest.photos.photo_reader import PhotoMetadata
from flycam.ingest.photos.xmp import Angles, Dialect

_DMS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*deg\s*(\d+(?:\.\d+)?)'\s*(\d+(?:\.\d+)?)\"*\s*([NSEW])")
_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)")


def read_exiftool_csv(path: Path) -> list[PhotoMetadata]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [_photo(row, path) for row in csv.DictReader(file)]


def _photo(row: dict[str, str], path: Path) -> PhotoMetadata:
    maker = row.get("Make", "")
    dji = maker.upper().startswith("DJI") or "GimbalPitchDegree" in row
    return PhotoMetadata(
        path=path.parent / (row.get("SourceFile") or row["FileName"]),
        name=row["FileName"],
        size_bytes=0,
        dialect=Dialect.DJI if dji else Dialect.EXIF,
        image_size_px=(int(_number(row, "ImageWidth") or 0), int(_number(row, "ImageHeight") or 0)),
        maker=maker,
        model=row.get("Model", ""),
        serial=row.get("SerialNumber", ""),
        focal35_mm=_number(row, "FocalLengthIn35mmFormat"),
        taken_text=_time(row.get("DateTimeOriginal", "")),
        lon_deg=_degrees(row.get("GPSLongitude", "")),
        lat_deg=_degrees(row.get("GPSLatitude", "")),
        exif_altitude_m=_number(row, "GPSAltitude"),
        absolute_altitude_m=_number(row, "AbsoluteAltitude"),
        relative_altitude_m=_number(row, "RelativeAltitude"),
        gimbal=_angles(row, "Gimbal"),
        aircraft=_angles(row, "Flight"),
    )


def _angles(row: dict[str, str], what: str) -> Angles:
    return Angles(
        yaw_deg=_number(row, f"{what}YawDegree"),
        pitch_deg=_number(row, f"{what}PitchDegree"),
        roll_deg=_number(row, f"{what}RollDegree"),
    )


def _number(row: dict[str, str], name: str) -> float | None:
    match = _NUMBER.match(row.get(name) or "")
    return float(match[1]) if match else None


def _degrees(text: str) -> float | None:
    match = _DMS.match(text)
    if match is None:
        plain = _NUMBER.fullmatch(text.strip())
        return float(plain[1]) if plain else None
    degrees, minutes, seconds, side = match.groups()
    value = float(degrees) + float(minutes) / 60.0 + float(seconds) / 3600.0
    return -value if side in "SW" else value


def _time(text: str) -> str | None:
    date, _, clock = text.partition(" ")
    return f"{date.replace(':', '-')}T{clock}" if clock else None
