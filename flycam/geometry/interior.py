"""Interior orientation: the camera's own geometry, independent of its pose.

Image coordinates are (u, v) = (column, row) in pixels with pixel centres at integers; the top-left
pixel's centre is (0, 0). Camera axes: x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LensModel(StrEnum):
    """Projection of a direction to an image point.

    PINHOLE  no distortion.
    BROWN    Brown-Conrady, OpenCV order k1 k2 p1 p2 k3 (Brown 1966; OpenCV calib3d).
    FISHEYE  equidistant with odd polynomial k1 k2 k3 k4 (Kannala and Brandt 2006; OpenCV fisheye).
    """

    PINHOLE = "pinhole"
    BROWN = "brown"
    FISHEYE = "fisheye"


@dataclass(frozen=True, kw_only=True, slots=True)
class InteriorOrientation:
    """Frozen interior orientation of one camera at one setting.

    image_size_px       (width, height)
    focal_length_px     (fx, fy)
    principal_point_px  (cx, cy), pixel centres at integers
    distortion          BROWN (k1, k2, p1, p2, k3); FISHEYE (k1, k2, k3, k4); PINHOLE ()
    readout_s           rolling-shutter readout of a full frame, 0 for a global shutter, None unknown;
                        negative where the last row was read first (rotated by 180°,
                        `geometry.quarter_turns`)
    calibration_id      source of the numbers, e.g. "file:DewarpData", "models:dji-fc300s",
                        "exif:focal35", "operator:camera.json"
    sigma_focal_rel     relative 1-sigma of the focal length
    """

    model: LensModel
    image_size_px: tuple[int, int]
    focal_length_px: tuple[float, float]
    principal_point_px: tuple[float, float]
    distortion: tuple[float, ...] = ()
    readout_s: float | None = None
    calibration_id: str
    sigma_focal_rel: float = 0.0
