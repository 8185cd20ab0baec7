"""Pose files, recognised by content: a table, an OpenSfM reconstruction, ODM's shots."""

from __future__ import annotations

import unicodedata
from math import isfinite
from pathlib import Path

from flycam.ingest.poses import poses_csv
from flycam.ingest.poses.opensfm import read_sfm_poses
from flycam.ingest.poses.poses_csv import PoseRow, read_poses_csv
from flycam.ingest.telemetry.airdata import is_airdata
from flycam.ingest.telemetry.subtitles import is_subtitle_file
from flycam.store.regular_file import guard_foreign_reader, make_unopenable

_HEAD_BYTES = 4096
_DATAFLASH_TEXT = "FMT"


def has_poses(path: Path) -> bool:
    """Return True if a telemetry file is text that is not a flight log.

    Raises SourceUnreadable if it cannot be opened.
    """
    head = _head(path)
    return (
        bool(head.strip())
        and not head.startswith(_DATAFLASH_TEXT)
        and not is_airdata(head)
        and not is_subtitle_file(head.encode())
    )


@guard_foreign_reader
def has_ground_control(path: Path) -> bool:
    """Return True if a file that is not a log lists ground control points.

    That is, a coordinate system, then marks.
    """
    lines = [line for line in _head(path).splitlines() if line.strip()][:2]
    if len(lines) < 2 or _is_json(path):
        return False
    fields = lines[1].split("\t") if lines[1].count("\t") >= 5 else lines[1].split()
    return len(fields) >= 6 and all(map(_is_number, fields[:5])) and not _is_number(fields[5])


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


@guard_foreign_reader
def has_only_positions(path: Path) -> bool:
    """Return True if a pose file gives positions of photos without angles."""
    return not _is_json(path) and poses_csv.has_only_positions(path)


@guard_foreign_reader
def read_poses(path: Path, *, vertical_datum: str, work_crs: str | None = None) -> list[PoseRow]:
    """Read the poses of a file, whose format its first character shows.

    Raises as `read_sfm_poses` and `read_poses_csv`.
    """
    if _is_json(path):
        return read_sfm_poses(path, vertical_datum=vertical_datum, work_crs=work_crs)
    return read_poses_csv(path, vertical_datum=vertical_datum, work_crs=work_crs)


def read_stated_datum(path: Path) -> str | None:
    """Return the vertical datum that a file states; only a table can.

    Raises as `poses_csv.read_stated_datum`.
    """
    return None if _is_json(path) else poses_csv.read_stated_datum(path)


def read_stated_crs(path: Path) -> str | None:
    """Return the CRS of a file's positions, None for longitudes and latitudes.

    Raises as `poses_csv.read_stated_crs`.
    """
    return None if _is_json(path) else poses_csv.read_stated_crs(path)


def _is_json(path: Path) -> bool:
    return _head(path).lstrip()[:1] in ("{", "[")


def _head(path: Path) -> str:
    """Return the first characters of a text file; "" for a binary one."""
    try:
        with path.open("rb") as file:
            data = file.read(_HEAD_BYTES)
    except OSError as error:
        raise make_unopenable(path, error) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # otherwise only a character cut in two
        if error.start < len(data) - 4 or len(data) < _HEAD_BYTES:
            return ""
        text = data[: error.start].decode("utf-8-sig")
    is_text = not any(unicodedata.category(c) == "Cc" and c not in "\t\r\n" for c in text)
    return text if is_text else ""
