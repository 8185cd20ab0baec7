"""Orientations and provenance as JSON text, exactly: every float comes back as the same float.

Python writes the shortest decimal that reads back as the same double, so nothing is rounded. NaN and
infinities are written as Python's json reads them; the text is for this catalogue, not for browsers.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from flycam.frame.frame import Provenance
from flycam.geometry.exterior import CameraMotion, ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation, LensModel


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _floats(values: Any) -> list[float]:
    return [float(v) for v in values]


@lru_cache(maxsize=256)
def interior_to_json(interior: InteriorOrientation) -> str:
    """Return the JSON text of an interior orientation.

    A flight has one camera, so the last few are cached.
    """
    return _text(
        {
            "model": interior.model.value,
            "size": [int(v) for v in interior.image_size_px],
            "focal": _floats(interior.focal_length_px),
            "centre": _floats(interior.principal_point_px),
            "distortion": _floats(interior.distortion),
            "readout_s": None if interior.readout_s is None else float(interior.readout_s),
            "calibration_id": interior.calibration_id,
            "sigma_focal_rel": float(interior.sigma_focal_rel),
        }
    )


@lru_cache(maxsize=256)
def interior_from_json(text: str) -> InteriorOrientation:
    """Parse an interior orientation; inverse of `interior_to_json`.

    Frames of one camera share one value.
    """
    value = json.loads(text)
    return InteriorOrientation(
        model=LensModel(value["model"]),
        image_size_px=tuple(value["size"]),
        focal_length_px=tuple(value["focal"]),
        principal_point_px=tuple(value["centre"]),
        distortion=tuple(value["distortion"]),
        readout_s=value["readout_s"],
        calibration_id=value["calibration_id"],
        sigma_focal_rel=value["sigma_focal_rel"],
    )


def exterior_to_json(exterior: ExteriorOrientation) -> str:
    """Return the JSON text of an exterior orientation.

    "motion" is there only if the pose has one.
    """
    motion = exterior.motion
    moves = motion and {"velocity": _floats(motion.velocity_mps), "turn": _floats(motion.turn_radps)}
    return _text(
        {
            "centre": _floats(exterior.projection_centre_m),
            "rotation": [_floats(row) for row in exterior.rotation],
            "work_crs": exterior.work_crs,
            "vertical_datum": exterior.vertical_datum,
            "grid_scale": float(exterior.grid_scale),
            "sigma_position_m": _floats(exterior.sigma_position_m),
            "sigma_attitude_rad": _floats(exterior.sigma_attitude_rad),
            "source": exterior.source.value,
            "version": int(exterior.version),
            # written only if true, so that poses recorded before it existed keep the same bytes
            **({"height_on_terrain": True} if exterior.height_on_terrain else {}),
            **({"motion": moves} if moves else {}),
        }
    )


def exterior_from_json(text: str) -> ExteriorOrientation:
    """Parse an exterior orientation; inverse of `exterior_to_json`."""
    value = json.loads(text)
    first, second, third = (tuple(row) for row in value["rotation"])
    return ExteriorOrientation(
        projection_centre_m=tuple(value["centre"]),
        rotation=(first, second, third),
        work_crs=value["work_crs"],
        vertical_datum=value["vertical_datum"],
        grid_scale=value["grid_scale"],
        sigma_position_m=tuple(value["sigma_position_m"]),
        sigma_attitude_rad=tuple(value["sigma_attitude_rad"]),
        source=PoseSource(value["source"]),
        version=value["version"],
        height_on_terrain=value.get("height_on_terrain", False),
        motion=_motion_of(value["motion"]) if "motion" in value else None,
    )


def _motion_of(value: dict[str, Any]) -> CameraMotion:
    return CameraMotion(velocity_mps=tuple(value["velocity"]), turn_radps=tuple(value["turn"]))


def provenance_to_json(provenance: Provenance) -> str:
    """Return the JSON text of a frame's provenance."""
    value: dict[str, Any] = {
        "source_name": provenance.source_name,
        "source_sha256": provenance.source_sha256,
        "camera": provenance.camera,
        "operator": provenance.operator,
        "settled": list(provenance.settled),
    }
    # photos keep the text that they had before videos were supported
    if provenance.film is not None:
        value["film"] = provenance.film
    return _text(value)


def provenance_from_json(text: str) -> Provenance:
    """Parse a provenance; inverse of `provenance_to_json`."""
    value = json.loads(text)
    value["settled"] = tuple(value["settled"])
    return Provenance(**value)
