"""Which interior orientation a photo gets, by the strength of the evidence.

1  what the operator says (`--camera`)
2  the file's own per-unit calibration: DewarpData, else CalibratedFocalLength
3  `models/cameras`, for the maker, model, picture size and zoom
4  EXIF: focal length on a known pixel pitch, else the 35 mm equivalent, each with its stated sigma

The 35 mm equivalent compares diagonals (CIPA DCG-001): f_px = f35 / 43.267 mm × diagonal of the full
sensor picture. A 16:9 photo is a crop of a 4:3 or 3:2 sensor, which one the file does not say; 4:3 is
assumed, being what drones carry, and the sigma covers the other.
"""

from __future__ import annotations

import math
from dataclasses import replace

from flycam.errors import CalibrationMissing
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.ingest.metadata import PhotoMetadata

DIAGONAL_35MM = math.hypot(36.0, 24.0)
SIGMA_DEWARP = 0.0005
SIGMA_CALIBRATED_FOCAL = 0.005
SIGMA_FOCAL_PLANE = 0.02
SIGMA_FOCAL35 = 0.05
_MIN_F_PX_PER_WIDTH, _MAX_F_PX_PER_WIDTH = 0.2, 60.0


def interior_for(
    metadata: PhotoMetadata, camera_override: InteriorOrientation | None = None
) -> InteriorOrientation:
    """Interior orientation of one photo; `calibration_id` says where the numbers come from.

    Raises CalibrationMissing naming the file and the cure.
    """
    if camera_override is not None:
        return fitted_to(camera_override, metadata)
    for source in (_from_dewarp, _from_calibrated_focal, _from_focal_plane, _from_focal35):
        interior = source(metadata)
        if interior is not None:
            return interior
    camera = f"{metadata.maker} {metadata.model}".strip() or "an unknown camera"
    raise CalibrationMissing(
        f"{metadata.name}: nothing says what lens took it ({camera}); give the camera with --camera FILE"
    )


def image_centre(size_px: tuple[int, int]) -> tuple[float, float]:
    """Centre of a picture (cx, cy) with pixel centres at integers."""
    return (size_px[0] - 1) / 2.0, (size_px[1] - 1) / 2.0


def fitted_to(interior: InteriorOrientation, metadata: PhotoMetadata) -> InteriorOrientation:
    """The operator's camera at this photo's size: the same, or a plain resize of the same picture.

    Raises CalibrationMissing where the sides have another ratio (a crop cannot be told from the file).
    """
    size = metadata.image_size_px
    if interior.image_size_px == size:
        return interior
    scale = size[0] / interior.image_size_px[0]
    if abs(interior.image_size_px[1] * scale - size[1]) > 1.0:
        have, want = interior.image_size_px, size
        raise CalibrationMissing(
            f"{metadata.name}: is {want[0]}×{want[1]} but the camera given describes {have[0]}×{have[1]}, another"
            " shape; give a camera file of that picture size"
        )
    return resized(interior, size)


def resized(interior: InteriorOrientation, size_px: tuple[int, int]) -> InteriorOrientation:
    """Interior orientation of the same picture resampled to `size_px`; corners stay corners.

    Pixel centres at integers: u' + 0.5 = (u + 0.5) × scale.
    """
    sx, sy = size_px[0] / interior.image_size_px[0], size_px[1] / interior.image_size_px[1]
    (fx, fy), (cx, cy) = interior.focal_length_px, interior.principal_point_px
    return replace(
        interior,
        image_size_px=size_px,
        focal_length_px=(fx * sx, fy * sy),
        principal_point_px=((cx + 0.5) * sx - 0.5, (cy + 0.5) * sy - 0.5),
    )


