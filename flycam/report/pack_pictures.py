"""Maps of a briefing pack: unflown ground hatched, boundaries, marks, scale bar.

Text drawn into them is figures and units only, so that one image serves both languages; an exercise's mark is
an image of its own, which stands above: over the ground it would hide what is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]
PixelLine = NDArray[np.float64]
ImageWithMask = tuple[Bytes, Mask]
"""H×W×3 colours, and where they show ground."""

_JPEG_QUALITY = 88
_PAPER, _HATCH = 236, 196
_HATCH_PX, _HATCH_WIDE_PX = 26, 3
# blue, green, red
_YELLOW, _RED, _DARK, _WHITE = (0, 215, 255), (40, 30, 200), (40, 40, 40), (255, 255, 255)
_VIOLET, _LILAC = (200, 30, 160), (255, 190, 240)
# letters of two small images as large on paper as those of a map
_PAIR_UNIT, _GUTTER_PX = 2.2, 16
_NICE = (1.0, 2.0, 5.0)
_LAND, _BORDER, _AMBER, _ORANGE = (246, 246, 246), (170, 170, 170), (120, 205, 250), (70, 110, 235)
_BLUE = (190, 70, 10)
# the locator is a third of a page wide, beside a map with letters of 1000
_LOCATOR_LETTERS = 800.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MapOverlay:
    """Drawing over a map: lines K×2 of (column, row), and a number at `label_px`.

    Lines lie inside the image or little beyond; label "": none.
    """

    lines: Sequence[PixelLine]
    label: str
    label_px: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class LocatorCommune:
    """Commune of a locator map: its polygons in pixels, and its number ("" for none).

    is_shown: the pack shows ground of it; is_changed: a confirmed change lies in it.
    """

    shape: BaseGeometry
    label: str
    is_shown: bool
    is_changed: bool


def draw_locator_map(
    size_px: tuple[int, int],
    pixel_m: float,
    communes: Sequence[LocatorCommune],
    frame_px: tuple[float, float, float, float],
    band_png: bytes | None = None,
) -> bytes:
    """Draw the place in the province: a JPEG of (columns, rows), north up.

    pixel_m: metres a pixel. Communes are grey outlines, those shown amber, those with confirmed changes
    orange; frame_px (left, top, right, bottom) is what the overview shows, drawn so large that it is found;
    an arrow points north.
    """
    picture = np.full((size_px[1], size_px[0], 3), 255, np.uint8)
    unit = max(size_px) / _LOCATOR_LETTERS
    for one in sorted(communes, key=lambda one: (one.is_shown, one.is_changed)):
        colour = _ORANGE if one.is_changed else _AMBER if one.is_shown else _LAND
        rings = [np.rint(ring).astype(np.int32) for ring in _rings(one.shape)]
        cv2.fillPoly(picture, rings, colour, cv2.LINE_AA)
        shade, width = (_DARK, 2.0) if one.is_shown else (_BORDER, 1.2)
        cv2.polylines(picture, rings, True, shade, max(round(width * unit), 1), cv2.LINE_AA)
    for one in communes:
        inside = one.shape.representative_point()
        at = (float(inside.x), float(inside.y))
        _number(picture, MapOverlay(lines=(), label=one.label, label_px=at), unit, _WHITE)
    _frame(picture, frame_px, unit)
    _north(picture, unit)
    _scale_bar(picture, pixel_m, unit)
    if band_png is not None:
        picture = _below_band(picture, band_png)
    return _encoded(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def draw_map(
    rgb: Bytes,
    shown: Mask,
    pixel_m: float,
    boundaries: Sequence[MapOverlay] = (),
    signs: Sequence[MapOverlay] = (),
    band_png: bytes | None = None,
    changes: Sequence[MapOverlay] = (),
) -> bytes:
    """Draw a map as JPEG.

    rgb, shown  H×W×3 and where it holds ground; pixel_m metres a pixel
    boundaries  yellow, their numbers kept inside the image
    signs       field marks: red dots with their numbers, sectors with an outline; only those inside
                the image
    changes     confirmed ones: violet, with numbers only where their centre is inside the image
    band_png    mark of an exercise, above the map; None for a real flight
    """
    picture = _ground(rgb, shown)
    unit = max(max(picture.shape[:2]) / 1000.0, 0.5)
    for colour, drawn in ((_YELLOW, boundaries), (_VIOLET, changes), (_RED, signs)):
        for one in drawn:
            _outline(picture, one, unit, colour)
    for boundary in boundaries:
        _number(picture, boundary, unit)
    for change in changes:
        if _is_inside(picture, change):
            _number(picture, change, unit, _LILAC)
    for sign in signs:
        _dot(picture, sign, unit)
    _scale_bar(picture, pixel_m, unit)
    if band_png is not None:
        picture = _below_band(picture, band_png)
    return _encoded(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def draw_pair(
    before: ImageWithMask, after: ImageWithMask, pixel_m: float, change: MapOverlay, band_png: bytes | None
) -> bytes:
    """Draw the same ground at two dates as JPEG, before on the left.

    The change's outline is on both; ground not imaged is hatched. Both views are of one size; pixel_m metres
    a pixel.
    """
    sides = []
    for rgb, shown in (before, after):
        side = _ground(rgb, shown)
        unit = _PAIR_UNIT * max(side.shape[:2]) / 1000.0
        _outline(side, change, unit / 2.0, _VIOLET)
        sides.append(side)
    _scale_bar(sides[0], pixel_m, _PAIR_UNIT * max(sides[0].shape[:2]) / 1000.0)
    gutter = np.full((sides[0].shape[0], _GUTTER_PX, 3), 255, np.uint8)
    picture = np.ascontiguousarray(np.hstack([sides[0], gutter, sides[1]]))
    if band_png is not None:
        picture = _below_band(picture, band_png)
    return _encoded(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def encode_ground_png(rgb: Bytes, shown: Mask, band_png: bytes | None = None) -> bytes:
    """Encode a map as PNG with alpha 0 where nothing was imaged.

    An exercise's band is drawn over it, as the image ends where its ground does.
    """
    picture = np.dstack([rgb[..., ::-1], shown.astype(np.uint8) * np.uint8(255)])
    if band_png is not None:
        _lay_band(picture, band_png)
    return _encoded(".png", np.ascontiguousarray(picture), [cv2.IMWRITE_PNG_COMPRESSION, 4])


def read_size_px(picture: bytes) -> tuple[int, int]:
    """Return (columns, rows) of a JPEG or PNG."""
    rows, cols = _decoded(picture).shape[:2]
    return int(cols), int(rows)


def _ground(rgb: Bytes, shown: Mask) -> Bytes:
    """Return blue, green, red, hatched where nothing is shown."""
    picture = np.where(shown[..., None], rgb[..., ::-1], _hatched(shown.shape)[..., None])
    return np.ascontiguousarray(picture, dtype=np.uint8)


def _hatched(shape: tuple[int, ...]) -> Bytes:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.where((rows + cols) % _HATCH_PX < _HATCH_WIDE_PX, _HATCH, _PAPER).astype(np.uint8)


def _outline(picture: Bytes, drawn: MapOverlay, unit: float, colour: tuple[int, int, int]) -> None:
    lines = [np.rint(line).astype(np.int32) for line in drawn.lines]
    if not lines:
        # the whole image lies inside, or it is a point
        return
    for shade, width in ((_DARK, 5.0), (colour, 2.6)):
        cv2.polylines(picture, lines, False, shade, max(round(width * unit), 1), cv2.LINE_AA)


def _dot(picture: Bytes, sign: MapOverlay, unit: float) -> None:
    """Draw a dot on the place itself, its number beside it where there is room."""
    rows, cols = picture.shape[:2]
    x, y = (round(value) for value in sign.label_px)
    if not (0 <= x < cols and 0 <= y < rows):
        return
    radius, size = max(round(8 * unit), 3), 0.9 * unit
    for shade, wider in ((_WHITE, max(round(2 * unit), 1)), (_RED, 0)):
        cv2.circle(picture, (x, y), radius + wider, shade, -1, cv2.LINE_AA)
    width, height = _text_px(sign.label, size, unit)
    gap = round(8 * unit)
    left = x + radius + gap if x + radius + 2 * gap + width < cols else x - radius - gap - width
    foot = min(max(y + height // 2, height + gap), rows - gap)
    _write(picture, sign.label, (left, foot), size, unit, _WHITE, _RED)


def _rings(shape: BaseGeometry) -> list[PixelLine]:
    polygons = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    return [shapely.get_coordinates(ring) for part in polygons for ring in (part.exterior, *part.interiors)]


def _frame(picture: Bytes, frame_px: tuple[float, float, float, float], unit: float) -> None:
    """Draw a blue rectangle around the ground.

    It is never so small that a number covers it.
    """
    left, top, right, bottom = frame_px
    least = 24.0 * unit
    half_x, half_y = max((right - left) / 2.0, least), max((bottom - top) / 2.0, least)
    x, y = (left + right) / 2.0, (top + bottom) / 2.0
    corners = (round(x - half_x), round(y - half_y)), (round(x + half_x), round(y + half_y))
    for shade, width in ((_WHITE, 8.0), (_BLUE, 4.5)):
        cv2.rectangle(picture, *corners, shade, max(round(width * unit), 1), cv2.LINE_AA)


def _north(picture: Bytes, unit: float) -> None:
    """Draw an arrow in the upper right corner, half of it dark as on printed maps."""
    x, top, tall, wide = picture.shape[1] - 45 * unit, 22 * unit, 74 * unit, 20 * unit
    notch = (x, top + 0.78 * tall)
    for side, shade in ((-1.0, _DARK), (1.0, _WHITE)):
        half = np.array([(x, top), (x + side * wide, top + tall), notch])
        corners = [np.rint(half).astype(np.int32)]
        cv2.fillPoly(picture, corners, shade, cv2.LINE_AA)
        cv2.polylines(picture, corners, True, _DARK, max(round(2 * unit), 1), cv2.LINE_AA)


def _is_inside(picture: Bytes, drawn: MapOverlay) -> bool:
    rows, cols = picture.shape[:2]
    return bool(0.0 <= drawn.label_px[0] < cols and 0.0 <= drawn.label_px[1] < rows)


def _number(
    picture: Bytes, boundary: MapOverlay, unit: float, colour: tuple[int, int, int] = _YELLOW
) -> None:
    if not boundary.label:
        return
    rows, cols = picture.shape[:2]
    size = 1.1 * unit
    width, height = _text_px(boundary.label, size, unit)
    x = round(min(max(boundary.label_px[0] - width / 2, 6 * unit), cols - width - 6 * unit))
    y = round(min(max(boundary.label_px[1] + height / 2, height + 6 * unit), rows - 6 * unit))
    _write(picture, boundary.label, (x, y), size, unit, colour)


def _scale_bar(picture: Bytes, pixel_m: float, unit: float) -> None:
    """Draw a bar of round length, about a fifth of the width, lower left."""
    rows, cols = picture.shape[:2]
    wanted = 0.22 * cols * pixel_m
    power = 10.0 ** math.floor(math.log10(wanted))
    length_m = max(nice * power for nice in _NICE if nice * power <= wanted)
    text = f"{length_m:g} m" if length_m < 1000 else f"{length_m / 1000:g} km"
    left, foot, length = round(16 * unit), rows - round(16 * unit), round(length_m / pixel_m)
    thick = max(round(7 * unit), 2)
    cv2.rectangle(picture, (left - 2, foot - thick - 2), (left + length + 2, foot + 2), _WHITE, -1)
    cv2.rectangle(picture, (left, foot - thick), (left + length, foot), _DARK, -1)
    _write(picture, text, (left, foot - thick - round(8 * unit)), 0.9 * unit, unit, _WHITE)


def _write(
    picture: Bytes,
    text: str,
    at: tuple[int, int],
    size: float,
    unit: float,
    colour: tuple[int, int, int],
    ground: tuple[int, int, int] = _DARK,
) -> None:
    """Draw text on its own background; `at`: its lower left.

    So that it is readable on paper and on forest alike.
    """
    width, height = _text_px(text, size, unit)
    rim = max(round(4 * unit), 2)
    corners = (at[0] - rim, at[1] - height - rim), (at[0] + width + rim, at[1] + rim)
    cv2.rectangle(picture, *corners, ground, -1)
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, _stroke(unit), cv2.LINE_AA)


def _text_px(text: str, size: float, unit: float) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, _stroke(unit))
    return int(width), int(height)


def _stroke(unit: float) -> int:
    return max(round(2.2 * unit), 1)


def _below_band(picture: Bytes, band_png: bytes) -> Bytes:
    """Return the image below the band, as wide, its text a fifth of the width."""
    band, cols = _decoded(band_png), picture.shape[1]
    scale = cols / 5.0 / band.shape[1]
    words = cv2.resize(band, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    strip = np.empty((words.shape[0], cols, 3), np.uint8)
    strip[:] = band[0, 0]
    left = (cols - words.shape[1]) // 2
    strip[:, left : left + words.shape[1]] = words
    return np.ascontiguousarray(np.vstack([strip, picture]))


def _lay_band(picture: Bytes, band_png: bytes) -> None:
    """Draw the band across the middle of the upper rim, a third of the width or less."""
    band = _decoded(band_png)
    rows, cols = picture.shape[:2]
    scale = min(cols / 3.0 / band.shape[1], rows / 3.0 / band.shape[0])
    size = max(round(band.shape[1] * scale), 1), max(round(band.shape[0] * scale), 1)
    left = (cols - size[0]) // 2
    picture[: size[1], left : left + size[0], :3] = cv2.resize(band, size, interpolation=cv2.INTER_AREA)
    if picture.shape[2] == 4:
        picture[: size[1], left : left + size[0], 3] = 255


def _decoded(picture: bytes) -> Bytes:
    """Decode one of our own images to blue, green, red."""
    pixels = cv2.imdecode(np.frombuffer(picture, dtype=np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise RuntimeError("OpenCV cannot read a picture that it wrote")
    return np.asarray(pixels, dtype=np.uint8)


def _encoded(suffix: str, picture: Bytes, options: list[int]) -> bytes:
    written, data = cv2.imencode(suffix, picture, options)
    if not written:
        raise RuntimeError(f"OpenCV cannot write {suffix}")
    return bytes(data.tobytes())
