"""Tiles from other nodes: states, placements, cursors, merge and previews.

The store holds the latest state of each tile by log, the placements of its frames, and cursors.

A log belongs to one node and one of its mosaics (`keys.derive_log_id`); its cursor says how far it was read.
States, placements and cursors are registers that only grow, kept in the store under keys that carry their
order, so that they are atomic on every store and need no table. A state beyond its log's cursor does not
count yet: an interrupted exchange left it. Decision 0021.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from types import MappingProxyType

import cv2
import numpy as np
import zstandard

from flycam.catalog.audit_key import is_public_key
from flycam.errors import StoreConflict, TileCorrupt
from flycam.geometry.grid import TILE_SIZE_PX, TileId
from flycam.messages import _
from flycam.model.frame import NO_DATA_QUALITY, NO_SOURCE, MosaicTile
from flycam.model.records import MosaicInfo
from flycam.model.text import has_glyphs, is_printable
from flycam.mosaic.tiles.codec import (
    TileHeads,
    TileLog,
    ViewFormat,
    compute_content_hash,
    decode_tile,
    encode_view,
    read_tile,
    with_ancestors,
)
from flycam.mosaic.tiles.merge import PARENT_EPOCH, Amendments, TileCanvas, sort_sources
from flycam.mosaic.tiles.writer import DAMAGE, GroupWriter, TileUpdate, put_tile_state, repair_parents
from flycam.storage import keys
from flycam.storage.files import decompress_zstd
from flycam.storage.keys import ObjectStore

# -- Merge of other nodes' tile states into the mosaic ---------------------------------------------
#
# A state made under other amendments is reduced by the amendments known by now. The remainder is right: where
# the greatest key of a set belongs to a frame that stays, it is the greatest without the removed frames too.
# So the head is the maximum of reduced states, whichever came first (docs/decisions/0021-sync.md).


# tiles in one group: 30 MB of canvases, and ancestors are shared
_JOINED_AT_ONCE = 64

UNKNOWN_PLACEMENTS: Mapping[str, str] = MappingProxyType({})
"""Placements by frame: none is known."""

StatesOf = Callable[[TileId], Iterable[MosaicTile]]
"""States to be merged into a base tile."""


def apply_amendments(
    tile: MosaicTile, amendments: Amendments, placements: Mapping[str, str] = UNKNOWN_PLACEMENTS
) -> MosaicTile:
    """Remove what the amendments forbid from a base tile; give it their epoch.

    placements  the id of the placement that a frame's pixels were made with, by frame, as far as it is known

    Pixels of withdrawn frames become no data, whatever the epoch: a node that never saw a frame's placement
    gives its tiles no epoch of their own. Where the epoch differs, so do pixels of reprocessed frames, unless
    they are known to be of the placement in force. A state that loses nothing is returned as it is.
    """
    epoch = amendments.epoch(tile.tile_id)
    is_fresh = tile.epoch == epoch
    removed = [
        number
        for number, frame_id in enumerate(tile.frames, start=1)
        if frame_id in amendments.withdrawn
        or (not is_fresh and _is_reprocessed(frame_id, amendments, placements))
    ]
    if not removed:
        return tile if is_fresh else replace(tile, epoch=epoch)
    emptied = np.isin(tile.source, np.array(removed, dtype=np.uint16))
    rgb, quality, source = tile.rgb.copy(), tile.quality.copy(), tile.source.copy()
    rgb[emptied] = 0
    quality[emptied] = NO_DATA_QUALITY
    source[emptied] = NO_SOURCE
    source, frames = sort_sources(source, tile.frames)
    return MosaicTile(
        tile_id=tile.tile_id, rgb=rgb, quality=quality, source=source, frames=frames, epoch=epoch
    )


def _is_reprocessed(frame_id: str, amendments: Amendments, placements: Mapping[str, str]) -> bool:
    replaced = amendments.replaced.get(frame_id)
    if replaced is None:
        return False
    return replaced.placement is None or placements.get(frame_id) != replaced.placement


def merge_states(tile_id: TileId, states: Iterable[MosaicTile], amendments: Amendments) -> MosaicTile:
    """Merge the amended states of one base tile; empty if nothing remains.

    Raises StoreConflict if one is of another address.
    """
    canvas = TileCanvas(tile_id, amendments.epoch(tile_id))
    for state in states:
        canvas.merge_tile(apply_amendments(state, amendments))
    return canvas.freeze()


def merge_peer_tiles(
    store: ObjectStore,
    tile_log: TileLog,
    mosaic: MosaicInfo,
    tile_ids: Iterable[TileId],
    states_of: StatesOf,
    *,
    amendments: Amendments,
    origin: str,
    clock_ns: Callable[[], int],
    damaged: Collection[TileId] = (),
    workers: int = 2,
) -> int:
    """Merge states into the heads of live base tiles; return the log lines appended.

    damaged  base tiles among them whose object is lost: only the states are merged, and the object is put
             again even where the result is the very state in the log

    Written in groups with all ancestors, each group all or nothing; merging again changes nothing. Raises
    TileCorrupt, StoreConflict (others keep changing the same tiles), and the errors of store and catalogue.
    """
    lines = 0
    waiting = iter(sorted(set(tile_ids)))
    with ThreadPoolExecutor(workers, thread_name_prefix="join") as pool:
        groups = GroupWriter(
            store,
            tile_log,
            mosaic,
            pool,
            origin=origin,
            clock_ns=clock_ns,
            damaged=damaged,
            before_append=lambda: None,
        )
        while some := list(islice(waiting, _JOINED_AT_ONCE)):
            lines += len(_join(store, groups, mosaic, some, states_of, amendments, damaged))
    return lines


def _join(
    store: ObjectStore,
    groups: GroupWriter,
    mosaic: MosaicInfo,
    tile_ids: Sequence[TileId],
    states_of: StatesOf,
    amendments: Amendments,
    damaged: Collection[TileId],
) -> list[TileUpdate]:
    def make_group() -> list[TileUpdate]:
        tiles: list[MosaicTile] = []
        made_from: list[str | None] = []
        for tile_id in tile_ids:
            head = groups.heads.head(tile_id)
            here = [] if head is None or tile_id in damaged else [read_tile(store, head)]
            states = [*here, *states_of(tile_id)]
            if not states:
                continue
            # an emptied state is written too: the other nodes' logs end with it
            tiles.append(merge_states(tile_id, states, amendments))
            made_from.append(None if head is None else head.content_hash)
        groups.restore(tile for tile in tiles if tile.tile_id in damaged)
        return groups.with_parents(tiles, made_from)

    while not groups.commit(group := make_group()):
        groups.heads.forget(with_ancestors(tile_ids, mosaic.min_zoom))
    return group


# -- Tile states, placements and cursors from other nodes, in the store ----------------------------


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
    for key in list(store.list(keys.format_mosaic_cursor_prefix(origin, mosaic_id))):
        if keys.parse_cursor_key(key)[1] < reached:
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
    payload = json.dumps(dict(placements), sort_keys=True, separators=(",", ":")).encode()
    store.put(
        keys.format_peer_placements_key(log, until),
        zstandard.ZstdCompressor(write_checksum=True).compress(payload),
    )


def _parse_placements(data: bytes) -> Mapping[str, str]:
    """Parse stored placements; raise TileCorrupt unless they are readable."""
    try:
        if not 0 < zstandard.frame_content_size(data) <= _MAX_PLACEMENTS_BYTES:
            raise ValueError("no believable size")
        placements = json.loads(decompress_zstd(data))
        if not isinstance(placements, dict):
            raise ValueError("another kind of list")
    except (ValueError, RecursionError, zstandard.ZstdError) as error:
        raise TileCorrupt(
            _(
                "the list of another node's placements is damaged ({error}); restore the store "
                "from its backup, or read a bundle that the other node writes with --all",
                error=error,
            )
        ) from error
    return placements


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
    if key.startswith(keys.format_node_key_prefix()):
        return _is_node_key(key, data)
    if key.startswith(keys.format_node_account_prefix()):
        return _is_name(data)
    if not key.startswith(keys.format_peer_placements_prefix()):
        return not data  # a cursor or a mark is all in its key
    _parse_placements(data)
    return True


def _is_node_key(key: str, data: bytes) -> bool:
    """Return True if this is `PUBLIC-KEY NAME` of the node that the key names; the key "" was forgotten."""
    with suppress(UnicodeDecodeError):
        public, __, name = data.decode().partition(" ")
        return (not public or is_public_key(public)) and key == keys.format_node_key(name)
    return False


def _is_name(data: bytes) -> bool:
    """Return True if this is a node's or account's name, whose key holds no hash."""
    try:
        return is_printable(name := data.decode()) and has_glyphs(name)
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
                self._placements_of(peer, seq),
            )
            for peer, (key, seq, digest) in sorted(self._latest(tile_id).items())
            if log in (None, peer)
        ]

    def delete_older(self, tile_id: TileId, log: str) -> None:
        """Delete the states of a tile that a log gave before the one in force."""
        latest = self._latest(tile_id).get(log)
        if latest is None:
            return
        in_force = latest[1]
        for key in list(self._store.list(keys.format_peer_tile_prefix(self._mosaic_id, tile_id))):
            peer, seq, _ = keys.parse_peer_tile_key(key)
            if peer == log and seq < in_force:
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


# -- Previews of overview tiles, for slow links ----------------------------------------------------
#
# A parent is a pure function of its children; until those arrive, its pixels may be filled from a small image
# of the peer's parent. Such a pixel has quality 1 and no frame, never covers a known one, and goes when the
# quadrant's child arrives, when the peer has sent everything, or when a frame is withdrawn. Filled tiles are
# marked in the store, so that no preview pixel can stay (docs/decisions/0021-sync.md).


PREVIEW_QUALITY = 1
_LOSSY = 50  # WebP quality: a tile in a few kilobytes
_SHAPE = (TILE_SIZE_PX, TILE_SIZE_PX)
_ATTEMPTS = 5
_OPAQUE = 128
_VP8, _VP8X = b"VP8 ", b"VP8X"


def encode_preview(tile: MosaicTile) -> bytes:
    """Encode a parent as a small image (WebP, with alpha)."""
    return encode_view(tile.rgb, tile.quality > NO_DATA_QUALITY, ViewFormat.WEBP, lossy_quality=_LOSSY)


def decode_preview(data: bytes, tile_id: TileId) -> MosaicTile:
    """Decode a preview to a tile state of quality 1 and no frame.

    Raises TileCorrupt.
    """
    if _size_of(data) != _SHAPE:
        raise _no_view(tile_id)
    try:
        picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise _no_view(tile_id) from error
    if picture is None or picture.dtype != np.uint8 or picture.shape not in ((*_SHAPE, 3), (*_SHAPE, 4)):
        raise _no_view(tile_id)
    mask = picture[..., 3] >= _OPAQUE if picture.shape[2] == 4 else np.ones(_SHAPE, dtype=bool)
    rgb = np.where(mask[..., None], picture[..., 2::-1], 0).astype(np.uint8)
    return MosaicTile(
        tile_id=tile_id,
        rgb=rgb,
        quality=np.where(mask, PREVIEW_QUALITY, NO_DATA_QUALITY).astype(np.uint16),
        source=np.full(_SHAPE, NO_SOURCE, dtype=np.uint16),
        frames=(),
        epoch=PARENT_EPOCH,
    )


def merge_previews(
    store: ObjectStore,
    log: TileLog,
    mosaic: MosaicInfo,
    views: Mapping[TileId, bytes],
    *,
    origin: str,
    clock_ns: Callable[[], int],
) -> int:
    """Fill unknown pixels of these parents from previews; return log lines appended.

    Filling again changes nothing. The caller holds the flight. Raises TileCorrupt, StoreConflict (others keep
    changing the same tiles).
    """
    for attempt in range(_ATTEMPTS):
        heads = TileHeads(log, mosaic.mosaic_id, mosaic.revision)
        changes = []
        for tile_id, data in sorted(views.items()):
            head = heads.head(tile_id)
            before = None if head is None else read_tile(store, head)
            filled = _filled(before, decode_preview(data, tile_id))
            if filled is not None:
                made_from = None if head is None else head.content_hash
                changes.append(TileUpdate(filled, compute_content_hash(filled), made_from))
        if not changes:
            return 0
        # objects are durable before the log names them
        records = [put_tile_state(store, mosaic, one.tile, origin, clock_ns()) for one in changes]
        store.flush()
        try:
            return len(log.append(records, {one.tile.tile_id: one.made_from for one in changes}))
        except StoreConflict:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("every attempt returns or raises")


def mark_previews(store: ObjectStore, mosaic_id: str, log: str, views: Mapping[TileId, str]) -> None:
    """Mark the previews a log gave of a mosaic, before they are merged.

    The caller must call `flush`.

    views  content hash of the peer's tile behind each preview
    """
    for tile_id, digest in views.items():
        store.put(keys.format_preview_key(mosaic_id, log, tile_id, digest), b"")


def list_previewed_tiles(store: ObjectStore, logs: Collection[str]) -> list[str]:
    """List content hashes of the peers' tiles of which these logs gave previews."""
    marks = map(keys.parse_preview_key, store.list(keys.format_preview_prefix()))
    return [digest for log, _, digest in marks if log in logs]


