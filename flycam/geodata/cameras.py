"""Calibrated cameras, those shipped with flycam and the operator's camera file.

`models/cameras/*.yaml` holds one camera body a file. A file is a list of entries; an entry is one lens, and
its `modes` are the image sizes, video modes and crops it is used in. Keys and units: docs/formats/cameras.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import yaml

from flycam.config import find_models_dir
from flycam.errors import CalibrationMissing, SourceUnreadable
from flycam.geometry.camera import InteriorOrientation, LensModel
from flycam.messages import _
from flycam.storage.files import read_regular

# -- The operator's camera file (`--camera`): flycam's keys or OpenCV's matrices -------------------


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

    Keys: docs/formats/cameras.md. `image_size_px` (width, height) is used where the file has none. The
    principal point counts pixel centres at integers; where it is not given it is the image centre. Raises
    SourceUnreadable if the file is neither JSON nor YAML, CalibrationMissing if it is incomplete or describes
    no camera.
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
    # (fx, fy), (cx, cy) in pixels and the relative sigma of their notation
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
        stated = _flat(vector)
        wanted = 4 if fisheye else 5
        if any(stated[wanted:]):
            raise ValueError(
                f"D has {len(stated)} coefficients, flycam's {'fisheye' if fisheye else 'brown'} "
                f"model has {wanted}"
            )
        coefficients = (*stated[:wanted], *([0.0] * (wanted - len(stated))))
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


# -- Calibrated cameras of `models/cameras` --------------------------------------------------------


OTHER_LENS_LOG_RATIO = 0.2
"""Rounding in EXIF and the 16:9 ambiguity of 35 mm equivalents stay below 15 %; other lenses differ more."""
_SAME_SHAPE = 0.004
"""Images whose width/height differs by less have one shape: rounding, not another crop of the sensor."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCamera:
    """One calibrated setting of a camera.

    kind, mode      "photo" or "video"; the maker's name of the mode ("HQ"), "" where it has none
    zoom_range      digital zoom for which the numbers hold, 1.0 = none
    bands           layers the camera is sold for, where its tags do not tell them apart; else empty
    focal_mm        of a prime lens, where the entry has it
    focal_mm_range  of a zoom or exchangeable lens: `interior` holds the shortest, the photo states which
    """

    makers: tuple[str, ...]
    models: tuple[str, ...]
    kind: str
    mode: str
    interior: InteriorOrientation
    zoom_range: tuple[float, float]
    bands: tuple[str, ...]
    focal_mm: float | None
    focal_mm_range: tuple[float, float] | None
    source: str
    date: str
    rms_px: float | None


def lookup_camera(
    maker: str,
    model: str,
    image_size: tuple[int, int],
    mode: str | None = None,
    zoom: float | None = None,
    *,
    focal_mm: float | None = None,
    stated_focal_px: float | None = None,
) -> InteriorOrientation | None:
    """Look up a known camera's interior orientation for an image size, or None.

    image_size       (width, height)
    mode             "photo" (default), "video", or a named mode: "video HQ"
    zoom             digital zoom; an entry whose `zoom_range` spans more than one value is multiplied
    focal_mm         the lens's focal length by EXIF: determines zoom and exchangeable lenses
    stated_focal_px  focal length that the file states, in pixels of the image: an entry a fifth off is
                     another lens; where it states none, so is one whose millimetres are

    An entry of exactly this size goes first, then one of the same shape (scaled), then one as wide and taller
    (cropped: a 16:9 photo is the middle of a 4:3 one). Where the size does not tell modes apart, the first in
    the file is taken, and its sigma spans the others. Raises CalibrationMissing if a file is not well formed.
    """
    wanted = _key(mode or "photo").partition(" ")
    fitting = [
        (rank, interior)
        for camera in load_known_cameras()
        if _key(model) in camera.models
        and (not camera.makers or _key(maker) in camera.makers)
        and camera.kind == wanted[0]
        and wanted[2] in ("", camera.mode)
        and (stated_focal_px is not None or _same_lens(camera.focal_mm, focal_mm))
        and (interior := _set_to(camera, zoom or 1.0, focal_mm)) is not None
        and (rank := _closeness(interior.image_size_px, image_size)) is not None
    ]
    interiors = [(rank, _at_size(interior, image_size)) for rank, interior in fitting]
    if stated_focal_px is not None:
        interiors = [(r, i) for r, i in interiors if _same_lens(i.focal_length_px[0], stated_focal_px)]
    if not interiors:
        return None
    best = min(rank for rank, _ in interiors)
    modes = [interior for rank, interior in interiors if rank == best]
    first = modes[0]
    reach = max(abs(math.log(mode.focal_length_px[0] / first.focal_length_px[0])) for mode in modes)
    return replace(first, sigma_focal_rel=max(first.sigma_focal_rel, reach))


@lru_cache(maxsize=64)
def lookup_bands(maker: str, model: str) -> frozenset[str]:
    """Look up the layers a camera is sold for, where its tags do not tell them apart.

    Empty for other cameras.
    """
    return frozenset(
        band
        for camera in load_known_cameras()
        if _key(model) in camera.models and _key(maker) in camera.makers
        for band in camera.bands
    )


