from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.catalog.catalog import Catalog
from flycam.geometry.grid import TileId
from flycam.model.frame import MosaicTile
from flycam.mosaic.tiles.codec import compute_content_hash
from flycam.mosaic.tiles.merge import NO_AMENDMENTS, Amendments, TileCanvas
from flycam.mosaic.tiles.peers import apply_amendments, merge_peer_tiles, merge_states
from flycam.storage.stores import MemoryStore
from tests.laws.recorded import MOSAIC, amendments, folded, opened, patch, stored

NUMBERS = range(6)
_fresh = itertools.count()

boxes = st.lists(st.sets(st.sampled_from(NUMBERS), min_size=1), min_size=1, max_size=3)


def states(numbers: Iterable[int], known: Amendments = NO_AMENDMENTS) -> dict[TileId, MosaicTile]:
    """Base tiles of a box that laid these frames, under the amendments it knows of."""
    canvases: dict[TileId, TileCanvas] = {}
    for one in map(patch, numbers):
        for tile_id in one.tiles:
            at = one.tiles.window_px(tile_id)
            if not one.quality[at].any():
                continue
            canvas = canvases.setdefault(tile_id, TileCanvas(tile_id, known.epoch(tile_id)))
            if not known.forbids(one):
                canvas.merge(one.rgb[at], one.quality[at], one.frame_id)
    return {tile_id: canvas.freeze() for tile_id, canvas in canvases.items()}


def take(
    store: MemoryStore, catalog: Catalog, given_states: Sequence[dict[TileId, MosaicTile]], known: Amendments
) -> int:
    """Join what several boxes gave, all of it at once."""
    return merge_peer_tiles(
        store,
        catalog.tiles,
        MOSAIC,
        {tile_id for one in given_states for tile_id in one},
        lambda tile_id: [one[tile_id] for one in given_states if tile_id in one],
        amendments=known,
        origin="province",
        clock_ns=lambda: 0,
    )


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boxes=boxes, data=st.data())
def test_whichever_box_comes_first_and_however_often_the_tiles_are_those_of_all_frames(
    tmp_path: Path, boxes: list[set[int]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations([*boxes, *boxes]))
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/{next(_fresh)}.db")
    for numbers in order:
        take(store, catalog, [states(numbers)], NO_AMENDMENTS)
    assert stored(store, catalog) == folded(patch(n) for n in set().union(*boxes))
    assert take(store, catalog, [states(order[0])], NO_AMENDMENTS) == 0
    catalog.close()


@settings(max_examples=10, deadline=None)
@given(
    laid=st.sets(st.sampled_from(NUMBERS), min_size=1),
    gone=st.sets(st.sampled_from(NUMBERS), min_size=1, max_size=3),
)
def test_what_is_left_of_a_state_is_never_more_than_the_fold_and_the_fold_fills_it(
    laid: set[int], gone: set[int]
) -> None:
    known = amendments({}, gone)
    whole = states(laid, known)
    for tile_id, state in states(laid).items():
        left = apply_amendments(state, known)
        assert not {patch(n).frame_id for n in gone} & set(left.frames)
        assert left.epoch == known.epoch(tile_id)
        both = [
            merge_states(tile_id, order, known) for order in ((left, whole[tile_id]), (whole[tile_id], state))
        ]
        assert {compute_content_hash(one) for one in both} == {compute_content_hash(whole[tile_id])}


def test_pixels_of_a_frame_laid_again_are_no_data_until_a_box_that_knows_sends_them() -> None:
    known = amendments({2: 1})
    touched = [state for state in states([2]).values() if known.epoch(state.tile_id) != state.epoch]
    assert touched
    assert all(apply_amendments(state, known).frames == () for state in touched)
