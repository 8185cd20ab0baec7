"""Calibrated cameras that ship with flycam: `models/cameras/*.yaml`, one camera body a file.

A file is a list of entries, one for each picture size, mode or zoom. Keys: maker, models (list
of names as EXIF writes them), kind (photo, video), image_size_px [w, h], focal_px or focal_mm with
sensor_width_mm, principal_point_px, model (lens model), distortion, readout_s, sigma_focal_rel,
zoom_range [from, to], source, date, rms_px. Format page: docs/formats/cameras.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from flycam.errors import CalibrationMissing
from flycam.geodata.camera_file import interior_from_mapping, load_camera_file, read_document
from flycam.geodata.models_path import models_dir
from flycam.geometry.interior import InteriorOrientation

__all__ = ["KnownCamera", "known_cameras", "load_camera_file", "lookup_camera"]

_SAME_SHAPE = 0.004
"""Pictures whose width/height differs by less have one shape: rounding, not another crop of the sensor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCamera:
    """One calibrated setting of a camera. `zoom_range` is that for which the numbers hold, 1.0 = no zoom."""

    makers: tuple[str, ...]
    models: tuple[str, ...]
    kind: str
    interior: InteriorOrientation
    zoom_range: tuple[float, float]
    source: str
    date: str
    rms_px: float | None


def lookup_camera(
    maker: str,
    model: str,
    image_size: tuple[int, int],
    mode: str | None = None,
    zoom: float | None = None,
) -> InteriorOrientation | None:
    """Interior orientation of a known camera for pictures of `image_size` (width, height); None if unknown.

    `mode` is "photo" (default) or "video". An entry of exactly this size goes first; else one of the same
    shape is scaled. `zoom` 1.0 by default; an entry whose `zoom_range` spans more than one value has its
    focal length at zoom 1 and is multiplied. Raises CalibrationMissing if a file there is not well formed.
    """
    factor = zoom or 1.0
    fitting = [
        camera
        for camera in known_cameras()
        if _key(model) in camera.models
        and (not camera.makers or _key(maker) in camera.makers)
        and camera.kind == (mode or "photo")
        and camera.zoom_range[0] - 1e-6 <= factor <= camera.zoom_range[1] + 1e-6
        and _same_shape(camera.interior.image_size_px, image_size)
    ]
    if not fitting:
        return None
    best = min(fitting, key=lambda c: (c.interior.image_size_px != image_size, c.interior.calibration_id))
    interior = _scaled(best.interior, image_size)
    if best.zoom_range[0] < best.zoom_range[1]:
        fx, fy = interior.focal_length_px
        interior = replace(interior, focal_length_px=(fx * factor, fy * factor))
    return interior


@lru_cache(maxsize=1)
def known_cameras() -> tuple[KnownCamera, ...]:
    """Every entry of `models/cameras`, in the order of file names. Raises CalibrationMissing."""
    folder = models_dir() / "cameras"
    return tuple(camera for path in sorted(folder.glob("*.yaml")) for camera in read_cameras(path))


def read_cameras(path: Path) -> tuple[KnownCamera, ...]:
    """The entries of one file. Raises SourceUnreadable, CalibrationMissing naming the file and the entry."""
    document = read_document(path)
    entries = document if isinstance(document, list) else [document]
    cameras = []
    for number, entry in enumerate(entries, start=1):
        try:
            cameras.append(_camera(entry, f"models:{path.stem}#{number}"))
        except (KeyError, ValueError, TypeError) as error:
            raise CalibrationMissing(
                f"{path.name}: entry {number} is not well formed ({error}): correct it or remove the file"
            ) from error
    return tuple(cameras)


def _camera(values: Mapping[str, Any], calibration_id: str) -> KnownCamera:
    size = values["image_size_px"]
    numbers: dict[str, Any] = {**values, "width": size[0], "height": size[1]}
    focal = numbers.pop("focal_px", None)
    if focal is not None:
        numbers["fx"], numbers["fy"] = focal if isinstance(focal, list) else (focal, focal)
    if values.get("principal_point_px") is not None:
        numbers["cx"], numbers["cy"] = values["principal_point_px"]
    if values.get("distortion"):
        numbers["D"] = values["distortion"]
    makers = values.get("maker") or values.get("makers") or []
    low, high = values.get("zoom_range") or (1.0, 1.0)
    return KnownCamera(
        makers=tuple(_key(m) for m in ([makers] if isinstance(makers, str) else makers)),
        models=tuple(_key(m) for m in values["models"]),
        kind=str(values.get("kind", "photo")),
        interior=interior_from_mapping(numbers, None, calibration_id),
        zoom_range=(float(low), float(high)),
        source=str(values["source"]),
        date=str(values["date"]),
        rms_px=None if values.get("rms_px") is None else float(values["rms_px"]),
    )


def _scaled(interior: InteriorOrientation, size: tuple[int, int]) -> InteriorOrientation:
    """The same lens behind a picture resized to `size`; pixel centres at integers, so corners at -0.5."""
    if interior.image_size_px == size:
        return interior
    sx, sy = size[0] / interior.image_size_px[0], size[1] / interior.image_size_px[1]
    fx, fy = interior.focal_length_px
    cx, cy = interior.principal_point_px
    return replace(
        interior,
        image_size_px=size,
        focal_length_px=(fx * sx, fy * sy),
        principal_point_px=((cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5),
        calibration_id=f"{interior.calibration_id}@{size[0]}x{size[1]}",
    )


def _same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return min(*a, *b) > 0 and abs((a[0] * b[1]) / (a[1] * b[0]) - 1.0) < _SAME_SHAPE


def _key(text: str) -> str:
    return " ".join(text.replace("\x00", " ").split()).casefold()
