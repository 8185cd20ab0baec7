"""What lies above squares that were written one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from flycam.drill.photo_drill import DrillReport
from flycam.geometry.grid import TileId
from flycam.mosaic.cluster.run import (
    BlockAncestors,
    choose_block_zoom,
    update_all_ancestors,
)
from flycam.mosaic.tiles.codec import read_tile
from flycam.mosaic.tiles.writer import MosaicWriter
from tests.finished_house import tiles_of
from tests.houses import House


def test_the_pyramid_over_squares_is_that_of_one_writer(
    make_house: Callable[..., House], drill: DrillReport
) -> None:
    house = make_house(drill)
    report = house.ingest(drill.photos)
    workspace, tiles = house.workspace, house.workspace.catalog.tiles
    (mosaic,) = tiles.mosaics(report.flight.flight_id)
    again = replace(mosaic, revision=1, published=False)
    tiles.put_mosaic(again)
    zoom = choose_block_zoom(again)
    with MosaicWriter(
        workspace.store,
        tiles,
        replace(again, min_zoom=zoom),
        origin="test",
        clock_ns=workspace.clock_ns,
    ) as writer:
        heads = tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom)
        writer.place(read_tile(workspace.store, head) for head in heads)
    assert {head.tile_id.z for head in tiles.heads(mosaic.mosaic_id, 1)} == set(
        range(zoom, mosaic.base_zoom + 1)
    )
    update_all_ancestors(workspace, again)
    assert tiles_of(workspace, mosaic.mosaic_id, 1) == tiles_of(workspace, mosaic.mosaic_id, 0)
    lines = len(tiles.log_since(mosaic.mosaic_id, 0, 10_000))
    update_all_ancestors(workspace, again)
    above = BlockAncestors(workspace, again)
    above.mark_written(TileId(z=zoom, x=0, y=0))  # nothing was won there, so there is nothing above it either
    above.update()
    assert len(tiles.log_since(mosaic.mosaic_id, 0, 10_000)) == lines  # nothing more to do
