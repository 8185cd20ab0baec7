"""Exterior orientations that a node's frames had when it sent tiles of them.

A tile's state names its frames, not their exterior orientations. Where two nodes orthorectified a frame
on different ones, only the node that used the effective one has the right pixels; this tells which it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from flycam.catalog.placement_rows import derive_placement_id, to_placement
from flycam.catalog.records import MosaicInfo
from flycam.geometry.grid import TileId
from flycam.mosaic.amendment_records import collect_amendments
from flycam.sync.flight_records import FlightRecords


def map_frame_placements(
    records: FlightRecords, mosaic: MosaicInfo, epochs: Mapping[TileId, str]
) -> dict[str, str]:
    """Return the placement id of each frame in the tiles that come with the records.

    epochs  of the received base tiles. Where one differs from what the records give, the sender had
            reprocessed frames and not rebuilt the tile yet: then reprocessed frames are left out.
    """
    amendments = collect_amendments(
        mosaic.layer, records.frames, records.placements, (one.frame_id for one in records.withdrawals)
    )
    is_behind = any(epoch != amendments.epoch(tile_id) for tile_id, epoch in epochs.items())
    return {
        record.frame_id: derive_placement_id(to_placement(record))
        for record in records.frames
        if record.exterior is not None
        and record.header.layer == mosaic.layer
        and not (is_behind and record.frame_id in amendments.replaced)
    }
