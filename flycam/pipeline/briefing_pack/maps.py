"""Maps of a briefing pack: an overview, and one of the ground shown in each commune."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import MosaicInfo
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.geometry.grid import mercator_to_lonlat
from flycam.geometry.planar_map import Bounds
from flycam.mosaic.export import choose_source_zoom
from flycam.mosaic.output_grid import OutputGrid, make_output_grid
from flycam.mosaic.resampling import COLOURS, TileReader, resample_colours
from flycam.pipeline.briefing_pack.contents import (
    PackContents,
    ShownChange,
    ShownCommune,
    ShownFlight,
    ShownMark,
)
from flycam.pipeline.tile_masks import MaskOverlay
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress
from flycam.report.pack_phrases import OVERVIEW, name_commune_picture
from flycam.report.pack_pictures import MapOverlay, draw_map, encode_ground_png

MaskedImage = tuple[NDArray[np.uint8], NDArray[np.bool_]]

_LONG_SIDE_PX = 1920
_BLOCK_PX = 512
_MARGIN = 0.05
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
    gsd_m = max(measure_longer_side(side.extent) / _LONG_SIDE_PX, side.flight.gsd_m)
    grid = make_output_grid(side.extent, WGS84, gsd_m, None)
    rgb, shown = compose_mosaics(workspace, [side], grid, WGS84, gsd_m, overlay)
    return encode_ground_png(rgb, shown, band_png), grid.bounds


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
    crs, extent = contents.work_crs, _padded(extent)
    finest_m = min(side.flight.gsd_m for side in contents.flights)
    grid = make_output_grid(extent, crs, max(measure_longer_side(extent) / _LONG_SIDE_PX, finest_m), None)
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


def _padded(extent: Bounds) -> Bounds:
    """Add a margin, and enlarge to a recognisable size; Web Mercator metres."""
    west, south, east, north = extent
    least = max(_MIN_SIDE_M - max(east - west, north - south), 0.0) / 2.0
    margin = _MARGIN * max(east - west, north - south) + least
    return west - margin, south - margin, east + margin, north + margin


def measure_longer_side(extent: Bounds) -> float:
    """Return the longer side of a Web Mercator rectangle, metres on the ground.

    The scale is that at its centre.
    """
    west, south, east, north = extent
    middle = np.array([[(west + east) / 2.0, (south + north) / 2.0]])
    latitude = math.radians(float(mercator_to_lonlat(middle)[0, 1]))
    return max(east - west, north - south) * math.cos(latitude)
