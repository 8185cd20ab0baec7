"""Tile codec, interface of the tile log, and a cache of the log's heads.

The codec gives tile states as bytes, their content hash, and view images for screens.

Format FCT version 1 (little-endian), docs/decisions/0002:

    magic "FCT" · version u8 · z u8 · x u32 · y u32 · 4 section lengths u32 · CRC-32 of all before u32
    then four Zstandard frames, each with its own checksum:
    table    the epoch and the sorted frame ids, UTF-8, one a line
    rgb      three planes G, R-G, B-G, each row minus the row above (all modulo 256)
    quality  second difference down the columns (modulo 65536), zigzag, low bytes then high bytes
    source   u8 where the table has at most 255 frames, else u16

The content hash is taken over the *uncompressed, unfiltered* state, so neither another Zstandard version nor
another filter changes a key.
"""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

import cv2
import numpy as np
import zstandard
from numpy.typing import NDArray

from flycam.errors import TileCorrupt
from flycam.geometry.grid import TILE_SIZE_PX, TileId, TileRange
from flycam.messages import _
from flycam.model.frame import MosaicTile, TileRecord
from flycam.storage.files import decompress_zstd
from flycam.storage.keys import ObjectStore

_MAGIC = b"FCT\x01"
_HEAD = struct.Struct("<4sBII4I")
_CRC = struct.Struct("<I")
_SHAPE = (TILE_SIZE_PX, TILE_SIZE_PX)
_PIXELS = TILE_SIZE_PX * TILE_SIZE_PX
# Filtered photographs hardly repeat: entropy coding does the work, so the match search is kept short.
# Against level 1: 0.33 ms instead of 0.54 ms for 256×256 RGB, 4 % more bytes; level 3 saves 1 % in 1.0 ms.
_ZSTD = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST,
    min_match=7,
    hash_log=8,
    chain_log=8,
    search_log=1,
    window_log=18,
    write_content_size=True,
    write_checksum=True,
)
_MAX_TABLE_BYTES = 1 << 22
_MAX_FRAMES = (1 << 16) - 1  # a pixel names one in 16 bits
_WIDE_SOURCE_FROM = 256

_Bytes = NDArray[np.uint8]
_Words = NDArray[np.uint16]


class ViewFormat(StrEnum):
    """Image format for screens; the value is the media type."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"


def compute_content_hash(tile: MosaicTile) -> str:
    """Compute the first 32 hex digits of the SHA-256 over the canonical state.

    Address, epoch, frames, planes. Raises ValueError if the tile is not canonical in shape, type or table
    order.
    """
    _require_canonical(tile)
    address = tile.tile_id
    digest = hashlib.sha256(f"tile {address.z}/{address.x}/{address.y}\n".encode())
    digest.update(_table(tile))
    digest.update(np.ascontiguousarray(tile.rgb).data)
    digest.update(np.ascontiguousarray(tile.quality, dtype="<u2").data)
    digest.update(np.ascontiguousarray(tile.source, dtype="<u2").data)
    return digest.hexdigest()[:32]


def encode_tile(tile: MosaicTile) -> bytes:
    """Encode a tile state losslessly.

    Raises ValueError if the tile is not canonical in shape, type or table order.
    """
    _require_canonical(tile)
    wide = len(tile.frames) >= _WIDE_SOURCE_FROM
    compressor = zstandard.ZstdCompressor(compression_params=_ZSTD)
    sections = [
        compressor.compress(section)
        for section in (
            _table(tile),
            _filter_rgb(tile.rgb).data,
            _filter_quality(tile.quality).data,
            np.ascontiguousarray(tile.source, dtype="<u2" if wide else np.uint8).data,
        )
    ]
    address = tile.tile_id
    head = _HEAD.pack(_MAGIC, address.z, address.x, address.y, *(len(s) for s in sections))
    return b"".join((head, _CRC.pack(zlib.crc32(head)), *sections))


def decode_tile(data: bytes, tile_id: TileId, expected_hash: str | None = None) -> MosaicTile:
    """Decode the tile state in `data`.

    Raises TileCorrupt if the bytes are not a whole tile of format version 1, belong to another address than
    `tile_id`, or (when `expected_hash` is given) have another content hash.
    """
    table, rgb, quality, source = _sections(data, tile_id)
    epoch, frames = _parse_table(table, tile_id)
    tile = MosaicTile(
        tile_id=tile_id,
        rgb=_unfilter_rgb(_inflate(rgb, 3 * _PIXELS, tile_id)),
        quality=_unfilter_quality(_inflate(quality, 2 * _PIXELS, tile_id)),
        source=_parse_source(source, len(frames), tile_id),
        frames=frames,
        epoch=epoch,
    )
    if expected_hash is not None and compute_content_hash(tile) != expected_hash:
        raise _corrupt(tile_id, "its content hash is not the one in the catalogue")
    return tile


def decode_mask(data: bytes, tile_id: TileId) -> NDArray[np.bool_]:
    """Decode 256×256 bool, True where the tile has data; nothing else is read.

    Raises TileCorrupt.
    """
    _, _, quality, _ = _sections(data, tile_id)
    return _unfilter_quality(_inflate(quality, 2 * _PIXELS, tile_id)) > 0


def decode_owners(data: bytes, tile_id: TileId) -> tuple[_Words, tuple[str, ...]]:
    """Decode the frame of each pixel: (256×256 uint16, frame ids).

    Frames are counted from 1, 0 is none. Nothing else is read. Raises TileCorrupt.
    """
    table, _, _, source = _sections(data, tile_id)
    _, frames = _parse_table(table, tile_id)
    return _parse_source(source, len(frames), tile_id), frames


def decode_rgb(data: bytes, tile_id: TileId) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode (256×256×3 RGB, 256×256 bool mask), without provenance, as a view needs.

    Raises TileCorrupt.
    """
    _, rgb, quality, _ = _sections(data, tile_id)
    mask = _unfilter_quality(_inflate(quality, 2 * _PIXELS, tile_id)) > 0
    return _unfilter_rgb(_inflate(rgb, 3 * _PIXELS, tile_id)), mask


