"""Checks of an exchange before anything of it is imported."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from flycam.errors import SourceUnreadable
from flycam.messages import _
from flycam.mosaic.peer_tiles import PeerCursor, read_peer_cursors
from flycam.sync.flight_records import FlightRecords
from flycam.sync.log_digest import EMPTY_DIGEST, require_same_log
from flycam.sync.manifest import ExchangeManifest, ObjectKind, TileLogEntry
from flycam.sync.node import Node


def require_importable(
    node: Node,
    manifest: ExchangeManifest,
    records: Sequence[FlightRecords],
    place: str,
    left_out: Collection[str] = (),
) -> None:
    """Raise unless this exchange can follow what was imported before.

    left_out  mosaics of flights whose records do not read: nothing of them is imported

    StoreConflict: a node of the same name with another history. SourceUnreadable: it begins after the
    cursor here, or names a tile of a mosaic that it does not describe.
    """
    before = read_peer_cursors(node.store, manifest.box)
    for mosaic_id, stretch in sorted(manifest.log_ranges.items()):
        known = before.get(mosaic_id, PeerCursor(seq=0, digest=EMPTY_DIGEST))
        if stretch.since > known.seq:
            raise SourceUnreadable(
                _(
                    "{place}: goes on from line {since} of {mosaic_id}, but only {seq} lines "
                    "of {box} came here: the bundle before this one is missing; read that "
                    "first, or write this one again with --all",
                    place=place,
                    since=stretch.since,
                    mosaic_id=mosaic_id,
                    seq=known.seq,
                    box=manifest.box,
                )
            )
        offered = stretch.digest_at(known.seq)
        if offered is not None:
            require_same_log(manifest.box, mosaic_id, known.seq, known.digest, offered)
    described = {mosaic.mosaic_id: mosaic for one in records for mosaic in one.mosaics}
    for item in manifest.items:
        line = item.tile
        if line is None or line.mosaic_id in left_out:
            continue
        mosaic, stretch_of = described.get(line.mosaic_id), manifest.log_ranges.get(line.mosaic_id)
        if mosaic is None:
            raise _build_foreign_tile_error(place, line)
        if item.kind is ObjectKind.TILE and (
            stretch_of is None or not stretch_of.since < line.seq <= stretch_of.until
        ):
            raise _build_foreign_tile_error(place, line)
        is_base = line.tile_id.z == mosaic.base_zoom
        if is_base != (item.kind is ObjectKind.TILE) or line.tile_id.z < mosaic.min_zoom:
            raise _build_foreign_tile_error(place, line)


def _build_foreign_tile_error(place: str, line: TileLogEntry) -> SourceUnreadable:
    return SourceUnreadable(
        _(
            "{place}: holds tile {tile_id} of {mosaic_id}, which its own records do not "
            "describe; write it again on the box it comes from",
            place=place,
            tile_id=line.tile_id,
            mosaic_id=line.mosaic_id,
        )
    )
