"""Interior orientation of a photo, from the best available source.

Calibrated comes before stated, the file before the table:

1  the operator's camera (`--camera`)
2  the file's own calibration: DewarpData (DJI, Skydio), Pix4D's tags, CalibratedFocalLength
3  `models/cameras`, for the maker, model, image size and zoom, where the file states nothing else
4  values that the file states: field of view, focal length on a known pixel pitch, 35 mm equivalent, with its
   sigma
5  for an unknown camera, the flight's own images (`flycam.ingest.preflight.image_rotation`)

The file also limits 3: an entry that is a fifth off its stated value is another lens's. Otherwise a
calibration of several units is closer than a stated figure, which is rounded and has no distortion.

The 35 mm equivalent compares diagonals (CIPA DCG-001): f_px = f35 / 43.267 mm × diagonal of the full sensor
image. A 16:9 photo is a crop of a 4:3 or 3:2 sensor, which one the file does not state; 4:3 is assumed, being
usual on drones, and the sigma covers the other.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from flycam.errors import CalibrationMissing
from flycam.geodata.cameras import lookup_camera
from flycam.geometry.camera import InteriorOrientation, LensModel, scale_interior
from flycam.ingest.photos.photo_reader import PhotoMetadata
from flycam.messages import _

DIAGONAL_35MM = math.hypot(36.0, 24.0)
# A real unit differed by 0.3 % from its bundle adjustment months later.
SIGMA_DEWARP = 0.002
SIGMA_CALIBRATED_FOCAL = 0.01  # the lens's design value
# The second where the sensor's width is derived from the principal point.
SIGMA_PIX4D, SIGMA_PIX4D_PITCH = 0.01, 0.02
SIGMA_FIELD_OF_VIEW = 0.02
SIGMA_FOCAL_PLANE = 0.02
SIGMA_DIGITAL_ZOOM = 0.02
SIGMA_FOCAL35 = 0.05
_MIN_F_PX_PER_WIDTH, _MAX_F_PX_PER_WIDTH = 0.2, 60.0
_SENSOR_SHAPES = (0.5625, 2 / 3, 0.75, 0.8)  # height over width
_SAME_SHAPE, _SAME_WIDTH, _OFF_CENTRE = 0.02, 0.03, 0.05
# DJI's image centre is half the width, Skydio's half a pixel less.
_COUNTS_CORNERS = 0.51


def resolve_interior(
    metadata: PhotoMetadata, camera_override: InteriorOrientation | None = None
) -> InteriorOrientation:
    """Return the interior orientation of one photo; `calibration_id` names the source.

    The readout time, which no file states, comes from `models/cameras` whatever gave the other values; a
    photo with a mechanical shutter has none. Raises CalibrationMissing naming the file and the cure.
    """
    if camera_override is not None:
        return fit_interior_to_photo(camera_override, metadata)
    known = _known_camera(metadata)
    interior = _from_file(metadata, known) or known or _as_stated(metadata)
    if interior is None:
        raise CalibrationMissing(
            _(
                "{name}: nothing says what lens took it ({camera}); give the camera with --camera FILE",
                name=metadata.name,
                camera=metadata.camera_name or _("an unknown camera"),
            )
        )
    return _with_readout(interior, metadata, known)


def _known_camera(metadata: PhotoMetadata) -> InteriorOrientation | None:
    """Return the entry of `models/cameras`, unless EXIF shows another lens or zoom."""
    zoom = metadata.digital_zoom or 1.0
    stated = _as_stated(metadata)
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
    unzoomed = next((lens for stated_px in stated_whole if (lens := known(1.0, stated_px)) is not None), None)
    return apply_digital_zoom(unzoomed, zoom) if unzoomed is not None else None


def _from_file(metadata: PhotoMetadata, known: InteriorOrientation | None) -> InteriorOrientation | None:
    """Return the file's own calibration.

    A focal length alone (CalibratedFocalLength is the lens's design value, Parrot writes Pix4D's distortion
    as zeros) has no distortion, so it does not replace a known lens with distortion unless the maker states
    that the pixels are already undistorted.
    """
    pix4d = _from_pix4d(metadata)
    own = _from_dewarp(metadata) or (pix4d if pix4d is not None and pix4d.distortion else None)
    straight = metadata.dewarped is True
    if own is None and (straight or known is None or not known.distortion):
        own = _from_calibrated_focal(metadata) or pix4d
    zoom = metadata.digital_zoom or 1.0
    return apply_digital_zoom(own, zoom) if own is not None and zoom > 1.0 else own


def _as_stated(metadata: PhotoMetadata) -> InteriorOrientation | None:
    return _from_field_of_view(metadata) or _from_focal_plane(metadata) or _from_focal35(metadata)


def _with_readout(
    interior: InteriorOrientation, metadata: PhotoMetadata, known: InteriorOrientation | None
) -> InteriorOrientation:
    if metadata.shutter_type.lower().startswith("mechanical"):
        return replace(interior, readout_s=0.0)
    if interior.readout_s is None and known is not None:
        return replace(interior, readout_s=known.readout_s)
    return interior


def apply_digital_zoom(interior: InteriorOrientation, zoom: float) -> InteriorOrientation:
    """Return the interior behind a digital zoom, which enlarges the image centre.

    Distortion acts on directions and stays; the principal point moves away from the centre. Makers round the
    factor, so the focal length is good to 2 % at best.
    """
    centre = compute_image_centre(interior.image_size_px)
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


def compute_image_centre(size_px: tuple[int, int]) -> tuple[float, float]:
    """Return the centre of an image (cx, cy) with pixel centres at integers."""
    return (size_px[0] - 1) / 2.0, (size_px[1] - 1) / 2.0


def fit_interior_to_photo(interior: InteriorOrientation, metadata: PhotoMetadata) -> InteriorOrientation:
    """Scale the operator's camera to a photo's size, the same or a plain resize.

    Raises CalibrationMissing where the sides have another ratio (a crop cannot be identified from the file).
    """
    size = metadata.image_size_px
    if interior.image_size_px == size:
        return interior
    have = interior.image_size_px
    if abs(have[1] * size[0] / have[0] - size[1]) > 1.0:
        raise CalibrationMissing(
            _(
                "{name}: is {width_px}×{height_px} but the camera given describes "
                "{camera_width_px}×{camera_height_px}, "
                "another shape; give a camera file of that picture size",
                name=metadata.name,
                width_px=size[0],
                height_px=size[1],
                camera_width_px=have[0],
                camera_height_px=have[1],
            )
        )
    return scale_interior(interior, size)


def _calibrated_picture(metadata: PhotoMetadata) -> tuple[float, tuple[float, float]] | None:
    """Return a photo's scale against its calibrated image, and the optical centre.

    The scale is in pixels of this photo per pixel of the image that its calibration describes; the optical
    centre, near the middle of that image, is in pixels of this photo. A photo as wide as the calibrated image
    is that image or a centred crop of its height; another width is a resized copy that kept its tags. None
    where the photo is higher than the sensor: a thermal camera that carries the colour camera's tags.
    """
    width, height = metadata.image_size_px
    centre, full = metadata.calibrated_centre_px, metadata.exif_size_px
    if centre is None or min(centre) <= 0:
        return 1.0, compute_image_centre((width, height))
    shape = min(_SENSOR_SHAPES, key=lambda one: abs(one - centre[1] / centre[0]))
    if height / width > shape * (1.0 + _SAME_SHAPE):
        return None
    widths = [2.0 * centre[0], *((full[0],) if full is not None else ()), width]
    described = [one for one in widths if abs(one / widths[0] - 1.0) < _SAME_WIDTH][-1]
    scale, middle = width / described, compute_image_centre((width, height))
    is_crop = height / width < shape * (1.0 - _SAME_SHAPE)
    sides = described, described * (shape if is_crop else height / width)
    off = (one - (side - 1.0) / 2.0 for one, side in zip(centre, sides, strict=True))
    dx, dy = (pixels if abs(pixels) > _COUNTS_CORNERS else 0.0 for pixels in off)
    return scale, (middle[0] + dx * scale, middle[1] + dy * scale)


def _from_dewarp(metadata: PhotoMetadata) -> InteriorOrientation | None:
    dewarp, picture = metadata.dewarp, _calibrated_picture(metadata)
    if dewarp is None or picture is None:
        return None
    scale, centre = picture
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
    picture = _calibrated_picture(metadata)
    if metadata.calibrated_focal_px is None or picture is None:
        return None
    focal = metadata.calibrated_focal_px * picture[0]
    if not _plausible(focal, metadata):
        return None
    return _pinhole(metadata, focal, "file:CalibratedFocalLength", SIGMA_CALIBRATED_FOCAL)


def _from_pix4d(metadata: PhotoMetadata) -> InteriorOrientation | None:
    """Return the interior in Pix4D's tags.

    Millimetres become pixels by EXIF's pixel pitch, else by the principal point, which is near the middle of
    the sensor.
    """
    lens = metadata.pix4d_lens
    if lens is None:
        return None
    width, height = metadata.image_size_px
    scale = width / metadata.exif_size_px[0] if metadata.exif_size_px is not None else 1.0
    if lens.focal_mm is None:
        focal, distortion = convert_pix4d_fisheye(lens.affine_px[0] * scale, lens.polynomial)
        sigma, model, centre = SIGMA_PIX4D, LensModel.FISHEYE, compute_image_centre((width, height))
    else:
        density = metadata.focal_plane_px_per_mm
        px_per_mm = density * scale if density is not None else width / (2.0 * lens.centre_mm[0])
        focal, sigma = lens.focal_mm * px_per_mm, SIGMA_PIX4D_PITCH if density is None else SIGMA_PIX4D
        r1, r2, r3, t1, t2 = lens.distortion or (0.0,) * 5
        distortion = (r1, r2, t1, t2, r3) if any(lens.distortion) else ()
        model = LensModel.BROWN if distortion else LensModel.PINHOLE
        centre = (lens.centre_mm[0] * px_per_mm - 0.5, lens.centre_mm[1] * px_per_mm - 0.5)
        middle = compute_image_centre((width, height))
        if max(abs(centre[0] - middle[0]), abs(centre[1] - middle[1])) > _OFF_CENTRE * width:
            # stated for another image: a crop, or another pitch
            centre = middle
    if not _plausible(focal, metadata):
        return None
    return InteriorOrientation(
        model=model,
        image_size_px=(width, height),
        focal_length_px=(focal, focal),
        principal_point_px=centre,
        distortion=distortion,
        calibration_id=f"file:Camera {model}",
        sigma_focal_rel=sigma,
    )


def convert_pix4d_fisheye(affine_px: float, polynomial: tuple[float, ...]) -> tuple[float, tuple[float, ...]]:
    """Convert Pix4D's fisheye to (focal length in px, k1 to k4 of LensModel.FISHEYE).

    Pix4D: radius = affine × Σ pᵢ (2θ/π)ⁱ ("Internal and external camera parameters"). The odd polynomial in θ
    is its least-squares fit out to 85° or to where the radius stops growing.
    """
    theta = np.radians(np.linspace(1.0, 85.0, 85))
    radius = affine_px * np.polynomial.polynomial.polyval(theta * 2.0 / np.pi, np.array(polynomial))
    falling = np.flatnonzero(np.diff(radius) <= 0)
    theta, radius = (
        theta[: falling[0] if falling.size else None],
        radius[: falling[0] if falling.size else None],
    )
    terms = theta[:, None] ** np.arange(1, 10, 2)
    fitted, *_ = np.linalg.lstsq(terms, radius, rcond=None)
    focal = float(fitted[0])
    return focal, tuple((fitted[1:] / focal).tolist()) if focal > 0 else ()


def _from_field_of_view(metadata: PhotoMetadata) -> InteriorOrientation | None:
    view = metadata.field_of_view_deg
    if view is None:
        return None
    width, height = metadata.image_size_px
    stated = (
        (view.horizontal_deg, width),
        (view.diagonal_deg, math.hypot(width, height)),
        (view.vertical_deg, height),
    )
    for degrees, extent_px in stated:
        if degrees is not None:
            focal = extent_px / 2.0 / math.tan(math.radians(degrees) / 2.0)
            if _plausible(focal, metadata):
                return _pinhole(metadata, focal, "file:field of view", SIGMA_FIELD_OF_VIEW)
    return None


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
    # a crop of a sensor that is assumed to be 4:3
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
        principal_point_px=compute_image_centre(metadata.image_size_px),
        calibration_id=calibration_id,
        sigma_focal_rel=sigma,
    )
