"""Tiles from other nodes: the latest state of each tile by log, the placements of its frames, and cursors.

A log belongs to one node and one of its mosaics (`keys.derive_log_id`); its cursor says how far it was read.
States, placements and cursors are registers that only grow, kept in the store under keys that carry their
order, so that they are atomic on every store and need no table. A state beyond its log's cursor does not
count yet: an interrupted exchange left it. Decision 0021.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import zstandard

from flycam.errors import TileCorrupt
from flycam.frame.payload_decoding import decompress_zstd
from flycam.frame.text_normalization import is_printable
from flycam.frame.tile import MosaicTile
from flycam.frame.tile_codec import decode_tile
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.mosaic.amendments import Amendments
from flycam.mosaic.peer_merge import UNKNOWN_PLACEMENTS, apply_amendments
from flycam.store import keys
from flycam.store.base import ObjectStore

# the same bound as for the records that it is made from
_MAX_PLACEMENTS_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerCursor:
    """Position up to which a log was read: line `seq`, where its digest is `digest`."""

    seq: int
    digest: str


def read_peer_cursors(store: ObjectStore, origin: str) -> dict[str, PeerCursor]:
    """Read the cursors of a node's logs, by the mosaic id that the node uses."""
    found: dict[str, PeerCursor] = {}
    for key in store.list(keys.format_cursor_prefix(origin)):
        mosaic_id, seq, digest = keys.parse_cursor_key(key)
        if mosaic_id not in found or found[mosaic_id].seq < seq:
            found[mosaic_id] = PeerCursor(seq=seq, digest=digest)
    return found


def read_cursors(store: ObjectStore) -> dict[str, int]:
    """Read the cursors of all logs, by `keys.derive_log_id`."""
    found: dict[str, int] = {}
    for key in store.list(keys.format_cursor_prefix()):
        log = keys.parse_cursor_log_id(key)
        _, seq, _ = keys.parse_cursor_key(key)
        found[log] = max(found.get(log, 0), seq)
    return found


def advance_cursor(store: ObjectStore, origin: str, mosaic_id: str, cursor: PeerCursor) -> None:
    """Advance a log's cursor; everything put before then survives a power cut.

    Going back changes nothing.
    """
    # flushed first, so that a durable cursor never covers a state that a power cut can still take
    store.flush()
    store.put(keys.format_cursor_key(origin, mosaic_id, cursor.seq, cursor.digest), b"", durable=True)
    _delete_passed(store, origin, mosaic_id, cursor.seq)


def _delete_passed(store: ObjectStore, origin: str, mosaic_id: str, reached: int) -> None:
    """Delete cursors that a later one replaces, and placements that the next repeats.

    A slow link leaves one of each at every step.
    """
    for key in list(store.list(keys.format_cursor_prefix(origin))):
        name, seq, _ = keys.parse_cursor_key(key)
        if name == mosaic_id and seq < reached:
            store.delete(key)
    lists = [
        key
        for key in sorted(
            store.list(keys.format_peer_placements_prefix(keys.derive_log_id(origin, mosaic_id)))
        )
        if keys.parse_peer_placements_seq(key) <= reached
    ]
    for before, after in pairwise(lists[-2:]):
        if store.get(before) == store.get(after):
            store.delete(before)


def put_peer_state(
    store: ObjectStore, log: str, seq: int, mosaic_id: str, tile_id: TileId, data: bytes, digest: str
) -> None:
    """Put a state that a log gave for a mosaic; the caller must call `store.flush`.

    Put again even where the key exists: that repairs an object damaged by a power cut or a bad disk.

    digest  the content hash that `data` was found to have
    """
    store.put(keys.format_peer_tile_key(log, seq, mosaic_id, tile_id, digest), data)


def put_peer_placements(store: ObjectStore, log: str, until: int, placements: Mapping[str, str]) -> None:
    """Put the placement id of each frame for the states up to log line `until`.

    The caller must call `store.flush`.
    """
    said = json.dumps(dict(placements), sort_keys=True, separators=(",", ":")).encode()
    store.put(
        keys.format_peer_placements_key(log, until),
        zstandard.ZstdCompressor(write_checksum=True).compress(said),
    )


