"""Finished tiles in a revision of their own: placed, not merged; resumable; parents right at every moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flycam.catalog.catalog import Catalog
from flycam.errors import StoreConflict
from flycam.geometry.grid import TileId
from flycam.model.frame import MosaicTile
from flycam.mosaic.tiles.codec import compute_content_hash, read_tile
from flycam.mosaic.tiles.merge import Amendments, make_parent_tile
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import MemoryStore
from tests.laws.recorded import MOSAIC, ORIGIN_X, ORIGIN_Y, ZOOM, opened, patch

FINAL = replace(MOSAIC, revision=1)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = opened(f"sqlite:///{tmp_path}/catalog.db")
    catalog.tiles.put_mosaic(FINAL)
    yield catalog
    catalog.close()


def writer(store: ObjectStore, catalog: Catalog, **options: object) -> MosaicWriter:
    return MosaicWriter(store, catalog.tiles, FINAL, origin="box", clock_ns=lambda: 7, **options)  # type: ignore[arg-type]


def tile(column: int, row: int, value: int, frame: str = "a") -> MosaicTile:
    return MosaicTile(
        tile_id=TileId(z=ZOOM, x=ORIGIN_X + column, y=ORIGIN_Y + row),
        rgb=np.full((256, 256, 3), value, np.uint8),
        quality=np.full((256, 256), 65000 - value, np.uint16),
        source=np.ones((256, 256), np.uint16),
        frames=(frame,),
    )


def many(value: int = 9) -> list[MosaicTile]:
    return [tile(column, row, value + column + row) for row in range(9) for column in range(9)]


def heads(catalog: Catalog, revision: int = 1) -> dict[TileId, str]:
    return {h.tile_id: h.content_hash for h in catalog.tiles.heads(MOSAIC.mosaic_id, revision)}


def test_placed_tiles_are_the_heads_and_their_parents_follow(catalog: Catalog) -> None:
    store = MemoryStore()
    tiles = many()
    with writer(store, catalog) as one:
        lines = one.place(iter(tiles))
    found = heads(catalog)
    assert {t.tile_id: compute_content_hash(t) for t in tiles}.items() <= found.items()
    assert lines >= len(found)
    stored = {h.tile_id: read_tile(store, h) for h in catalog.tiles.heads(MOSAIC.mosaic_id, 1)}
    for tile_id, parent in stored.items():
        if tile_id.z < ZOOM:
            children = [stored[child] for child in tile_id.children() if child in stored]
            assert compute_content_hash(parent) == compute_content_hash(make_parent_tile(tile_id, children))


def test_a_run_that_was_killed_goes_on_where_it_was(catalog: Catalog) -> None:
    class Killed(Exception):
        pass

    def half() -> Iterator[MosaicTile]:
        yield from many()[:70]
        raise Killed

    store, whole = MemoryStore(), MemoryStore()
    with pytest.raises(Killed), writer(store, catalog) as one:
        one.place(half())
    logged = heads(catalog)
    assert logged
    with writer(store, catalog) as two:
        lines = two.place(many())
    assert sum(t.tile_id in logged for t in many()) == 64
    assert lines < len(heads(catalog))
    final = heads(catalog)
    other = replace(FINAL, revision=2)
    catalog.tiles.put_mosaic(other)
    with MosaicWriter(whole, catalog.tiles, other, origin="box", clock_ns=lambda: 7) as three:
        three.place(many())
    assert heads(catalog, 2) == final


def test_a_placed_tile_replaces_what_was_there_also_when_another_writer_was_quicker(catalog: Catalog) -> None:
    store = MemoryStore()
    first, second = writer(store, catalog), writer(store, catalog)
    first.place([tile(0, 0, 1)])
    second.place([tile(0, 0, 200)])  # knows the head
    first.place([tile(0, 0, 3)])  # does not know that head any more
    last = tile(0, 0, 3)
    assert heads(catalog)[last.tile_id] == compute_content_hash(last)


def test_the_live_revision_is_not_touched(catalog: Catalog) -> None:
    store = MemoryStore()
    with MosaicWriter(store, catalog.tiles, MOSAIC, origin="box", clock_ns=lambda: 7) as live:
        live.add(patch(0))
        before = heads(catalog, 0)
        with pytest.raises(StoreConflict, match="revision 0"):
            live.place(many())
    with writer(store, catalog) as final:
        final.place(many())
    live_after = heads(catalog, 0)
    assert live_after.keys() >= before.keys()
    assert not set(heads(catalog)) - {t for t in heads(catalog) if t.z <= ZOOM}
    assert all(live_after[t] != h for t, h in heads(catalog).items() if t in live_after)


def test_tiles_that_do_not_belong_are_refused_with_a_cure(catalog: Catalog) -> None:
    store = MemoryStore()
    with writer(store, catalog, amendments=Amendments(withdrawn={"gone": None})) as one:
        with pytest.raises(StoreConflict, match="withdrawn meanwhile"):
            one.place([tile(0, 0, 1, "gone")])
        coarse = replace(tile(0, 0, 1), tile_id=TileId(z=ZOOM - 1, x=ORIGIN_X // 2, y=ORIGIN_Y // 2))
        with pytest.raises(StoreConflict, match="base zoom"):
            one.place([coarse])
    assert not heads(catalog)
