from __future__ import annotations

import dataclasses
import zlib

import cv2
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import TileCorrupt
from flycam.geometry.grid import TileId
from flycam.model.frame import MosaicTile
from flycam.mosaic.tiles import codec
from flycam.mosaic.tiles.codec import (
    ViewFormat,
    compute_content_hash,
    decode_mask,
    decode_owners,
    decode_rgb,
    decode_tile,
    encode_tile,
    encode_view,
)

TILE = TileId(z=20, x=830_001, y=465_001)


def tile(seed: int, frames: int = 3, holes: bool = True) -> MosaicTile:
    """Noise of full range, so that every wrap-around of the filters happens."""
    rng = np.random.default_rng(seed)
    source = rng.integers(0 if holes else 1, frames + 1, (256, 256)).astype(np.uint16)
    quality = np.where(source > 0, rng.integers(1, 65536, (256, 256)), 0).astype(np.uint16)
    rgb = rng.integers(0, 256, (256, 256, 3), np.uint8)
    rgb[source == 0] = 0
    names = tuple(f"{i:032x}" for i in range(frames))
    return MosaicTile(tile_id=TILE, rgb=rgb, quality=quality, source=source, frames=names, epoch="abc")


def with_table(whole: MosaicTile, table: bytes) -> bytes:
    """A tile's bytes, its frame table another."""
    data, head = encode_tile(whole), codec._HEAD
    *at, first, rgb, quality, source = head.unpack_from(data)
    packed = zstandard.ZstdCompressor().compress(table)
    begins = head.pack(*at, len(packed), rgb, quality, source)
    check = codec._CRC.pack(zlib.crc32(begins))
    return begins + check + packed + data[len(begins) + len(check) + first :]


@pytest.mark.parametrize(("frames", "why"), [(70_000, "more frames than pixels"), (1 << 23, "no believable")])
def test_a_table_of_more_frames_than_pixels_can_name_is_refused_before_it_is_in_memory(
    frames: int, why: str
) -> None:
    whole = tile(1)
    table = b"\n".join([b"abc", *(one.encode() for one in whole.frames)])
    assert same(decode_tile(with_table(whole, table), TILE), whole)
    with pytest.raises(TileCorrupt, match=why):
        decode_tile(with_table(whole, table + b"\n" * frames), TILE)


def same(a: MosaicTile, b: MosaicTile) -> bool:
    planes = (np.array_equal(getattr(a, n), getattr(b, n)) for n in ("rgb", "quality", "source"))
    return all(planes) and (a.tile_id, a.frames, a.epoch) == (b.tile_id, b.frames, b.epoch)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), frames=st.sampled_from([1, 2, 255, 256, 3000]))
def test_bytes_and_back_is_the_same_state(seed: int, frames: int) -> None:
    before = tile(seed, frames)
    data = encode_tile(before)
    after = decode_tile(data, TILE, compute_content_hash(before))
    assert same(before, after)
    assert encode_tile(after) == data
    rgb, mask = decode_rgb(data, TILE)
    assert np.array_equal(rgb, before.rgb)
    assert np.array_equal(mask, before.quality > 0)
    assert np.array_equal(decode_mask(data, TILE), mask)
    owners, names = decode_owners(data, TILE)
    assert np.array_equal(owners, before.source)
    assert names == before.frames


