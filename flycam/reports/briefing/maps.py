"""Maps of a briefing pack: overview, communes, locator, image pairs.

Each commune has a map of the ground shown in it, and each of the largest confirmed changes a
before-and-after image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.errors import ObjectMissing, TileCorrupt
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.geometry.grid import Bounds, mercator_to_lonlat
from flycam.model.records import BoundsLonLat, MosaicInfo
from flycam.mosaic.coverage import list_flight_communes
from flycam.mosaic.raster import (
    COLOURS,
    OutputGrid,
    TileReader,
    choose_source_zoom,
    make_output_grid,
    resample_colours,
)
from flycam.mosaic.redaction import MaskOverlay
from flycam.reports.briefing.changes import OVERVIEW, name_change_picture, name_commune_picture
from flycam.reports.briefing.contents import (
    MissingImage,
    PackContents,
    PackImage,
    Pair,
    ShownChange,
    ShownCommune,
    ShownFlight,
    ShownMark,
)
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Drawing of maps: unflown ground hatched, boundaries, marks, scale bar -------------------------
#
# Text in them is figures and units only, so that one image serves both languages. An exercise's mark is an
# image of its own above the map: over the ground it would hide what is looked for.


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
        rows, cols = picture.shape[:2]
        if 0.0 <= change.label_px[0] < cols and 0.0 <= change.label_px[1] < rows:
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


def read_size_px(picture: bytes) -> tuple[int, int]:
    """Return (columns, rows) of a JPEG or PNG."""
    rows, cols = _decoded(picture).shape[:2]
    return int(cols), int(rows)


def _ground(rgb: Bytes, shown: Mask) -> Bytes:
    """Return blue, green, red, hatched where nothing is shown."""
    rows, cols = np.ogrid[: shown.shape[0], : shown.shape[1]]
    picture = np.where(
        shown[..., None],
        rgb[..., ::-1],
        np.where((rows + cols) % _HATCH_PX < _HATCH_WIDE_PX, _HATCH, _PAPER).astype(np.uint8)[..., None],
    )
    return np.ascontiguousarray(picture, dtype=np.uint8)


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


def _north(picture: Bytes, unit: float) -> None:
    """Draw an arrow in the upper right corner, half of it dark as on printed maps."""
    x, top, tall, wide = picture.shape[1] - 45 * unit, 22 * unit, 74 * unit, 20 * unit
    notch = (x, top + 0.78 * tall)
    for side, shade in ((-1.0, _DARK), (1.0, _WHITE)):
        half = np.array([(x, top), (x + side * wide, top + tall), notch])
        corners = [np.rint(half).astype(np.int32)]
        cv2.fillPoly(picture, corners, shade, cv2.LINE_AA)
        cv2.polylines(picture, corners, True, _DARK, max(round(2 * unit), 1), cv2.LINE_AA)


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


# -- Overview and commune maps ---------------------------------------------------------------------


MaskedImage = tuple[NDArray[np.uint8], NDArray[np.bool_]]

_MAP_LONG_SIDE_PX = 1920
_BLOCK_PX = 512
_MAP_MARGIN = 0.05
_MIN_SIDE_M = 60.0


class MosaicExtent(Protocol):
    """A mosaic, and the rectangle around the part that is read, Web Mercator metres."""

    @property
    def mosaic(self) -> MosaicInfo:
        """Mosaic and revision that is read."""

    @property
    def extent(self) -> Bounds:
        """Rectangle around all of it, or a part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackMaps:
    """JPEG by name, with boundaries, changes, and numbered marks.

    pictures  for paper and for files that stand alone, an exercise marked in the image
    slides    for slides, which mark an exercise themselves
    """

    pictures: Mapping[str, bytes]
    slides: Mapping[str, bytes]


