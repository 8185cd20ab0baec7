"""Frame headers from a flight's resolved columns, and the layer of photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flycam.geodata.cameras import lookup_bands
from flycam.geodata.crs import compute_convergence_and_scale
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.ingest.photos.photo_reader import PhotoMetadata, make_display_names
from flycam.ingest.preflight.altitude import (
    RTK_FIXED,
    RTK_FLOAT,
    RTK_SINGLE,
    CameraHeights,
    estimate_rounding_sigma_m,
)
from flycam.ingest.preflight.attitude import Attitude
from flycam.ingest.preflight.flight_table import FlightTable, Floats
from flycam.messages import _, ngettext
from flycam.model.diagnosis import Problem, Severity
from flycam.model.flight import LAYER_NAMES, Layer
from flycam.model.frame import FrameHeader, Provenance, derive_frame_id

SIGMA_GNSS_M = 1.5
SIGMA_RTK_FIXED_M = 0.03
SIGMA_RTK_FLOAT_M = 0.5


@dataclass(frozen=True, kw_only=True)
class ResolvedFlight:
    """Resolved columns of a flight, N rows.

    rotations N×3×3 on grid north, scale N, xy_m N×2 in work_crs.
    """

    table: FlightTable
    interiors: Sequence[InteriorOrientation]
    work_crs: str
    xy_m: Floats
    attitude: Attitude
    heights: CameraHeights
    rotations: Floats
    scale: Floats


def estimate_position_sigma(table: FlightTable) -> tuple[Floats, list[PoseSource]]:
    """Return N×2 horizontal 1-sigma (east, north), metres, and position sources.

    The receiver's own figures are used: DJI's standard deviations, of single-point solutions too, else EXIF's
    positioning error, taken for each axis. Where nothing is stated plain GNSS is taken as 1.5 m. A position
    interpolated from a log adds speed times the time uncertainty, rounding its own error.
    """
    flag = table.rtk_flag
    base = np.select(
        [flag == RTK_FIXED, flag >= RTK_FLOAT], [SIGMA_RTK_FIXED_M, SIGMA_RTK_FLOAT_M], SIGMA_GNSS_M
    )
    base = np.where(np.isfinite(table.stated_xy_m), table.stated_xy_m, base)
    written = table.rtk_std_m[:, :2]
    usable = (flag >= RTK_SINGLE)[:, None] & np.isfinite(written) & (written > 0)
    sigma = np.where(usable, written, base[:, None])
    sources = [PoseSource.RTK if f == RTK_FIXED else PoseSource.GNSS for f in flag]
    added = np.hypot(table.sigma_xy_m[:, None], estimate_rounding_sigma_m(table.lonlat))
    return np.hypot(sigma, added), sources


def compute_grid_convergence(work_crs: str, lonlat: Floats) -> tuple[Floats, Floats]:
    """Return convergence (radians) and point scale at N positions.

    Exact at five points, a plane through them between. Over ten kilometres the plane errs by less than 1e-6
    rad and 1e-7: negligible beside any attitude error.
    """
    low, high = lonlat.min(axis=0), lonlat.max(axis=0)
    middle = (low + high) / 2.0
    half = np.maximum((high - low) / 2.0, 1e-4)
    corners = np.array([[0, 0], [-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float64)
    exact = np.array([compute_convergence_and_scale(work_crs, *(middle + c * half)) for c in corners])
    design = np.column_stack([np.ones(5), corners])
    plane, *__ = np.linalg.lstsq(design, exact, rcond=None)
    values = np.column_stack([np.ones(len(lonlat)), (lonlat - middle) / half]) @ plane
    return values[:, 0], values[:, 1]


def build_headers(
    flight: ResolvedFlight, identities: Mapping[int, str], problems: Sequence[Problem]
) -> tuple[FrameHeader, ...]:
    """Return headers of the rows with an identity, in order.

    identities  hex SHA-256 that stands for the photo's bytes, by row
    """
    table = flight.table
    sigma_xy, sources = estimate_position_sigma(table)
    sigma_m = np.column_stack([sigma_xy, flight.heights.sigma_m]).tolist()
    sigma_rad = flight.attitude.sigma_camera_rad(np.nan_to_num(flight.rotations)).tolist()
    centres = np.column_stack([flight.xy_m, flight.heights.height_m]).tolist()
    rotations = flight.rotations.tolist()
    settled = _settled_per_photo(table, problems)
    headers = []
    for i, identity in sorted(identities.items()):
        photo = table.photos[i]
        exterior = ExteriorOrientation(
            projection_centre_m=tuple(centres[i]),
            rotation=tuple(map(tuple, rotations[i])),  # type: ignore[arg-type]
            work_crs=flight.work_crs,
            vertical_datum=flight.heights.datum,
            grid_scale=float(flight.scale[i]),
            sigma_position_m=tuple(sigma_m[i]),
            sigma_attitude_rad=tuple(sigma_rad[i]),
            source=sources[i],
            height_on_terrain=bool(flight.heights.on_terrain[i]),
        )
        provenance = Provenance(
            source_name=photo.name,
            source_sha256=identity,
            camera=photo.camera_name,
            settled=settled[i],
        )
        headers.append(
            FrameHeader(
                frame_id=derive_frame_id(identity),
                captured_ns=int(table.t_ns[i]),
                layer=Layer(photo.band),
                interior=flight.interiors[i],
                exterior_prior=exterior,
                provenance=provenance,
            )
        )
    return tuple(headers)


def _settled_per_photo(table: FlightTable, problems: Sequence[Problem]) -> list[tuple[str, ...]]:
    """Return the findings that concern each photo; those without names concern all."""
    common = tuple(str(p.sentence) for p in problems if not p.frames)
    own: dict[str, list[str]] = {}
    for problem in problems:
        for name in problem.frames:
            own.setdefault(name, []).append(str(problem.sentence))
    return [(*own.get(name, ()), *common) for name in table.names]


# -- Layer of photos, by their tags or by the operator's choice ------------------------------------
#
# A camera with its infrared filter removed writes the same tags as one that has it. Such cameras are known
# (`bands` in models/cameras); their photos stay colour until the operator states otherwise.


MAYBE_INFRARED = "maybe_infrared"


def assign_layer(
    photos: Sequence[PhotoMetadata], layer: str | None, problems: list[Problem]
) -> Sequence[PhotoMetadata]:
    """Return the photos, all in the operator's `layer` if one is given.

    Findings are added to `problems`. Raises ValueError for a layer that does not exist.
    """
    if layer is None:
        problems += _suspected_infrared(photos)
        return photos
    wanted = Layer(layer)
    changed = tuple(
        name for photo, name in zip(photos, make_display_names(photos), strict=True) if photo.band != wanted
    )
    problems.append(
        Problem(
            code="layer_given",
            severity=Severity.INFO,
            sentence=_(
                "All photos are {layer} by the operator's word; the tags of {changed} of {total} say "
                "otherwise.",
                layer=LAYER_NAMES[wanted],
                changed=len(changed),
                total=len(photos),
            ),
            frames=changed,
        )
    )
    return [replace(photo, band=wanted.value) for photo in photos]


def find_infrared_suspects(photos: Sequence[PhotoMetadata]) -> frozenset[str]:
    """Return cameras whose photos may be near-infrared although no tag states it."""
    return frozenset(photo.camera_name for photo in photos if _is_doubted(photo))


def _is_doubted(photo: PhotoMetadata) -> bool:
    return photo.band == Layer.COLOUR and Layer.INFRARED in lookup_bands(photo.maker, photo.model)


def _suspected_infrared(photos: Sequence[PhotoMetadata]) -> list[Problem]:
    """Report colour photos of cameras also sold for near-infrared, by camera."""
    by_camera: dict[str, list[str]] = {}
    for photo, name in zip(photos, make_display_names(photos), strict=True):
        if _is_doubted(photo):
            by_camera.setdefault(photo.model, []).append(name)
    return [
        Problem(
            code=MAYBE_INFRARED,
            severity=Severity.WARNING,
            sentence=ngettext(
                "{count} photo comes from a {camera}, which mapping aircraft carry with a colour or a "
                "near-infrared filter, and no tag says which: it is taken as colour; if plants look red or "
                "violet, ingest it with --layer infrared, which also moves photos that are on the map "
                "already.",
                "{count} photos come from a {camera}, which mapping aircraft carry with a colour or a "
                "near-infrared filter, and no tag says which: they are taken as colour; if plants look red "
                "or violet, ingest them with --layer infrared, which also moves photos that are on the map "
                "already.",
                len(names),
                camera=camera,
            ),
            frames=tuple(names),
        )
        for camera, names in by_camera.items()
    ]
