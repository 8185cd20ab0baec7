"""Cameras whose image was rotated by quarter turns after it was taken.

The lens turns with the image: principal point, sides, decentring and the camera's axes all rotate, so that
the rotated camera projects into the rotated image exactly as the camera into the original one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.rotation import to_mat3

# Image axes after a quarter turn clockwise: right becomes down.
_QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])

_ID_SUFFIX = ", turned "


def rotate_interior(interior: InteriorOrientation, quarters: int) -> InteriorOrientation:
    """Return the interior orientation of images rotated clockwise by quarters × 90°.

    The calibration id states the rotation. A point (u, v) of an image of height h moves to (h - 1 - v, u).
    Brown's decentring follows from (x, y) = (y', -x') in his formula: (p1, p2) becomes (p2, -p1); radial
    terms do not change. Rows of an image rotated by 180° were read from the last to the first (a negative
    readout); after an odd turn they were not read in the order of rows at all, and the readout is not known.
    """
    quarters %= 4
    if quarters == 0:
        return interior
    point, focal, size = interior.principal_point_px, interior.focal_length_px, interior.image_size_px
    distortion = interior.distortion
    for _ in range(quarters):
        point = (size[1] - 1.0 - point[1], point[0])
        focal, size = focal[::-1], size[::-1]
        if interior.model is LensModel.BROWN and distortion:
            k1, k2, p1, p2, k3 = (*distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
            distortion = (k1, k2, p2, -p1, k3)
    return replace(
        interior,
        image_size_px=size,
        focal_length_px=focal,
        principal_point_px=point,
        distortion=distortion,
        readout_s=_turned_readout(interior.readout_s, quarters),
        calibration_id=_turned_id(interior.calibration_id, quarters),
    )


def rotate_exterior(exterior: ExteriorOrientation, quarters: int) -> ExteriorOrientation:
    """Return the exterior orientation of an image rotated clockwise.

    By quarters × 90° about the viewing axis.
    """
    quarters %= 4
    if quarters == 0:
        return exterior
    turn = np.linalg.matrix_power(_QUARTER, quarters)
    x, y, z = exterior.sigma_attitude_rad
    motion = exterior.motion
    if motion is not None:
        about_x, about_y, about_z = (float(w) for w in turn @ np.asarray(motion.turn_radps))
        motion = replace(motion, turn_radps=(about_x, about_y, about_z))
    return replace(
        exterior,
        rotation=to_mat3(turn @ np.asarray(exterior.rotation)),
        sigma_attitude_rad=(y, x, z) if quarters % 2 else (x, y, z),
        motion=motion,
    )


def _turned_id(calibration_id: str, quarters: int) -> str:
    name, _, before = calibration_id.partition(_ID_SUFFIX)
    degrees = (int(before.rstrip("°") or 0) + 90 * quarters) % 360
    return f"{name}{_ID_SUFFIX}{degrees}°" if degrees else name


def _turned_readout(readout_s: float | None, quarters: int) -> float | None:
    if not readout_s:
        return readout_s
    return -readout_s if quarters == 2 else None
