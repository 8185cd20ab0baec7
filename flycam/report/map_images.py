"""Planes of a map as small images: classes as PNG, photos and relief as JPEG.

The class colours are distinct to colour-blind eyes.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.relief_displacement import MAX_BEND_PX
from flycam.report.report_figures import ERROR_BOUNDS_M, OVERLAP_BOUNDS

Mask = NDArray[np.bool_]

# ColorBrewer RdYlBu, as the map's own error layer
ERROR_COLOURS = ("#313695", "#4575b4", "#91bfdb", "#ffffbf", "#fdae61", "#f46d43", "#a50026")
# from few to many: viridis-like, lightness rises evenly (Smith and van der Walt 2015), few stand out dark
OVERLAP_COLOURS = ("#440154", "#3b528b", "#21908c", "#5dc963", "#b5de2b", "#fde725")
SURFACE_COLOURS = {"own": "#1b7837", "corrected": "#a6dba0", "dem": "#c2a5cf", "plane": "#f1b6da"}
BEND_COLOURS = {"whole": "#4575b4", "smooth": "#fee090", "bent": "#a50026"}
_WHITE = (255, 255, 255)
_JPEG_QUALITY = 82


def classify_values(
    value: NDArray[np.float32] | NDArray[np.int32], bounds: Sequence[float]
) -> NDArray[np.uint8]:
    """Return the class number of each value.

    0 up to and including the first bound, and so on.
    """
    return np.searchsorted(np.asarray(bounds, dtype=np.float64), value, side="left").astype(np.uint8)


def encode_error_png(error_m: NDArray[np.float32]) -> bytes:
    """Encode the classes of ERROR_BOUNDS_M as PNG; white where the error is NaN."""
    return _class_png(classify_values(error_m, ERROR_BOUNDS_M), np.isfinite(error_m), ERROR_COLOURS)


def encode_overlap_png(overlap: NDArray[np.int32], shown: Mask) -> bytes:
    """Encode the classes of OVERLAP_BOUNDS as PNG; white where nothing is shown."""
    return _class_png(classify_values(overlap, OVERLAP_BOUNDS), shown, OVERLAP_COLOURS)


def encode_surface_png(own: Mask, shown: Mask, ground: str) -> bytes:
    """Encode DSM and other ground (`ReportFigures.ground`) as PNG; white elsewhere."""
    colours = (SURFACE_COLOURS["own"], SURFACE_COLOURS[ground])
    return _class_png(np.where(own, 0, 1).astype(np.uint8), shown, colours)


def encode_bend_png(bend_px: NDArray[np.float32], smooth: Mask) -> bytes:
    """Encode windows as PNG: straight on measured heights, on smooth ones, bent.

    White where unknown.
    """
    known = np.isfinite(bend_px)
    classes = np.where(known & (np.nan_to_num(bend_px) > MAX_BEND_PX), 2, smooth).astype(np.uint8)
    return _class_png(classes, known, tuple(BEND_COLOURS.values()))


def encode_relief_jpeg(tone: NDArray[np.float64]) -> bytes:
    """Encode a shading from 0 (dark) to 1 as JPEG; white where it is NaN."""
    return _jpeg(np.where(np.isfinite(tone), 40.0 + 215.0 * np.nan_to_num(tone), 255.0))


def encode_pale_relief_jpeg(tone: NDArray[np.float64], shown: Mask) -> bytes:
    """Encode the shading as JPEG in pale tones at half size, to draw on.

    White where nothing is shown.
    """
    grey = np.where(np.isfinite(tone) & shown, 165.0 + 75.0 * np.nan_to_num(tone), 255.0)
    halved = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return _jpeg(np.asarray(halved, dtype=np.float64))


def encode_photo_jpeg(rgb: NDArray[np.uint8], shown: Mask) -> bytes:
    """Encode the map's colours as JPEG, white around it."""
    picture = np.where(shown[..., None], rgb[..., ::-1], np.uint8(255))
    return _jpeg(picture)


def _class_png(classes: NDArray[np.uint8], known: Mask, colours: Sequence[str]) -> bytes:
    table = np.array([*(_bgr(colour) for colour in colours), _WHITE], dtype=np.uint8)
    picture = table[np.where(known, classes, len(colours))]
    return _encoded(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _jpeg(picture: NDArray[np.uint8] | NDArray[np.float64]) -> bytes:
    return _encoded(".jpg", np.rint(picture).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _encoded(suffix: str, picture: NDArray[np.uint8], options: list[int]) -> bytes:
    written, data = cv2.imencode(suffix, picture, options)
    if not written:
        raise RuntimeError(f"OpenCV cannot write {suffix}")
    return bytes(data.tobytes())


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour[1:])
    return blue, green, red
