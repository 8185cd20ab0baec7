"""Two dates' surfaces of a house: hills, and a square of them that fell by DEPTH_M on the second."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely

from flycam.geodata.crs import WGS84, choose_work_crs, make_point_transform
from flycam.geometry.terrain import TerrainGrid
from flycam.model.flight import Layer
from flycam.model.records import MosaicInfo
from flycam.mosaic.terrain_codec import assign_content_id, encode_terrain
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.change.impacted import place

CRS = choose_work_crs(*place(0, 0))
DEPTH_M, SIGMA_M, POST_M = 2.0, 0.3, 1.0


def surface(
    workspace: Workspace, slide: shapely.Geometry, *, fell: bool, known: str = "all"
) -> tuple[str, str]:
    """Terrain's id and support's key of hills around a slide (WGS 84), before or after it `fell`, all of them
    1.7 m higher then. known: on "all" of it, or only in the "north"."""
    flat = shapely.transform(slide, make_point_transform(WGS84, CRS))
    west, south, east, north = flat.bounds
    x, y = np.meshgrid(
        np.arange(west - 140.0, east + 140.0), np.arange(north + 140.0, south - 140.0, -POST_M)
    )
    heights = 300.0 + 0.5 * (y - south) + 5.0 * np.sin(x / 19.0) * np.cos(y / 23.0)
    if fell:
        heights = np.where(shapely.contains_xy(flat, x, y), heights - DEPTH_M, heights) + 1.7
    sigma = np.full(x.shape, SIGMA_M)
    if known == "north":
        sigma[y < north - 30.0] = np.nan
    grids = [
        assign_content_id(
            TerrainGrid(
                heights_m=values.astype(np.float32),
                origin_m=(float(x[0, 0]), float(y[0, 0])),
                post_spacing_m=(POST_M, POST_M),
                work_crs=CRS,
                vertical_datum="EGM96",
                dem_id="surface",
            )
        )
        for values in (heights, sigma)
    ]
    for grid in grids:
        workspace.store.put(keys.format_terrain_key(grid.dem_id), encode_terrain(grid))
    return grids[0].dem_id, keys.format_terrain_key(grids[1].dem_id)


def finished(workspace: Workspace, mosaic_id: str, made: tuple[str, str] | None) -> str:
    """A published revision of a mosaic; made: its surface. What a comparison calls it."""
    mosaic = MosaicInfo(
        mosaic_id=mosaic_id, flight_id="f", layer=Layer.COLOUR, base_zoom=18, min_zoom=10, published=False
    )
    workspace.catalog.tiles.put_mosaic(mosaic)
    number = workspace.catalog.revisions.open(mosaic, "h", {}, 1)
    record = workspace.catalog.revisions.get(mosaic_id, number)
    if made is not None:
        record = replace(record, stats={"surface": {"terrain_id": made[0]}}, support_key=made[1])
    workspace.catalog.revisions.publish(record)
    return f"{mosaic_id}@{number}"
