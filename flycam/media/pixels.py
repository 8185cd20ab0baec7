"""Pixels of photos and video frames: decoding, image checks, JPEG encoding.

Photos are decoded in full for the mosaic, and reduced for sharpness and exposure.

Rows stay as the sensor read them, because calibrations and angles are given for that order: EXIF orientation
is not applied. libjpeg fills the missing part of a truncated file with grey and reports success,
so completeness is checked here before decoding.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam import MAX_PIXELS
from flycam.errors import FrameUnreadable, SourceUnreadable
from flycam.media.photo import MAX_SCANS, ContainerKind, PhotoHead, has_too_many_scans, open_photo, parse_head
from flycam.messages import _

# -- Checks of a reduced grey image for sharpness, exposure and a covered lens ---------------------


Pixels = NDArray[np.uint8]

COVERED_SPREAD, COVERED_SPREAD_IN_THE_DARK, DARK_MEAN = 5.0, 10.0, 16.0
THUMBNAIL_PX = 128
_CELL = 8
_FAR_STEP = 4
SMOOTH = 1.0 / _FAR_STEP**2
"""Sharpness of an image that is smooth over the far step: squared differences grow with distance squared."""
_MIN_VARIATION = 0.25  # squared grey levels: no structure below


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelChecks:
    """Measures of a reduced grey image, comparable within one camera and flight.

    sharpness     0 to about 1, see `measure_sharpness`: compare with the flight's median
    lens_covered  no image: black, or without any structure
    thumbnail     H×W uint8 grey, the longer side THUMBNAIL_PX: small enough to keep for a whole flight
    """

    sharpness: float
    lens_covered: bool
    thumbnail: Pixels | None = field(default=None, compare=False, repr=False)


def check_pixels(grey: Pixels) -> PixelChecks:
    """Check an H×W uint8 grey image."""
    return PixelChecks(
        sharpness=measure_sharpness(grey),
        lens_covered=_is_without_structure(grey),
        thumbnail=_thumbnail(grey),
    )


def _thumbnail(grey: Pixels) -> Pixels:
    scale = THUMBNAIL_PX / max(grey.shape)
    size = (max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _is_without_structure(grey: Pixels) -> bool:
    """Return True if averaging over cells of 8 × 8 pixels leaves no structure.

    Averaging removes sensor noise. A dim image keeps its structure; a cap that leaks light keeps a faint
    gradient, so a nearly black image must show more.
    """
    size = (max(grey.shape[1] // _CELL, 1), max(grey.shape[0] // _CELL, 1))
    cells = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    low, high = np.percentile(cells, (1.0, 99.0))
    return bool(high - low < (COVERED_SPREAD_IN_THE_DARK if grey.mean() < DARK_MEAN else COVERED_SPREAD))


def measure_sharpness(grey: Pixels) -> float:
    """Return the ratio of mean squared grey differences over 1 pixel to those over 4.

    The worst of four directions. A structure-function ratio: independent of contrast and brightness, near 1
    for fine texture, 1/16 where the image is smooth over 4 pixels; motion blur lowers the direction along
    which it smears. 0 for an image without structure or too small to measure.
    """
    if min(grey.shape) <= 2 * _FAR_STEP:
        return 0.0
    values = grey.astype(np.float32)
    ratios = []
    for down, right in ((1, 0), (0, 1), (1, 1), (1, -1)):
        near = _mean_square_step(values, down, right)
        far = _mean_square_step(values, _FAR_STEP * down, _FAR_STEP * right)
        ratios.append(near / far if far > _MIN_VARIATION else 0.0)
    return float(min(ratios))


def _mean_square_step(values: NDArray[np.float32], down: int, right: int) -> float:
    """Return the mean squared difference between pixels `down` and `right` apart."""
    rows, columns = values.shape
    ahead = values[down:, max(right, 0) : columns + min(right, 0)]
    behind = values[: rows - down, max(-right, 0) : columns - max(right, 0)]
    difference = cv2.subtract(ahead, behind)
    return float(cv2.norm(difference, cv2.NORM_L2SQR) / difference.size)


# -- Decoding of photos: full for the mosaic, reduced for sharpness and exposure -------------------


MAX_FILE_BYTES = 1 << 30
STRETCH_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True, slots=True)
class Photo:
    """Complete photo in memory: its head and all its bytes; path names it in errors."""

    path: Path
    head: PhotoHead
    data: bytes


def open_pixels(path: Path) -> Pixels:
    """Return the pixels of a photo, H×W×3 uint8 RGB, rows from the top as stored.

    The first three bands of the file, or the only one three times. Three bands of 16 bits lose their low
    byte; a single band of 16 bits (thermal counts, one spectral band) is stretched from its 0.5th to its
    99.5th percentile, a function of this photo alone.

    Raises FrameUnreadable naming the file: cut off, damaged, a bomb, or an unknown pixel type.
    """
    return decode_photo(load_photo(path))


def decode_photo(photo: Photo) -> Pixels:
    """Decode a loaded photo, as `open_pixels`. Raises FrameUnreadable."""
    if photo.head.kind is ContainerKind.JPEG:
        picture = _decode(photo, cv2.IMREAD_COLOR_RGB)
    else:
        picture = _in_file_order(_decode(photo, cv2.IMREAD_UNCHANGED))
    return np.ascontiguousarray(_three_bands(picture, photo.path))


def decode_jpeg(data: bytes, path: Path) -> Pixels:
    """Decode a JPEG made by flycam, with the same pixels as `open_pixels` returns.

    path  names it in errors

    Raises FrameUnreadable.
    """
    picture = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if picture is None:
        raise FrameUnreadable(
            _("{path}: what was made of it does not read: process the video again", path=path)
        )
    return np.asarray(picture, np.uint8)


def load_photo(path: Path) -> Photo:
    """Read a whole photo, once.

    Raises FrameUnreadable as `parse_photo`, or where it cannot be read.
    """
    try:
        with open_photo(path) as file:
            data = read_photo_bytes(file, path)
    except SourceUnreadable as error:
        raise FrameUnreadable.from_error(error) from error
    return parse_photo(data, path)


def read_photo_bytes(file: FileIO, path: Path) -> bytes:
    """Read an open photo. Raises FrameUnreadable for a file larger than any photo."""
    if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
        raise FrameUnreadable(
            _("{path}: is larger than 1 GB; it is not a photo of a drone, remove it", path=path)
        )
    return file.readall()


def parse_photo(data: bytes, path: Path, head: PhotoHead | None = None) -> Photo:
    """Check that bytes are a photo that is safe to decode, and complete.

    It has no more pixels than a camera has, and is not crafted to take seconds to decode. Raises
    FrameUnreadable.

    head  of these bytes, if it was parsed before
    """
    try:
        head = head or parse_head(data, path)
    except SourceUnreadable as error:
        raise FrameUnreadable.from_error(error) from error
    if not _is_complete(head, data):
        raise FrameUnreadable(
            _(
                "{path}: the {kind} is cut off before its end; copy it from the card again",
                path=path,
                kind=head.kind,
            )
        )
    if head.kind is ContainerKind.JPEG and has_too_many_scans(data):
        raise FrameUnreadable(
            _(
                "{path}: is a JPEG of more than {most_scans} scans, which no camera writes, "
                "so it is not decoded; remove it from the folder",
                path=path,
                most_scans=MAX_SCANS,
            )
        )
    return Photo(path, head, data)


def _is_complete(head: PhotoHead, data: bytes) -> bool:
    """Return True if a JPEG has an end marker after its scan, a PNG all its chunks.

    A TIFF is checked by its decoder. OpenCV's PNG reader trusts a chunk's length before it looks for the
    bytes, and would allocate 4 GB.
    """
    if head.kind is ContainerKind.JPEG:
        return head.scan_offset > 0 and data.rfind(b"\xff\xd9", head.scan_offset) >= 0
    return head.has_all_chunks


def _decode(photo: Photo, mode: int) -> NDArray[np.generic]:
    path, head, data = photo.path, photo.head, np.frombuffer(photo.data, np.uint8)
    try:
        picture = cv2.imdecode(data, mode | cv2.IMREAD_IGNORE_ORIENTATION if mode >= 0 else mode)
    except cv2.error as error:
        raise _damaged(head, path) from error
    if picture is None or picture.size == 0:
        raise _damaged(head, path)
    if picture.shape[0] * picture.shape[1] > MAX_PIXELS:
        raise FrameUnreadable(
            _("{path}: decodes to more pixels than its header says; remove it from the folder", path=path)
        )
    return picture


def _damaged(head: PhotoHead, path: Path) -> FrameUnreadable:
    return FrameUnreadable(
        _("{path}: the {kind} is damaged; copy it from the card again", path=path, kind=head.kind)
    )


def _in_file_order(picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """Convert OpenCV's BGR(A) order to the file's own order; drop alpha."""
    if picture.ndim == 3 and picture.shape[2] in (3, 4):
        return picture[:, :, 2::-1]
    return picture


def _three_bands(picture: NDArray[np.generic], path: Path) -> Pixels:
    eight = _to_eight_bits(picture[:, :, None] if picture.ndim == 2 else picture, path)
    return eight[:, :, :3] if eight.shape[2] >= 3 else eight[:, :, [0, 0, 0]]


def _to_eight_bits(layers: NDArray[np.generic], path: Path) -> Pixels:
    if layers.dtype == np.uint8:
        return np.asarray(layers, np.uint8)
    if layers.dtype == np.uint16 and layers.shape[2] >= 3:
        return np.asarray(layers.astype(np.uint16, copy=False) >> 8, np.uint8)
    if layers.dtype in (np.uint16, np.int16, np.float32, np.float64):
        values = layers.astype(np.float32)
        known = values[np.isfinite(values)]
        if known.size == 0:
            raise FrameUnreadable(_("{path}: holds no finite pixel; remove it from the folder", path=path))
        low, high = np.percentile(known, STRETCH_PERCENTILES)
        scaled = (np.nan_to_num(values, nan=low) - low) * (255.0 / max(float(high - low), 1e-6))
        return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)
    raise FrameUnreadable(
        _(
            "{path}: has pixels of type {dtype}, which flycam does not map; convert it to 8 bits",
            path=path,
            dtype=layers.dtype,
        )
    )


def check_photo(photo: Photo) -> PixelChecks:
    """Check sharpness, exposure and lens cap of one photo at a quarter of its size.

    Raises FrameUnreadable where it does not decode.
    """
    return check_pixels(_reduced_grey(photo, 4))


def read_pixel_checks(path: Path) -> PixelChecks:
    """Read and check one photo. Raises FrameUnreadable as `load_photo`, `check_photo`."""
    return check_photo(load_photo(path))


def read_grey(path: Path, side_px: int) -> Pixels:
    """Return a grey image H×W uint8 of one photo, rows as stored.

    Its longer side is `side_px` or the photo's own. Raises FrameUnreadable as `open_pixels`.
    """
    photo = load_photo(path)
    longest = max(photo.head.size_px)
    times = next((one for one in (8, 4, 2) if longest >= one * side_px), 1)
    grey = _reduced_grey(photo, times)
    scale = side_px / max(grey.shape)
    if scale >= 1.0:
        return grey
    size = max(round(grey.shape[1] * scale), 1), max(round(grey.shape[0] * scale), 1)
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


_GREY_JPEG = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def _reduced_grey(photo: Photo, times: int) -> Pixels:
    """Return a grey image `times` (1, 2, 4 or 8) smaller.

    Of a JPEG no more than that is decoded.
    """
    if photo.head.kind is ContainerKind.JPEG:
        return np.asarray(_decode(photo, _GREY_JPEG[times]), np.uint8)
    full = _three_bands(_in_file_order(_decode(photo, cv2.IMREAD_UNCHANGED)), photo.path)
    grey = cv2.cvtColor(np.ascontiguousarray(full), cv2.COLOR_RGB2GRAY)
    size = (max(full.shape[1] // times, 1), max(full.shape[0] // times, 1))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


# -- Encoding of a video frame as the JPEG that is stored and orthorectified -----------------------
#
# Its pixels, decoded, are those on the map.


JPEG_QUALITY = 95
_FULL_COLOUR = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


class EncodedFrame(NamedTuple):
    """JPEG bytes, their SHA-256, and the decoded pixels (H×W×3 uint8 RGB)."""

    data: bytes
    sha256: str
    pixels: NDArray[np.uint8]


def encode_frame_jpeg(pixels: NDArray[np.uint8], name: str) -> EncodedFrame:
    """Encode a frame H×W×3 uint8 RGB. Raises FrameUnreadable."""
    there, jpeg = cv2.imencode(
        ".jpg",
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, *_FULL_COLOUR],
    )
    if not there:
        raise FrameUnreadable(_("{name}: cannot be kept as a JPEG", name=name))
    data = jpeg.tobytes()
    return EncodedFrame(data, hashlib.sha256(data).hexdigest(), decode_jpeg(data, Path(name)))
