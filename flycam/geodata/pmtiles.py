"""PMTiles archive (version 3) of tile images: a map in one file, read by ranges.

Format: PMTiles specification 3 (protomaps). Written in one pass: room for the root directory is reserved at
the head of the file, the tiles follow in the archive's own order, and what is only known at the end
(metadata, leaf directories) comes after them, which the specification allows.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.grid import TileId

TILE_TYPE_WEBP = 4
"""Tile type of WebP in the header."""

_MAGIC, _VERSION = b"PMTiles", 3
_HEADER = struct.Struct("<7sB11Q6B4iB2i")
# the specification requires header and root directory in the first 16 KiB
_ROOM = 16_384
_GZIP, _PLAIN = 2, 1
_LEAF_ENTRIES = 4096
_DEGREE = 10_000_000


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A run of tiles that share their bytes; `run` 0: a leaf directory."""

    first: int
    offset: int
    length: int
    run: int = 1


def compute_archive_ids(tiles: Sequence[TileId]) -> NDArray[np.int64]:
    """Compute the archive's number of each tile, N.

    All coarser zooms come first, then the place on the Hilbert curve.
    """
    z, x, y = np.array([(one.z, one.x, one.y) for one in tiles], dtype=np.int64).reshape(-1, 3).T
    number = ((np.int64(1) << (2 * z)) - 1) // 3
    for bit in range(int(z.max(initial=0)) - 1, -1, -1):
        side = np.int64(1) << bit
        inside = z > bit
        right, low = x & side, y & side
        number += np.where(inside, ((3 * right) ^ low) << bit, 0)
        turned, mirrored = inside & (low == 0), inside & (low == 0) & (right != 0)
        x, y = np.where(mirrored, side - 1 - x, x), np.where(mirrored, side - 1 - y, y)
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    return number


def sort_by_archive_id(tiles: Sequence[TileId]) -> list[TileId]:
    """Sort tiles in the order that `write_pmtiles` requires."""
    return [tiles[place] for place in np.argsort(compute_archive_ids(tiles), kind="stable")]


def write_pmtiles(
    path: Path,
    tiles: Iterable[tuple[TileId, bytes]],
    *,
    bounds_lonlat_deg: tuple[float, float, float, float],
    metadata: Mapping[str, object],
) -> int:
    """Write tiles, each once and by `sort_by_archive_id`; return their number.

    bounds_lonlat_deg  (west, south, east, north) of the imaged ground

    Equal tiles are stored once. Raises ValueError for tiles out of order, or none; OSError.
    """
    entries: list[DirectoryEntry] = []
    zooms: set[int] = set()
    with path.open("wb") as file:
        file.write(bytes(_ROOM))
        size = addressed = 0
        stored: dict[bytes, tuple[int, int]] = {}
        for tile, data in tiles:
            number = int(compute_archive_ids([tile])[0])
            if entries and number < entries[-1].first + entries[-1].run:
                raise ValueError(f"tile {tile} is out of the archive's order")
            digest = hashlib.sha256(data).digest()
            if digest not in stored:
                stored[digest] = size, len(data)
                size += file.write(data)
            _append(entries, number, *stored[digest])
            zooms.add(tile.z)
            addressed += 1
        if not entries:
            raise ValueError("an archive holds at least one tile")
        # a root directory that fits its room, and its leaves (may be empty)
        root = encode_directory(entries)
        per_leaf = _LEAF_ENTRIES
        leaves = b""
        while len(root) > _ROOM - _HEADER.size:
            packed, named, at = [], [], 0
            for start in range(0, len(entries), per_leaf):
                leaf = encode_directory(entries[start : start + per_leaf])
                named.append(DirectoryEntry(entries[start].first, at, len(leaf), 0))
                packed.append(leaf)
                at += len(leaf)
            root, leaves = encode_directory(named), b"".join(packed)
            per_leaf *= 2
        described = gzip.compress(json.dumps(metadata, ensure_ascii=False).encode(), mtime=0)
        file.write(described)
        file.write(leaves)
        places = (_HEADER.size, len(root), _ROOM + size, len(described), _ROOM + size + len(described))
        counts = (addressed, len(entries), len(stored))
        file.seek(0)
        # bounds in 1e-7 degrees, the initial zoom, and the middle
        coarsest, finest = min(zooms), max(zooms)
        west, south, east, north = (round(value * _DEGREE) for value in bounds_lonlat_deg)
        file.write(
            _HEADER.pack(
                _MAGIC,
                _VERSION,
                *places,
                len(leaves),
                _ROOM,
                size,
                *counts,
                1,  # clustered: tiles in the order of their numbers
                _GZIP,
                _PLAIN,
                TILE_TYPE_WEBP,
                min(zooms),
                max(zooms),
                west,
                south,
                east,
                north,
                (coarsest + finest) // 2,
                (west + east) // 2,
                (south + north) // 2,
            )
        )
        file.write(root)
    return addressed


def encode_directory(entries: Sequence[DirectoryEntry]) -> bytes:
    """Encode a directory, packed by gzip: counts, then each column of the entries."""
    columns = [len(entries)]
    columns += np.diff([one.first for one in entries], prepend=0).tolist()
    columns += [one.run for one in entries]
    columns += [one.length for one in entries]
    follows = 0
    for place, one in enumerate(entries):
        columns.append(0 if place and one.offset == follows else one.offset + 1)
        follows = one.offset + one.length
    return gzip.compress(b"".join(map(_varint, columns)), mtime=0)


def _append(entries: list[DirectoryEntry], number: int, offset: int, length: int) -> None:
    """Add a tile, to the last run where it continues with the same bytes."""
    if entries:
        last = entries[-1]
        if last.first + last.run == number and last.offset == offset:
            entries[-1] = DirectoryEntry(last.first, offset, length, last.run + 1)
            return
    entries.append(DirectoryEntry(number, offset, length))


def _varint(value: int) -> bytes:
    """Encode a number in seven bits a byte, the lowest first."""
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)
