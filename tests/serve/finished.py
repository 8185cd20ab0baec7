"""A finished revision made by hand from the live one: other colours, an error in every pixel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.grid import TileId, get_tile_bounds
from flycam.geometry.terrain import TerrainGrid
from flycam.model.frame import MosaicTile, TileRecord
from flycam.model.records import FrameStatus, RevisionFrame
from flycam.mosaic.finish.finished_tiles import encode_error_m
from flycam.mosaic.terrain_codec import assign_content_id, encode_terrain
from flycam.mosaic.tiles.codec import compute_content_hash, encode_tile, read_tile
from flycam.mosaic.tiles.merge import make_parent_tile
from flycam.storage import keys
from flycam.workspace import Workspace

ERRORS_M = np.linspace(0.05, 6.0, 256, dtype=np.float32)
"""Expected error by column of a finished tile, metres."""


def finished_tile(live: MosaicTile, darker: int = 1) -> MosaicTile:
    """The live tile with its colours halved `darker` times and errors that grow from west to east."""
    known = live.quality > 0
    quality = np.where(known, encode_error_m(np.broadcast_to(ERRORS_M, (256, 256))), 0)
    return replace(live, rgb=live.rgb >> darker, quality=quality.astype(np.uint16))


def finish_by_hand(
    workspace: Workspace,
    flight_id: str,
    *,
    darker: int = 1,
    publish: bool = True,
    columns: int | None = None,
    options: Mapping[str, Any] = {"surface": True},
) -> int:
    """The number of a new revision of the flight's colour mosaic, its base tiles written: all of them, or
    those of the westernmost columns. options: as `finish` records what it was asked for."""
    catalog, now = workspace.catalog, workspace.clock_ns()
    live = catalog.tiles.mosaic(f"{flight_id}-colour", 0)
    number = catalog.revisions.open(live, f"darker {darker}", options, now)
    used = catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    frames = [
        RevisionFrame(
            frame_id=one.frame_id,
            exterior=one.header.exterior_prior,
            interior=one.header.interior,
            state="tied",
            ties=321,
            rms_px=0.4,
            cells_pct=80.0,
        )
        for one in used
    ]
    catalog.revisions.put_frames(live.mosaic_id, number, frames)
    heads = catalog.tiles.heads(live.mosaic_id, 0, z=live.base_zoom)
    west = min(head.tile_id.x for head in heads)
    heads = [head for head in heads if columns is None or head.tile_id.x < west + columns]
    tiles = [finished_tile(read_tile(workspace.store, head), darker) for head in heads]
    write_tiles(workspace, live.mosaic_id, number, tiles)
    if publish:
        record = catalog.revisions.get(live.mosaic_id, number)
        support = western_half(np.array([get_tile_bounds(head.tile_id) for head in heads]))
        key = keys.format_terrain_key(support.dem_id)
        workspace.store.put(key, encode_terrain(support))
        stats = {"reprojection_px": 0.41, "shift_sigma_m": [0.8, 0.8, 1.2], "tie_points": 4321}
        catalog.revisions.publish(replace(record, stats=stats, support_key=key))
    return number


def write_tiles(workspace: Workspace, mosaic_id: str, number: int, tiles: Iterable[MosaicTile]) -> None:
    """Write tiles of a revision: objects, then their log lines."""
    records = []
    for tile in tiles:
        digest = compute_content_hash(tile)
        key = keys.format_tile_key(mosaic_id, number, tile.tile_id, digest)
        workspace.store.put(key, encode_tile(tile))
        records.append(
            TileRecord(
                seq=0,
                origin="test",
                mosaic_id=mosaic_id,
                revision=number,
                epoch=tile.epoch,
                tile_id=tile.tile_id,
                key=key,
                content_hash=digest,
                written_ns=workspace.clock_ns(),
            )
        )
    workspace.catalog.tiles.append(records, {})


def add_parents(workspace: Workspace, mosaic_id: str, number: int) -> None:
    """Write the parents of a revision's base tiles, up to its coarsest zoom."""
    tiles = workspace.catalog.tiles
    info = tiles.mosaic(mosaic_id, number)
    for zoom in range(info.base_zoom, info.min_zoom, -1):
        children: dict[TileId, list[MosaicTile]] = {}
        for head in tiles.heads(mosaic_id, number, z=zoom):
            children.setdefault(head.tile_id.parent(), []).append(read_tile(workspace.store, head))
        write_tiles(
            workspace, mosaic_id, number, [make_parent_tile(one, all_) for one, all_ in children.items()]
        )


def western_half(bounds: np.ndarray) -> TerrainGrid:
    """A surface that is the flight's own in the western half of these Mercator rectangles."""
    (west, south), (east, north) = bounds[:, :2].min(axis=0), bounds[:, 2:].max(axis=0)
    to_work = fit_mercator_to_work("EPSG:32648", (west, south, east, north))
    corners = to_work(np.array([[west, south], [west, north], [east, south], [east, north]]))
    (left, bottom), (right, top) = corners.min(axis=0) - 20.0, corners.max(axis=0) + 20.0
    sigma = np.full((int((top - bottom) / 10) + 2, int((right - left) / 10) + 2), 0.3, np.float32)
    sigma[:, sigma.shape[1] // 2 :] = np.nan
    return assign_content_id(
        TerrainGrid(
            heights_m=sigma,
            origin_m=(left, top),
            post_spacing_m=(10.0, 10.0),
            work_crs="EPSG:32648",
            vertical_datum="EGM96",
            dem_id="support",
        )
    )
