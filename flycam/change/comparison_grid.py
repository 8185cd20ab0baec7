"""Inputs of a comparison: image sources, their common pixel grid, and terrain."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.changes import format_file_reference
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.change import coregistration
from flycam.change.coregistration import REACH_M
from flycam.change.warp import WINDOW_PX
from flycam.errors import DatumUnknown, InputUnusable, NotFound, SourceUnreadable, TerrainMissing
from flycam.geodata.crs import WEB_MERCATOR, WGS84, choose_work_crs, make_point_transform, transform_points
from flycam.geodata.dem import load_terrain, read_dem_info
from flycam.geodata.raster import RASTER_SUFFIXES, ReferenceRaster, compute_raster_digest
from flycam.geometry.grid import Bounds
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.messages import Message, _
from flycam.model.flight import Flight, is_flat_datum
from flycam.model.time import format_minute
from flycam.mosaic.coverage import get_main_mosaic
from flycam.mosaic.raster import (
    OutputGrid,
    PolygonMask,
    TileReader,
    choose_source_zoom,
    find_data_bounds,
    resample_colours,
    transform_bounds,
)
from flycam.mosaic.terrain import expand_bounds, load_recorded_terrain, load_registered_dems
from flycam.workspace import Workspace

# -- Image sources of a comparison: a flight's mosaic or a file, read on any grid ------------------


MaskedImage = tuple[NDArray[np.uint8], NDArray[np.bool_]]

_BLOCK_PX = 1024
# share of an image: less is a few pixels, not worth a remark
_MIN_COLLAR_SHARE = 0.001


class ImageSource(Protocol):
    """One of the two sides that are compared.

    name    in messages
    shown   the image reference, as recorded (`catalog.changes`)
    flight  the flight, None for a file
    file    the image file, None for a flight
    is_live  whether it is an unfinished flight, whose photos lie off each other by metres
    is_drill  whether it is of a drill: changes found on it must not be listed beside real ones
    remarks  what the reader has to know of it
    """

    name: str
    shown: str
    flight: Flight | None
    file: Path | None
    is_live: bool
    is_drill: bool
    remarks: tuple[Message, ...]

    def gsd_m(self, crs: str) -> float:
        """Return the pixel size, metres of a projected CRS."""

    def bounds(self, crs: str) -> Bounds:
        """Return (west, south, east, north) around its data in a CRS."""

    def read_window(
        self, grid: OutputGrid, crs: str, corner: tuple[int, int], shape: tuple[int, int]
    ) -> MaskedImage:
        """Return (rgb, seen) of a window of a grid; rgb is undefined where not seen."""

    def release(self) -> None:
        """Free what was read for windows: no more are needed."""

    def terrain(self) -> TerrainGrid | None:
        """Return its flight's terrain, in the flight's CRS; None: not known, or flat."""


def select_event_flights(sources: tuple[ImageSource, ImageSource], event_id: str) -> frozenset[str]:
    """Return ids of the sides that are flights and were in an event when opened."""
    flights = (side.flight for side in sources)
    return frozenset(one.flight_id for one in flights if one is not None and one.event_id == event_id)


class FlightImageSource:
    """A flight's published revision: the finished one, else live."""

    file: Path | None = None
    remarks: tuple[Message, ...] = ()

    def __init__(self, workspace: Workspace, ref: str) -> None:
        self.flight: Flight | None = workspace.catalog.flights.flight(ref)
        self.name = self.flight.name
        self._workspace, self._known = workspace, self.flight
        self._mosaic = get_main_mosaic(workspace, self._known.flight_id)
        self._extent = find_data_bounds(workspace.store, workspace.catalog.tiles, self._mosaic)
        self.is_live = self._mosaic.revision == LIVE_REVISION
        self.is_drill = workspace.catalog.flights.event(self._known.event_id).is_drill
        self.shown = f"{self._mosaic.mosaic_id}@{self._mosaic.revision}"
        self._tiles: dict[int, TileReader] = {}

    def gsd_m(self, crs: str) -> float:
        """Return the GSD as ingested."""
        return self._known.gsd_m

    def bounds(self, crs: str) -> Bounds:
        """Return the bounds, read off the masks."""
        return transform_bounds(self._extent, make_point_transform(WEB_MERCATOR, crs))

    def read_window(
        self, grid: OutputGrid, crs: str, corner: tuple[int, int], shape: tuple[int, int]
    ) -> MaskedImage:
        """Resample as `flycam export` does; overview tiles where the grid is coarser.

        Raises ObjectMissing, TileCorrupt.
        """
        zoom = choose_source_zoom(grid.step_x, self._extent, self._mosaic)
        if zoom not in self._tiles:
            workspace = self._workspace
            self._tiles[zoom] = TileReader(workspace.store, workspace.catalog.tiles, self._mosaic, zoom)
        return resample_colours(self._tiles[zoom], grid, crs, corner, shape)

    def release(self) -> None:
        """Free the decoded tiles."""
        self._tiles.clear()

    def terrain(self) -> TerrainGrid | None:
        """Return the finished revision's DSM, else the flight's terrain, in its work CRS.

        Raises ObjectMissing, TileCorrupt.
        """
        flight, dem_id = self._known, self._known.dem_id
        if is_flat_datum(flight.vertical_datum):
            return None
        if not self.is_live:
            record = self._workspace.catalog.revisions.get(self._mosaic.mosaic_id, self._mosaic.revision)
            dem_id = record.dem_id or dem_id
        return load_recorded_terrain(self._workspace, dem_id)


