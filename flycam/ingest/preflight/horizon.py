"""Share of sky in photos, and rejection of those that are mostly sky."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flycam.errors import HorizonInView
from flycam.geometry.camera import compute_ray_directions
from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.preflight.diagnosis import Problem, Rejection, Severity
from flycam.ingest.preflight.flight_table import Bools, Floats
from flycam.messages import _, ngettext

GRAZING_DEG = 3.0
"""Rays flatter than this meet the ground, if at all, kilometres away, where pixels are useless."""
MAX_SKY = 0.6
_GRID = 7


def compute_sky_fraction(rotations: Floats, interiors: Sequence[InteriorOrientation]) -> Floats:
    """Return the share of each frame that looks flatter than `GRAZING_DEG` down.

    N×3×3 rotations, N interiors.
    """
    share = np.zeros(len(rotations))
    for interior in set(interiors):
        rows = np.array([i for i, other in enumerate(interiors) if other is interior or other == interior])
        directions = _directions(interior)
        up = rotations[rows][:, :, 2] @ directions.T
        share[rows] = (up > -np.sin(np.radians(GRAZING_DEG))).mean(axis=1)
    return share


def _directions(interior: InteriorOrientation) -> Floats:
    width, height = interior.image_size_px
    u, v = np.meshgrid(np.linspace(0.0, width - 1.0, _GRID), np.linspace(0.0, height - 1.0, _GRID))
    rays = np.stack(compute_ray_directions(interior, u.ravel(), v.ravel()), axis=-1)
    rays = rays[np.isfinite(rays).all(axis=1)]
    unit: Floats = rays / np.linalg.norm(rays, axis=1, keepdims=True)
    return unit


def reject_sky_photos(
    names: Sequence[str], share: Floats, reportable: Bools
) -> tuple[Bools, list[Rejection], list[Problem]]:
    """Return a mask of photos to keep; rejections and findings of mostly-sky photos.

    Only photos in `reportable` are reported.
    """
    keep = share <= MAX_SKY
    sky = ~keep & reportable
    some = keep & (share > 0.0) & reportable
    rejected = [
        Rejection.from_error(
            names[i],
            HorizonInView(
                _(
                    "{share:.0f} % of it looks at or above the horizon: tilt the gimbal down",
                    share=share[i] * 100,
                )
            ),
        )
        for i in np.flatnonzero(sky).tolist()
    ]
    problems = []
    if sky.any():
        problems.append(
            Problem(
                code="horizon",
                severity=Severity.WARNING,
                sentence=ngettext(
                    "{count} photo looks at the horizon or the sky and is left out: tilt the gimbal down.",
                    "{count} photos look at the horizon or the sky and are left out: tilt the gimbal down.",
                    int(sky.sum()),
                ),
                frames=tuple(names[i] for i in np.flatnonzero(sky).tolist()),
            )
        )
    if some.any():
        problems.append(
            Problem(
                code="horizon_part",
                severity=Severity.INFO,
                sentence=ngettext(
                    "{count} photo sees the horizon in part (up to {most_pct:.0f} % of the picture): only "
                    "the ground below it is used.",
                    "{count} photos see the horizon in part (up to {most_pct:.0f} % of the picture): only "
                    "the ground below it is used.",
                    int(some.sum()),
                    most_pct=share[some].max() * 100,
                ),
                frames=tuple(names[i] for i in np.flatnonzero(some).tolist()),
            )
        )
    return keep, rejected, problems
