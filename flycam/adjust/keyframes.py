"""Frames of a video as a registrar keeps them: logged, estimated and map pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats
from flycam.geometry.exterior import ExteriorOrientation


@dataclass(slots=True)
class Keyframe:
    """One registered frame of a video.

    logged            pose by the log
    centre, rotation  as currently estimated
    map_pose          by which it is orthorectified in the mosaic
    """

    number: int
    seconds: float
    logged: ExteriorOrientation
    centre: Floats
    rotation: Floats
    map_pose: ExteriorOrientation


def is_comparable(one: ExteriorOrientation, other: ExteriorOrientation) -> bool:
    """Return True if two poses share one work CRS and vertical datum."""
    return (one.work_crs, one.vertical_datum) == (other.work_crs, other.vertical_datum)


def to_pose_row(exterior: ExteriorOrientation) -> Floats:
    """Return centre and rotation in one row of 12."""
    return np.array([*exterior.projection_centre_m, *np.ravel(exterior.rotation)])


def select_keyframes(
    frames: list[Keyframe], by: NDArray[np.int64]
) -> tuple[list[Keyframe], NDArray[np.int64]]:
    """Return the frames that `by` refers to, and `by` as indices into them."""
    meant, which = np.unique(by, return_inverse=True)
    return [frames[k] for k in meant.tolist()], which