def draw_maps(
    workspace: Workspace,
    contents: PackContents,
    overlay: MaskOverlay,
    band_png: bytes | None,
    progress: Progress = ignore_progress,
) -> PackMaps:
    """Draw an overview, and the ground shown in each commune.

    band_png: marks an exercise.
    """
    every = range(len(contents.communes))
    wanted = [(OVERVIEW, every, contents.extent)]
    wanted += [
        (name_commune_picture(number + 1), every[number : number + 1], place.ground.bounds)
        for number, place in enumerate(contents.communes)
    ]
    pictures, slides = {}, {}
    for done, (name, places, extent) in enumerate(wanted, 1):
        pictures[name], slides[name] = _drawn(workspace, contents, places, extent, overlay, band_png)
        progress("maps", done, len(wanted))
    return PackMaps(pictures=pictures, slides=slides)


def render_flight_png(
    workspace: Workspace, side: ShownFlight, overlay: MaskOverlay, band_png: bytes | None
) -> tuple[bytes, Bounds]:
    """Render a flight as PNG over longitude and latitude.

    Returns (PNG, (west, south, east, north) in degrees). Bounds in degrees.
    """
    gsd_m = max(measure_longer_side(side.extent) / _MAP_LONG_SIDE_PX, side.flight.gsd_m)
    grid = make_output_grid(side.extent, WGS84, gsd_m, None)
    rgb, shown = compose_mosaics(workspace, [side], grid, WGS84, gsd_m, overlay)
    # an exercise's band is drawn over it, as the image ends where its ground does
    picture = np.dstack([rgb[..., ::-1], shown.astype(np.uint8) * np.uint8(255)])
    if band_png is not None:
        # across the middle of the upper rim, a third of the width or less
        band = _decoded(band_png)
        rows, cols = picture.shape[:2]
        scale = min(cols / 3.0 / band.shape[1], rows / 3.0 / band.shape[0])
        size = max(round(band.shape[1] * scale), 1), max(round(band.shape[0] * scale), 1)
        left = (cols - size[0]) // 2
        picture[: size[1], left : left + size[0], :3] = cv2.resize(band, size, interpolation=cv2.INTER_AREA)
        if picture.shape[2] == 4:
            picture[: size[1], left : left + size[0], 3] = 255
    return _encoded(".png", np.ascontiguousarray(picture), [cv2.IMWRITE_PNG_COMPRESSION, 4]), grid.bounds


def _drawn(
    workspace: Workspace,
    contents: PackContents,
    places: Sequence[int],
    extent: Bounds,
    overlay: MaskOverlay,
    band_png: bytes | None,
) -> tuple[bytes, bytes]:
    """Draw a map of some communes (indices), for paper and for a slide.

    Several are numbered.
    """
    # add a margin, and enlarge to a recognisable size; Web Mercator metres
    west, south, east, north = extent
    least = max(_MIN_SIDE_M - max(east - west, north - south), 0.0) / 2.0
    margin = _MAP_MARGIN * max(east - west, north - south) + least
    crs, extent = contents.work_crs, (west - margin, south - margin, east + margin, north + margin)
    finest_m = min(side.flight.gsd_m for side in contents.flights)
    grid = make_output_grid(extent, crs, max(measure_longer_side(extent) / _MAP_LONG_SIDE_PX, finest_m), None)
    rgb, shown = compose_mosaics(workspace, contents.flights, grid, crs, grid.step_x, overlay)
    boundaries = [
        _boundary(contents.communes[number], grid, crs, str(number + 1) if len(contents.communes) > 1 else "")
        for number in places
    ]
    signs = [_sign(one, grid, crs, str(number)) for number, one in enumerate(contents.marks, 1)]
    patches = [
        draw_change_outline(one, grid, crs, f"T{number}") for number, one in enumerate(contents.changes, 1)
    ]
    slide = draw_map(rgb, shown, grid.step_x, boundaries, signs, changes=patches)
    if band_png is None:
        return slide, slide
    return draw_map(rgb, shown, grid.step_x, boundaries, signs, band_png, changes=patches), slide


