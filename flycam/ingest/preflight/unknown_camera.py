"""Focal length of an unknown camera, from the flight's own images.

Thumbnails are orthorectified with a guessed focal length. If the true one is k times as long, everything in a
frame lies k times as far from the frame's centre M as it should: one object in two frames is placed (1 -
k)(M2 - M1) apart, wherever in them it lies. So shift and baseline of neighbours give k. An error of height
appears as one of focal length: the mosaic is right with both, and `finish` separates them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.thumbnail_similarity import ALL_WINDOWS, QUICK_WINDOWS, find_common_shifts
from flycam.ingest.photo.pixel_checks import Checks, PixelChecks
from flycam.ingest.preflight.diagnosis import Problem, Severity, TerrainAt
from flycam.ingest.preflight.flight_table import Bools, FlightTable, Floats
from flycam.ingest.preflight.frame_headers import ResolvedFlight
from flycam.ingest.preflight.ortho_thumbnails import OrthoThumbnails
from flycam.ingest.preflight.sortie_heights import CLEARANCE_M
from flycam.messages import ngettext

_GUESSES = 0.5 * 1.25 ** np.arange(7)
"""Trial focal lengths over the longer side, 90° to 29° wide: matching tolerates a shift of a fifth."""
_MAX_PHOTOS_FIRST, _MAX_PHOTOS = 24, 200
_NEIGHBOURS = 2
_MIN_WINDOWS, _MIN_PAIRS = 4, 4
_STEEP = -np.cos(np.radians(20.0))
_MIN_SIGMA_REL, _MAX_SIGMA_REL = 0.01, 0.25


@dataclass(frozen=True)
class _Fit:
    """Ratio k of true to guessed focal length by pair of neighbours, and windows."""

    k: Floats
    windows: int


def guess_interior(size_px: tuple[int, int], focal_over_side: float = 0.75) -> InteriorOrientation:
    """Return a pinhole camera for an unknown photo (width, height)."""
    focal = focal_over_side * max(size_px)
    return InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=size_px,
        focal_length_px=(focal, focal),
        principal_point_px=((size_px[0] - 1) / 2.0, (size_px[1] - 1) / 2.0),
        calibration_id="flight:neighbouring photos",
        sigma_focal_rel=_MAX_SIGMA_REL,
    )


def estimate_interiors(
    flight: ResolvedFlight, unnamed: Bools, checks: Checks, terrain_at: TerrainAt | None
) -> tuple[dict[int, InteriorOrientation], list[Problem]]:
    """Estimate interiors of the rows `unnamed`, by row, as far as images show them.

    Also returns findings.

    flight  its interiors in the rows `unnamed` are ignored
    """
    table = flight.table
    cameras = [(photo.camera_name, photo.image_size_px) for photo in table.photos]
    usable = unnamed & (flight.heights.above_ground_m > CLEARANCE_M) & (flight.rotations[:, 2, 2] < _STEEP)
    lenses: dict[int, InteriorOrientation] = {}
    problems = []
    for camera in sorted({cameras[row] for row in np.flatnonzero(unnamed)}):
        own = np.array([one == camera for one in cameras]) & unnamed
        found = _estimate(flight, np.flatnonzero(own & usable), checks, terrain_at)
        if found is not None:
            lens, pairs = found
            lenses.update(dict.fromkeys(np.flatnonzero(own).tolist(), lens))
            problems.append(_estimated(table, own, lens, pairs))
    return lenses, problems


def _estimate(
    flight: ResolvedFlight, rows: NDArray[np.intp], checks: Checks, terrain_at: TerrainAt | None
) -> tuple[InteriorOrientation, int] | None:
    """Estimate the interior of rows of one camera; also return the number of pairs.

    None where too few agree.
    """
    looks = {row: checks.get(flight.table.photos[row].path) for row in rows.tolist()}
    shown = {
        row: look.thumbnail
        for row, look in looks.items()
        if isinstance(look, PixelChecks) and look.thumbnail is not None
    }
    rows = np.array(list(shown), dtype=np.intp)[:_MAX_PHOTOS]
    if len(rows) < 2:
        return None
    size = flight.table.photos[rows[0]].image_size_px

    def fit(ratio: float, most_photos: int, most_windows: int) -> _Fit:
        some = rows[:most_photos]
        interiors = list(flight.interiors)
        for row in some.tolist():
            interiors[row] = guess_interior(size, ratio)
        thumbnails = [shown[row] for row in some.tolist()]
        upright = np.zeros(len(flight.table), dtype=bool)
        laid = OrthoThumbnails(replace(flight, interiors=interiors), some, upright, thumbnails, terrain_at)
        return _fit(laid, most_windows)

    tried = [(fit(ratio, _MAX_PHOTOS_FIRST, QUICK_WINDOWS), ratio) for ratio in _GUESSES.tolist()]
    first, ratio = max(tried, key=lambda one: one[0].windows)
    for __ in range(2):
        if len(first.k) < _MIN_PAIRS:
            return None
        ratio *= float(np.median(first.k))
        first = fit(ratio, _MAX_PHOTOS, ALL_WINDOWS)
    if len(first.k) < _MIN_PAIRS:
        return None
    k = float(np.median(first.k))
    spread = 1.4826 * float(np.median(np.abs(first.k - k))) / k
    heights = flight.heights.sigma_m[rows] / flight.heights.above_ground_m[rows]
    sigma = float(np.sqrt(_MIN_SIGMA_REL**2 + spread**2 / len(first.k) + np.median(heights) ** 2))
    if not sigma < _MAX_SIGMA_REL:
        return None
    return replace(guess_interior(size, ratio * k), sigma_focal_rel=sigma), len(first.k)


def _fit(thumbnails: OrthoThumbnails, most_windows: int) -> _Fit:
    """Return k by every two neighbours that show the same ground."""
    pairs = {
        tuple(sorted((i, j)))
        for i in range(len(thumbnails))
        for j in thumbnails.find_neighbours(i, _NEIGHBOURS)
    }
    found, windows = [], 0
    for i, j in sorted(pairs):
        shifts = find_common_shifts(
            thumbnails.orthorectify(i, 0), thumbnails.orthorectify(j, 0), most_windows
        )
        baseline = (thumbnails.places[j] - thumbnails.places[i]).astype(np.float64)
        k = 1.0 - float(np.median(shifts, axis=0) @ baseline / (baseline @ baseline)) if len(shifts) else 0.0
        if len(shifts) >= _MIN_WINDOWS and k > 0.0:
            found.append(k)
            windows += len(shifts)
    return _Fit(np.array(found), windows)


def _estimated(table: FlightTable, rows: Bools, lens: InteriorOrientation, pairs: int) -> Problem:
    count, focal, percent = int(rows.sum()), lens.focal_length_px[0], 100.0 * lens.sigma_focal_rel
    return Problem(
        code="lens_estimated",
        severity=Severity.WARNING,
        sentence=ngettext(
            "{count} photo does not say what lens took it: by what {pairs} pairs of neighbours show of one "
            "ground its focal length is {focal_px:.0f} px ± {sigma_pct:.0f} %; finish measures it, or give "
            "the camera with --camera.",
            "{count} photos do not say what lens took them: by what {pairs} pairs of neighbours show of one "
            "ground its focal length is {focal_px:.0f} px ± {sigma_pct:.0f} %; finish measures it, or give "
            "the camera with --camera.",
            count,
            pairs=pairs,
            focal_px=focal,
            sigma_pct=percent,
        ),
        frames=table.names_of(rows),
    )
