"""Control points of a block from a reference map: places with known shifts.

A place of the adjusted block is projected into the frames that see it, with their current poses. As a
control point with these image points at (place + shift), it moves the block without affecting what its own
ties determine about its interior.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame, ControlPoint
from flycam.geometry.camera import is_in_image, project

Floats = NDArray[np.float64]

_MAX_VIEWS = 6
_MIN_VIEWS = 2
_SIGMA_PX = 0.5
# Places nearer to a frame's border, as a share of its shorter side, are not used.
_RIM_SHARE = 0.03


def make_reference_control(
    frames: Sequence[BlockFrame],
    places_m: Floats,
    shift_m: Floats,
    sigma_m: Floats,
    *,
    name: str = "reference",
) -> list[ControlPoint]:
    """Make control points from N places of a block and their shifts in a reference.

    frames    with the poses under which the places were found
    places_m  N×3 (east, north, height)
    shift_m   N×2 (east, north), reference minus block
    sigma_m   N, of one coordinate of the shift

    The height stays free. A place seen by fewer than two frames is left out; the six frames nearest to it are
    used.
    """
    count = len(places_m)
    uv = np.full((len(frames), count, 2), np.nan)
    distance = np.full((len(frames), count), np.inf)
    for k, frame in enumerate(frames):
        points, depth = project(frame.interior, frame.exterior, places_m)
        width, height = frame.interior.image_size_px
        rim = _RIM_SHARE * min(width, height)
        seen = (
            is_in_image(frame.interior, points[:, 0] - rim, points[:, 1] - rim)
            & is_in_image(frame.interior, points[:, 0] + rim, points[:, 1] + rim)
            & (depth > 0.0)
        )
        uv[k, seen] = points[seen]
        off = places_m[seen, :2] - np.array(frame.exterior.projection_centre_m[:2])
        distance[k, seen] = np.hypot(off[:, 0], off[:, 1])
    nearest = np.argsort(distance, axis=0, kind="stable")[:_MAX_VIEWS]
    control = []
    for j in range(count):
        views = [int(k) for k in nearest[:, j] if np.isfinite(distance[k, j])]
        if len(views) < _MIN_VIEWS:
            continue
        east, north = places_m[j, :2] + shift_m[j]
        control.append(
            ControlPoint(
                name=f"{name} {j + 1}",
                position_m=(float(east), float(north), float(places_m[j, 2])),
                sigma_m=(float(sigma_m[j]), float(sigma_m[j]), float("inf")),
                frames=tuple(sorted(views)),
                uv_px=uv[sorted(views), j],
                sigma_px=_SIGMA_PX,
            )
        )
    return control
