"""Maps of a quality report: colour, error, bend, overlap, ground.

On one small grid in the work CRS. Colours come from the zoom that suits it. The error is read from the base
tiles at the grid's points: an overview tile keeps the best of its four children, which would flatter the map.
So is the source photo, whose position gives the bend of each window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import MosaicInfo
from flycam.errors import FrameRejected
from flycam.frame.frame import FrameHeader
from flycam.frame.tile import MosaicTile
from flycam.geodata.crs import fit_mercator_to_work, make_point_transform
from flycam.geodata.hillshade import compute_hillshade
from flycam.geometry.grid import (
    HALF_WORLD_M,
    TILE_SIZE_PX,
    TileId,
    compute_grid_pixel_m,
    compute_ground_pixel_m,
    compute_pixel_centres,
    make_tile_range,
)
from flycam.geometry.planar_map import PlanarMap, fit_planar_map
from flycam.geometry.relief_displacement import WINDOW_PX, measure_bend_m
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_en
from flycam.mosaic.dsm_share import is_dsm_ground
from flycam.mosaic.finished_tiles import decode_error_m
from flycam.mosaic.output_grid import MERCATOR, OutputGrid, find_data_bounds, make_output_grid
from flycam.mosaic.resampling import TileReader, resample_colours
from flycam.mosaic.tile_log import read_tile
from flycam.pipeline.orthorectification.rectification import compute_ground_views
from flycam.pipeline.workspace import Progress, Workspace
from flycam.report.map_planes import MapPlanes

_LONG_SIDE_PX = 900
_MIN_PIXEL_M = 0.01
_MIN_GAP_PX = 9
# Heights count as smooth where they differ by more than this from the measured ones.
_SPACING_M = 1.0
# of a window, along its side
_NODES = 8

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def gather_maps(
    workspace: Workspace,
    mosaic: MosaicInfo,
    headers: Sequence[FrameHeader],
    terrain: TerrainGrid,
    support: TerrainGrid | None,
    measured: TerrainGrid | None,
    progress: Progress,
) -> MapPlanes:
    """Gather all planes of a revision.

    headers: its frames with adjusted poses and cameras; terrain: that they are orthorectified on; measured:
    the flight's own DSM. Raises NotFound for a mosaic without pixels, ObjectMissing, TileCorrupt.
    """
    grid = _grid_over(workspace, mosaic, terrain.work_crs)
    shape = (grid.rows, grid.cols)
    x, y = grid.centres(0, 0, shape)
    mercator = _mercator(grid, terrain.work_crs)
    reach = TILE_SIZE_PX * compute_grid_pixel_m(mosaic.base_zoom)
    low, high = mercator.min(axis=(0, 1)) - reach, mercator.max(axis=(0, 1)) + reach
    to_work = fit_mercator_to_work(terrain.work_crs, (low[0], low[1], high[0], high[1]))
    windows = _Windows(headers, terrain, to_work)
    error, bend = _tile_figures(workspace, mosaic, mercator, windows, progress)
    shown = np.isfinite(error)
    zoom = _zoom_for(grid, mosaic, workspace)
    reader = TileReader(workspace.store, workspace.catalog.tiles, mosaic, zoom)
    rgb, _ = resample_colours(reader, grid, terrain.work_crs, (0, 0), shape)
    east, north = np.meshgrid(x, y)
    own = np.zeros(shape, dtype=np.bool_)
    if support is not None:
        own = is_dsm_ground(support, east, north)
    smooth = np.zeros(shape, dtype=np.bool_)
    if measured is not None:
        with np.errstate(invalid="ignore"):
            apart = interpolate_heights_en(terrain, east, north) - interpolate_heights_en(
                measured, east, north
            )
            smooth = np.abs(apart) > _SPACING_M
    gaps, gaps_m2 = _holes(shown, grid.step_x * grid.step_y)
    return MapPlanes(
        west=grid.west,
        north=grid.north,
        pixel_m=grid.step_x,
        rgb=rgb,
        shown=shown,
        error_m=error,
        overlap=_overlap(headers, terrain, grid),
        own=own & shown,
        bend_px=bend,
        smooth=smooth & shown,
        relief=_relief(terrain, grid),
        gaps=gaps,
        gaps_m2=gaps_m2,
    )


def _grid_over(workspace: Workspace, mosaic: MosaicInfo, work_crs: str) -> OutputGrid:
    """Return a grid over the mosaic's data, `_LONG_SIDE_PX` long."""
    extent = find_data_bounds(workspace.store, workspace.catalog.tiles, mosaic)
    rough = make_output_grid(extent, work_crs, (extent[2] - extent[0] + extent[3] - extent[1]) / 200.0, None)
    west, south, east, north = rough.bounds
    side_m = max(east - west, north - south)
    return make_output_grid(extent, work_crs, max(side_m / _LONG_SIDE_PX, _MIN_PIXEL_M), None)