class FileImageSource:
    """A georeferenced image file, of any CRS and pixel size.

    Recorded by its bytes, for programs call every orthophoto the same.
    """

    flight: Flight | None = None
    file: Path | None
    is_live = False

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self.file = path.resolve()
        self._picture = ReferenceRaster(path)
        self.is_drill = self._picture.is_drill
        taken_ns = self._picture.taken_ns
        taken = "" if taken_ns is None else format_minute(taken_ns)
        self.shown = format_file_reference(
            path.name, compute_raster_digest(path), self.file.parent.name, taken
        )
        collar = self._picture.collar
        self.remarks: tuple[Message, ...] = ()
        if collar is not None:
            rim = [_unseen_rim(self.name, collar.rim_share)] if collar.rim_share >= _MIN_COLLAR_SHARE else []
            holes = [_unseen_holes(self.name, collar.hole_share)] if collar.hole_share else []
            self.remarks = (*rim, *holes)

    def gsd_m(self, crs: str) -> float:
        """Return the pixel size at its centre."""
        return self._picture.pixel_m(crs)

    def bounds(self, crs: str) -> Bounds:
        """Return the bounds of the raster, data or not."""
        return transform_bounds(self._picture.bounds_lonlat, make_point_transform(WGS84, crs))

    def read_window(
        self, grid: OutputGrid, crs: str, corner: tuple[int, int], shape: tuple[int, int]
    ) -> MaskedImage:
        """Resample, averaging where it is finer than the grid.

        Raises SourceUnreadable where the file is damaged.
        """
        west, north = grid.west + corner[1] * grid.step_x, grid.north - corner[0] * grid.step_y
        warped = self._picture.warp_to_bounds(
            (west, north - shape[0] * grid.step_y, west + shape[1] * grid.step_x, north), shape, crs
        )
        return warped.rgb, warped.valid

    def release(self) -> None:
        """Do nothing: nothing is kept."""

    def terrain(self) -> TerrainGrid | None:
        """Return None: a file does not state its terrain."""
        return None


def open_image_pair(workspace: Workspace, before: str, after: str) -> tuple[ImageSource, ImageSource]:
    """Open both sides under distinct names.

    Files of one name get their folder's name too. Raises what `open_image_source` raises.
    """
    sides = open_image_source(workspace, before), open_image_source(workspace, after)
    if sides[0].name == sides[1].name:
        for side in sides:
            if side.file is not None:
                side.name = f"{side.file.parent.name}/{side.file.name}"
    return sides