def compose_mosaics(
    workspace: Workspace,
    sides: Sequence[MosaicExtent],
    grid: OutputGrid,
    crs: str,
    gsd_m: float,
    overlay: MaskOverlay,
) -> MaskedImage:
    """Compose mosaics over a grid, the newest on top, without masked pixels.

    The newest is the first in `sides`. A pack leaves the node, so masks are always applied.
    """
    sheet = shapely.transform(shapely.box(*grid.bounds), make_point_transform(crs, WEB_MERCATOR))
    rgb = np.zeros((grid.rows, grid.cols, 3), dtype=np.uint8)
    shown = np.zeros((grid.rows, grid.cols), dtype=np.bool_)
    # the newest last, so that it is on top
    for side in reversed(sides):
        zoom = choose_source_zoom(gsd_m, side.extent, side.mosaic)
        look = overlay.wrap_reader(COLOURS, sheet)
        reader = TileReader(workspace.store, workspace.catalog.tiles, side.mosaic, zoom, look)
        for row, col, shape in _blocks(grid):
            part, mask = resample_colours(reader, grid, crs, (row, col), shape)
            window = slice(row, row + shape[0]), slice(col, col + shape[1])
            rgb[window][mask] = part[mask]
            shown[window] |= mask
    return rgb, shown


def _blocks(grid: OutputGrid) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Yield (row, column, shape) of windows, so that few tiles are held at a time."""
    for row in range(0, grid.rows, _BLOCK_PX):
        for col in range(0, grid.cols, _BLOCK_PX):
            yield row, col, (min(_BLOCK_PX, grid.rows - row), min(_BLOCK_PX, grid.cols - col))


def _boundary(place: ShownCommune, grid: OutputGrid, work_crs: str, label: str) -> MapOverlay:
    """Return a commune's outline, with its number in the middle of the shown part."""
    to_work = make_point_transform(WEB_MERCATOR, work_crs)
    middle = _to_pixels(place.ground.representative_point(), grid, to_work)
    outline = _to_pixels(place.shape.boundary, grid, to_work)
    return MapOverlay(lines=_inside(outline, grid), label=label, label_px=(float(middle.x), float(middle.y)))


def _sign(sign: ShownMark, grid: OutputGrid, work_crs: str, label: str) -> MapOverlay:
    """Return a mark's overlay; a sector has its outline."""
    shape = _to_pixels(sign.shape, grid, make_point_transform(WGS84, work_crs))
    point = shape.representative_point()
    lines = [] if shape.geom_type == "Point" else _inside(shape.boundary, grid)
    return MapOverlay(lines=lines, label=label, label_px=(float(point.x), float(point.y)))


def draw_change_outline(patch: ShownChange, grid: OutputGrid, work_crs: str, label: str) -> MapOverlay:
    """Return a change's outline with its number inside."""
    shape = _to_pixels(patch.shape, grid, make_point_transform(WGS84, work_crs))
    point = shape.representative_point()
    return MapOverlay(
        lines=_inside(shape.boundary, grid), label=label, label_px=(float(point.x), float(point.y))
    )


