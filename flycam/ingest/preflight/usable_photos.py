"""Selection of photos that can be rectified: with pixels, a view of the ground, and above it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flycam.errors import FrameRejected, HeightUnknown, PoseRejected
from flycam.ingest.photo.pixel_checks import Checks
from flycam.ingest.preflight.altitude import CameraHeights
from flycam.ingest.preflight.attitude import Attitude
from flycam.ingest.preflight.diagnosis import Problem, Rejection, Severity
from flycam.ingest.preflight.flight_table import Bools
from flycam.ingest.preflight.frame_headers import ResolvedFlight
from flycam.ingest.preflight.horizon import compute_sky_fraction, reject_sky_photos
from flycam.ingest.preflight.image_quality import reject_bad_images
from flycam.ingest.preflight.sortie_heights import CLEARANCE_M
from flycam.messages import _


@dataclass(frozen=True, kw_only=True)
class UsablePhotos:
    """Photos to rectify, and the others.

    keep           rows to rectify
    without_image  rows with a pose but without usable pixels, each with its error
    """

    keep: Bools
    without_image: Mapping[int, FrameRejected]
    rejected: tuple[Rejection, ...]
    problems: tuple[Problem, ...]


def select_usable_photos(flight: ResolvedFlight, checks: Checks) -> UsablePhotos:
    """Check pixels, then poses; give one error for each rejected photo."""
    names = flight.table.names
    pictureless, problems = reject_bad_images(flight.table.photos, names, checks)
    rejected = [Rejection.from_error(names[row], error) for row, error in pictureless.items()]
    shown = np.ones(len(names), dtype=bool)
    shown[list(pictureless)] = False
    posed, refused, said = _posed(flight, shown)
    return UsablePhotos(
        keep=shown & posed,
        without_image={row: error for row, error in pictureless.items() if posed[row]},
        rejected=(*rejected, *refused),
        problems=(*problems, *said),
    )


@dataclass(frozen=True)
class _Refusal:
    """Rows to reject: the error, and the finding's code."""

    rows: Bools
    error: FrameRejected
    code: str


def _posed(flight: ResolvedFlight, shown: Bools) -> tuple[Bools, list[Rejection], list[Problem]]:
    """Return rows that can be rectified; rejections and findings of the others.

    Only photos in `shown` are reported.
    """
    names = flight.table.names
    no_heading = ~np.isfinite(flight.attitude.angles_deg[:, 0])
    share = np.where(
        no_heading,
        0.0,
        np.nan_to_num(compute_sky_fraction(np.nan_to_num(flight.rotations), flight.interiors)),
    )
    keep, rejected, problems = reject_sky_photos(names, share, shown)
    for refusal in _refusals(flight.heights, flight.attitude):
        rows = refusal.rows & keep
        keep = keep & ~rows
        said = rows & shown
        if not said.any():
            continue
        rejected += [Rejection.from_error(name, refusal.error) for name in flight.table.names_of(said)]
        problems.append(
            Problem(
                code=refusal.code,
                severity=Severity.ERROR if said.all() else Severity.WARNING,
                sentence_en=f"{int(said.sum())} photos are left out, each {refusal.error}.",
                sentence_vi=f"{int(said.sum())} ảnh bị loại vì {refusal.error.message.in_language('vi')}.",
                frames=flight.table.names_of(said),
            )
        )
    return keep, rejected, problems


def _refusals(heights: CameraHeights, attitude: Attitude) -> tuple[_Refusal, ...]:
    return (
        _Refusal(
            ~np.isfinite(heights.height_m),
            HeightUnknown(
                _(
                    "has no usable height: no terrain lies under it, it says no height above "
                    "take-off, and it shares too little ground with other photos to find one: "
                    "register terrain (flycam dem add)"
                )
            ),
            "no_height",
        ),
        _Refusal(
            ~np.isfinite(attitude.angles_deg[:, 0]),
            PoseRejected(_("has no heading: give the flight log with --telemetry")),
            "no_heading",
        ),
        _Refusal(
            heights.above_ground_m < CLEARANCE_M,
            PoseRejected(_("lies under the terrain: check --height and --takeoff")),
            "under_ground",
        ),
    )
