"""Image sources of a comparison: a flight's mosaic or a file, read on any grid."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.image_reference import format_file_reference
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import NotFound, SourceUnreadable
from flycam.frame.flight import Flight, is_flat_datum
from flycam.frame.timestamp import format_minute
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.geodata.raster_digest import compute_raster_digest
from flycam.geodata.reference_raster import RASTER_SUFFIXES, ReferenceRaster
from flycam.geometry.planar_map import Bounds
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _
from flycam.mosaic.export import choose_source_zoom
from flycam.mosaic.output_grid import OutputGrid, find_data_bounds, transform_bounds
from flycam.mosaic.resampling import TileReader, resample_colours
from flycam.pipeline.coverage import get_main_mosaic
from flycam.pipeline.terrain import load_recorded_terrain
from flycam.pipeline.workspace import Workspace

MaskedImage = tuple[NDArray[np.uint8], NDArray[np.bool_]]

_BLOCK_PX = 1024
# share of an image: less is a few pixels, not worth a remark
_MIN_COLLAR_SHARE = 0.001


class ImageSource(Protocol):
    """One of the two sides that are compared.

    name    in messages
    shown   the image reference, as recorded (`catalog.image_reference`)
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
        return resample_colours(self._reader(grid.step_x), grid, crs, corner, shape)

    def release(self) -> None:
        """Free the decoded tiles."""
        self._tiles.clear()

    def _reader(self, gsd_m: float) -> TileReader:
        zoom = choose_source_zoom(gsd_m, self._extent, self._mosaic)
        if zoom not in self._tiles:
            workspace = self._workspace
            self._tiles[zoom] = TileReader(workspace.store, workspace.catalog.tiles, self._mosaic, zoom)
        return self._tiles[zoom]

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
        laid = self._picture.warp_to_bounds(
            (west, north - shape[0] * grid.step_y, west + shape[1] * grid.step_x, north), shape, crs
        )
        return laid.rgb, laid.valid

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
