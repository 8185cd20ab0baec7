from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.errors import StoreConflict
from flycam.geometry.grid import TileId, TileRange, make_tile_range
from flycam.model.frame import FIRST_EPOCH, MosaicTile, OrthoPatch
from flycam.mosaic.tiles import merge
from flycam.mosaic.tiles.codec import compute_content_hash
from flycam.mosaic.tiles.merge import PARENT_EPOCH, TileCanvas, merge_patch

TILE = TileId(z=18, x=200_003, y=100_001)


def patch(frame: str, seed: int, levels: int = 3) -> OrthoPatch:
    """Few quality levels and few colours: most pixels tie in quality, many in colour."""
    rng = np.random.default_rng(seed)
    quality = rng.integers(0, levels, (256, 256)).astype(np.uint16)
    rgb = rng.integers(0, 2, (256, 256, 3)).astype(np.uint8) * 200
    rgb[quality == 0] = 0
    return OrthoPatch(
        tiles=make_tile_range(TILE),
        rgb=rgb,
        quality=quality,
        frame_id=frame,
        exterior_version=0,
        dem_id="dem",
    )


def state(*patches: OrthoPatch) -> MosaicTile:
    canvas = TileCanvas(TILE)
    for one in patches:
        canvas.merge(one.rgb, one.quality, one.frame_id)
    return canvas.freeze()


def merge_tiles(a: MosaicTile, b: MosaicTile) -> MosaicTile:
    canvas = TileCanvas.from_tile(a, a.epoch)
    canvas.merge_tile(b)
    return canvas.freeze()


def keys(patches: list[OrthoPatch]) -> list[list[tuple[int, str, tuple[int, ...]]]]:
    """The rule itself, in Python's own tuples, on a corner of the tile."""
    return [
        [
            max((int(p.quality[r, c]), p.frame_id, tuple(map(int, p.rgb[r, c]))) for p in patches)
            for c in range(24)
        ]
        for r in range(24)
    ]


# The same frame with other pixels breaks rule 3, yet even then the order must not matter: rgb decides.
drawn = st.lists(
    st.builds(patch, st.sampled_from(["a", "b", "c"]), st.integers(0, 9)), min_size=1, max_size=5
)


@settings(max_examples=30, deadline=None)
@given(patches=drawn)
def test_each_pixel_is_the_largest_key(patches: list[OrthoPatch]) -> None:
    tile = state(*patches)
    for r, row in enumerate(keys(patches)):
        for c, (quality, frame, rgb) in enumerate(row):
            assert tile.quality[r, c] == quality
            if quality:
                assert (tile.frames[tile.source[r, c] - 1], tuple(tile.rgb[r, c])) == (frame, rgb)
            else:
                assert (tile.source[r, c], tile.rgb[r, c].any()) == (0, False)


@settings(max_examples=30, deadline=None)
@given(a=drawn, b=drawn, c=drawn)
def test_merging_is_commutative_associative_and_idempotent(
    a: list[OrthoPatch], b: list[OrthoPatch], c: list[OrthoPatch]
) -> None:
    x, y, z = state(*a), state(*b), state(*c)
    xy = merge_tiles(x, y)
    assert (
        compute_content_hash(xy)
        == compute_content_hash(merge_tiles(y, x))
        == compute_content_hash(state(*a, *b))
    )
    assert compute_content_hash(merge_tiles(xy, z)) == compute_content_hash(merge_tiles(x, merge_tiles(y, z)))
    assert compute_content_hash(merge_tiles(xy, x)) == compute_content_hash(xy)


def test_a_patch_is_merged_through_its_window() -> None:
    wide = TileRange(z=18, x_start=TILE.x - 1, y_start=TILE.y, x_stop=TILE.x + 1, y_stop=TILE.y + 1)
    one = patch("a", 1)
    shifted = dataclasses.replace(
        one,
        tiles=wide,
        rgb=np.hstack([one.rgb * 0, one.rgb]),
        quality=np.hstack([one.quality * 0, one.quality]),
    )
    assert compute_content_hash(merge_patch(None, shifted, TILE, FIRST_EPOCH)) == compute_content_hash(
        state(one)
    )
    elsewhere = dataclasses.replace(TILE, x=TILE.x + 9)
    assert merge_patch(None, shifted, elsewhere, FIRST_EPOCH).frames == ()


def test_more_frames_than_the_index_can_hold_are_compacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_MAX_FRAMES", 4)
    canvas = TileCanvas(TILE)
    rgb = np.zeros((256, 256, 3), np.uint8)
    for n in range(1, 40):
        canvas.merge(rgb + n, np.full((256, 256), n, np.uint16), f"{n:03d}")
    tile = canvas.freeze()
    assert (tile.frames, int(tile.rgb[0, 0, 0])) == (("039",), 39)


def test_what_must_not_merge_is_a_conflict() -> None:
    tile = state(patch("a", 1))
    with pytest.raises(StoreConflict, match="epoch"):
        merge_tiles(tile, dataclasses.replace(tile, epoch="other"))
    with pytest.raises(StoreConflict, match="epoch"):
        merge_tiles(*[dataclasses.replace(tile, epoch=PARENT_EPOCH)] * 2)
    with pytest.raises(StoreConflict, match="into tile"):
        merge_tiles(tile, dataclasses.replace(tile, tile_id=dataclasses.replace(TILE, z=17)))
    with pytest.raises(StoreConflict, match="base zoom"):
        merge_patch(None, patch("a", 1), TILE.parent(), FIRST_EPOCH)