def encode_view(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    view: ViewFormat | None = None,
    *,
    lossy_quality: int = 80,
) -> bytes:
    """Encode the image of a tile for screens, from the result of `decode_rgb`.

    `view` None: JPEG where every pixel has data (0.2 ms), else PNG. PNG and WebP carry alpha 0 where there is
    none. Raises ValueError for JPEG of a tile with holes.
    """
    opaque = bool(mask.all())
    chosen = view or (ViewFormat.JPEG if opaque else ViewFormat.PNG)
    if chosen is ViewFormat.JPEG and not opaque:
        raise ValueError("JPEG has no transparency: ask for PNG or WebP where ground was not flown")
    if opaque:
        picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    else:
        picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)
        picture[..., 3] = mask.view(np.uint8) * 255
    suffix, parameters = {
        ViewFormat.JPEG: (".jpg", [cv2.IMWRITE_JPEG_QUALITY, lossy_quality]),
        ViewFormat.PNG: (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]),
        ViewFormat.WEBP: (".webp", [cv2.IMWRITE_WEBP_QUALITY, lossy_quality]),
    }[chosen]
    written, encoded = cv2.imencode(suffix, picture, parameters)
    if not written:
        raise ValueError(f"OpenCV was built without an encoder for {chosen}")
    return encoded.tobytes()


def _require_canonical(tile: MosaicTile) -> None:
    planes = (
        (tile.rgb, (*_SHAPE, 3), np.uint8),
        (tile.quality, _SHAPE, np.uint16),
        (tile.source, _SHAPE, np.uint16),
    )
    for plane, shape, dtype in planes:
        if plane.shape != shape or plane.dtype != dtype:
            raise ValueError(f"{tile.tile_id}: plane {plane.shape} {plane.dtype}, not {shape} {dtype}")
    if list(tile.frames) != sorted(set(tile.frames)):
        raise ValueError(f"{tile.tile_id}: frame table is not sorted without duplicates")
    if "\n" in "".join((tile.epoch, *tile.frames)):
        raise ValueError(f"{tile.tile_id}: an epoch or frame id holds a line break")


def _table(tile: MosaicTile) -> bytes:
    return "\n".join((tile.epoch, *tile.frames)).encode()


