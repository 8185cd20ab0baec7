"""OpenSfM's reconstruction.json: cameras and adjusted shots in a local frame about a reference point.

The frame is topocentric (east, north, up at reference_lla, ellipsoidal); OpenDroneMap writes instead the
offsets from a UTM corner, in which case the caller names that corner. A shot's rotation is angle-axis, world
to camera, and C = -R^T t. Pixel model: normalised by the larger side, centre at the image centre (OpenSfM
documentation, "Camera coordinate system and conventions").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.geometry.exterior import ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.rotation import as_mat3, rotation_from_angle_axis

SIGMA_POSITION_M = 0.1
SIGMA_ATTITUDE_RAD = 2e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class SfmShot:
    """One adjusted photo: name without folder, interior, exterior, capture time (UTC ns, 0 unknown)."""

    name: str
    interior: InteriorOrientation
    exterior: ExteriorOrientation
    captured_ns: int


def read_reconstruction(
    path: Path,
    *,
    work_crs: str,
    vertical_datum: str,
    offset_m: tuple[float, float, float],
    grid_scale: float = 1.0,
) -> list[SfmShot]:
    """Shots of all reconstructions in `work_crs`.

    offset_m  (east, north, height) of the frame's origin in work_crs: OpenDroneMap's coords offset, or the
              reference point carried into the work CRS. grid_scale is only recorded: an adjustment in grid
              coordinates has absorbed it.
    Raises SourceUnreadable if the file is no reconstruction or names an unknown lens model.
    """
    try:
        reconstructions = json.loads(path.read_text(encoding="utf-8"))
        shots = [
            _shot(name, shot, block["cameras"], work_crs, vertical_datum, np.array(offset_m), grid_scale)
            for block in reconstructions
            for name, shot in sorted(block["shots"].items())
        ]
    except OSError as error:
        raise SourceUnreadable(f"{path}: cannot be opened ({error.strerror}): check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceUnreadable(
            f"{path}: is not an OpenSfM reconstruction ({error}): give opensfm/reconstruction.json"
        ) from error
    return shots


def _shot(
    name: str, shot: dict[str, Any], cameras: dict[str, Any], crs: str, datum: str, offset: Any, scale: float
) -> SfmShot:
    rotation = rotation_from_angle_axis(np.array(shot["rotation"], dtype=np.float64))
    centre = -rotation.T @ np.array(shot["translation"], dtype=np.float64) + offset
    return SfmShot(
        name=name,
        interior=_interior(shot["camera"], cameras[shot["camera"]]),
        exterior=ExteriorOrientation(
            projection_centre_m=(float(centre[0]), float(centre[1]), float(centre[2])),
            rotation=as_mat3(rotation),
            work_crs=crs,
            vertical_datum=datum,
            grid_scale=scale,
            sigma_position_m=(SIGMA_POSITION_M,) * 3,
            sigma_attitude_rad=(SIGMA_ATTITUDE_RAD,) * 3,
            source=PoseSource.ADJUSTED,
        ),
        captured_ns=round(float(shot.get("capture_time") or 0.0) * 1e9),
    )


def _interior(name: str, camera: dict[str, Any]) -> InteriorOrientation:
    width, height = int(camera["width"]), int(camera["height"])
    side = max(width, height)
    kind = camera["projection_type"]
    fx = float(camera.get("focal_x", camera.get("focal", 0.0))) * side
    fy = float(camera.get("focal_y", camera.get("focal", 0.0))) * side
    k1, k2, k3 = (float(camera.get(k, 0.0)) for k in ("k1", "k2", "k3"))
    p1, p2 = float(camera.get("p1", 0.0)), float(camera.get("p2", 0.0))
    models = {
        "brown": (LensModel.BROWN, (k1, k2, p1, p2, k3)),
        "perspective": (LensModel.BROWN, (k1, k2, 0.0, 0.0, 0.0)),
        "fisheye": (LensModel.FISHEYE, (k1, k2, 0.0, 0.0)),
        "fisheye_opencv": (LensModel.FISHEYE, (k1, k2, k3, float(camera.get("k4", 0.0)))),
    }
    if kind not in models or fx <= 0.0:
        raise ValueError(f"lens model {kind!r} of camera {name!r} is not known")
    model, distortion = models[kind]
    return InteriorOrientation(
        model=model,
        image_size_px=(width, height),
        focal_length_px=(fx, fy),
        principal_point_px=(
            float(camera.get("c_x", 0.0)) * side + (width - 1) / 2.0,
            float(camera.get("c_y", 0.0)) * side + (height - 1) / 2.0,
        ),
        distortion=distortion,
        calibration_id=f"opensfm:{name}",
        sigma_focal_rel=0.0005,
    )