def _to_pixels(
    shape: BaseGeometry, grid: OutputGrid, to_work: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> BaseGeometry:
    return shapely.transform(shape, lambda points: grid.to_pixels(to_work(points)))


def _inside(lines: BaseGeometry, grid: OutputGrid) -> list[NDArray[np.float64]]:
    """Clip lines (pixels) to the image and a little beyond."""
    sheet = shapely.box(-9.0, -9.0, grid.cols + 9.0, grid.rows + 9.0)
    parts = shapely.get_parts(lines.intersection(sheet))
    return [shapely.get_coordinates(part) for part in parts if part.geom_type != "Point"]


def measure_longer_side(extent: Bounds) -> float:
    """Return the longer side of a Web Mercator rectangle, metres on the ground.

    The scale is that at its centre.
    """
    west, south, east, north = extent
    middle = np.array([[(west + east) / 2.0, (south + north) / 2.0]])
    latitude = math.radians(float(mercator_to_lonlat(middle)[0, 1]))
    return max(east - west, north - south) * math.cos(latitude)


# -- Locator map of the pack's ground in the province ----------------------------------------------


_MAX_WIDTH_M = 150_000.0
_LOCATOR_LONG_SIDE_PX = 1200
_LOCATOR_MARGIN = 0.04


def draw_locator(workspace: Workspace, contents: PackContents, band_png: bytes | None) -> bytes | None:
    """Draw a locator map as JPEG, north up in the work CRS.

    None where no boundary around is known, or none beyond those of the overview. A node may know more than a
    province: only communes within 75 km of the shown ground are drawn.
    """
    to_work = make_point_transform(WGS84, contents.work_crs)
    around = list_flight_communes(workspace.catalog, contents.flights[0].flight, _around(contents))
    shown = {place.commune.code: number for number, place in enumerate(contents.communes)}
    if not shown or len(around) <= len(shown):
        return None
    changed = {number for patch in contents.changes for number in patch.places}
    shapes = {one.code: shapely.transform(shapely.from_wkb(one.wkb), to_work) for one in around}
    west, south, east, north = shapely.union_all(
        [shapely.box(*shape.bounds) for shape in shapes.values()]
    ).bounds
    margin = _LOCATOR_MARGIN * max(east - west, north - south)
    pixel_m = (max(east - west, north - south) + 2 * margin) / _LOCATOR_LONG_SIDE_PX
    left, top = west - margin, north + margin
    size = (round((east - west + 2 * margin) / pixel_m), round((north - south + 2 * margin) / pixel_m))

    def pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.column_stack([points[:, 0] - left, top - points[:, 1]]) / pixel_m, np.float64)

    filled = [
        LocatorCommune(
            shape=shapely.transform(shape.simplify(pixel_m / 2.0), pixels),
            label=str(shown[code] + 1) if code in shown else "",
            is_shown=code in shown,
            is_changed=shown.get(code) in changed,
        )
        for code, shape in shapes.items()
    ]
    frame = shapely.transform(
        shapely.box(*contents.extent), make_point_transform(WEB_MERCATOR, contents.work_crs)
    )
    # communes are grey outlines, those shown amber, those with confirmed changes orange
    frame_px = shapely.transform(frame, pixels).bounds
    picture = np.full((size[1], size[0], 3), 255, np.uint8)
    unit = max(size) / _LOCATOR_LETTERS
    for one in sorted(filled, key=lambda one: (one.is_shown, one.is_changed)):
        colour = _ORANGE if one.is_changed else _AMBER if one.is_shown else _LAND
        rings = [np.rint(ring).astype(np.int32) for ring in _rings(one.shape)]
        cv2.fillPoly(picture, rings, colour, cv2.LINE_AA)
        shade, width = (_DARK, 2.0) if one.is_shown else (_BORDER, 1.2)
        cv2.polylines(picture, rings, True, shade, max(round(width * unit), 1), cv2.LINE_AA)
    for one in filled:
        inside = one.shape.representative_point()
        at = (float(inside.x), float(inside.y))
        _number(picture, MapOverlay(lines=(), label=one.label, label_px=at), unit, _WHITE)
    # a blue rectangle around the ground, never so small that a number covers it
    left, top, right, bottom = frame_px
    least = 24.0 * unit
    half_x, half_y = max((right - left) / 2.0, least), max((bottom - top) / 2.0, least)
    x, y = (left + right) / 2.0, (top + bottom) / 2.0
    corners = (round(x - half_x), round(y - half_y)), (round(x + half_x), round(y + half_y))
    for shade, width in ((_WHITE, 8.0), (_BLUE, 4.5)):
        cv2.rectangle(picture, *corners, shade, max(round(width * unit), 1), cv2.LINE_AA)
    _north(picture, unit)
    _scale_bar(picture, pixel_m, unit)
    if band_png is not None:
        picture = _below_band(picture, band_png)
    return _encoded(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])


def _around(contents: PackContents) -> BoundsLonLat:
    """Return the widest rectangle that is drawn, degrees."""
    to_work = make_point_transform(WEB_MERCATOR, contents.work_crs)
    middle = shapely.transform(shapely.box(*contents.extent), to_work).centroid
    half = _MAX_WIDTH_M / 2.0
    box = shapely.box(middle.x - half, middle.y - half, middle.x + half, middle.y + half)
    west, south, east, north = shapely.transform(box, make_point_transform(contents.work_crs, WGS84)).bounds
    return west, south, east, north


# -- Before-and-after images of confirmed changes --------------------------------------------------


MAX_PAIRS = 40
"""Only the largest changes: nobody leafs through more images."""