def open_image_source(workspace: Workspace, ref: str) -> ImageSource:
    """Open a flight by id or name, or an image by its path.

    Raises NotFound, SourceUnreadable, CrsMissing.
    """
    path = Path(ref)
    if path.is_file():
        return FileImageSource(path)
    if path.suffix.lower() in RASTER_SUFFIXES:
        raise SourceUnreadable(
            _("{ref}: there is no such file: check the path, or give a flight's name", ref=ref)
        )
    try:
        return FlightImageSource(workspace, ref)
    except NotFound as error:
        raise NotFound(
            _(
                "{ref}: neither a flight with a mosaic nor a GeoTIFF ({error}); name one or the other",
                ref=ref,
                error=error,
            )
        ) from error


def _unseen_rim(name: str, share: float) -> Message:
    return _(
        "{name}: does not say where it has no data; its black or white rim ({percent:.1f} % of it) is taken "
        "for ground that was not imaged",
        name=name,
        percent=100.0 * share,
    )


def _unseen_holes(name: str, share: float) -> Message:
    return _(
        "{name}: does not say where it has no data; what is exactly black or white inside it and larger "
        "than a roof ({percent:.2g} % of it) is taken for ground that was not imaged; if it is ground, write "
        "a mask or a nodata value into the file",
        name=name,
        percent=100.0 * share,
    )


def read_source(side: ImageSource, grid: OutputGrid, crs: str) -> MaskedImage:
    """Read a side over a whole grid, block by block: rgb H×W×3 uint8, seen H×W bool."""
    rgb = np.zeros((grid.rows, grid.cols, 3), np.uint8)
    seen = np.zeros((grid.rows, grid.cols), np.bool_)
    for row in range(0, grid.rows, _BLOCK_PX):
        for col in range(0, grid.cols, _BLOCK_PX):
            shape = (min(_BLOCK_PX, grid.rows - row), min(_BLOCK_PX, grid.cols - col))
            here = (slice(row, row + shape[0]), slice(col, col + shape[1]))
            rgb[here], seen[here] = side.read_window(grid, crs, (row, col), shape)
    side.release()
    return rgb, seen


# -- Common grid of two sides, and images read on it -----------------------------------------------


Mask = NDArray[np.bool_]

MAX_COARSENING = 15.0
"""Ratio of the pixel sizes of both sides: beyond it, a pixel of the coarser says nothing about what a drone
sees in it."""
MAX_PIXELS = 64_000_000
"""Of the common grid, some 1.4 km² at 15 cm; more ground is compared at a coarser pixel, with a remark."""
_LOW_OVERLAP_SHARE = 0.1
_COUNTED_PX = 256
# Ground around an area that helps to coregister the images.
_AOI_MARGIN_M = 150.0
# Of coarse images, ground that holds enough windows however small the area is.
_AOI_MARGIN_PX = 6 * WINDOW_PX
_STRIP_ROWS = 1024


def select_comparison_crs(before: ImageSource, after: ImageSource) -> str:
    """Return the work CRS of the flight before or after, else the UTM zone."""
    for side in (before, after):
        if side.flight is not None:
            return side.flight.work_crs
    west, south, east, north = before.bounds(WGS84)
    return choose_work_crs((west + east) / 2.0, (south + north) / 2.0)