def _calibrated_frame(metadata: PhotoMetadata) -> tuple[float, float, float]:
    """(scale, x shift, y shift) from the picture a DJI calibration describes to this one.

    CalibratedOpticalCenter is half the calibrated picture's size; without it the sizes are taken to be
    equal. A photo of the same width and less height is a centred crop; another width is a resize.
    """
    width, height = metadata.image_size_px
    if metadata.calibrated_centre_px is None:
        return 1.0, 0.0, 0.0
    full_width = 2.0 * metadata.calibrated_centre_px[0]
    if not 0.2 * width < full_width < 5.0 * width:
        return 1.0, 0.0, 0.0
    scale = width / full_width
    return (scale, 0.0, 0.0) if abs(scale - 1.0) > 0.03 else (1.0, 0.0, 0.0)


def _from_dewarp(metadata: PhotoMetadata) -> InteriorOrientation | None:
    dewarp = metadata.dewarp
    if dewarp is None:
        return None
    scale, _, _ = _calibrated_frame(metadata)
    centre = image_centre(metadata.image_size_px)
    plain = metadata.dewarped is True
    focal = (dewarp.fx_px * scale, dewarp.fy_px * scale)
    if not _plausible(focal[0], metadata):
        return None
    return InteriorOrientation(
        model=LensModel.PINHOLE if plain else LensModel.BROWN,
        image_size_px=metadata.image_size_px,
        focal_length_px=focal,
        principal_point_px=(
            centre[0] + dewarp.cx_offset_px * scale,
            centre[1] + dewarp.cy_offset_px * scale,
        ),
        distortion=() if plain else (dewarp.k1, dewarp.k2, dewarp.p1, dewarp.p2, dewarp.k3),
        calibration_id="file:DewarpData" + (" (already undistorted)" if plain else ""),
        sigma_focal_rel=SIGMA_DEWARP,
    )


def _from_calibrated_focal(metadata: PhotoMetadata) -> InteriorOrientation | None:
    focal = metadata.calibrated_focal_px
    if focal is None or not _plausible(focal, metadata):
        return None
    scale, _, _ = _calibrated_frame(metadata)
    return _pinhole(metadata, focal * scale, "file:CalibratedFocalLength", SIGMA_CALIBRATED_FOCAL)


def _from_focal_plane(metadata: PhotoMetadata) -> InteriorOrientation | None:
    focal, density, full = metadata.focal_mm, metadata.focal_plane_px_per_mm, metadata.exif_size_px
    if focal is None or density is None:
        return None
    scale = metadata.image_size_px[0] / full[0] if full is not None else 1.0
    f_px = focal * density * scale * (metadata.digital_zoom or 1.0)
    if not _plausible(f_px, metadata):
        return None
    return _pinhole(metadata, f_px, "exif:focal length and pixel pitch", SIGMA_FOCAL_PLANE)


def _from_focal35(metadata: PhotoMetadata) -> InteriorOrientation | None:
    if metadata.focal35_mm is None:
        return None
    f_px = metadata.focal35_mm / DIAGONAL_35MM * _full_diagonal_px(metadata.image_size_px)
    if not _plausible(f_px, metadata):
        return None
    return _pinhole(metadata, f_px, "exif:35 mm equivalent", SIGMA_FOCAL35)


def _full_diagonal_px(size_px: tuple[int, int]) -> float:
    long_side, short_side = max(size_px), min(size_px)
    if long_side / short_side > 1.55:
        short_side = round(long_side * 3 / 4)
    return math.hypot(long_side, short_side)


def _plausible(f_px: float, metadata: PhotoMetadata) -> bool:
    ratio = f_px / max(metadata.image_size_px)
    return _MIN_F_PX_PER_WIDTH <= ratio <= _MAX_F_PX_PER_WIDTH


def _pinhole(metadata: PhotoMetadata, f_px: float, calibration_id: str, sigma: float) -> InteriorOrientation:
    return InteriorOrientation(
        model=LensModel.PINHOLE,
        image_size_px=metadata.image_size_px,
        focal_length_px=(f_px, f_px),
        principal_point_px=image_centre(metadata.image_size_px),
        calibration_id=calibration_id,
        sigma_focal_rel=sigma,
    )
