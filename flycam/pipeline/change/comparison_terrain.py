"""Terrain to judge changes by: a given file, else a flight's, else registered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from flycam.errors import DatumUnknown, TerrainMissing
from flycam.geodata.crs import transform_points
from flycam.geodata.dem import load_terrain
from flycam.geodata.dem_info import read_dem_info
from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.mosaic.output_grid import OutputGrid
from flycam.pipeline.change.image_sources import ImageSource
from flycam.pipeline.terrain import load_registered_dems
from flycam.pipeline.workspace import Workspace


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
    laid_anew = (_in_crs(terrain, grid, crs) for terrain in elsewhere)
    return next(filter(_is_known, laid_anew), None) or _registered(workspace, grid, crs)


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
