"""Adjusted poses of OpenSfM and OpenDroneMap: reconstruction.json, and shots.geojson of ODM's report.

A shot's rotation is angle-axis, world to camera, and C = -R^T t. Pixel model: normalised by the larger side,
centre at the image centre (OpenSfM documentation, "Camera coordinate system and conventions").

OpenSfM's world is topocentric (east, north, up at reference_lla); ODM also writes reconstructions that it has
turned onto the UTM grid, about the same point, unmarked. A shot's own `gps_position` stays topocentric in
both, so the adjusted centres show which it is: they lie on the GPS positions either as they are, or once
these are turned by the meridian convergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flycam.errors import SourceUnreadable
from flycam.frame.payload_decoding import parse_bounded_json
from flycam.geodata.crs import choose_work_crs, compute_convergence_and_scale, to_work
from flycam.geometry.exterior import ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.rotation import rotation_from_angle_axis, to_mat3
from flycam.ingest.poses.poses_csv import PoseRow
from flycam.ingest.preflight.flight_table import Floats
from flycam.messages import _
from flycam.store.regular_file import read_regular

SIGMA_POSITION_M, SIGMA_ATTITUDE_RAD = 0.1, 2e-4
"""Sigmas of an adjusted pose, relative to its block."""
_EARTH_M = 6_371_000.0
_MAX_BYTES, _MAX_VALUES = 128 << 20, 5_000_000
"""Limits for a reconstruction with its ground points: half a million, from some 2000 photos."""


@dataclass(frozen=True)
class _Frame:
    """Local frame: shots are turned by `turn` and scaled onto the grid at `origin_m`."""

    work_crs: str
    origin_m: Floats
    turn: Floats
    scale: float
    grid_scale: float
    is_topocentric: bool

    def to_grid(self, local: Floats) -> Floats:
        """Return (east, north, height) of a local point.

        A tangent plane leaves the curved earth below it.
        """
        drop = float(local[0] ** 2 + local[1] ** 2) / (2.0 * _EARTH_M) if self.is_topocentric else 0.0
        turned: Floats = self.turn @ local
        turned[:2] *= self.scale
        placed: Floats = self.origin_m + turned + np.array([0.0, 0.0, drop])
        return placed


def read_sfm_poses(path: Path, *, vertical_datum: str, work_crs: str | None = None) -> list[PoseRow]:
    """Read poses and interiors of a reconstruction.json, or poses of a shots.geojson.

    In `work_crs` (default: UTM). Heights are taken in `vertical_datum` as they are written.
    Raises SourceUnreadable if the file is neither, has no reference point, or names an unknown lens model.
    """
    try:
        document = parse_bounded_json(read_regular(path, _MAX_BYTES), _MAX_VALUES)
        if isinstance(document, dict) and document.get("type") == "FeatureCollection":
            rows = _from_shots(document, vertical_datum, work_crs)
        else:
            blocks = document if isinstance(document, list) else [document]
            rows = [row for block in blocks for row in _from_block(block, vertical_datum, work_crs)]
    except (OSError, UnicodeDecodeError) as error:
        raise SourceUnreadable(
            _("{path}: cannot be read ({error}): check the file", path=path, error=error)
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise SourceUnreadable(
            _(
                "{path}: is neither an OpenSfM reconstruction nor ODM's shots ({error!r}): "
                "give opensfm/reconstruction.json or odm_report/shots.geojson",
                path=path,
                error=error,
            )
        ) from error
    if not rows:
        raise SourceUnreadable(_("{path}: holds no shot: give the reconstruction of this flight", path=path))
    return rows


def _from_block(block: dict[str, Any], datum: str, work_crs: str | None) -> list[PoseRow]:
    """Return the poses of one reconstruction."""
    cameras = {name: _interior(name, camera) for name, camera in block["cameras"].items()}
    shots = sorted(block["shots"].items())
    rotations = [rotation_from_angle_axis(_vector(shot["rotation"])) for _, shot in shots]
    centres = [-r.T @ _vector(shot["translation"]) for r, (_, shot) in zip(rotations, shots, strict=True)]
    frame = _frame_of(block["reference_lla"], shots, centres, work_crs)
    return [
        PoseRow(
            name=name,
            exterior=_exterior(
                frame.to_grid(centre), rotation @ frame.turn.T, frame.work_crs, datum, frame.grid_scale
            ),
            camera=shot["camera"],
            interior=cameras[shot["camera"]],
        )
        for (name, shot), rotation, centre in zip(shots, rotations, centres, strict=True)
    ]


def _frame_of(
    reference: dict[str, Any], shots: list[tuple[str, Any]], centres: list[Floats], work_crs: str | None
) -> _Frame:
    """Return the frame, topocentric or grid, that best fits the shots' GPS."""
    lon, lat = float(reference["longitude"]), float(reference["latitude"])
    crs = work_crs or choose_work_crs(lon, lat)
    convergence, scale = compute_convergence_and_scale(crs, lon, lat)
    cosine, sine = np.cos(convergence), np.sin(convergence)
    onto_grid = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    pairs = [
        (centre, _vector(shot["gps_position"]))
        for (_, shot), centre in zip(shots, centres, strict=True)
        if shot.get("gps_position") is not None
    ]
    as_it_is = [np.hypot(*(centre - gps)[:2]) for centre, gps in pairs]
    on_grid = [np.hypot(*(centre - onto_grid @ gps * scale)[:2]) for centre, gps in pairs]
    topocentric = not pairs or bool(np.median(as_it_is) <= np.median(on_grid))
    origin = to_work(np.array([[lon, lat]]), crs)[0]
    return _Frame(
        work_crs=crs,
        origin_m=np.array([*origin, float(reference.get("altitude") or 0.0)]),
        turn=onto_grid if topocentric else np.eye(3),
        scale=scale if topocentric else 1.0,
        grid_scale=scale if topocentric else 1.0,
        is_topocentric=topocentric,
    )


