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
from flycam.geodata.cameras import lookup_camera
from flycam.geometry.camera import scaled
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.ingest.photo.metadata import PhotoMetadata

DIAGONAL_35MM = math.hypot(36.0, 24.0)
SIGMA_DEWARP = 0.002  # a real unit differed by 0.3 % from its bundle adjustment months later
SIGMA_CALIBRATED_FOCAL = 0.01
SIGMA_FOCAL_PLANE = 0.02
SIGMA_DIGITAL_ZOOM = 0.02
SIGMA_FOCAL35 = 0.05
_UNKNOWN_CAMERA = "an unknown camera", "máy ảnh chưa rõ"
_MIN_F_PX_PER_WIDTH, _MAX_F_PX_PER_WIDTH = 0.2, 60.0


def interior_for(
    metadata: PhotoMetadata, camera_override: InteriorOrientation | None = None
) -> InteriorOrientation:
    """Interior orientation of one photo; `calibration_id` says where the numbers come from.

    The readout time, which no file states, comes from `models/cameras` whatever gave the lens; a photo that
    says its shutter was mechanical has none. Raises CalibrationMissing naming the file and the cure.
    """
    if camera_override is not None:
        return fitted_to(camera_override, metadata)
    known = _known_camera(metadata)
    interior = _from_file(metadata, known) or known or _from_exif(metadata)
    if interior is None:
        camera, camera_vi = (metadata.camera_name,) * 2 if metadata.camera_name else _UNKNOWN_CAMERA
        raise CalibrationMissing(
            f"{metadata.name}: nothing says what lens took it ({camera}); give the camera with --camera FILE",
            vi=f"{metadata.name}: không có gì cho biết ống kính ({camera_vi}); hãy đưa thông số bằng "
            "--camera TỆP",
        )
    return _with_readout(interior, metadata, known)


def _known_camera(metadata: PhotoMetadata) -> InteriorOrientation | None:
    """The entry of `models/cameras`, unless EXIF shows that another lens or zoom was on the camera."""
    zoom = metadata.digital_zoom or 1.0
    stated = _from_exif(metadata)
    focal_px = stated.focal_length_px[0] if stated is not None else None

    def known(zoom: float, focal_px: float | None) -> InteriorOrientation | None:
        return lookup_camera(
            metadata.maker,
            metadata.model,
            metadata.image_size_px,
            "photo",
            zoom,
            focal_mm=metadata.focal_mm,
            stated_focal_px=focal_px,
        )

    found = known(zoom, focal_px)
    if found is not None or zoom <= 1.0:
        return found
    # makers disagree on whether the 35 mm equivalent counts the digital zoom
    stated_whole = [None] if focal_px is None else [focal_px / zoom, focal_px]
    whole = next((lens for stated_px in stated_whole if (lens := known(1.0, stated_px)) is not None), None)
    return zoomed(whole, zoom) if whole is not None else None


def _from_file(metadata: PhotoMetadata, known: InteriorOrientation | None) -> InteriorOrientation | None:
    """The file's own calibration.

    CalibratedFocalLength is the lens's design value and says nothing of distortion, so it does not displace
    a known lens with distortion unless the maker says that the pixels are already straight.
    """
    own = _from_dewarp(metadata)
    straight = metadata.dewarped is True
    if own is None and (straight or known is None or not known.distortion):
        own = _from_calibrated_focal(metadata)
    zoom = metadata.digital_zoom or 1.0
    return zoomed(own, zoom) if own is not None and zoom > 1.0 else own


def _from_exif(metadata: PhotoMetadata) -> InteriorOrientation | None:
    return _from_focal_plane(metadata) or _from_focal35(metadata)


def _with_readout(
    interior: InteriorOrientation, metadata: PhotoMetadata, known: InteriorOrientation | None
) -> InteriorOrientation:
    if metadata.shutter_type.lower().startswith("mechanical"):
        return replace(interior, readout_s=0.0)
    if interior.readout_s is None and known is not None:
        return replace(interior, readout_s=known.readout_s)
    return interior


def zoomed(interior: InteriorOrientation, zoom: float) -> InteriorOrientation:
    """The same lens behind a digital zoom: the middle of the picture enlarged `zoom` times to its size.

    Distortion acts on directions and stays; the principal point moves away from the centre. Makers round
    the factor, so the focal length is worth 2 % at best.
    """
    centre = image_centre(interior.image_size_px)
    focal, point = interior.focal_length_px, interior.principal_point_px
    return replace(
        interior,
        focal_length_px=(focal[0] * zoom, focal[1] * zoom),
        principal_point_px=(
            centre[0] + (point[0] - centre[0]) * zoom,
            centre[1] + (point[1] - centre[1]) * zoom,
        ),
        calibration_id=f"{interior.calibration_id} ×{zoom:g}",
        sigma_focal_rel=max(interior.sigma_focal_rel, SIGMA_DIGITAL_ZOOM),
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
    have = interior.image_size_px
    if abs(have[1] * size[0] / have[0] - size[1]) > 1.0:
        raise CalibrationMissing(
            f"{metadata.name}: is {size[0]}×{size[1]} but the camera given describes {have[0]}×{have[1]},"
            " another shape; give a camera file of that picture size",
            vi=f"{metadata.name}: ảnh {size[0]}×{size[1]} nhưng tệp máy ảnh ghi {have[0]}×{have[1]}, khác "
            "tỷ lệ; hãy đưa tệp máy ảnh của cỡ ảnh này",
        )
    return scaled(interior, size)


def _calibration_scale(metadata: PhotoMetadata) -> float:
    """Pixels of this photo per pixel of the picture that the file's calibration describes.

    CalibratedOpticalCenterX is half the width of that picture. A photo of the same width is that picture or
    a centred crop of it; another width is a resized copy that kept its tags.
    """
    centre = metadata.calibrated_centre_px
    if centre is None or centre[0] <= 0:
        return 1.0
    scale = metadata.image_size_px[0] / (2.0 * centre[0])
    return scale if 0.05 < scale < 20.0 and abs(scale - 1.0) > 0.03 else 1.0


def _from_dewarp(metadata: PhotoMetadata) -> InteriorOrientation | None:
    dewarp = metadata.dewarp
    if dewarp is None:
        return None
    scale = _calibration_scale(metadata)
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
    if metadata.calibrated_focal_px is None:
        return None
    focal = metadata.calibrated_focal_px * _calibration_scale(metadata)
    if not _plausible(focal, metadata):
        return None
    return _pinhole(metadata, focal, "file:CalibratedFocalLength", SIGMA_CALIBRATED_FOCAL)


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
