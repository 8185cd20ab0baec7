"""Pixels of photos: full decode for the mosaic, reduced decode for sharpness and exposure.

Rows stay as the sensor read them, because calibrations and angles are given for that order: EXIF orientation
is applied only on request. libjpeg fills the missing part of a truncated file with grey and reports success,
so completeness is checked here before decoding.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam import MAX_PIXELS
from flycam.errors import FrameUnreadable, SourceUnreadable
from flycam.ingest.photo.container import MAX_SCANS, has_too_many_scans, open_photo, parse_head
from flycam.ingest.photo.photo_head import ContainerKind, PhotoHead
from flycam.ingest.photo.pixel_checks import PixelChecks, Pixels, check_pixels
from flycam.messages import _

__all__ = [
    "Photo",
    "PixelChecks",
    "Pixels",
    "decode_photo",
    "load_photo",
    "open_pixels",
    "parse_photo",
    "read_pixel_checks",
]

MAX_FILE_BYTES = 1 << 30
STRETCH_PERCENTILES = (0.5, 99.5)
_TURNS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_MIRRORED = {2: None, 4: cv2.ROTATE_180, 5: cv2.ROTATE_90_COUNTERCLOCKWISE, 7: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True, slots=True)
class Photo:
    """Complete photo in memory: its head and all its bytes; path names it in errors."""

    path: Path
    head: PhotoHead
    data: bytes


def open_pixels(path: Path, orientation: int = 1, bands: tuple[int, int, int] | None = None) -> Pixels:
    """Return the pixels of a photo, H×W×3 uint8 RGB, rows from the top as stored.

    orientation  EXIF orientation to apply, 1 to 8; 1 leaves the rows as the sensor read them
    bands        bands of the file (0-based, in the file's own order) for red, green, blue; default: the first
                 three, or the only one three times

    Three bands of 16 bits lose their low byte; a single band of 16 bits (thermal counts, one spectral band)
    is stretched from its 0.5th to its 99.5th percentile, a function of this photo alone.

    Raises FrameUnreadable naming the file: cut off, damaged, a bomb, or an unknown pixel type.
    """
    return decode_photo(load_photo(path), orientation, bands)


def decode_photo(photo: Photo, orientation: int = 1, bands: tuple[int, int, int] | None = None) -> Pixels:
    """Decode a loaded photo, as `open_pixels`. Raises FrameUnreadable."""
    if photo.head.kind is ContainerKind.JPEG:
        picture = _decode(photo, cv2.IMREAD_COLOR_RGB)
    else:
        picture = _in_file_order(_decode(photo, cv2.IMREAD_UNCHANGED))
    return _turned(np.ascontiguousarray(_three_bands(picture, bands, photo.path)), orientation)


def decode_jpeg(data: bytes, path: Path) -> Pixels:
    """Decode a JPEG made by flycam, with the same pixels as `open_pixels` returns.

    path  names it in errors

    Raises FrameUnreadable.
    """
    picture = cv2.imdecode(
        np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    )
    if picture is None:
        raise FrameUnreadable(_("{path}: what was made of it does not read: lay the film again", path=path))
    return np.asarray(picture, np.uint8)


def load_photo(path: Path) -> Photo:
    """Read a whole photo, once.

    Raises FrameUnreadable as `parse_photo`, or where it cannot be read.
    """
    try:
        with open_photo(path) as file:
            if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                raise FrameUnreadable(
                    _("{path}: is larger than 1 GB; it is no photo of a drone, remove it", path=path)
                )
            data = file.readall()
    except SourceUnreadable as error:
        raise FrameUnreadable.from_error(error) from error
    return parse_photo(data, path)


def parse_photo(data: bytes, path: Path) -> Photo:
    """Check that bytes are a photo that is safe to decode, and complete.

    It has no more pixels than a camera has, and is not crafted to take seconds to decode. Raises
    FrameUnreadable.
    """
    try:
        head = parse_head(data, path)
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


def _three_bands(picture: NDArray[np.generic], bands: tuple[int, int, int] | None, path: Path) -> Pixels:
    layers = picture[:, :, None] if picture.ndim == 2 else picture
    count = layers.shape[2]
    chosen = bands if bands is not None else ((0, 1, 2) if count >= 3 else (0, 0, 0))
    if max(chosen) >= count or min(chosen) < 0:
        raise FrameUnreadable(
            _(
                "{path}: has {count} bands, so bands {chosen} cannot be shown; choose others",
                path=path,
                count=count,
                chosen=chosen,
            )
        )
    eight = _to_eight_bits(layers, path)
    return eight if count == 3 and chosen == (0, 1, 2) else eight[:, :, list(chosen)]


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


def _turned(picture: Pixels, orientation: int) -> Pixels:
    if orientation in _MIRRORED:
        picture = np.ascontiguousarray(cv2.flip(picture, 1))
        turn = _MIRRORED[orientation]
    else:
        turn = _TURNS.get(orientation)
    return picture if turn is None else np.asarray(cv2.rotate(picture, turn), np.uint8)


def read_pixel_checks(path: Path) -> PixelChecks:
    """Check sharpness, exposure and lens cap of one photo at a quarter of its size.

    Raises FrameUnreadable as `open_pixels`.
    """
    return check_pixels(_reduced_grey(load_photo(path), 4))


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
    full = _three_bands(_in_file_order(_decode(photo, cv2.IMREAD_UNCHANGED)), None, photo.path)
    grey = cv2.cvtColor(np.ascontiguousarray(full), cv2.COLOR_RGB2GRAY)
    size = (max(full.shape[1] // times, 1), max(full.shape[0] // times, 1))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)