def _parse_table(section: bytes, tile_id: TileId) -> tuple[str, tuple[str, ...]]:
    try:
        size = zstandard.frame_content_size(section)
        if not 0 < size <= _MAX_TABLE_BYTES:
            raise _corrupt(tile_id, "its frame table has no believable size")
        table = _inflate(section, size, tile_id)
        if table.count(b"\n") > _MAX_FRAMES:
            raise _corrupt(tile_id, "its frame table names more frames than pixels can")
        epoch, *frames = table.decode().split("\n")
    except (UnicodeDecodeError, zstandard.ZstdError) as error:
        raise _corrupt(tile_id, f"its frame table does not read ({error})") from error
    return epoch, tuple(frames)


def _parse_source(section: bytes, frames: int, tile_id: TileId) -> _Words:
    wide = frames >= _WIDE_SOURCE_FROM
    plane = _inflate(section, _PIXELS * (2 if wide else 1), tile_id)
    indices = np.frombuffer(plane, dtype="<u2" if wide else np.uint8).astype(np.uint16)
    if int(indices.max()) > frames:
        raise _corrupt(tile_id, "a pixel names a frame that the table does not hold")
    return indices.reshape(_SHAPE)


def _sections(data: bytes, tile_id: TileId) -> list[bytes]:
    start = _HEAD.size + _CRC.size
    if len(data) < start or data[:4] != _MAGIC:
        raise _corrupt(tile_id, "it is not a tile of format version 1")
    (crc,) = _CRC.unpack_from(data, _HEAD.size)
    if crc != zlib.crc32(data[: _HEAD.size]):
        raise _corrupt(tile_id, "its header is damaged")
    _, z, x, y, *lengths = _HEAD.unpack_from(data)
    if (z, x, y) != (tile_id.z, tile_id.x, tile_id.y):
        raise _corrupt(tile_id, f"it holds tile {z}/{x}/{y}")
    if len(data) != start + sum(lengths):
        raise _corrupt(tile_id, f"it has {len(data)} bytes, not {start + sum(lengths)}")
    sections = []
    for length in lengths:
        sections.append(data[start : start + length])
        start += length
    return sections


def _inflate(section: bytes, size: int, tile_id: TileId) -> bytes:
    try:
        # The declared size is checked first: a bomb is refused before a byte of it is inflated.
        if zstandard.frame_content_size(section) != size:
            raise _corrupt(tile_id, "a section has another size than a tile has")
        return decompress_zstd(section)
    except zstandard.ZstdError as error:
        raise _corrupt(tile_id, f"a section does not inflate ({error})") from error


def _corrupt(tile_id: TileId, why: str) -> TileCorrupt:
    return TileCorrupt(
        _(
            "tile {tile_id}: {why}; ingest the flight again to rebuild it from its photos",
            tile_id=tile_id,
            why=why,
        )
    )


def _filter_rgb(rgb: _Bytes) -> _Bytes:
    red, green, blue = cv2.split(rgb)
    planes = np.empty((3, *_SHAPE), dtype=np.uint8)
    planes[0] = green
    np.subtract(red, green, out=planes[1])
    np.subtract(blue, green, out=planes[2])
    filtered = planes.copy()
    filtered[:, 1:] -= planes[:, :-1]
    return filtered


def _unfilter_rgb(data: bytes) -> _Bytes:
    planes = np.frombuffer(data, dtype=np.uint8).reshape(3, *_SHAPE)
    green, red, blue = np.add.accumulate(planes, axis=1, dtype=np.uint8)
    red += green
    blue += green
    return np.asarray(cv2.merge([red, green, blue]), dtype=np.uint8)


def _filter_quality(quality: _Words) -> _Bytes:
    first = quality.copy()
    first[1:] -= quality[:-1]
    second = first.copy()
    second[1:] -= first[:-1]
    signed = second.view(np.int16)
    zigzag = ((signed << 1) ^ (signed >> 15)).astype("<u2")
    return np.stack(cv2.split(zigzag.view(np.uint8).reshape(*_SHAPE, 2))).astype(np.uint8, copy=False)