@lru_cache(maxsize=1)
def load_known_cameras() -> tuple[KnownCamera, ...]:
    """Load every entry of `models/cameras`, by file name; raise CalibrationMissing."""
    folder = find_models_dir() / "cameras"
    return tuple(camera for path in sorted(folder.glob("*.yaml")) for camera in read_cameras(path))


def read_cameras(path: Path) -> tuple[KnownCamera, ...]:
    """Read the entries of one file.

    Raises SourceUnreadable, CalibrationMissing naming the file and the entry.
    """
    document = read_document(path, is_bundled=True)
    entries = document if isinstance(document, list) else [document]
    cameras = []
    for number, entry in enumerate(entries, start=1):
        try:
            for place, values in _modes(entry, str(number)):
                calibration_id = f"models:{path.stem}#{place}"
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
                lenses = values.get("focal_mm_range")
                if lenses is not None:
                    numbers["focal_mm"] = lenses[0]
                cameras.append(
                    KnownCamera(
                        makers=tuple(_key(m) for m in ([makers] if isinstance(makers, str) else makers)),
                        models=tuple(_key(m) for m in values["models"]),
                        kind=str(values.get("kind", "photo")),
                        mode=_key(str(values.get("mode", ""))),
                        interior=parse_interior(numbers, None, calibration_id),
                        zoom_range=(float(low), float(high)),
                        bands=tuple(str(band) for band in values.get("bands") or ()),
                        focal_mm=None
                        if lenses is not None or values.get("focal_mm") is None
                        else float(values["focal_mm"]),
                        focal_mm_range=None if lenses is None else (float(lenses[0]), float(lenses[1])),
                        source=str(values["source"]),
                        date=str(values["date"]),
                        rms_px=None if values.get("rms_px") is None else float(values["rms_px"]),
                    )
                )
        except (KeyError, ValueError, TypeError) as error:
            raise CalibrationMissing(
                _(
                    "{name}: entry {number} is not well formed ({error}): correct it or remove the file",
                    name=path.name,
                    number=number,
                    error=error,
                )
            ) from error
    return tuple(cameras)


def _modes(entry: Mapping[str, Any], number: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (number, values) of an entry's modes, or of an entry without modes.

    Each mode includes the values that the entry states for all of them.
    """
    if "modes" not in entry:
        return [(number, entry)]
    shared = {key: value for key, value in entry.items() if key != "modes"}
    return [(f"{number}.{k}", {**shared, **mode}) for k, mode in enumerate(entry["modes"], start=1)]


def _set_to(camera: KnownCamera, zoom: float, focal_mm: float | None) -> InteriorOrientation | None:
    """Return the camera at a zoom and focal length; None where they do not fit."""
    low, high = camera.zoom_range
    if not low - 1e-6 <= zoom <= high + 1e-6:
        return None
    factor = zoom if low < high else 1.0
    interior = camera.interior
    if camera.focal_mm_range is not None:
        shortest, longest = camera.focal_mm_range
        if focal_mm is None or not shortest * 0.97 <= focal_mm <= longest * 1.03:
            return None
        factor *= focal_mm / shortest
        interior = replace(interior, calibration_id=f"{interior.calibration_id} at {focal_mm:g} mm")
    fx, fy = interior.focal_length_px
    return replace(interior, focal_length_px=(fx * factor, fy * factor))


def _closeness(have: tuple[int, int], want: tuple[int, int]) -> int | None:
    """Rank a size: 0 the same, 1 a resize, 2 a crop of the height, None another."""
    if have == want:
        return 0
    if min(*have, *want) > 0 and abs((have[0] * want[1]) / (have[1] * want[0]) - 1.0) < _SAME_SHAPE:
        return 1
    return 2 if have[0] == want[0] and have[1] > want[1] else None


def _at_size(interior: InteriorOrientation, size: tuple[int, int]) -> InteriorOrientation:
    if _closeness(interior.image_size_px, size) == 2:
        # crop to the middle rows of the image: `size` is as wide and less high
        height = interior.image_size_px[1]
        cx, cy = interior.principal_point_px
        readout = interior.readout_s
        return replace(
            interior,
            image_size_px=size,
            principal_point_px=(cx, cy - (height - size[1]) / 2.0),
            readout_s=None if readout is None else readout * size[1] / height,
            calibration_id=f"{interior.calibration_id} cropped to {size[0]}x{size[1]}",
        )
    # Scale to an image resized to `size`; pixel centres at integers, corners -0.5.
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


def _same_lens(focal: float | None, stated: float | None) -> bool:
    """Return True if two focal lengths in one unit can be one lens's.

    True also where either is unknown.
    """
    return focal is None or stated is None or abs(math.log(focal / stated)) < OTHER_LENS_LOG_RATIO


@lru_cache(maxsize=1024)
def _key(text: str) -> str:
    return " ".join(text.replace("\x00", " ").split()).casefold()
