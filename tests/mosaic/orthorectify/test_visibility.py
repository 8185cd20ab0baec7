"""Claims: nothing that could win is left out, what cannot win is, and finished tiles are known."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.quality_bounds import BLOCKS, QualityBounds
from flycam.mosaic.orthorectify.visibility import NO_BLOCKS, TileCountdown, VisibilitySolver, WinningBlocks

TILES = TileRange(z=18, x_start=40, y_start=70, x_stop=43, y_stop=72)


def bounds(seed: int) -> tuple[QualityBounds, np.ndarray]:
    """Bounds of some tiles of the range, and qualities between them."""
    rng = np.random.default_rng(seed)
    index = np.flatnonzero(rng.random(len(TILES)) < 0.7)
    low = rng.integers(0, 900, (index.size, BLOCKS, BLOCKS), dtype=np.uint16)
    low[rng.random(low.shape) < 0.2] = 0
    high = low + rng.integers(0, 300, low.shape, dtype=np.uint16)
    found = QualityBounds(index=index, lowest=low, highest=high)
    return found, rng.integers(low, high + 1).astype(np.uint16)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=80, unique=True))
def test_every_winner_has_a_claim(seeds: list[int]) -> None:
    claims, best = VisibilitySolver(), np.zeros((len(TILES), BLOCKS, BLOCKS), dtype=np.uint16)
    frames = {f"{seed}": bounds(seed) for seed in seeds}
    for frame_id, (found, quality) in frames.items():
        claims.add_frame(frame_id, TILES, found)
        best[found.index] = np.maximum(best[found.index], quality)
    for frame_id, (found, quality) in frames.items():
        wins = np.zeros(best.shape, dtype=bool)
        wins[found.index] = (quality > 0) & (quality == best[found.index])
        claim = claims.solve(frame_id)
        for place, tile in enumerate(TILES):
            claimed = claim.blocks.get(tile, np.zeros((BLOCKS, BLOCKS), dtype=bool))
            assert not (wins[place] & ~claimed).any()


def test_what_is_outdone_is_not_claimed() -> None:
    claims = VisibilitySolver()
    ones = np.ones((1, BLOCKS, BLOCKS), dtype=np.uint16)
    here = np.array([4])
    claims.add_frame("good", TILES, QualityBounds(index=here, lowest=500 * ones, highest=600 * ones))
    claims.add_frame("bad", TILES, QualityBounds(index=here, lowest=100 * ones, highest=499 * ones))
    claims.add_frame("near", TILES, QualityBounds(index=here, lowest=100 * ones, highest=500 * ones))
    assert claims.solve("bad") == NO_BLOCKS == claims.solve("never entered")
    tile = TileId(z=18, x=41, y=71)
    assert set(claims.solve("good").blocks) == set(claims.solve("near").blocks) == {tile}
    found = claims.solve("near").crop(TILES)
    assert found is not None
    assert list(found[0]) == [tile]
    assert found[1].all()


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=40, unique=True), st.integers(0, len(TILES)))
def test_settled_against_what_came_before_every_winner_has_a_claim(seeds: list[int], kept: int) -> None:
    """As a film is laid: what comes is not known, and far tiles are forgotten, which only makes more."""
    claims, best = VisibilitySolver(), np.zeros((len(TILES), BLOCKS, BLOCKS), dtype=np.uint16)
    for seed in seeds:
        found, quality = bounds(seed)
        claims.add_frame(f"{seed}", TILES, found)
        claim = claims.solve(f"{seed}")
        claims.remove_frame(f"{seed}")
        claims.forget_tiles(kept)
        assert len(claims._promised) <= kept
        wins = np.zeros(best.shape, dtype=bool)
        wins[found.index] = (quality > 0) & (quality >= best[found.index])
        best[found.index] = np.maximum(best[found.index], quality)
        for place, tile in enumerate(TILES):
            claimed = claim.blocks.get(tile, np.zeros((BLOCKS, BLOCKS), dtype=bool))
            assert not (wins[place] & ~claimed).any()


def test_a_tile_is_finished_when_no_frame_comes_to_it_any_more() -> None:
    blocks = np.ones((BLOCKS, BLOCKS), dtype=bool)
    a, b, c = TileId(z=18, x=40, y=70), TileId(z=18, x=41, y=70), TileId(z=18, x=42, y=70)
    first, second = WinningBlocks({a: blocks, b: blocks}), WinningBlocks({b: blocks, c: blocks})
    turns = TileCountdown([TILES, TILES, TILES])
    turns.settle(TILES, first)
    turns.mark_merged(first)
    assert turns.finished == []
    turns.settle(TILES, NO_BLOCKS)
    turns.mark_merged(NO_BLOCKS)
    turns.settle(TILES, second)
    assert turns.finished == [a]
    turns.mark_merged(second)
    assert turns.finished == [a, b, c]
