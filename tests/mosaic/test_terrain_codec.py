"""Recorded terrain comes back as it was, and no damage to its bytes goes unseen."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from flycam.errors import TileCorrupt
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.terrain_codec import (
    MAGIC,
    assign_content_id,
    decode_terrain,
    encode_terrain,
    parse_source_dem_id,
)

HEIGHTS = np.random.default_rng(1).normal(800.0, 90.0, (7, 9)).astype(np.float32)
HEIGHTS[2, 3:5] = np.nan
TERRAIN = assign_content_id(
    TerrainGrid(
        heights_m=HEIGHTS,
        origin_m=(400_000.25, 2_420_000.0),
        post_spacing_m=(12.5, 12.5),
        work_crs="EPSG:32648",
        vertical_datum="EGM2008",
        dem_id="of the file",
    )
)
DATA = encode_terrain(TERRAIN)


@given(place=st.integers(0, 8 * len(DATA) - 1))
def test_no_flipped_bit_changes_what_is_read(place: int) -> None:
    """One bit of the compressor's own header says nothing; all others are found."""
    data = bytearray(DATA)
    data[place // 8] ^= 1 << place % 8
    try:
        back = decode_terrain(bytes(data))
    except TileCorrupt:
        return
    assert encode_terrain(back) == DATA


@given(length=st.integers(0, len(DATA) - 1))
def test_no_missing_end_goes_unseen(length: int) -> None:
    with pytest.raises(TileCorrupt):
        decode_terrain(DATA[:length])


def with_header(header: object, posts: bytes) -> bytes:
    """A recorded terrain of this header."""
    said = json.dumps(header).encode()
    return MAGIC + len(said).to_bytes(4, "little") + said + zstandard.ZstdCompressor().compress(posts)


def harmed_header(shape: object) -> dict[str, object]:
    """The header of the terrain, but for its shape."""
    length = int.from_bytes(DATA[len(MAGIC) : len(MAGIC) + 4], "little")
    header: dict[str, object] = json.loads(DATA[len(MAGIC) + 4 : len(MAGIC) + 4 + length])
    return header | {"shape": shape}


@pytest.mark.parametrize(
    "header",
    [[], "text", 5, harmed_header([1 << 40, 1 << 40]), harmed_header([0, 0]), harmed_header([-7, -9])],
)
def test_a_header_of_anything_is_a_damaged_terrain(header: object) -> None:
    with pytest.raises(TileCorrupt):
        decode_terrain(with_header(header, HEIGHTS.tobytes()))


def test_a_bomb_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = with_header(harmed_header([2, 2]), bytes(4 << 20))
    monkeypatch.setattr(zstandard, "ZstdDecompressor", None)  # whatever inflates fails
    with pytest.raises(TileCorrupt, match="another size"):
        decode_terrain(bomb)


@pytest.mark.parametrize("said", [b"[" + b"[]," * 40_000 + b"[]]", b" " * 20_000])
def test_a_header_that_no_terrain_needs_is_refused_before_it_is_read(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", None)  # whatever reads JSON fails
    with pytest.raises(TileCorrupt, match="too long"):
        decode_terrain(MAGIC + len(said).to_bytes(4, "little") + said + DATA)


def test_what_is_made_of_a_terrain_says_so_in_its_id() -> None:
    lifted = dataclasses.replace(TERRAIN, heights_m=TERRAIN.heights_m + np.float32(1.0))
    ground = assign_content_id(lifted, source_dem_id=TERRAIN.dem_id)
    assert (
        parse_source_dem_id(ground.dem_id)
        == parse_source_dem_id(TERRAIN.dem_id)
        == TERRAIN.dem_id
        != ground.dem_id
    )
    other = assign_content_id(dataclasses.replace(lifted, origin_m=(0.0, 0.0)), source_dem_id=TERRAIN.dem_id)
    assert other.dem_id != ground.dem_id
    assert decode_terrain(encode_terrain(ground)).dem_id == ground.dem_id
