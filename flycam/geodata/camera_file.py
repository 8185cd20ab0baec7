"""The operator's camera file (`--camera`): JSON or YAML, with flycam's keys or OpenCV's matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from flycam.errors import CalibrationMissing, SourceUnreadable
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.messages import _
from flycam.store.regular_file import read_regular

_MAX_BYTES, _MAX_NUMBERS = 1 << 18, 64
_SIGMA_PIXELS, _SIGMA_MM, _SIGMA_HFOV = 0.002, 0.01, 0.02
_MODEL_NAMES = {
    "pinhole": LensModel.PINHOLE,
    "perspective": LensModel.BROWN,
    "brown": LensModel.BROWN,
    "brown-conrady": LensModel.BROWN,
    "opencv": LensModel.BROWN,
    "plumb_bob": LensModel.BROWN,
    "fisheye": LensModel.FISHEYE,
    "equidistant": LensModel.FISHEYE,
}
_WIDTH_KEYS = ("width", "image_width", "xresolution")
_HEIGHT_KEYS = ("height", "image_height", "yresolution")
_MATRIX_KEYS = ("K", "camera_matrix", "cameraMatrix")
_DISTORTION_KEYS = ("D", "distortion_coefficients", "distCoeffs", "dist_coeffs")


class _OpenCvLoader(yaml.SafeLoader):
    """Safe YAML loader with OpenCV's `!!opencv-matrix` tag and without aliases.

    With aliases, ten lines unfold to billions.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


_OpenCvLoader.add_constructor(
    "tag:yaml.org,2002:opencv-matrix",
    lambda loader, node: loader.construct_mapping(cast(yaml.MappingNode, node), deep=True),
)
# libyaml is ten times faster, but recurses without a limit: used only for files that are not hostile.
_BUNDLED_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_camera_file(path: Path, image_size_px: tuple[int, int] | None = None) -> InteriorOrientation:
    """Load interior orientation from a camera file.

    Its keys are in the section "Camera file" of the interface. `image_size_px` (width, height) is used where
    the file has none. The principal point counts pixel centres at integers; where it is not given it is the
    image centre. Raises SourceUnreadable if the file is neither JSON nor YAML, CalibrationMissing if it is
    incomplete or describes no camera.
    """
    path = Path(path)
    values = read_document(path)
    if not isinstance(values, dict):
        raise SourceUnreadable(
            _("{name}: holds no camera: give JSON or YAML with named values", name=path.name)
        )
    try:
        return parse_interior(values, image_size_px, f"operator:{path.name}")
    except (ValueError, TypeError) as error:
        raise CalibrationMissing(
            _(
                "{name}: {error}: give width, height, fx, fy, cx, cy (or focal_mm and "
                "sensor_width_mm, or hfov_deg), or OpenCV's K and D",
                name=path.name,
                error=error,
            )
        ) from error


def read_document(path: Path, *, is_bundled: bool = False) -> Any:
    """Read a JSON or YAML file; raise SourceUnreadable if it is neither.

    is_bundled  the file came with flycam
    """
    try:
        text = read_regular(path, _MAX_BYTES).decode("utf-8-sig").replace("%YAML:1.0", "", 1)
        return yaml.load(text, Loader=_BUNDLED_LOADER if is_bundled else _OpenCvLoader)  # noqa: S506 - safe loaders
    # YAML's constructors pass on any error that an odd value causes in Python
    except Exception as error:
        raise SourceUnreadable(
            _("{name}: cannot be read as JSON or YAML: check the file", name=path.name)
        ) from error


def parse_interior(
    values: Mapping[str, Any], image_size_px: tuple[int, int] | None, calibration_id: str
) -> InteriorOrientation:
    """Parse interior orientation from named values; ValueError names a wrong one."""
    size = _image_size(values, image_size_px)
    focal, centre, sigma = _pinhole_part(values, size)
    distortion, model = _distortion_part(values)
    readout = values.get("readout_s")
    return InteriorOrientation(
        model=model,
        image_size_px=size,
        focal_length_px=focal,
        principal_point_px=centre,
        distortion=distortion,
        readout_s=None if readout is None else _number(readout, "readout_s", low=0.0),
        calibration_id=calibration_id,
        sigma_focal_rel=_number(values.get("sigma_focal_rel", sigma), "sigma_focal_rel", low=0.0),
    )


def _image_size(values: Mapping[str, Any], image_size_px: tuple[int, int] | None) -> tuple[int, int]:
    width, height = _first(values, _WIDTH_KEYS), _first(values, _HEIGHT_KEYS)
    if width is None or height is None:
        if image_size_px is None:
            raise ValueError("width and height are missing")
        return image_size_px
    return int(_number(width, "width", low=1.0)), int(_number(height, "height", low=1.0))