def build_common_grid(
    before: ImageSource, after: ImageSource, crs: str, area: BaseGeometry | None, area_name: str
) -> tuple[OutputGrid, list[Message]]:
    """Return the pixels that both may show, and remarks on them.

    Corners are on multiples of the coarser GSD. The rim is as wide as AFTER may be off. Raises
    CoregistrationFailed, InputUnusable.
    """
    names = before.name, after.name
    bounds = _intersection(before.bounds(crs), after.bounds(crs))
    if bounds is None:
        raise coregistration.make_no_overlap_error(names)
    gsds = before.gsd_m(crs), after.gsd_m(crs)
    coarse, fine = (before, after) if gsds[0] >= gsds[1] else (after, before)
    if max(gsds) > MAX_COARSENING * min(gsds):
        least_m = _rounded_up(max(gsds) / MAX_COARSENING)
        times, is_file = max(gsds) / min(gsds), fine.file is not None
        raise coregistration.make_resolution_mismatch_error(
            coarse.name, fine.name, times, least_m, is_file=is_file
        )
    remarks = [*before.remarks, *(one for one in after.remarks if one not in before.remarks)]
    share = _common_share(before, after, crs, bounds)
    if share < _LOW_OVERLAP_SHARE:
        remarks.append(
            _(
                "only some {share:.0%} of the smaller picture has ground in common; nothing is said of the "
                "rest",
                share=share,
            )
        )
    bounds = expand_bounds(bounds, REACH_M)
    if area is not None:
        margin = max(_AOI_MARGIN_M, _AOI_MARGIN_PX * max(gsds))
        around = expand_bounds(transform_bounds(area.bounds, make_point_transform(WGS84, crs)), margin)
        inside = None if area.is_empty else _intersection(bounds, around)
        if inside is None:
            raise _make_no_overlap_error(
                area_name, names, area.bounds, transform_bounds(bounds, make_point_transform(crs, WGS84))
            )
        bounds = inside
    gsd, ground_m2 = max(gsds), (bounds[2] - bounds[0]) * (bounds[3] - bounds[1])
    if ground_m2 > MAX_PIXELS * gsd**2:
        gsd = _rounded_up(math.sqrt(ground_m2 / MAX_PIXELS))
        remarks.append(
            _(
                "{area_km2:.1f} km² are compared at {gsd_m:,g} m a pixel; give a part with --aoi to compare "
                "it sharper",
                area_km2=ground_m2 / 1e6,
                gsd_m=gsd,
            )
        )
    left, top = math.floor(bounds[0] / gsd), math.ceil(bounds[3] / gsd)
    grid = OutputGrid(
        west=left * gsd,
        north=top * gsd,
        step_x=gsd,
        step_y=gsd,
        rows=top - math.floor(bounds[1] / gsd),
        cols=math.ceil(bounds[2] / gsd) - left,
    )
    return grid, remarks


def _common_share(before: ImageSource, after: ImageSource, crs: str, bounds: Bounds) -> float:
    """Return the share of common ground, 0 to 1, of the side that shows less.

    Counted by pixel, not by bounding rectangles, of which two slanted strips share next to nothing. bounds:
    what the rectangles have in common. Raises CoregistrationFailed where a side shows nothing anywhere.
    """
    shown = [_shown_m2(side, crs, side.bounds(crs)) for side in (before, after)]
    for side, ground_m2 in zip((before, after), shown, strict=True):
        if ground_m2 == 0.0:
            raise coregistration.make_empty_image_error(side.name)
    return _shown_m2(before, crs, bounds, after) / min(shown)


def _shown_m2(side: ImageSource, crs: str, bounds: Bounds, other: ImageSource | None = None) -> float:
    """Return the ground, square metres, that a side, or both, show within bounds.

    Counted on some hundred pixels across.
    """
    step = max(bounds[2] - bounds[0], bounds[3] - bounds[1]) / _COUNTED_PX
    rows, cols = (math.ceil((bounds[n + 2] - bounds[n]) / step) for n in (1, 0))
    grid = OutputGrid(west=bounds[0], north=bounds[3], step_x=step, step_y=step, rows=rows, cols=cols)
    seen = side.read_window(grid, crs, (0, 0), (rows, cols))[1]
    if other is not None:
        seen = seen & other.read_window(grid, crs, (0, 0), (rows, cols))[1]
    return float(np.count_nonzero(seen)) * step**2


def clip_to_area(area: BaseGeometry, grid: OutputGrid, crs: str, *seen: Mask) -> None:
    """Clear the masks outside the area."""
    to_crs = make_point_transform(WGS84, crs)
    outline = PolygonMask.from_polygon(area, lambda lonlat: grid.to_pixels(to_crs(lonlat)))
    for top in range(0, grid.rows, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, grid.rows - top)
        inside = outline.mask(top, 0, (rows, grid.cols))
        for mask in seen:
            mask[top : top + rows] &= inside


