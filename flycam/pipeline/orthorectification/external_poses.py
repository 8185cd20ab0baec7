"""Flights with poses from a table, such as an external adjustment.

Or a survey company's file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from flycam.frame.flight import LOCAL_DATUM, is_flat_datum
from flycam.frame.frame import FrameHeader
from flycam.frame.warning import NO_TERRAIN
from flycam.geodata.crs import choose_work_crs, to_lonlat
from flycam.geodata.geoid import convert_height
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.photo.display_names import make_display_names
from flycam.ingest.photo.metadata import PhotoMetadata
from flycam.ingest.photo.pixel_checks import Checks
from flycam.ingest.poses.crs_accuracy import check_crs_accuracy
from flycam.ingest.poses.external_poses import build_posed_headers
from flycam.ingest.poses.pose_files import read_poses, read_stated_crs, read_stated_datum
from flycam.ingest.poses.poses_csv import PoseRow
from flycam.ingest.preflight.attitude import SIGMA_GIMBAL_DEG
from flycam.ingest.preflight.diagnosis import Diagnosis, Problem, Rejection, Severity, Takeoff
from flycam.ingest.preflight.duplicates import IdentifyPhoto, identify_photos
from flycam.ingest.preflight.flying_height import GreyOf, PoseEstimates, estimate_flying_heights
from flycam.ingest.preflight.frame_headers import SIGMA_GNSS_M
from flycam.ingest.preflight.heading import SIGMA_GIMBAL_YAW_DEG
from flycam.ingest.preflight.image_quality import reject_bad_images
from flycam.ingest.preflight.layers import assign_layer
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M
from flycam.messages import _, ngettext
from flycam.pipeline.terrain import TerrainLookup


def build_diagnosis_from_poses(
    photos: Sequence[PhotoMetadata],
    pose_file: Path,
    *,
    terrain_at: TerrainLookup | None,
    interior_for: Callable[[PhotoMetadata], InteriorOrientation],
    own_lenses: bool,
    identify: IdentifyPhoto,
    checks: Checks,
    layer: str | None,
    grey_of: GreyOf | None,
) -> Diagnosis:
    """Build headers with the file's poses, in the flight's UTM zone, unchanged.

    Where no terrain is known the ground is a plane as far below the photos as their image motion shows
    (`grey_of` returns small grey images), for a table's heights may have any origin.

    Heights are converted from the file's stated datum to the terrain's; without a stated one they are taken
    in the terrain's, with a finding. `own_lenses`: cameras adjusted with the poses override the photos'
    metadata. Raises what `read_poses` and `read_stated_datum` raise.
    """
    problems: list[Problem] = []
    photos = assign_layer(photos, layer, problems)
    names = make_display_names(photos)
    pictureless, said = reject_bad_images(photos, names, checks)
    problems += said
    shown = [photo for row, photo in enumerate(photos) if row not in pictureless]
    unseen = [Rejection.from_error(names[row], error) for row, error in pictureless.items()]
    # Cached, as hashing reads the whole photo.
    identity_of = cache(identify)
    rough = read_poses(pose_file, vertical_datum=LOCAL_DATUM)
    places = np.array([row.exterior.projection_centre_m[:2] for row in rough])
    lonlat = to_lonlat(places, rough[0].exterior.work_crs)
    centre = np.median(lonlat, axis=0)
    work_crs = choose_work_crs(float(centre[0]), float(centre[1]))
    ground, datum = terrain_at(lonlat) if terrain_at else (np.full(len(rough), np.nan), LOCAL_DATUM)
    datum = datum if np.isfinite(ground).any() else LOCAL_DATUM
    stated = read_stated_datum(pose_file)
    rows = read_poses(pose_file, vertical_datum=datum, work_crs=work_crs)
    if stated is not None and not is_flat_datum(datum):
        rows = _converted(rows, stated, datum)
    headers, rejected = build_posed_headers(
        shown,
        rows if own_lenses else [replace(row, interior=None) for row in rows],
        interior_for=interior_for,
        pose_file=pose_file.name,
        identify=identity_of,
    )
    known, __ = identify_photos(dict(enumerate(shown)), make_display_names(shown), identity_of)
    by_sha = {identity: str(shown[row].path) for row, identity in known.items()}
    paths = {header.frame_id: by_sha[header.provenance.source_sha256] for header in headers}
    plane, on_plane = _plane_under(headers, paths, grey_of) if is_flat_datum(datum) else (None, [])
    sigma = _list_sigma_findings(pose_file.name, sum(not row.states_sigma for row in rows), len(rows))
    cameras = Counter(photo.camera_name or "unknown camera" for photo in photos)
    camera, count = cameras.most_common(1)[0]
    return Diagnosis(
        headers=headers,
        rejected=(*unseen, *rejected),
        problems=(
            *on_plane,
            _make_datum_finding(pose_file.name, stated, datum),
            *check_crs_accuracy(pose_file, read_stated_crs(pose_file), lonlat),
            *sigma,
            *problems,
        ),
        camera=f"{camera} ({ngettext('{count} photo', '{count} photos', count)})",
        work_crs=work_crs,
        vertical_datum=datum,
        takeoff=plane,
        is_drill=any(photo.is_drill for photo in photos),
        paths=paths,
    )


_MAX_PAIRS = 48


def _plane_under(
    headers: Sequence[FrameHeader], paths: Mapping[str, str], grey_of: GreyOf | None
) -> tuple[Takeoff | None, list[Problem]]:
    """Estimate the height of the plane under posed photos from their image motion."""
    if grey_of is None or not headers:
        return None, []
    exteriors = [header.exterior_prior for header in headers]
    centres = np.array([one.projection_centre_m for one in exteriors])
    sigma_m = np.array([one.sigma_position_m[:2] for one in exteriors])
    sigma_deg = np.degrees(
        [(one.sigma_attitude_rad[2], max(one.sigma_attitude_rad[:2])) for one in exteriors]
    )
    poses = PoseEstimates(
        paths=[Path(paths[header.frame_id]) for header in headers],
        interiors=[header.interior for header in headers],
        xy_m=centres[:, :2] / exteriors[0].grid_scale,
        rotations=np.array([one.rotation for one in exteriors]),
        position_sigma_m=sigma_m,
        attitude_sigma_deg=sigma_deg,
    )
    rows = np.arange(len(headers))
    seen = estimate_flying_heights(
        poses, [rows], np.ones(len(rows), dtype=bool), grey_of, max_pairs=_MAX_PAIRS
    )
    if not seen.measured.any():
        return None, [_on_plane(None)]
    level = (centres[:, 2] - seen.above_ground_m)[seen.measured]
    plane = Takeoff(
        height_m=float(np.median(level)),
        sigma_m=float(np.median(seen.sigma_m[seen.measured])),
        datum=LOCAL_DATUM,
        how="pictures",
        frames=tuple(header.provenance.source_name for header in headers),
    )
    return plane, [_on_plane(plane)]


def _on_plane(plane: Takeoff | None) -> Problem:
    if plane is None:
        height = _("its height is not known, so it is taken as 0: the map's scale may be wrong")
    else:
        height = _(
            "its height, {height_m:.0f} ± {sigma_m:.0f} m, is found from the motion of the pictures",
            height_m=plane.height_m,
            sigma_m=plane.sigma_m,
        )
    return Problem(
        code=NO_TERRAIN,
        severity=Severity.WARNING,
        sentence=_(
            "No terrain is registered here: the ground is taken as a plane; {height}; register a DEM (flycam "
            "dem add).",
            height=height,
        ),
    )


def _list_sigma_findings(name: str, unstated: int, total: int) -> list[Problem]:
    if not unstated:
        return []
    return [
        Problem(
            code="pose_sigma",
            severity=Severity.INFO,
            sentence=_(
                "{name}: {unstated} of {total} lines do not say how far off they may be: what is missing is "
                "taken as of a drone's own (± {position_m} m, ± {height_m:.0f} m, {tilt_deg}°, "
                "{heading_deg}° in plan, height, tilt, heading); columns sigma_x sigma_y sigma_z, and of the "
                "angles sigma_tilt sigma_heading (degrees), say better.",
                name=name,
                unstated=unstated,
                total=total,
                position_m=SIGMA_GNSS_M,
                height_m=SIGMA_GNSS_HEIGHT_M,
                tilt_deg=SIGMA_GIMBAL_DEG,
                heading_deg=SIGMA_GIMBAL_YAW_DEG,
            ),
        )
    ]


def _converted(rows: Sequence[PoseRow], stated: str, datum: str) -> list[PoseRow]:
    """Return poses with their heights converted to another datum."""
    centres = np.array([row.exterior.projection_centre_m for row in rows])
    lonlat = to_lonlat(centres[:, :2], rows[0].exterior.work_crs)
    centres[:, 2] = convert_height(centres[:, 2], lonlat, stated, datum)
    return [
        replace(row, exterior=replace(row.exterior, projection_centre_m=(x, y, z)))
        for row, (x, y, z) in zip(rows, centres.tolist(), strict=True)
    ]


def _make_datum_finding(name: str, stated: str | None, datum: str) -> Problem:
    if stated is None and is_flat_datum(datum):
        sentence = _(
            "{name}: says no height datum, and no terrain of a known one is there to take its heights in.",
            name=name,
        )
    elif stated is None:
        sentence = _(
            "{name}: says no height datum; its heights are taken in the terrain's, {datum}.",
            name=name,
            datum=datum,
        )
    elif is_flat_datum(datum):
        sentence = _(
            "{name}: its heights are {stated}, but no terrain is known there to compare them with.",
            name=name,
            stated=stated,
        )
    else:
        sentence = _(
            "{name}: its heights are {stated}, as it says, and are used in the terrain's datum, {datum}.",
            name=name,
            stated=stated,
            datum=datum,
        )
    return Problem(code="pose_datum", severity=Severity.INFO, sentence=sentence)
