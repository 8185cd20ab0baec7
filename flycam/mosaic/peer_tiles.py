"""What other boxes gave: the latest state of each tile by each log, how the frames in it were laid, and how
far each log was taken in.

A log is one box's of one of its mosaics (`keys.derive_log_id`). Both are registers that only grow, kept in
the store under keys that carry their order, so that they are atomic on every store and need no table. A state
beyond its log's cursor is not there yet: an exchange that was cut short left it. Decision 0021.
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

_MAX_PLACEMENTS_BYTES = 1 << 28  # as of the records that it is made from


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerCursor:
    """A log was taken in up to `seq`, where its digest is `digest`."""

    seq: int
    digest: str


def read_peer_cursors(store: ObjectStore, origin: str) -> dict[str, PeerCursor]:
    """How far each log of this box was taken in, by the mosaic as that box calls it."""
    found: dict[str, PeerCursor] = {}
    for key in store.list(keys.format_cursor_prefix(origin)):
        mosaic_id, seq, digest = keys.parse_cursor_key(key)
        if mosaic_id not in found or found[mosaic_id].seq < seq:
            found[mosaic_id] = PeerCursor(seq=seq, digest=digest)
    return found


def read_cursors(store: ObjectStore) -> dict[str, int]:
    """How far every log was taken in, by `keys.derive_log_id`."""
    found: dict[str, int] = {}
    for key in store.list(keys.format_cursor_prefix()):
        log = keys.parse_cursor_log_id(key)
        _, seq, _ = keys.parse_cursor_key(key)
        found[log] = max(found.get(log, 0), seq)
    return found


def advance_cursor(store: ObjectStore, origin: str, mosaic_id: str, cursor: PeerCursor) -> None:
    """Move a log's cursor on; everything put before survives a power cut then. Going back changes nothing."""
    store.flush()
    store.put(keys.format_cursor_key(origin, mosaic_id, cursor.seq, cursor.digest), b"", durable=True)
    _delete_passed(store, origin, mosaic_id, cursor.seq)


def _delete_passed(store: ObjectStore, origin: str, mosaic_id: str, reached: int) -> None:
    """Cursors that a later one stands for, and lists of how frames lay that the next one repeats: a line
    leaves one of each for every step."""
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
    """Put a state that a log gave for a mosaic here beside those before it; the caller owes `store.flush`.

    Also where it is there: what a power cut or a bad disk left under the key is made whole by it.

    digest  the content hash that `data` was found to have
    """
    store.put(keys.format_peer_tile_key(log, seq, mosaic_id, tile_id, digest), data)


def put_peer_placements(store: ObjectStore, log: str, until: int, placements: Mapping[str, str]) -> None:
    """Put the id of the placement by which each frame lies in the states that came with lines up to `until`;
    the caller owes `store.flush`."""
    said = json.dumps(dict(placements), sort_keys=True, separators=(",", ":")).encode()
    store.put(
        keys.format_peer_placements_key(log, until),
        zstandard.ZstdCompressor(write_checksum=True).compress(said),
    )


def _parse_placements(data: bytes) -> Mapping[str, str]:
    """Raises TileCorrupt."""
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
    """Whether an object that another box gave is what its key says. TileCorrupt where it does not read."""
    tile_id = keys.parse_peer_tile_id(key)
    if tile_id is not None:
        decode_tile(data, tile_id, keys.parse_peer_tile_key(key)[2])
        return True
    if key.startswith(keys.format_peer_records_prefix()):
        return key.endswith(f"/{hashlib.sha256(data).hexdigest()}")
    if key.startswith(keys.format_node_account_prefix()):
        return _is_name(data)
    if not key.startswith(keys.format_peer_placements_prefix()):
        return not data  # a cursor or a mark says all in its key
    _parse_placements(data)
    return True


def _is_name(data: bytes) -> bool:
    """Whether this is the name of a box or of an account: no hash of it is in its key."""
    try:
        return bool(data) and is_printable(data.decode())
    except UnicodeDecodeError:
        return False


def has_peer_tiles(store: ObjectStore, mosaic_id: str) -> bool:
    """Whether another box gave a tile of this mosaic."""
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
        """What these amendments leave of the latest state of a base tile by this log (None: by each).

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
        """Delete what a log gave of a tile before the state that is in force."""
        latest = self._latest(tile_id).get(log)
        if latest is None:
            return
        in_force = latest[1]
        for key in list(self._store.list(keys.format_peer_tile_prefix(self._mosaic_id, tile_id))):
            giver, seq, _ = keys.parse_peer_tile_key(key)
            if giver == log and seq < in_force:
                self._store.delete(key)

    def _placements_of(self, log: str, seq: int) -> Mapping[str, str]:
        """How the frames were laid in the state that this line of a log is."""
        if log not in self._placement_keys:  # a line leaves one list for each of its many steps: few are read
            listed = sorted(self._store.list(keys.format_peer_placements_prefix(log)))
            self._placement_keys[log] = [(keys.parse_peer_placements_seq(key), key) for key in listed]
        key = next((key for until, key in self._placement_keys[log] if seq <= until), None)
        if key is None:
            return UNKNOWN_PLACEMENTS
        if key not in self._placements:
            self._placements[key] = self._read_placements(key)
        return self._placements[key]

    def _read_placements(self, key: str) -> Mapping[str, str]:
        """A list that is damaged says nothing: pixels of frames that were laid again are left out then, which
        is never wrong, and holds nothing up. Verifying names it."""
        try:
            return _parse_placements(self._store.get(key))
        except TileCorrupt:
            return UNKNOWN_PLACEMENTS

    def _latest(self, tile_id: TileId) -> dict[str, tuple[str, int, str]]:
        """(key, seq, content hash) by log; keys of one log come sorted by seq, so the last one stands."""
        found: dict[str, tuple[str, int, str]] = {}
        for key in sorted(self._store.list(keys.format_peer_tile_prefix(self._mosaic_id, tile_id))):
            log, seq, digest = keys.parse_peer_tile_key(key)
            if seq <= self._cursors.get(log, 0):
                found[log] = (key, seq, digest)
        return found
