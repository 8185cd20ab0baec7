"""Previews of parents, which a slow link shows before their children arrive.

A parent is a pure function of its children; until those arrive, its pixels may be filled from a small image
of the peer's parent. Such a pixel has quality 1 and no frame, never covers a known one, and goes when the
quadrant's child arrives, when the peer has sent everything, or when a frame is withdrawn. Filled tiles are
marked in the store, so that no preview pixel can stay (docs/decisions/0021-sync.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import cv2
import numpy as np

from flycam.catalog.records import MosaicInfo
from flycam.errors import StoreConflict, TileCorrupt
from flycam.frame.tile import NO_DATA_QUALITY, NO_SOURCE, MosaicTile
from flycam.frame.tile_codec import ViewFormat, compute_content_hash, encode_view
from flycam.geometry.grid import TILE_SIZE_PX, TileId
from flycam.messages import _
from flycam.mosaic.merge import PARENT_EPOCH
from flycam.mosaic.tile_groups import TileUpdate
from flycam.mosaic.tile_heads import TileHeads
from flycam.mosaic.tile_log import TileLog, read_tile
from flycam.mosaic.tile_repair import DAMAGE, put_tile_state, repair_parents
from flycam.store import keys
from flycam.store.base import ObjectStore

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
    givers: dict[TileId, set[str]] = {}
    for key in marks:
        giver, tile_id, _ = keys.parse_preview_key(key)
        givers.setdefault(tile_id, set()).add(giver)
    heads = TileHeads(log, mosaic.mosaic_id, mosaic.revision)
    filled = [
        tile_id
        for tile_id, logs in sorted(givers.items())
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
            "tile {tile_id}: its early view is no picture of a tile; send it again from the "
            "box it comes from",
            tile_id=tile_id,
        )
    )
