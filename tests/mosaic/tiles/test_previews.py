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
    mark_previews,
    merge_previews,
    remove_previews,
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


def test_what_is_no_view_is_refused(box: Box) -> None:
    at, tile = next(iter(parents(box).items()))
    picture = np.full((1024, 1024, 3), 90, np.uint8)
    large = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 50])[1].tobytes()
    lossless = cv2.imencode(".webp", picture[:256, :256], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    jpeg = cv2.imencode(".jpg", picture[:256, :256])[1].tobytes()
    for data in (b"", encode_preview(tile)[:60], large, lossless, jpeg):
        with pytest.raises(TileCorrupt):
            decode_preview(data, at)
