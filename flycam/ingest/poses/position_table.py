"""Positions from a table that replace the photos' own, or supply missing ones.

The photos then go through the preflight check as if they had carried them: angles that no tag states follow
from the course, and the height above ground from the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from flycam.errors import PositionUnknown
from flycam.geodata.geoid import convert_height
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.poses.crs_accuracy import check_crs_accuracy
from flycam.ingest.poses.external_poses import index_rows_by_name
from flycam.ingest.poses.pose_files import read_stated_crs, read_stated_datum
from flycam.ingest.poses.poses_csv import PositionRow, read_positions_csv
from flycam.ingest.preflight.altitude import RTK_FIXED, RTK_SINGLE
from flycam.ingest.preflight.diagnosis import Problem, Severity
from flycam.ingest.preflight.duplicates import compute_quick_identity
from flycam.messages import ngettext

_SURVEYED_M = 0.1
"""Largest sigma of a fixed RTK solution."""


def with_table_positions(
    photos: Sequence[PhotoMetadata], path: Path
) -> tuple[list[PhotoMetadata], list[Problem]]:
    """Return photos with the positions of a table, and findings.

    Photos that it does not name stay unchanged. Heights are taken as EGM96 unless the table states another
    datum. Raises as `read_positions_csv` and `read_stated_datum`.
    """
    rows, datum = read_positions_csv(path), read_stated_datum(path)
    row_of = index_rows_by_name(photos, rows, path.name, compute_quick_identity)
    placed: list[PhotoMetadata] = []
    count = 0
    for photo in photos:
        try:
            placed.append(_placed(photo, row_of(photo), datum))
            count += 1
        except PositionUnknown:
            placed.append(photo)
    lonlat = np.array([row.lonlat for row in rows])
    return placed, [
        _placement_problem(path.name, count, len(photos)),
        *check_crs_accuracy(path, read_stated_crs(path), lonlat),
    ]


def _placed(photo: PhotoMetadata, row: PositionRow, datum: str | None) -> PhotoMetadata:
    lon, lat = row.lonlat
    is_surveyed = row.sigma_m is not None and max(row.sigma_m) <= _SURVEYED_M and datum is not None
    placed = replace(
        photo,
        lon_deg=lon,
        lat_deg=lat,
        rtk_flag=None if row.sigma_m is None else RTK_FIXED if is_surveyed else RTK_SINGLE,
        rtk_std_m=row.sigma_m,
        horizontal_error_m=None,
    )
    if row.height_m is None:
        return placed
    # the preflight check takes heights of fixed solutions as ellipsoidal, all others as EGM96
    wanted = "ELLIPSOID" if is_surveyed else "EGM96"
    height = np.array([row.height_m])
    if datum is not None and datum != wanted:
        height = convert_height(height, np.array([row.lonlat]), datum, wanted)
    return replace(placed, absolute_altitude_m=float(height[0]), exif_altitude_m=None)


def _placement_problem(name: str, count: int, total: int) -> Problem:
    return Problem(
        code="positions_given",
        severity=Severity.INFO if count == total else Severity.WARNING,
        sentence=ngettext(
            "{name}: gives the positions of {placed} of {count} photo; the others keep their own.",
            "{name}: gives the positions of {placed} of {count} photos; the others keep their own.",
            total,
            name=name,
            placed=count,
        ),
    )
