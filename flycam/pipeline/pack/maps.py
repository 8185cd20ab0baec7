"""The maps of a meeting pack: an overview, and one of the ground shown in each commune."""

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
from flycam.geodata.crs import WEB_MERCATOR, WGS84, point_transform
from flycam.geometry.grid import mercator_to_lonlat
from flycam.geometry.planar import Bounds
from flycam.mosaic.export import source_zoom
from flycam.mosaic.extent import OutputGrid, output_grid
from flycam.mosaic.resample import COLOURS, TileReader, resampled
from flycam.pipeline.pack.scene import PackPatch, PackPlace, PackScene, PackSide, PackSign
from flycam.pipeline.veils import Cover
from flycam.pipeline.workspace import Progress, Workspace, silent
from flycam.report.pack_pictures import Drawn, ground_png, map_jpeg
from flycam.report.pack_said import OVERVIEW, picture_of_number

Picture = tuple[NDArray[np.uint8], NDArray[np.bool_]]

_LONG_SIDE_PX = 1920
_BLOCK_PX = 512
_MARGIN = 0.05
_LEAST_SIDE_M = 60.0


class Laid(Protocol):
    """A mosaic, and the rectangle around what is read of it, Web Mercator metres."""

    @property
    def mosaic(self) -> MosaicInfo:
        """Which revision of it."""

    @property
    def extent(self) -> Bounds:
        """Around all of it, or a part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackMaps:
    """JPEG by name, with boundaries, changes, and marks by their numbers.

    pictures  for paper and for files that stand alone, a drill's marked in itself
    slides    for the pictures of a screen, which mark a drill themselves
    """

    pictures: Mapping[str, bytes]
    slides: Mapping[str, bytes]


def draw_maps(
    workspace: Workspace,
    scene: PackScene,
    cover: Cover,
    band_png: bytes | None,
    progress: Progress = silent,
) -> PackMaps:
    """An overview, and the ground shown in each commune. band_png marks a drill."""
    every = range(len(scene.places))
    wanted = [(OVERVIEW, every, scene.extent)]
    wanted += [
        (picture_of_number(number + 1), every[number : number + 1], place.ground.bounds)
        for number, place in enumerate(scene.places)
    ]
    pictures, slides = {}, {}
    for done, (name, places, extent) in enumerate(wanted, 1):
        pictures[name], slides[name] = _drawn(workspace, scene, places, extent, cover, band_png)
        progress("maps", done, len(wanted))
    return PackMaps(pictures=pictures, slides=slides)


def ground_picture(
    workspace: Workspace, side: PackSide, cover: Cover, band_png: bytes | None
) -> tuple[bytes, Bounds]:
    """A flight as PNG over longitude and latitude, and its (west, south, east, north) in degrees."""
    gsd_m = max(side_m(side.extent) / _LONG_SIDE_PX, side.flight.gsd_m)
    grid = output_grid(side.extent, WGS84, gsd_m, None)
    rgb, shown = laid(workspace, [side], grid, WGS84, gsd_m, cover)
    return ground_png(rgb, shown, band_png), grid.bounds


def _drawn(
    workspace: Workspace,
    scene: PackScene,
    places: Sequence[int],
    extent: Bounds,
    cover: Cover,
    band_png: bytes | None,
) -> tuple[bytes, bytes]:
    """A map of some communes (indices), for paper and for a slide; where there are several each has its
    number."""
    crs, extent = scene.work_crs, _padded(extent)
    finest_m = min(side.flight.gsd_m for side in scene.sides)
    grid = output_grid(extent, crs, max(side_m(extent) / _LONG_SIDE_PX, finest_m), None)
    rgb, shown = laid(workspace, scene.sides, grid, crs, grid.step_x, cover)
    boundaries = [
        _boundary(scene.places[number], grid, crs, str(number + 1) if len(scene.places) > 1 else "")
        for number in places
    ]
    signs = [_sign(one, grid, crs, str(number)) for number, one in enumerate(scene.signs, 1)]
    patches = [outlined(one, grid, crs, f"T{number}") for number, one in enumerate(scene.patches, 1)]
    slide = map_jpeg(rgb, shown, grid.step_x, boundaries, signs, changes=patches)
    if band_png is None:
        return slide, slide
    return map_jpeg(rgb, shown, grid.step_x, boundaries, signs, band_png, changes=patches), slide


def laid(
    workspace: Workspace,
    sides: Sequence[Laid],
    grid: OutputGrid,
    crs: str,
    gsd_m: float,
    cover: Cover,
) -> Picture:
    """Pictures of flights over a grid, the newest (which comes first in `sides`) on top, without what masks
    cover: a pack leaves the house."""
    sheet = shapely.transform(shapely.box(*grid.bounds), point_transform(crs, WEB_MERCATOR))
    rgb = np.zeros((grid.rows, grid.cols, 3), dtype=np.uint8)
    shown = np.zeros((grid.rows, grid.cols), dtype=np.bool_)
    for side in reversed(sides):
        zoom = source_zoom(gsd_m, side.extent, side.mosaic)
        look = cover.look(COLOURS, sheet)
        reader = TileReader(workspace.store, workspace.catalog.tiles, side.mosaic, zoom, look)
        for row, col, shape in _blocks(grid):
            part, mask = resampled(reader, grid, crs, (row, col), shape)
            window = slice(row, row + shape[0]), slice(col, col + shape[1])
            rgb[window][mask] = part[mask]
            shown[window] |= mask
    return rgb, shown


def _blocks(grid: OutputGrid) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """(row, column, shape) of windows in which few tiles are held at a time."""
    for row in range(0, grid.rows, _BLOCK_PX):
        for col in range(0, grid.cols, _BLOCK_PX):
            yield row, col, (min(_BLOCK_PX, grid.rows - row), min(_BLOCK_PX, grid.cols - col))


def _boundary(place: PackPlace, grid: OutputGrid, work_crs: str, label: str) -> Drawn:
    """A commune's outline, its number in the middle of what is shown of it."""
    to_work = point_transform(WEB_MERCATOR, work_crs)
    middle = _to_pixels(place.ground.representative_point(), grid, to_work)
    outline = _to_pixels(place.shape.boundary, grid, to_work)
    return Drawn(lines=_inside(outline, grid), label=label, label_px=(float(middle.x), float(middle.y)))


