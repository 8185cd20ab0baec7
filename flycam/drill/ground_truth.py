"""Ground truth of a drill as files, and back: exact poses, camera, rasters.

The folder of a drill is staged, so that it appears whole or not at all.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flycam.drill.flight import Exposure
from flycam.errors import NotFound
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource, opk_from_rotation, to_mat3
from flycam.messages import _
from flycam.model.flight import DRILL_MARK
from flycam.storage.files import make_unwritable, replace_folder

_COLUMNS = ("filename", "x", "y", "z", "omega", "phi", "kappa", "yaw", "pitch", "roll", "seconds")
TRUTH_FILE = Path("truth") / "truth.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class DrillTruth:
    """Truth that write_drill wrote.

    exteriors       by file name
    ortho, surface  paths
    facts           everything else
    """

    camera: InteriorOrientation
    exteriors: Mapping[str, ExteriorOrientation]
    ortho: Path
    surface: Path
    facts: Mapping[str, Any]


def write_poses(path: Path, names: list[str], exposures: list[Exposure]) -> None:
    """Write poses.csv with exact poses.

    Projection centres, photogrammetric omega phi kappa and gimbal angles, degrees.
    """
    with path.open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(_COLUMNS)
        for name, exposure in zip(names, exposures, strict=True):
            opk = np.degrees(opk_from_rotation(exposure.exterior.rotation))
            angles = np.degrees(exposure.gimbal_rad)
            numbers = [*exposure.exterior.projection_centre_m, *opk, *angles, exposure.seconds]
            rows.writerow([name, *(f"{n:.9f}" for n in numbers)])


def format_truth(
    names: list[str], exposures: list[Exposure], camera: InteriorOrientation, facts: Mapping[str, Any]
) -> str:
    """Return the truth of a drill as JSON, exact to the last bit."""
    frames = [
        {
            "name": name,
            "projection_centre_m": exposure.exterior.projection_centre_m,
            "rotation": exposure.exterior.rotation,
            "grid_scale": exposure.exterior.grid_scale,
            "seconds": exposure.seconds,
            "strip": exposure.strip,
            **_motion_json(exposure.exterior.motion),
        }
        for name, exposure in zip(names, exposures, strict=True)
    ]
    document = {
        "drill": DRILL_MARK,
        **facts,
        "camera": {
            "model": camera.model.value,
            "image_size_px": camera.image_size_px,
            "focal_length_px": camera.focal_length_px,
            "principal_point_px": camera.principal_point_px,
            "distortion": camera.distortion,
            **({"readout_s": camera.readout_s} if camera.readout_s else {}),
        },
        "frames": frames,
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _motion_json(motion: CameraMotion | None) -> dict[str, Any]:
    """Return the motion of a rolling shutter; empty without.

    So the truth of other drills keeps its bytes.
    """
    if motion is None:
        return {}
    return {"motion": {"velocity_mps": motion.velocity_mps, "turn_radps": motion.turn_radps}}


def _motion_of(frame: Mapping[str, Any]) -> CameraMotion | None:
    motion = frame.get("motion")
    if motion is None:
        return None
    return CameraMotion(velocity_mps=tuple(motion["velocity_mps"]), turn_radps=tuple(motion["turn_radps"]))


def write_camera(path: Path, camera: InteriorOrientation) -> None:
    """Write the camera as a file for `--camera`: no photo states a readout time."""
    (fx, fy), (cx, cy) = camera.focal_length_px, camera.principal_point_px
    k1, k2, p1, p2, k3 = camera.distortion
    width, height = camera.image_size_px
    values: dict[str, Any] = {"model": camera.model.value, "width": width, "height": height}
    values |= {"fx": fx, "fy": fy, "cx": cx, "cy": cy, "k1": k1, "k2": k2, "k3": k3, "p1": p1, "p2": p2}
    values |= {"readout_s": camera.readout_s, "sigma_focal_rel": 0.002}
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


def read_truth(folder: Path) -> DrillTruth:
    """Read the truth of a drill in `folder`; NotFound if there is none."""
    path = folder / TRUTH_FILE
    if not path.is_file():
        raise NotFound(_("{path}: is not there: write a drill into this folder first", path=path))
    document = json.loads(path.read_text(encoding="utf-8"))
    camera = document["camera"]
    interior = InteriorOrientation(
        model=LensModel(camera["model"]),
        image_size_px=tuple(camera["image_size_px"]),
        focal_length_px=tuple(camera["focal_length_px"]),
        principal_point_px=tuple(camera["principal_point_px"]),
        distortion=tuple(camera["distortion"]),
        readout_s=camera.get("readout_s", 0.0),
        calibration_id="drill:truth",
    )
    exteriors = {
        frame["name"]: ExteriorOrientation(
            projection_centre_m=tuple(frame["projection_centre_m"]),
            rotation=to_mat3(frame["rotation"]),
            work_crs=document["work_crs"],
            vertical_datum=document["vertical_datum"],
            grid_scale=frame["grid_scale"],
            sigma_position_m=(0.0, 0.0, 0.0),
            sigma_attitude_rad=(0.0, 0.0, 0.0),
            source=PoseSource.ADJUSTED,
            motion=_motion_of(frame),
        )
        for frame in document["frames"]
    }
    return DrillTruth(
        camera=interior,
        exteriors=exteriors,
        ortho=folder / "truth" / "ortho.tif",
        surface=folder / "truth" / "surface.tif",
        facts=document,
    )


# -- Staging of a drill's folder -------------------------------------------------------------------


@contextmanager
def stage_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to write a drill into, which replaces `out` when it is complete.

    Missing folders above it are made. Raises what `replace_folder` raises.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise make_unwritable(out, error) from error
    with replace_folder(out, _find_foreign_file) as staging:
        yield staging


def _find_foreign_file(folder: Path) -> str | None:
    """Return a file of a folder that is no drill, if there is one."""
    return None if (folder / TRUTH_FILE).is_file() else next((one.name for one in folder.iterdir()), None)
