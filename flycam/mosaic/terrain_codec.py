"""Terrain codec, and a cache of decoded terrain and DSM grids.

The very posts that a frame was rectified on are stored as bytes, so that a replay reads them back.

    magic "FCTG1\\n" · length of the header (4 bytes, little endian) · header (JSON) · zstd(float32 posts)

The header holds a check, the hash of all else in it and of the posts.

The id of a terrain is the hash of its header and posts, before compression: another version of the compressor
does not change it, and the same part of the same DEM has the same id on every node.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from functools import lru_cache

import numpy as np
import zstandard
from numpy.typing import NDArray

from flycam.errors import TileCorrupt
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.storage.files import decompress_zstd
from flycam.storage.keys import ObjectStore

MAGIC = b"FCTG1\n"
_LEVEL = 3
_MADE_OF = "-"
_MAX_POSTS = 1 << 26  # twice `geodata.dem.MAX_POSTS`, rounded up
# a header takes some 300, a CRS in WKT a few thousand
_MAX_HEADER_BYTES = 16 << 10
_FIELDS = {"dem_id", "origin_m", "post_spacing_m", "shape", "vertical_datum", "work_crs", "check"}


def assign_content_id(terrain: TerrainGrid, *, source_dem_id: str | None = None) -> TerrainGrid:
    """Return the terrain under the id derived from its content (24 hex digits).

    source_dem_id  id of the recorded terrain it was made from, if any: prefixed with a dash
    """
    posts = np.ascontiguousarray(terrain.heights_m, dtype="<f4")
    digest = hashlib.sha256(_header(terrain, terrain.dem_id) + posts.tobytes()).hexdigest()[:24]
    return dataclasses.replace(
        terrain, dem_id=digest if source_dem_id is None else f"{source_dem_id}{_MADE_OF}{digest}"
    )


def parse_source_dem_id(dem_id: str) -> str:
    """Return the id of the recorded terrain a terrain was made from, else its own."""
    return dem_id.partition(_MADE_OF)[0]


def encode_terrain(terrain: TerrainGrid) -> bytes:
    """Encode a terrain losslessly, NaN included."""
    posts = np.ascontiguousarray(terrain.heights_m, dtype="<f4")
    header = _header(terrain, terrain.dem_id, _check(terrain, posts))
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(posts.tobytes())
    return MAGIC + len(header).to_bytes(4, "little") + header + packed


def decode_terrain(data: bytes) -> TerrainGrid:
    """Decode what `encode_terrain` wrote; TileCorrupt unless it is a whole terrain."""
    try:
        if data[: len(MAGIC)] != MAGIC:
            raise ValueError("another format")
        start = len(MAGIC) + 4
        stop = start + int.from_bytes(data[len(MAGIC) : start], "little")
        if stop - start > _MAX_HEADER_BYTES:
            raise ValueError("its header is too long")
        header = json.loads(data[start:stop])
        if header.keys() != _FIELDS:
            raise ValueError("its header has other fields")
        rows, cols = header.pop("shape")
        # Both sizes are checked first: a bomb is refused before a byte of it is inflated.
        if not 0 < rows * cols <= _MAX_POSTS or zstandard.frame_content_size(data[stop:]) != 4 * rows * cols:
            raise ValueError("its posts have another size")
        raw = decompress_zstd(data[stop:])
        posts = np.frombuffer(raw, dtype="<f4").reshape(rows, cols)
        terrain = TerrainGrid(
            heights_m=posts,
            origin_m=tuple(header["origin_m"]),
            post_spacing_m=tuple(header["post_spacing_m"]),
            work_crs=header["work_crs"],
            vertical_datum=header["vertical_datum"],
            dem_id=header["dem_id"],
        )
        if header["check"] != _check(terrain, posts):
            raise ValueError("its check is another")
        return terrain
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
        zstandard.ZstdError,
    ) as error:
        raise TileCorrupt(
            _("a recorded terrain is damaged ({error}); restore the store from its backup", error=error)
        ) from error


def _check(terrain: TerrainGrid, posts: NDArray[np.float32]) -> str:
    return hashlib.sha256(_header(terrain, terrain.dem_id) + posts.tobytes()).hexdigest()[:24]


def _header(terrain: TerrainGrid, dem_id: str, check: str | None = None) -> bytes:
    fields = {
        "dem_id": dem_id,
        "origin_m": terrain.origin_m,
        "post_spacing_m": terrain.post_spacing_m,
        "shape": terrain.heights_m.shape,
        "vertical_datum": terrain.vertical_datum,
        "work_crs": terrain.work_crs,
    }
    if check is not None:
        fields["check"] = check
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


# -- Cache of decoded terrain and DSM grids --------------------------------------------------------


_MAX_GRIDS = 6


class TerrainCache:
    """One cache of decoded grids for all routes. Safe to use from several threads.

    A grid's key ends in the hash of its content, so that no entry goes stale.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._decoded = lru_cache(maxsize=_MAX_GRIDS)(lambda key: decode_terrain(store.get(key)))

    def grid(self, key: str) -> TerrainGrid:
        """Return the grid under a store key. Raises ObjectMissing and errors of decoding."""
        return self._decoded(key)