def _mercator(grid: OutputGrid, work_crs: str) -> Floats:
    """Return Mercator metres of the grid's pixel centres, rows×cols×2."""
    x, y = grid.centres(0, 0, (grid.rows, grid.cols))
    return fit_planar_map(make_point_transform(work_crs, MERCATOR), grid.bounds).grid(x, y)


def _zoom_for(grid: OutputGrid, mosaic: MosaicInfo, workspace: Workspace) -> int:
    bounds = workspace.catalog.flights.flight(mosaic.flight_id).bounds_lonlat_deg
    latitude = (bounds[1] + bounds[3]) / 2 if bounds else 0.0
    exact = math.log2(compute_ground_pixel_m(0, latitude) / grid.step_x)
    return min(max(math.ceil(exact - 0.01), mosaic.min_zoom), mosaic.base_zoom)


class _Windows:
    """Bend of the windows of base tiles."""

    def __init__(self, headers: Sequence[FrameHeader], terrain: TerrainGrid, to_work: PlanarMap) -> None:
        self._centre_m = {one.frame_id: one.exterior_prior.projection_centre_m for one in headers}
        self._terrain, self._to_work = terrain, to_work
        steps = (np.arange(_NODES) + 0.5) * (WINDOW_PX / _NODES) - 0.5
        first = np.arange(0, TILE_SIZE_PX, WINDOW_PX)
        rows, cols, down, across = np.meshgrid(first, first, steps, steps, indexing="ij")
        self._rows, self._cols = ((a + b).reshape(-1, _NODES**2) for a, b in ((rows, down), (cols, across)))

    def bends_px(self, tile: MosaicTile) -> NDArray[np.float32]:
        """Return the bend of a tile's windows, pixels RMS, rows×cols of windows.

        Of the photo shown in each window's centre.
        """
        middle = slice(WINDOW_PX // 2, None, WINDOW_PX)
        unknown = (np.nan,) * 3
        centres = np.array([unknown, *(self._centre_m.get(one, unknown) for one in tile.frames)])
        shown = centres[tile.source[middle, middle].ravel()]
        place = self._to_work(compute_pixel_centres(make_tile_range(tile.tile_id), self._rows, self._cols))
        east, north = place[..., 0], place[..., 1]
        bends = measure_bend_m(east, north, interpolate_heights_en(self._terrain, east, north), shown)
        step = WINDOW_PX / _NODES
        pixel_m = np.hypot(east[:, 1] - east[:, 0], north[:, 1] - north[:, 0]) / step
        side = TILE_SIZE_PX // WINDOW_PX
        return (bends / pixel_m).astype(np.float32).reshape(side, side)


def _tile_figures(
    workspace: Workspace, mosaic: MosaicInfo, mercator: Floats, windows: _Windows, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return expected error, and bend of the window, at the points on base tiles.

    NaN where the map shows nothing. Read tile by tile.
    """
    size = compute_grid_pixel_m(mosaic.base_zoom)
    col = np.floor((mercator[..., 0].ravel() + HALF_WORLD_M) / size).astype(np.int64)
    row = np.floor((HALF_WORLD_M - mercator[..., 1].ravel()) / size).astype(np.int64)
    tile_x, tile_y = col // TILE_SIZE_PX, row // TILE_SIZE_PX
    order = np.lexsort((tile_x, tile_y))
    ends = np.flatnonzero(np.diff(tile_x[order]) | np.diff(tile_y[order])) + 1
    groups = np.split(order, ends)
    tiles = workspace.catalog.tiles
    # Base tiles: an overview tile keeps the best of its four children, which would flatter the map.
    heads = {
        head.tile_id: head for head in tiles.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    }
    error, bend = (np.full(col.size, np.nan, dtype=np.float32) for _ in range(2))
    for done, members in enumerate(groups, 1):
        first = members[0]
        head = heads.get(TileId(z=mosaic.base_zoom, x=int(tile_x[first]), y=int(tile_y[first])))
        if head is not None:
            tile = read_tile(workspace.store, head)
            at = row[members] % TILE_SIZE_PX, col[members] % TILE_SIZE_PX
            error[members] = decode_error_m(tile.quality[at])
            bend[members] = windows.bends_px(tile)[at[0] // WINDOW_PX, at[1] // WINDOW_PX]
        progress("report", done, len(groups))
    error[~np.isfinite(error)] = np.nan
    bend[np.isnan(error)] = np.nan
    return error.reshape(mercator.shape[:2]), bend.reshape(mercator.shape[:2])


def _overlap(headers: Sequence[FrameHeader], terrain: TerrainGrid, grid: OutputGrid) -> NDArray[np.int32]:
    count = np.zeros((grid.rows, grid.cols), dtype=np.int32)
    for view in compute_ground_views(headers, terrain):
        if not isinstance(view, FrameRejected):
            seen = np.zeros(count.shape, dtype=np.uint8)
            cv2.fillPoly(seen, [np.rint(grid.to_pixels(view.footprint.polygon_m) - 0.5).astype(np.int32)], 1)
            count += seen
    return count


def _relief(terrain: TerrainGrid, grid: OutputGrid) -> Floats:
    """Shade the terrain at the grid's pixels.

    Heights reach one pixel beyond the grid, for the slopes at its edge.
    """
    x = grid.west + (np.arange(-1, grid.cols + 1) + 0.5) * grid.step_x
    y = grid.north - (np.arange(-1, grid.rows + 1) + 0.5) * grid.step_y
    heights = interpolate_heights_en(terrain, *np.meshgrid(x, y)).astype(np.float32)
    return compute_hillshade(heights, grid.step_x)


def _holes(shown: Mask, pixel_m2: float) -> tuple[tuple[Floats, ...], tuple[float, ...]]:
    """Return outlines and areas of enclosed gaps, the largest first.

    Gaps of a few pixels come from the grid, not the flight, and are dropped.
    """
    parts, labels, facts, _ = cv2.connectedComponentsWithStats((~shown).astype(np.uint8), connectivity=4)
    rows, cols = shown.shape
    found: list[tuple[int, int, Floats]] = []
    for part in range(1, parts):
        left, top, width, height, pixels = facts[part].tolist()
        at_edge = left == 0 or top == 0 or left + width == cols or top + height == rows
        if at_edge or pixels < _MIN_GAP_PX:
            continue
        window = (labels[top : top + height, left : left + width] == part).astype(np.uint8)
        outlines, _ = cv2.findContours(window, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corner = np.array([left + 0.5, top + 0.5])
        found.append((-pixels, part, outlines[0].reshape(-1, 2) + corner))
    found.sort(key=lambda one: one[:2])
    return tuple(one[2] for one in found), tuple(-one[0] * pixel_m2 for one in found)
