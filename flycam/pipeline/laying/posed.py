"""A flight whose poses come from a table: an adjustment made elsewhere, or a survey company's file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from flycam.frame.flight import LOCAL_DATUM, is_plane
from flycam.geodata.crs import to_lonlat, work_crs_for
from flycam.geodata.geoid import convert_height
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.doctor.diagnosis import Diagnosis, Problem, Rejection, Severity
from flycam.ingest.doctor.duplicates import Identify, identified
from flycam.ingest.doctor.layers import with_layer
from flycam.ingest.doctor.picture_findings import settle_pictures
from flycam.ingest.given.pose_files import read_poses, stated_datum
from flycam.ingest.given.posed import posed_headers
from flycam.ingest.given.poses_csv import PoseRow
from flycam.ingest.photo.judging import Checks
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.naming import told_apart
from flycam.pipeline.terrain import TerrainLookup


def diagnosis_from_poses(
    photos: Sequence[PhotoMetadata],
    pose_file: Path,
    *,
    terrain_at: TerrainLookup | None,
    interior_for: Callable[[PhotoMetadata], InteriorOrientation],
    own_lenses: bool,
    identify: Identify,
    checks: Checks,
    layer: str | None,
) -> Diagnosis:
    """Headers with the file's poses, in the UTM zone of the flight; nothing about them is settled.

    Heights of the file are brought from the datum that it states to that of the terrain below; where it
    states none they are taken in the terrain's, and that is said. `own_lenses`: lenses adjusted with the
    poses beat what the photos say. Raises what `read_poses` and `stated_datum` raise.
    """
    problems: list[Problem] = []
    photos = with_layer(photos, layer, problems)
    names = told_apart(photos)
    pictureless, said = settle_pictures(photos, names, checks)
    problems += said
    shown = [photo for row, photo in enumerate(photos) if row not in pictureless]
    unseen = [Rejection.of(names[row], error) for row, error in pictureless.items()]
    identity_of = cache(identify)  # hashing reads the whole photo: once is enough
    rough = read_poses(pose_file, vertical_datum=LOCAL_DATUM)
    places = np.array([row.exterior.projection_centre_m[:2] for row in rough])
    lonlat = to_lonlat(places, rough[0].exterior.work_crs)
    centre = np.median(lonlat, axis=0)
    work_crs = work_crs_for(float(centre[0]), float(centre[1]))
    ground, datum = terrain_at(lonlat) if terrain_at else (np.full(len(rough), np.nan), LOCAL_DATUM)
    datum = datum if np.isfinite(ground).any() else LOCAL_DATUM
    stated = stated_datum(pose_file)
    rows = read_poses(pose_file, vertical_datum=datum, work_crs=work_crs)
    if stated is not None and not is_plane(datum):
        rows = _converted(rows, stated, datum)
    headers, rejected = posed_headers(
        shown,
        rows if own_lenses else [replace(row, interior=None) for row in rows],
        interior_for=interior_for,
        pose_file=pose_file.name,
        identify=identity_of,
    )
    known, _ = identified(dict(enumerate(shown)), told_apart(shown), identity_of)
    by_sha = {identity: str(shown[row].path) for row, identity in known.items()}
    cameras = Counter(photo.camera_name or "unknown camera" for photo in photos)
    camera, count = cameras.most_common(1)[0]
    return Diagnosis(
        headers=headers,
        rejected=(*unseen, *rejected),
        problems=(_datum_said(pose_file.name, stated, datum), *problems),
        camera=f"{camera} ({count} photos)",
        work_crs=work_crs,
        vertical_datum=datum,
        takeoff=None,
        is_drill=any(photo.is_drill for photo in photos),
        paths={header.frame_id: by_sha[header.provenance.source_sha256] for header in headers},
    )


def _converted(rows: Sequence[PoseRow], stated: str, datum: str) -> list[PoseRow]:
    """Poses with their heights in another datum."""
    centres = np.array([row.exterior.projection_centre_m for row in rows])
    lonlat = to_lonlat(centres[:, :2], rows[0].exterior.work_crs)
    centres[:, 2] = convert_height(centres[:, 2], lonlat, stated, datum)
    return [
        replace(row, exterior=replace(row.exterior, projection_centre_m=(x, y, z)))
        for row, (x, y, z) in zip(rows, centres.tolist(), strict=True)
    ]


def _datum_said(name: str, stated: str | None, datum: str) -> Problem:
    if stated is None and is_plane(datum):
        en = f"{name}: says no height datum, and no terrain of a known one is there to take its heights in."
        vi = f"{name}: không ghi hệ độ cao, và nơi đó không có mô hình độ cao nào rõ hệ độ cao để dùng chung."
    elif stated is None:
        en = f"{name}: says no height datum; its heights are taken in the terrain's, {datum}."
        vi = f"{name}: không ghi hệ độ cao; coi như cùng hệ với mô hình độ cao, {datum}."
    elif is_plane(datum):
        en = f"{name}: its heights are {stated}, but no terrain is known there to compare them with."
        vi = f"{name}: độ cao theo {stated}, nhưng nơi đó chưa có mô hình độ cao để so."
    else:
        en = f"{name}: its heights are {stated}, as it says, and are used in the terrain's datum, {datum}."
        vi = f"{name}: độ cao ghi theo {stated}; dùng trong hệ của mô hình độ cao, {datum}."
    return Problem(code="pose_datum", severity=Severity.INFO, sentence_en=en, sentence_vi=vi)