def test_the_hash_is_of_the_state_not_of_the_bytes() -> None:
    """Pinned: a change of this value changes every key, and needs a new format version."""
    ramp = np.add.outer(np.arange(256), np.arange(256))
    fixed = MosaicTile(
        tile_id=TILE,
        rgb=np.stack([ramp, ramp // 2, 255 - ramp // 2], -1).astype(np.uint8),
        quality=(ramp + 1).astype(np.uint16),
        source=np.ones((256, 256), np.uint16),
        frames=("0" * 32,),
    )
    assert compute_content_hash(fixed) == "2de6c3c95f5e1ca8b902fc17160a2317"


@pytest.mark.parametrize("change", ["rgb", "quality", "source", "frames", "epoch", "tile_id"])
def test_the_hash_sees_every_part(change: str) -> None:
    before = tile(1)
    new: object
    if change in ("rgb", "quality", "source"):
        new = getattr(before, change).copy()
        new[100, 100] ^= 1
    else:
        new = {"frames": ("x", "y", "z"), "epoch": "abd", "tile_id": dataclasses.replace(TILE, x=TILE.x + 1)}[
            change
        ]
    after = dataclasses.replace(before, **{change: new})  # type: ignore[arg-type]
    assert compute_content_hash(after) != compute_content_hash(before)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_is_found(data: st.DataObject) -> None:
    before = tile(2)
    whole = encode_tile(before)
    kind = data.draw(st.sampled_from(["flip", "cut", "grow"]))
    if kind == "flip":
        # the header is a fraction of a per mille of the bytes, yet where the interesting damage is
        at = data.draw(st.one_of(st.integers(0, 60), st.integers(0, len(whole) - 1)))
        bit = 1 << data.draw(st.integers(0, 7))
        damaged = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
    elif kind == "cut":
        damaged = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        damaged = whole + data.draw(st.binary(min_size=1, max_size=9))
    try:
        after = decode_tile(damaged, TILE)
    except TileCorrupt as error:
        assert "20/830001/465001" in str(error)
    else:
        assert kind == "flip"
        assert same(before, after)


def test_another_address_or_another_content_is_found() -> None:
    whole = encode_tile(tile(3))
    with pytest.raises(TileCorrupt, match="holds tile"):
        decode_tile(whole, dataclasses.replace(TILE, y=1))
    with pytest.raises(TileCorrupt, match="content hash"):
        decode_tile(whole, TILE, "0" * 32)


def test_a_state_that_is_not_canonical_is_refused() -> None:
    for wrong in (
        dataclasses.replace(tile(4), frames=("b", "a", "c")),
        dataclasses.replace(tile(4), frames=("a", "a", "b")),
        dataclasses.replace(tile(4), frames=("a\nb", "c", "d")),
        dataclasses.replace(tile(4), rgb=np.zeros((256, 256), np.uint8)),
        dataclasses.replace(tile(4), quality=np.zeros((256, 256), np.float32)),
    ):
        with pytest.raises(ValueError, match="20/830001/465001"):
            encode_tile(wrong)


def seen_as(tile: MosaicTile, view: ViewFormat | None = None) -> np.ndarray:
    """The picture for screens, decoded: H×W×3 or ×4, BGR(A)."""
    data = np.frombuffer(encode_view(tile.rgb, tile.quality > 0, view), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def test_views_are_opaque_or_transparent() -> None:
    smooth = cv2.GaussianBlur(tile(5, holes=False).rgb, (31, 31), 9)
    opaque = dataclasses.replace(tile(5, holes=False), rgb=smooth)
    shown = cv2.cvtColor(seen_as(opaque), cv2.COLOR_BGR2RGB)
    assert np.abs(shown.astype(int) - smooth).mean() < 3
    assert encode_view(opaque.rgb, opaque.quality > 0).startswith(b"\xff\xd8")
    holed = tile(6)
    assert encode_view(holed.rgb, holed.quality > 0).startswith(b"\x89PNG")
    for kind in (ViewFormat.PNG, ViewFormat.WEBP):
        seen = seen_as(holed, kind)
        assert np.array_equal(seen[..., 3] == 255, holed.quality > 0)
        assert np.array_equal(seen[..., 3] == 0, holed.quality == 0)
    assert np.array_equal(cv2.cvtColor(seen_as(holed, ViewFormat.PNG), cv2.COLOR_BGRA2RGB), holed.rgb)
    with pytest.raises(ValueError, match="transparency"):
        seen_as(holed, ViewFormat.JPEG)