def _parse_placements(data: bytes) -> Mapping[str, str]:
    """Parse stored placements; raise TileCorrupt unless they are readable."""
    try:
        if not 0 < zstandard.frame_content_size(data) <= _MAX_PLACEMENTS_BYTES:
            raise ValueError("no believable size")
        laid = json.loads(decompress_zstd(data))
        if not isinstance(laid, dict):
            raise ValueError("another kind of list")
    except (ValueError, RecursionError, zstandard.ZstdError) as error:
        raise TileCorrupt(
            _(
                "the list of how another box laid its frames is damaged ({error}); restore "
                "the store from its backup, or read a bundle that the other box writes with "
                "--all",
                error=error,
            )
        ) from error
    return laid


def verify_peer_object(key: str, data: bytes) -> bool:
    """Return True if an object from another node matches its key.

    Raises TileCorrupt where it cannot be decoded.
    """
    tile_id = keys.parse_peer_tile_id(key)
    if tile_id is not None:
        decode_tile(data, tile_id, keys.parse_peer_tile_key(key)[2])
        return True
    if key.startswith(keys.format_peer_records_prefix()):
        return key.endswith(f"/{hashlib.sha256(data).hexdigest()}")
    if key.startswith(keys.format_node_account_prefix()):
        return _is_name(data)
    if not key.startswith(keys.format_peer_placements_prefix()):
        return not data  # a cursor or a mark is all in its key
    _parse_placements(data)
    return True


def _is_name(data: bytes) -> bool:
    """Return True if this is a node's or account's name, whose key holds no hash."""
    try:
        return bool(data) and is_printable(data.decode())
    except UnicodeDecodeError:
        return False


def has_peer_tiles(store: ObjectStore, mosaic_id: str) -> bool:
    """Return True if another node gave a tile of this mosaic."""
    return next(iter(store.list(keys.format_peer_mosaic_prefix(mosaic_id))), None) is not None


class PeerTiles:
    """States given for one mosaic here, up to a cursor for each log."""

    def __init__(self, store: ObjectStore, mosaic_id: str, cursors: Mapping[str, int]) -> None:
        self._store = store
        self._mosaic_id = mosaic_id
        self._cursors = cursors
        self._placement_keys: dict[str, list[tuple[int, str]]] = {}
        self._placements: dict[str, Mapping[str, str]] = {}

    def states(self, tile_id: TileId, amendments: Amendments, log: str | None = None) -> list[MosaicTile]:
        """Return the amended latest state of a base tile by this log (None: by each log).

        Raises TileCorrupt.
        """
        return [
            apply_amendments(
                decode_tile(self._store.get(key), tile_id, digest),
                amendments,
                self._placements_of(giver, seq),
            )
            for giver, (key, seq, digest) in sorted(self._latest(tile_id).items())
            if log in (None, giver)
        ]

    def delete_older(self, tile_id: TileId, log: str) -> None:
        """Delete the states of a tile that a log gave before the one in force."""
        latest = self._latest(tile_id).get(log)
        if latest is None:
            return
        in_force = latest[1]
        for key in list(self._store.list(keys.format_peer_tile_prefix(self._mosaic_id, tile_id))):
            giver, seq, _ = keys.parse_peer_tile_key(key)
            if giver == log and seq < in_force:
                self._store.delete(key)

    def _placements_of(self, log: str, seq: int) -> Mapping[str, str]:
        """Return the placements of the frames in the state at this line of a log."""
        # a slow link leaves one list for each of its many steps, of which few are read
        if log not in self._placement_keys:
            listed = sorted(self._store.list(keys.format_peer_placements_prefix(log)))
            self._placement_keys[log] = [(keys.parse_peer_placements_seq(key), key) for key in listed]
        key = next((key for until, key in self._placement_keys[log] if seq <= until), None)
        if key is None:
            return UNKNOWN_PLACEMENTS
        if key not in self._placements:
            self._placements[key] = self._read_placements(key)
        return self._placements[key]

    def _read_placements(self, key: str) -> Mapping[str, str]:
        """Read a list of placements, as unknown if it is damaged.

        Then pixels of reprocessed frames are left out, which is never wrong, and nothing is held up. `verify`
        reports the damaged list.
        """
        try:
            return _parse_placements(self._store.get(key))
        except TileCorrupt:
            return UNKNOWN_PLACEMENTS

    def _latest(self, tile_id: TileId) -> dict[str, tuple[str, int, str]]:
        """Return (key, seq, content hash) by log.

        Keys of one log come sorted by seq, so the last one counts.
        """
        found: dict[str, tuple[str, int, str]] = {}
        for key in sorted(self._store.list(keys.format_peer_tile_prefix(self._mosaic_id, tile_id))):
            log, seq, digest = keys.parse_peer_tile_key(key)
            if seq <= self._cursors.get(log, 0):
                found[log] = (key, seq, digest)
        return found