def remove_previews(
    store: ObjectStore,
    log: TileLog,
    mosaic: MosaicInfo,
    *,
    origin: str,
    clock_ns: Callable[[], int],
    done: str | None = None,
) -> int:
    """Rebuild previewed parents from their children; return the tiles written.

    done  the log that has given everything: a tile that no other log filled is rebuilt, and the marks of this
          log are deleted. None: all are rebuilt, and no mark is deleted (peers need not send them again)
    """
    marks = list(store.list(keys.format_preview_prefix(mosaic.mosaic_id)))
    if not marks:
        return 0
    peers: dict[TileId, set[str]] = {}
    for key in marks:
        peer, tile_id, _ = keys.parse_preview_key(key)
        peers.setdefault(tile_id, set()).add(peer)
    heads = TileHeads(log, mosaic.mosaic_id, mosaic.revision)
    filled = [
        tile_id
        for tile_id, logs in sorted(peers.items())
        if (done is None or logs == {done}) and _has_preview_pixels(store, heads, tile_id)
    ]
    written = 0
    if filled:
        written = repair_parents(store, log, mosaic, filled, origin=origin, now_ns=clock_ns())
    for key in marks:
        if keys.parse_preview_key(key)[0] == done:
            store.delete(key)
    return written


def _filled(before: MosaicTile | None, early: MosaicTile) -> MosaicTile | None:
    """Return a parent with its empty pixels filled; None if there is nothing to fill."""
    if before is None:
        return early if early.quality.any() else None
    missing = (before.quality == NO_DATA_QUALITY) & (early.quality > NO_DATA_QUALITY)
    if not missing.any():
        return None
    return MosaicTile(
        tile_id=before.tile_id,
        rgb=np.where(missing[..., None], early.rgb, before.rgb),
        quality=np.where(missing, early.quality, before.quality),
        source=before.source,
        frames=before.frames,
        epoch=before.epoch,
    )


def _has_preview_pixels(store: ObjectStore, heads: TileHeads, tile_id: TileId) -> bool:
    """Return True if a parent holds pixels of no frame.

    False for a damaged one, which is rebuilt from its children anyway.
    """
    head = heads.head(tile_id)
    if head is None:
        return False
    try:
        tile = read_tile(store, head)
    except DAMAGE:
        return False
    return bool(((tile.quality > NO_DATA_QUALITY) & (tile.source == NO_SOURCE)).any())


def _size_of(data: bytes) -> tuple[int, int] | None:
    """Read (height, width) from a lossy WebP header without decoding; else None."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    if data[12:16] == _VP8X:
        return 1 + int.from_bytes(data[27:30], "little"), 1 + int.from_bytes(data[24:27], "little")
    if data[12:16] == _VP8:
        low = 0x3FFF
        return int.from_bytes(data[28:30], "little") & low, int.from_bytes(data[26:28], "little") & low
    return None


def _no_view(tile_id: TileId) -> TileCorrupt:
    return TileCorrupt(
        _(
            "tile {tile_id}: its early view is not a picture of a tile; send it again from "
            "the node it comes from",
            tile_id=tile_id,
        )
    )