def _unfilter_quality(data: bytes) -> _Words:
    low, high = np.frombuffer(data, dtype=np.uint8).reshape(2, *_SHAPE)
    zigzag = cv2.merge([low, high]).view("<u2").reshape(_SHAPE)
    second = (zigzag >> 1) ^ -(zigzag & 1)
    return np.add.accumulate(np.add.accumulate(second, axis=0, dtype=np.uint16), axis=0, dtype=np.uint16)


# -- Interface of the tile log, and reading of the tiles that it names -----------------------------


class TileLog(Protocol):
    """Heads and log of tiles; implemented by the catalogue's `tiles`."""

    def append(self, records: list[TileRecord], expected: dict[TileId, str | None]) -> list[TileRecord]:
        """Make `records` the heads of their tiles, all or none; return them with `seq`.

        `expected` is the content hash each tile's head must have now (None: no head yet). StoreConflict if
        one differs.
        """

    def heads(
        self, mosaic_id: str, revision: int, z: int | None = None, tiles: TileRange | None = None
    ) -> list[TileRecord]:
        """Return heads of a mosaic revision, of one zoom or of a rectangle of tiles."""


def read_tile(store: ObjectStore, record: TileRecord) -> MosaicTile:
    """Read the tile state that a log line names and check its content hash.

    Raises ObjectMissing, TileCorrupt, or the errors of the store.
    """
    return decode_tile(store.get(record.key), record.tile_id, record.content_hash)


# -- Cache of the tile log's heads, for a writer ---------------------------------------------------
#
# It may be stale: the compare-and-swap of `append` finds out. So heads are read by blocks of tiles, once, and
# read again only after a conflict. As a block is read again for the sake of one tile, code that made a state
# from a head must remember which one: it may have changed since.


# 16×16 tiles: the surroundings of a frame in one query
_BLOCK_BITS = 4
_MAX_BLOCKS = 256

_Block = tuple[int, int, int]


class TileHeads:
    """Thread-safe cache of one mosaic revision's heads, LRU by block."""

    def __init__(self, tile_log: TileLog, mosaic_id: str, revision: int) -> None:
        self._log = tile_log
        self._mosaic_id = mosaic_id
        self._revision = revision
        self._lock = threading.Lock()
        self._blocks: OrderedDict[_Block, dict[TileId, TileRecord]] = OrderedDict()

    def head(self, tile_id: TileId) -> TileRecord | None:
        """Return the head of a tile as last seen, None if it had none."""
        with self._lock:
            return self._block(tile_id).get(tile_id)

    def hash_of(self, tile_id: TileId) -> str | None:
        """Return the content hash of the head as last seen, None if there was none."""
        head = self.head(tile_id)
        return head.content_hash if head else None

    def learn(self, records: Iterable[TileRecord]) -> None:
        """Remember lines that were just appended."""
        with self._lock:
            for record in records:
                self._block(record.tile_id)[record.tile_id] = record

    def forget(self, tile_ids: Iterable[TileId]) -> None:
        """Read these tiles (and their neighbours) again when next needed."""
        with self._lock:
            for tile_id in tile_ids:
                self._blocks.pop(_block_of(tile_id), None)

    def _block(self, tile_id: TileId) -> dict[TileId, TileRecord]:
        block = _block_of(tile_id)
        if block not in self._blocks:
            z, x, y = block
            around = TileRange(
                z=z,
                x_start=x << _BLOCK_BITS,
                y_start=y << _BLOCK_BITS,
                x_stop=(x + 1) << _BLOCK_BITS,
                y_stop=(y + 1) << _BLOCK_BITS,
            )
            found = self._log.heads(self._mosaic_id, self._revision, z=z, tiles=around)
            self._blocks[block] = {record.tile_id: record for record in found}
            if len(self._blocks) > _MAX_BLOCKS:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block)
        return self._blocks[block]


def _block_of(tile_id: TileId) -> _Block:
    return tile_id.z, tile_id.x >> _BLOCK_BITS, tile_id.y >> _BLOCK_BITS


def with_ancestors(tile_ids: Iterable[TileId], min_zoom: int) -> set[TileId]:
    """Return these tiles and every tile above them, up to `min_zoom`."""
    level = set(tile_ids)
    found = set(level)
    while level := {tile_id.parent() for tile_id in level if tile_id.z > min_zoom}:
        found |= level
    return found