def _sign(sign: PackSign, grid: OutputGrid, work_crs: str, label: str) -> Drawn:
    """A mark; a sector with its outline."""
    shape = _to_pixels(sign.shape, grid, point_transform(WGS84, work_crs))
    point = shape.representative_point()
    lines = [] if shape.geom_type == "Point" else _inside(shape.boundary, grid)
    return Drawn(lines=lines, label=label, label_px=(float(point.x), float(point.y)))


def outlined(patch: PackPatch, grid: OutputGrid, work_crs: str, label: str) -> Drawn:
    """A change's outline, its number inside."""
    shape = _to_pixels(patch.shape, grid, point_transform(WGS84, work_crs))
    point = shape.representative_point()
    return Drawn(lines=_inside(shape.boundary, grid), label=label, label_px=(float(point.x), float(point.y)))


def _to_pixels(
    shape: BaseGeometry, grid: OutputGrid, to_work: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> BaseGeometry:
    return shapely.transform(shape, lambda points: grid.to_pixels(to_work(points)))


def _inside(lines: BaseGeometry, grid: OutputGrid) -> list[NDArray[np.float64]]:
    """What of lines (pixels) lies in the picture or little beyond."""
    sheet = shapely.box(-9.0, -9.0, grid.cols + 9.0, grid.rows + 9.0)
    parts = shapely.get_parts(lines.intersection(sheet))
    return [shapely.get_coordinates(part) for part in parts if part.geom_type != "Point"]


def _padded(extent: Bounds) -> Bounds:
    """With a margin, and not so small that nothing is recognised; Web Mercator metres."""
    west, south, east, north = extent
    least = max(_LEAST_SIDE_M - max(east - west, north - south), 0.0) / 2.0
    margin = _MARGIN * max(east - west, north - south) + least
    return west - margin, south - margin, east + margin, north + margin


def side_m(extent: Bounds) -> float:
    """The longer side of a Mercator rectangle in metres on the ground at its middle."""
    west, south, east, north = extent
    middle = np.array([[(west + east) / 2.0, (south + north) / 2.0]])
    latitude = math.radians(float(mercator_to_lonlat(middle)[0, 1]))
    return max(east - west, north - south) * math.cos(latitude)
