"""Pixels of photos: full decode for the map, reduced decode for judging sharpness and exposure.

Rows stay as the sensor read them, because calibrations and angles are given for that order: EXIF
orientation is applied only when a caller asks for it. libjpeg fills the missing part of a cut-off file
with grey and calls it a success, so completeness is checked here before decoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameUnreadable, SourceUnreadable
from flycam.ingest.container import MAX_PIXELS, Kind, PhotoHead, head_of, opened

MAX_FILE_BYTES = 1 << 30
STRETCH_PERCENTILES = (0.5, 99.5)
_TURNS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_MIRRORED = {2: None, 4: cv2.ROTATE_180, 5: cv2.ROTATE_90_COUNTERCLOCKWISE, 7: cv2.ROTATE_90_CLOCKWISE}

Pixels = NDArray[np.uint8]


def open_pixels(path: Path, orientation: int = 1, bands: tuple[int, int, int] | None = None) -> Pixels:
    """Pixels of a photo, H×W×3 uint8 RGB, rows from the top as stored.

    orientation  EXIF orientation to apply, 1 to 8; 1 leaves the rows as the sensor read them
    bands        which bands of the file (0-based, in the file's own order) become red, green, blue;
                 default: the first three, or the only one three times
    Three bands of 16 bits lose their low byte; a single band of 16 bits (thermal counts, one spectral
    band) is stretched from its 0.5th to its 99.5th percentile, a function of this photo alone.
    Raises FrameUnreadable naming the file: cut off, damaged, a bomb, or a kind of pixel not known.
    """
    head, data = _load(path)
    if head.kind is Kind.JPEG:
        picture = _decode(head, data, path, cv2.IMREAD_COLOR_RGB)
    else:
        picture = _in_file_order(_decode(head, data, path, cv2.IMREAD_UNCHANGED))
    return _turned(np.ascontiguousarray(_three_bands(picture, bands, path)), orientation)


def _load(path: Path) -> tuple[PhotoHead, NDArray[np.uint8]]:
    """Head and all bytes of a photo that is complete."""
    try:
        with opened(path) as file:
            head = head_of(file, path)
            if head.size_bytes > MAX_FILE_BYTES:
                raise FrameUnreadable(f"{path}: is larger than 1 GB; it is no photo of a drone, remove it")
            file.seek(0)
            data = file.readall()
    except SourceUnreadable as error:
        raise FrameUnreadable(str(error)) from error
    if not _is_complete(head, data):
        raise FrameUnreadable(
            f"{path}: the {head.kind} is cut off before its end; copy it from the card again"
        )
    return head, np.frombuffer(data, np.uint8)


def _is_complete(head: PhotoHead, data: bytes) -> bool:
    """A JPEG has an end marker after its scan, a PNG whole chunks; a TIFF is judged by its decoder.

    OpenCV's PNG reader believes a chunk's length before it looks for the bytes, and would reserve 4 GB.
    """
    if head.kind is Kind.JPEG:
        return head.scan_offset > 0 and data.rfind(b"\xff\xd9", head.scan_offset) >= 0
    return head.chunks_whole


def _decode(head: PhotoHead, data: NDArray[np.uint8], path: Path, mode: int) -> NDArray[np.generic]:
    try:
        picture = cv2.imdecode(data, mode | cv2.IMREAD_IGNORE_ORIENTATION if mode >= 0 else mode)
    except cv2.error as error:
        raise FrameUnreadable(f"{path}: the {head.kind} is damaged; copy it from the card again") from error
    if picture is None or picture.size == 0:
        raise FrameUnreadable(f"{path}: the {head.kind} is damaged; copy it from the card again")
    if picture.shape[0] * picture.shape[1] > MAX_PIXELS:
        raise FrameUnreadable(
            f"{path}: decodes to more pixels than its header says; remove it from the folder"
        )
    return picture


def _in_file_order(picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """OpenCV's BGR(A) order to the file's own order; alpha is dropped."""
    if picture.ndim == 3 and picture.shape[2] in (3, 4):
        return picture[:, :, 2::-1]
    return picture


def _three_bands(picture: NDArray[np.generic], bands: tuple[int, int, int] | None, path: Path) -> Pixels:
    layers = picture[:, :, None] if picture.ndim == 2 else picture
    count = layers.shape[2]
    chosen = bands if bands is not None else ((0, 1, 2) if count >= 3 else (0, 0, 0))
    if max(chosen) >= count or min(chosen) < 0:
        raise FrameUnreadable(f"{path}: has {count} bands, so bands {chosen} cannot be shown; choose others")
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
            raise FrameUnreadable(f"{path}: holds no finite pixel; remove it from the folder")
        low, high = np.percentile(known, STRETCH_PERCENTILES)
        scaled = (np.nan_to_num(values, nan=low) - low) * (255.0 / max(float(high - low), 1e-6))
        return np.asarray(np.clip(np.rint(scaled), 0, 255), np.uint8)
    raise FrameUnreadable(
        f"{path}: has pixels of type {layers.dtype}, which flycam does not map; convert it to 8 bits"
    )


def _turned(picture: Pixels, orientation: int) -> Pixels:
    if orientation in _MIRRORED:
        picture = np.ascontiguousarray(cv2.flip(picture, 1))
        turn = _MIRRORED[orientation]
    else:
        turn = _TURNS.get(orientation)
    return picture if turn is None else np.asarray(cv2.rotate(picture, turn), np.uint8)


# -- judging a photo from a reduced decode --------------------------------------------------------

COVERED_SPREAD, COVERED_SPREAD_IN_THE_DARK, DARK_MEAN = 5.0, 10.0, 16.0
_CELL = 8
_FAR_STEP = 4
_LEAST_VARIATION = 0.25  # squared grey levels: below it there is nothing to be sharp


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelChecks:
    """What a reduced greyscale picture shows; comparable between photos of one camera and flight.

    sharpness        0 to about 1, see `sharpness_of`: compare with the flight's median
    mean             mean grey 0..255
    spread           99th minus 1st percentile of grey
    dark_fraction    pixels at or below 4; bright_fraction at or above 251
    lens_covered     no picture: black, or without any structure
    reduced_size_px  (width, height) of the picture that was judged
    """

    sharpness: float
    mean: float
    spread: float
    dark_fraction: float
    bright_fraction: float
    lens_covered: bool
    reduced_size_px: tuple[int, int]


def pixel_checks(path: Path) -> PixelChecks:
    """Sharpness, exposure and lens cap of one photo from a decode at a quarter of its size.

    Raises FrameUnreadable as `open_pixels`.
    """
    head, data = _load(path)
    if head.kind is Kind.JPEG:
        grey = _decode(head, data, path, cv2.IMREAD_REDUCED_GRAYSCALE_4)
    else:
        full = _three_bands(_in_file_order(_decode(head, data, path, cv2.IMREAD_UNCHANGED)), None, path)
        size = (max(full.shape[1] // 4, 1), max(full.shape[0] // 4, 1))
        grey = cv2.resize(
            cv2.cvtColor(np.ascontiguousarray(full), cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA
        )
    return judge(np.asarray(grey, np.uint8))


def judge_picture(picture: Pixels) -> PixelChecks:
    """Checks of an H×W×3 RGB picture that is already decoded, at a quarter of its size."""
    size = (max(picture.shape[1] // 4, 1), max(picture.shape[0] // 4, 1))
    grey = cv2.cvtColor(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return judge(np.asarray(grey, np.uint8))


def judge(grey: Pixels) -> PixelChecks:
    """Checks of an H×W uint8 grey picture."""
    counts = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel().astype(np.float64)
    share = np.cumsum(counts) / grey.size
    mean = float(counts @ np.arange(256) / grey.size)
    return PixelChecks(
        sharpness=sharpness_of(grey),
        mean=mean,
        spread=float(np.searchsorted(share, 0.99) - np.searchsorted(share, 0.01)),
        dark_fraction=float(share[4]),
        bright_fraction=float(1.0 - share[250]),
        lens_covered=_is_without_structure(grey, mean),
        reduced_size_px=(grey.shape[1], grey.shape[0]),
    )


def _is_without_structure(grey: Pixels, mean: float) -> bool:
    """Whether averaging over cells of 8 × 8 pixels, which removes sensor noise, leaves nothing to see.

    A dim picture keeps its structure under averaging; a cap that leaks light keeps a faint gradient, so a
    nearly black picture must show more.
    """
    size = (max(grey.shape[1] // _CELL, 1), max(grey.shape[0] // _CELL, 1))
    cells = cv2.resize(grey.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    low, high = np.percentile(cells, (1.0, 99.0))
    return bool(high - low < (COVERED_SPREAD_IN_THE_DARK if mean < DARK_MEAN else COVERED_SPREAD))


def sharpness_of(grey: Pixels) -> float:
    """Ratio of mean squared grey differences over 1 pixel to those over 4, the worst of four directions.

    A structure-function ratio: independent of contrast and brightness, near 1 for fine texture, 1/16
    where the picture is smooth over 4 pixels; motion blur lowers the direction along which it smears. 0 for a
    picture without structure or too small to tell.
    """
    if min(grey.shape) <= 2 * _FAR_STEP:
        return 0.0
    values = grey.astype(np.float32)
    ratios = []
    for down, right in ((1, 0), (0, 1), (1, 1), (1, -1)):
        near = _mean_square_step(values, down, right)
        far = _mean_square_step(values, _FAR_STEP * down, _FAR_STEP * right)
        ratios.append(near / far if far > _LEAST_VARIATION else 0.0)
    return float(min(ratios))


def _mean_square_step(values: NDArray[np.float32], down: int, right: int) -> float:
    """Mean squared difference between each pixel and the one `down` rows and `right` columns further."""
    rows, columns = values.shape
    ahead = values[down:, max(right, 0) : columns + min(right, 0)]
    behind = values[: rows - down, max(-right, 0) : columns - max(right, 0)]
    difference = cv2.subtract(ahead, behind)
    return float(cv2.norm(difference, cv2.NORM_L2SQR) / difference.size)
