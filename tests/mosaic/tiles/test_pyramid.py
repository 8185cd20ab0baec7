from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flycam.geometry.grid import TileId
from flycam.model.frame import MosaicTile
from flycam.mosaic.tiles.codec import compute_content_hash
from flycam.mosaic.tiles.merge import make_parent_tile, reduce_to_quadrant, with_quadrants

PARENT = TileId(z=17, x=100_001, y=50_000)


def child(position: int, seed: int, hole: float = 0.4) -> MosaicTile:
    rng = np.random.default_rng(seed)
    frames = tuple(sorted({f"{rng.integers(0, 9)}" for _ in range(3)}))
    source = rng.integers(1, len(frames) + 1, (256, 256)).astype(np.uint16)
    source[: len(frames), 0] = np.arange(1, len(frames) + 1)
    source[rng.random((256, 256)) < hole] = 0
    owned = [i for i in range(1, len(frames) + 1) if (source == i).any()]
    quality = np.where(source > 0, rng.integers(1, 4, (256, 256)), 0).astype(np.uint16)
    rgb = rng.integers(0, 256, (256, 256, 3), np.uint8)
    rgb[source == 0] = 0
    assert len(owned) == len(frames)
    return MosaicTile(
        tile_id=PARENT.children()[position], rgb=rgb, quality=quality, source=source, frames=frames
    )


def block(children: list[MosaicTile], r: int, c: int) -> list[tuple[int, str, np.ndarray]]:
    """The pixels with data under parent pixel (r, c): (quality, frame, rgb)."""
    found = []
    for tile in children:
        for dr in (0, 1):
            for dc in (0, 1):
                rr = (PARENT.y * 256 + r) * 2 + dr - tile.tile_id.y * 256
                cc = (PARENT.x * 256 + c) * 2 + dc - tile.tile_id.x * 256
                if 0 <= rr < 256 and 0 <= cc < 256 and tile.quality[rr, cc]:
                    frame = tile.frames[tile.source[rr, cc] - 1]
                    found.append((int(tile.quality[rr, cc]), frame, tile.rgb[rr, cc].astype(int)))
    return found


@settings(max_examples=8, deadline=None)
@given(seeds=st.lists(st.integers(0, 999), min_size=4, max_size=4), there=st.sets(st.integers(0, 3)))
def test_each_parent_pixel_follows_the_stated_arithmetic(seeds: list[int], there: set[int]) -> None:
    children = [child(position, seeds[position]) for position in sorted(there)]
    parent = make_parent_tile(PARENT, children)
    rng = np.random.default_rng(seeds[0])
    for r, c in rng.integers(0, 256, (150, 2)):
        pixels = block(children, r, c)
        n = len(pixels)
        if n == 0:
            assert (parent.quality[r, c], parent.source[r, c], parent.rgb[r, c].any()) == (0, 0, False)
            continue
        quality, frame = max(p[:2] for p in pixels)
        assert parent.quality[r, c] == quality
        assert parent.frames[parent.source[r, c] - 1] == frame
        assert np.array_equal(parent.rgb[r, c], (sum(p[2] for p in pixels) + n // 2) // n)


def test_the_order_of_children_does_not_matter_and_opaque_equals_the_rule() -> None:
    children = [child(position, position, hole=0.0) for position in range(4)]
    parent = make_parent_tile(PARENT, children)
    assert compute_content_hash(parent) == compute_content_hash(make_parent_tile(PARENT, children[::-1]))
    wide = children[0].rgb.astype(int)
    mean = (wide[0::2, 0::2] + wide[1::2, 0::2] + wide[0::2, 1::2] + wide[1::2, 1::2] + 2) // 4
    assert np.array_equal(parent.rgb[:128, :128], mean)


@settings(max_examples=10, deadline=None)
@given(old=st.integers(0, 99), new=st.integers(100, 199), position=st.integers(0, 3))
def test_replacing_a_quadrant_equals_making_the_parent_anew(old: int, new: int, position: int) -> None:
    before = [child(p, old + p) for p in range(4)]
    after = [*before[:position], child(position, new), *before[position + 1 :]]
    replaced = with_quadrants(make_parent_tile(PARENT, before), PARENT, [reduce_to_quadrant(after[position])])
    assert compute_content_hash(replaced) == compute_content_hash(make_parent_tile(PARENT, after))
