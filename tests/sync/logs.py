"""Lines of a tile log, made by hand."""

from __future__ import annotations

from flycam.geometry.grid import TileId
from flycam.model.frame import FIRST_EPOCH, TileRecord


def logged(seq: int, tile_id: TileId) -> TileRecord:
    """A line of the live mosaic "m"."""
    return TileRecord(
        seq=seq,
        origin="box",
        mosaic_id="m",
        revision=0,
        epoch=FIRST_EPOCH,
        tile_id=tile_id,
        key=f"k{seq}",
        content_hash=f"{seq:032x}",
        written_ns=0,
    )
