"""How a box had laid its frames when it gave tiles of them.

A tile's state names its frames, not how they were laid. Where two boxes laid one frame in two ways, the one
whose way is in force has its pixels right; this tells which.
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
    """Id of the placement of each frame in the tiles that come with these records, by frame.

    epochs  of the base tiles that come. Where one is not what the records make it, the box had laid frames
            again and not folded the tile yet: then nothing is said of any frame that it laid again.
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