def _pinhole_part(
    values: Mapping[str, Any], size: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return (fx, fy), (cx, cy) in pixels and the relative sigma of their notation."""
    width, height = size
    centre = ((width - 1) / 2.0, (height - 1) / 2.0)
    matrix = _first(values, _MATRIX_KEYS)
    if matrix is not None:
        k = _flat(matrix)
        if len(k) != 9:
            raise ValueError("K must be 3 by 3")
        focal, centre, sigma = (k[0], k[4]), (k[2], k[5]), _SIGMA_PIXELS
    elif "fx" in values or "focal_px" in values:
        fx = _number(values.get("fx", values.get("focal_px")), "fx")
        fy = _number(values.get("fy", fx), "fy")
        focal, sigma = (fx, fy), _SIGMA_PIXELS
    elif "focal_mm" in values and "sensor_width_mm" in values:
        sensor = _number(values["sensor_width_mm"], "sensor_width_mm", low=1e-3)
        f = _number(values["focal_mm"], "focal_mm") * width / sensor
        focal, sigma = (f, f), _SIGMA_MM
    elif "hfov_deg" in values:
        hfov = _number(values["hfov_deg"], "hfov_deg")
        if not 1.0 <= hfov < 179.0:
            raise ValueError(f"hfov_deg {hfov:g} is no field of view")
        f = width / 2.0 / math.tan(math.radians(hfov) / 2.0)
        focal, sigma = (f, f), _SIGMA_HFOV
    else:
        raise ValueError("the focal length is missing")
    centre = (
        _number(values.get("cx", centre[0]), "cx"),
        _number(values.get("cy", centre[1]), "cy"),
    )
    if min(focal) <= 0 or max(focal) > 1e6:
        raise ValueError(f"the focal length {focal[0]:g}, {focal[1]:g} px is no focal length")
    if not (-width <= centre[0] <= 2 * width and -height <= centre[1] <= 2 * height):
        raise ValueError(f"the principal point {centre[0]:g}, {centre[1]:g} lies far outside the picture")
    return focal, centre, sigma


def _distortion_part(values: Mapping[str, Any]) -> tuple[tuple[float, ...], LensModel]:
    """Return coefficients in the lens model's order, and the model.

    They are read from named keys or OpenCV's vector.
    """
    name = values.get("model")
    model = _MODEL_NAMES.get(str(name).strip().lower()) if name is not None else None
    if name is not None and model is None:
        raise ValueError(f"model {name!r} is none of pinhole, brown, fisheye")
    vector = _first(values, _DISTORTION_KEYS)
    fisheye = model is LensModel.FISHEYE
    if vector is not None:
        given = _flat(vector)
        wanted = 4 if fisheye else 5
        if any(given[wanted:]):
            raise ValueError(
                f"D has {len(given)} coefficients, flycam's {'fisheye' if fisheye else 'brown'} "
                f"model has {wanted}"
            )
        coefficients = (*given[:wanted], *([0.0] * (wanted - len(given))))
    else:
        names = ("k1", "k2", "k3", "k4") if fisheye else ("k1", "k2", "p1", "p2", "k3")
        coefficients = tuple(_number(values.get(key, 0.0), key) for key in names)
    if model is LensModel.PINHOLE or (model is None and not any(coefficients)):
        if any(coefficients):
            raise ValueError("a pinhole has no distortion: say model: brown")
        return (), LensModel.PINHOLE
    return coefficients, model or LensModel.BROWN


def _first(values: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((values[key] for key in keys if values.get(key) is not None), None)


def _flat(matrix: Any, depth: int = 2) -> tuple[float, ...]:
    """Flatten lists of lists, or OpenCV's {rows, cols, data}, in reading order."""
    if isinstance(matrix, Mapping):
        matrix = matrix.get("data")
    if not isinstance(matrix, Sequence) or isinstance(matrix, str) or depth == 0:
        raise ValueError("a matrix must be a list of numbers")
    if len(matrix) > _MAX_NUMBERS:
        raise ValueError(f"a matrix of {len(matrix)} numbers is none of a camera")
    flat: list[float] = []
    # YAML 1.1 reads 4e-05 as text, so text may be a number here
    for item in matrix:
        nested = isinstance(item, Sequence | Mapping) and not isinstance(item, str)
        flat.extend(_flat(item, depth - 1) if nested else (_number(item, "a matrix"),))
    return tuple(flat)


def _number(value: Any, name: str, low: float = -math.inf) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is not a number") from error
    if not math.isfinite(number) or number < low:
        raise ValueError(f"{name} cannot be {number:g}")
    return number
