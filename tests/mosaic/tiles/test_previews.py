from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from flycam.errors import TileCorrupt
from flycam.geometry.grid import TileId
from flycam.model.frame import MosaicTile
from flycam.mosaic.tiles.codec import compute_content_hash
from flycam.mosaic.tiles.peers import (
    decode_preview,
    encode_preview,
    list_previewed_tiles,
    mark_previews,
    merge_previews,
    remove_previews,
    verify_peer_object,
)
from flycam.storage import keys
from tests.sync.boxes import MOSAIC, Box, new_box

LOG = keys.derive_log_id("field", MOSAIC.mosaic_id)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = new_box(tmp_path, "field")
    made.lay({0, 1})
    return made


@pytest.fixture
def province(tmp_path: Path) -> Box:
    """A house that knows the flight, but none of its tiles."""
    made = new_box(tmp_path, "province")
    made.lay(set())
    return made


def parents(box: Box) -> dict[TileId, MosaicTile]:
    heads = box.catalog.tiles.heads(MOSAIC.mosaic_id, 0)
    return {head.tile_id: box.tile(head) for head in heads if head.tile_id.z < MOSAIC.base_zoom}


def lay(province: Box, tiles: dict[TileId, MosaicTile]) -> int:
    store, log = province.workspace.store, province.catalog.tiles
    mark_previews(
        store, MOSAIC.mosaic_id, LOG, {at: compute_content_hash(tile) for at, tile in tiles.items()}
    )
    views = {at: encode_preview(tile) for at, tile in tiles.items()}
    return merge_previews(store, log, MOSAIC, views, origin="province", clock_ns=lambda: 0)


def clear(province: Box, done: str | None) -> int:
    store, log = province.workspace.store, province.catalog.tiles
    return remove_previews(store, log, MOSAIC, origin="province", clock_ns=lambda: 0, done=done)


def test_a_view_keeps_the_ground_and_nearly_the_colours(box: Box) -> None:
    for at, tile in parents(box).items():
        state = decode_preview(encode_preview(tile), at)
        assert np.array_equal(state.quality > 0, tile.quality > 0)
        assert not state.rgb[state.quality == 0].any()
        assert not state.source.any()
        assert len(encode_preview(tile)) < 256 * 256


def test_views_fill_what_is_not_known_and_nothing_else(box: Box, province: Box) -> None:
    tiles = parents(box)
    assert lay(province, tiles) == len(tiles)
    assert lay(province, tiles) == 0
    province.lay({0})
    before = parents(province)
    lay(province, tiles)  # of a tile that came, what is still empty may be filled again
    for at, tile in parents(province).items():
        known = before[at].quality > 0
        assert np.array_equal(tile.rgb[known], before[at].rgb[known])
        assert np.array_equal(tile.source, before[at].source)
        assert np.array_equal(tile.quality > 0, tiles[at].quality > 0)


def test_a_giver_that_gave_all_leaves_no_early_pixel(box: Box, province: Box) -> None:
    lay(province, parents(box))
    province.lay({0, 1})
    clear(province, LOG)
    assert province.tiles() == box.tiles()
    assert list_previewed_tiles(province.workspace.store, {LOG}) == []


def test_clearing_makes_parents_from_their_children_alone(box: Box, province: Box) -> None:
    lay(province, parents(box))
    assert clear(province, None) > 0
    assert not any(tile.quality.any() for tile in parents(province).values())
    assert list_previewed_tiles(province.workspace.store, {LOG}) != []  # they need not come again
    assert clear(province, None) == 0


def test_what_another_giver_filled_too_waits_for_it(box: Box, province: Box) -> None:
    tiles = parents(box)
    lay(province, tiles)
    digests = {at: compute_content_hash(tile) for at, tile in tiles.items()}
    mark_previews(province.workspace.store, MOSAIC.mosaic_id, "other", digests)
    assert clear(province, LOG) == 0
    assert clear(province, "other") > 0


def test_marks_are_whole_and_say_all_in_their_keys(box: Box, province: Box) -> None:
    lay(province, parents(box))
    store = province.workspace.store
    marks = list(store.list(keys.format_preview_prefix()))
    assert marks
    assert all(verify_peer_object(key, store.get(key)) for key in marks)
    assert {keys.parse_preview_key(key)[1] for key in marks} == set(parents(box))


@pytest.mark.parametrize("spoil", ["empty", "cut", "large", "lossless", "jpeg"])
def test_what_is_no_view_is_refused(box: Box, spoil: str) -> None:
    at, tile = next(iter(parents(box).items()))
    picture = np.full((4096, 4096, 3), 90, np.uint8)
    data = {
        "empty": b"",
        "cut": encode_preview(tile)[:60],
        "large": cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes(),
        "lossless": cv2.imencode(".webp", picture[:256, :256], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes(),
        "jpeg": cv2.imencode(".jpg", picture[:256, :256])[1].tobytes(),
    }[spoil]
    with pytest.raises(TileCorrupt):
        decode_preview(data, at)