MAX_PAIR_SLIDES = 8
"""Number of places that a meeting goes through."""

_WIDE_PX, _HIGH_PX = 720, 540
# fraction of a change's longer side, on each side
_AROUND = 0.4
_MIN_WIDTH_M = 40.0


def draw_image_pairs(
    workspace: Workspace,
    contents: PackContents,
    overlay: MaskOverlay,
    band_png: bytes | None,
    progress: Progress = ignore_progress,
) -> tuple[PackContents, dict[str, bytes], dict[str, bytes]]:
    """Draw image pairs of the largest changes of which an image is stored.

    Returns the contents, in which pairs say what could not be drawn; JPEG by name for paper; and JPEG for
    slides without the mark of an exercise. Slides are the first pairs of which both images show ground: on a
    screen an empty half would be read as ground that was not flown.

    band_png  marks an exercise; None for a real flight
    """
    shown = [
        (number, patch, patch.pair)
        for number, patch in enumerate(contents.changes, 1)
        if patch.pair and any(isinstance(view, PackImage) for view in patch.pair)
    ][:MAX_PAIRS]
    drawn, slides = dict[str, bytes](), dict[str, bytes]()
    patches = list(contents.changes)
    for done, (number, patch, found_on) in enumerate(shown, 1):
        crs = contents.work_crs
        extent = next(view.extent for view in found_on if isinstance(view, PackImage))
        # the width of a change's image, metres on the ground
        west, south, east, north = extent
        wide = max(east - west, (north - south) * _WIDE_PX / _HIGH_PX) * (1.0 + 2.0 * _AROUND)
        wide_m = max(measure_longer_side((west, south, west + wide, south)), _MIN_WIDTH_M)
        # a rectangle of this width around the centre of the change, Web Mercator metres
        west, south, east, north = extent
        x, y = (west + east) / 2.0, (south + north) / 2.0
        wide = wide_m / measure_longer_side((x, y, x + 1.0, y))
        high = wide * _HIGH_PX / _WIDE_PX
        grid = make_output_grid(
            (x - wide / 2.0, y - high / 2.0, x + wide / 2.0, y + high / 2.0), crs, wide_m / _WIDE_PX, None
        )
        (before, left), (after, right) = (_view(workspace, one, grid, crs, overlay) for one in found_on)
        sides = _PairViews(
            pair=(before, after),
            before=left,
            after=right,
            step_m=grid.step_x,
            outline=draw_change_outline(patch, grid, crs, ""),
        )
        name = name_change_picture(number)
        drawn[name] = sides.jpeg(band_png)
        if sides.is_complete and len(slides) < MAX_PAIR_SLIDES:
            slides[name] = drawn[name] if band_png is None else sides.jpeg(None)
        patches[number - 1] = replace(patch, pair=sides.pair)
        progress("maps", done, len(shown))
    return replace(contents, changes=tuple(patches)), drawn, slides


@dataclass(frozen=True, kw_only=True, slots=True)
class _PairViews:
    """Both images of a change on one grid; `pair` says what could not be drawn."""

    pair: Pair
    before: MaskedImage
    after: MaskedImage
    step_m: float
    outline: MapOverlay

    @property
    def is_complete(self) -> bool:
        """True if both images show ground."""
        return all(bool(shown.any()) for _, shown in (self.before, self.after))

    def jpeg(self, band_png: bytes | None) -> bytes:
        return draw_pair(self.before, self.after, self.step_m, self.outline, band_png)


def _view(
    workspace: Workspace, view: PackImage | MissingImage, grid: OutputGrid, crs: str, overlay: MaskOverlay
) -> tuple[PackImage | MissingImage, MaskedImage]:
    """Return an image, empty if it is missing or its tiles are gone.

    The view says which.
    """
    nothing = np.zeros((grid.rows, grid.cols, 3), np.uint8), np.zeros((grid.rows, grid.cols), np.bool_)
    if isinstance(view, MissingImage):
        return view, nothing
    try:
        return view, compose_mosaics(workspace, [view], grid, crs, grid.step_x, overlay)
    except (ObjectMissing, TileCorrupt):
        return replace(view, is_lost=True), nothing