def _make_no_overlap_error(
    area_name: str, names: tuple[str, str], area: Bounds, common: Bounds
) -> InputUnusable:
    """Return the error for an area without common ground.

    area, common: in degrees; their positions tell a wrong place from a missing CRS.
    """
    before, after = names
    # NaN: the bounds of an empty area
    if np.isnan(area).any():
        return InputUnusable(
            _(
                "{area_name}: this area holds no ground that {before} and {after} have in common; draw it "
                "over them; a file that does not name its coordinate reference system is read as degrees",
                area_name=area_name,
                before=before,
                after=after,
            )
        )
    return InputUnusable(
        _(
            "{area_name}: this area holds no ground that {before} and {after} have in common (it lies around "
            "{area_lat_lon}, they around {common_lat_lon}); draw it over them; a file that does not name its "
            "coordinate reference system is read as degrees",
            area_name=area_name,
            before=before,
            after=after,
            area_lat_lon=_middle(area),
            common_lat_lon=_middle(common),
        )
    )


def _middle(bounds: Bounds) -> str:
    """Format the centre as latitude, longitude, as map searches take it."""
    lon, lat = (bounds[0] + bounds[2]) / 2.0, (bounds[1] + bounds[3]) / 2.0
    return f"{lat:.4f}, {lon:.4f}"


def _intersection(one: Bounds, other: Bounds) -> Bounds | None:
    west, south = max(one[0], other[0]), max(one[1], other[1])
    east, north = min(one[2], other[2]), min(one[3], other[3])
    return (west, south, east, north) if west < east and south < north else None


def _rounded_up(value: float) -> float:
    """Round up to two significant figures."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit


# -- Terrain of a comparison: a given file, else a flight's, else the registered one ---------------


def load_comparison_terrain(
    workspace: Workspace,
    sources: tuple[ImageSource, ImageSource],
    dem: Path | None,
    grid: OutputGrid,
    crs: str,
) -> TerrainGrid | None:
    """Load terrain in `crs` for the ground of a grid; None where none is known.

    A flight's terrain precedes the registered: the flight was orthorectified on it. Of two flights, that of
    the one whose work CRS is `crs`; else the other's, resampled to `crs`.

    Raises TerrainMissing (dem holds no height here), DatumUnknown, SourceUnreadable (dem, or what is
    registered, is gone or damaged), ObjectMissing, TileCorrupt.
    """
    if dem is not None:
        return load_terrain([read_dem_info(dem, "LOCAL")], crs, grid.bounds)
    elsewhere = []
    for side in sources:
        terrain = side.terrain()
        if terrain is None:
            continue
        if terrain.work_crs == crs:
            return terrain
        elsewhere.append(terrain)
    resampled = (_in_crs(terrain, grid, crs) for terrain in elsewhere)
    return next(filter(_is_known, resampled), None) or _registered(workspace, grid, crs)


def _registered(workspace: Workspace, grid: OutputGrid, crs: str) -> TerrainGrid | None:
    """Load registered terrain; if datums do not convert, the finest file alone.

    One file will do: only height differences are used.
    """
    dems = load_registered_dems(workspace)
    for some in (dems, *([one] for one in dems)):
        try:
            return load_terrain(some, crs, grid.bounds)
        except (TerrainMissing, DatumUnknown):
            continue
    return None


def _in_crs(terrain: TerrainGrid, grid: OutputGrid, crs: str) -> TerrainGrid:
    """Resample a terrain of another work CRS (UTM zone) to this one.

    Post spacing is kept, but no finer than the grid's pixels; NaN outside of it.
    """
    west, south, east, north = grid.bounds
    step = max(*terrain.post_spacing_m, grid.step_x)
    x = np.arange(west, east + 2.0 * step, step)
    rows = [
        interpolate_heights(
            terrain, transform_points(np.stack([x, np.full(len(x), y)], -1), crs, terrain.work_crs)
        )
        for y in np.arange(north, south - 2.0 * step, -step)
    ]
    return replace(
        terrain,
        heights_m=np.array(rows, np.float32),
        origin_m=(west, north),
        post_spacing_m=(step, step),
        work_crs=crs,
    )


def _is_known(terrain: TerrainGrid) -> bool:
    return bool(np.isfinite(terrain.heights_m).any())
