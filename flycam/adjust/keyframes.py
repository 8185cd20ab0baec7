"""Frames of a film as a registrar remembers them: told by the log, estimated, and laid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats
from flycam.geometry.exterior import ExteriorOrientation


@dataclass(slots=True)
class Keyframe:
    """told: by the log; centre, rotation: as estimated now; laid: as it lies on the map."""

    number: int
    seconds: float
    logged: ExteriorOrientation
    centre: Floats
    rotation: Floats
    map_pose: ExteriorOrientation


def is_comparable(one: ExteriorOrientation, other: ExteriorOrientation) -> bool:
    """Whether two poses are of one work CRS and height datum."""
    return (one.work_crs, one.vertical_datum) == (other.work_crs, other.vertical_datum)


def to_pose_row(exterior: ExteriorOrientation) -> Floats:
    """Centre and rotation in one row of 12."""
    return np.array([*exterior.projection_centre_m, *np.ravel(exterior.rotation)])


def select_keyframes(
    frames: list[Keyframe], by: NDArray[np.int64]
) -> tuple[list[Keyframe], NDArray[np.int64]]:
    """Those of the frames that are meant, and which of these each means."""
    meant, which = np.unique(by, return_inverse=True)
    return [frames[k] for k in meant.tolist()], which
