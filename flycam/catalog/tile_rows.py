"""Conversion of mosaics, tile heads and lines of the tile log to and from rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, select, tuple_, update

from flycam.catalog import tables
from flycam.catalog.records import MosaicInfo
from flycam.frame.frame import Layer
from flycam.frame.tile import TileRecord
from flycam.geometry.grid import TileId

_TILES_AT_ONCE = 5000


def fetch_heads(
    connection: Connection, mosaic_id: str, revision: int, wanted: Sequence[TileId]
) -> dict[TileId, TileRecord]:
    """Return the heads of these tiles, without tiles that have none."""
    c = tables.tile_heads.c
    of_mosaic = and_(c.mosaic_id == mosaic_id, c.revision == revision)
    found: dict[TileId, TileRecord] = {}
    for start in range(0, len(wanted), _TILES_AT_ONCE):
        addresses = [(tile.z, tile.x, tile.y) for tile in wanted[start : start + _TILES_AT_ONCE]]
        query = select(tables.tile_heads).where(of_mosaic, tuple_(c.z, c.x, c.y).in_(addresses))
        for row in connection.execute(query):
            record = parse_tile_row(row)
            found[record.tile_id] = record
    return found


def show_revision(connection: Connection, mosaic_id: str, revision: int) -> bool:
    """Show this revision of the mosaic; return False if there is none of that number."""
    c = tables.mosaics.c
    of_mosaic = update(tables.mosaics).where(c.mosaic_id == mosaic_id)
    connection.execute(of_mosaic.where(c.revision != revision).values(published=False))
    return connection.execute(of_mosaic.where(c.revision == revision).values(published=True)).rowcount > 0


def to_mosaic_row(mosaic: MosaicInfo) -> dict[str, Any]:
    """Convert a mosaic to a new row.

    Only `publish` shows it, so that at most one revision is shown.
    """
    return {
        "mosaic_id": mosaic.mosaic_id,
        "revision": mosaic.revision,
        "flight_id": mosaic.flight_id,
        "layer": mosaic.layer.value,
        "base_zoom": mosaic.base_zoom,
        "min_zoom": mosaic.min_zoom,
        "published": False,
    }


def parse_mosaic_row(row: Row[Any]) -> MosaicInfo:
    """Convert a row to a mosaic; inverse of `to_mosaic_row`."""
    return MosaicInfo(
        mosaic_id=row.mosaic_id,
        flight_id=row.flight_id,
        layer=Layer(row.layer),
        revision=row.revision,
        base_zoom=row.base_zoom,
        min_zoom=row.min_zoom,
        published=row.published,
    )


def to_tile_row(record: TileRecord) -> dict[str, Any]:
    """Convert a tile record to a row of the log and of the heads."""
    return {
        "mosaic_id": record.mosaic_id,
        "seq": record.seq,
        "revision": record.revision,
        "z": int(record.tile_id.z),
        "x": int(record.tile_id.x),
        "y": int(record.tile_id.y),
        "origin": record.origin,
        "epoch": record.epoch,
        "key": record.key,
        "content_hash": record.content_hash,
        "written_ns": int(record.written_ns),
    }


def parse_tile_row(row: Row[Any]) -> TileRecord:
    """Convert a row to a tile record; inverse of `to_tile_row`."""
    return TileRecord(
        seq=row.seq,
        origin=row.origin,
        mosaic_id=row.mosaic_id,
        revision=row.revision,
        epoch=row.epoch,
        tile_id=TileId(z=row.z, x=row.x, y=row.y),
        key=row.key,
        content_hash=row.content_hash,
        written_ns=row.written_ns,
    )