def _from_shots(document: dict[str, Any], datum: str, work_crs: str | None) -> list[PoseRow]:
    """Return poses of ODM's shots.geojson.

    Positions in WGS 84 degrees, rotations on the UTM grid there.
    """
    features = document["features"]
    places = np.array([_vector(one["geometry"]["coordinates"]) for one in features]).reshape(-1, 3)
    if not len(places):
        return []
    middle = np.median(places, axis=0)
    own = choose_work_crs(float(middle[0]), float(middle[1]))
    crs = work_crs or own
    xy = to_work(places[:, :2], crs)
    # one rotation for the whole block: its convergence differs only if the caller chose another zone
    turn = (
        compute_convergence_and_scale(own, *middle[:2])[0]
        - compute_convergence_and_scale(crs, *middle[:2])[0]
        if crs != own
        else 0.0
    )
    between = np.array(
        [[np.cos(turn), np.sin(turn), 0.0], [-np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]]
    )
    return [
        PoseRow(
            name=str(one["properties"]["filename"]),
            exterior=_exterior(
                np.array([*place, height]),
                rotation_from_angle_axis(_vector(one["properties"]["rotation"])) @ between.T,
                crs,
                datum,
                1.0,
            ),
        )
        for one, place, height in zip(features, xy, places[:, 2], strict=True)
    ]


def _vector(values: Any) -> Floats:
    vector = np.array(values, dtype=np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise ValueError(f"{values!r} is not three numbers")
    return vector


def _exterior(centre: Floats, rotation: Floats, crs: str, datum: str, scale: float) -> ExteriorOrientation:
    return ExteriorOrientation(
        projection_centre_m=(float(centre[0]), float(centre[1]), float(centre[2])),
        rotation=to_mat3(rotation),
        work_crs=crs,
        vertical_datum=datum,
        grid_scale=scale,
        sigma_position_m=(SIGMA_POSITION_M,) * 3,
        sigma_attitude_rad=(SIGMA_ATTITUDE_RAD,) * 3,
        source=PoseSource.ADJUSTED,
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
