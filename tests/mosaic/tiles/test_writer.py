from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from flycam.catalog.catalog import Catalog
from flycam.errors import ObjectMissing, StoreUnavailable
from flycam.geometry.grid import TileId, TileRange
from flycam.model.frame import OrthoPatch
from flycam.mosaic.tiles.codec import read_tile
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import MemoryStore
from tests.laws.recorded import MOSAIC, ORIGIN_X, ORIGIN_Y, ZOOM, folded, frame_id, opened, patch, stored


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return opened(f"sqlite:///{tmp_path}/catalog.db")


def writer(store: ObjectStore, catalog: Catalog, cache_tiles: int = 50) -> MosaicWriter:
    return MosaicWriter(
        store, catalog.tiles, MOSAIC, origin="box", clock_ns=lambda: 7, cache_tiles=cache_tiles
    )


def flat(number: int, column: int, quality: int) -> OrthoPatch:
    """A patch that fills one tile with one quality."""
    tiles = TileRange(
        z=ZOOM,
        x_start=ORIGIN_X + column,
        y_start=ORIGIN_Y,
        x_stop=ORIGIN_X + column + 1,
        y_stop=ORIGIN_Y + 1,
    )
    return OrthoPatch(
        tiles=tiles,
        rgb=np.full((256, 256, 3), number, np.uint8),
        quality=np.full((256, 256), quality, np.uint16),
        frame_id=frame_id(number),
        exterior_version=0,
        dem_id="dem",
    )


def test_a_writer_never_loses_what_another_wrote_to_a_tile_it_still_holds(catalog: Catalog) -> None:
    """A conflict over one tile makes the heads of its neighbours known too: not a licence to replace them."""
    store = MemoryStore()
    a, b = writer(store, catalog), writer(store, catalog)
    for number, column in ((1, 1), (2, 2)):
        a.add(flat(number, column, 10))
    a.flush()
    better = [flat(3, 1, 30), flat(4, 2, 30)]
    for one in better:
        b.add(one)
    b.flush()
    for number, column in ((5, 1), (6, 2)):
        a.add(flat(number, column, 20))
        a.flush()
    assert stored(store, catalog) == folded(better)


def test_lines_name_objects_that_are_there_children_before_parents(catalog: Catalog) -> None:
    store = MemoryStore()
    with writer(store, catalog) as one:
        one.add(patch(0))
    log = catalog.tiles.log_since(MOSAIC.mosaic_id, 0)
    assert [line.tile_id.z for line in log] == sorted((line.tile_id.z for line in log), reverse=True)
    assert {line.tile_id.z for line in log} == set(range(MOSAIC.min_zoom, MOSAIC.base_zoom + 1))
    assert all((line.origin, line.written_ns) == ("box", 7) for line in log)
    assert {line.key for line in log} == set(store.list(""))


def test_what_could_not_be_written_is_written_by_the_next_flush(catalog: Catalog) -> None:
    class Refusing(MemoryStore):
        down = True

        def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
            if self.down:
                raise StoreUnavailable("store: does not answer; start it and run again")
            super().put(key, data, durable=durable)

    store = Refusing()
    one = writer(store, catalog)
    one.add(patch(0))
    with pytest.raises(StoreUnavailable):
        one.flush()
    assert catalog.tiles.last_seq(MOSAIC.mosaic_id) == 0
    store.down = False
    assert one.flush() > 0
    assert stored(store, catalog) == folded([patch(0)])


def test_an_error_on_its_way_out_is_not_hidden_by_a_flush(catalog: Catalog) -> None:
    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt), writer(store, catalog) as one:
        one.add(patch(0))
        raise KeyboardInterrupt
    assert catalog.tiles.last_seq(MOSAIC.mosaic_id) == 0


def test_tiles_are_written_behind_and_a_late_patch_still_finds_them(catalog: Catalog) -> None:
    store = MemoryStore()
    with writer(store, catalog) as one:
        for late in (10, 20, 30):
            one.add(flat(late, 1, late))
            one.add(flat(late + 1, 2, late))
            one.write([*flat(0, 1, 1).tiles, *flat(0, 2, 1).tiles])
            assert not one._canvases
    patches = [flat(late + n, 1 + n, late) for late in (10, 20, 30) for n in (0, 1)]
    assert stored(store, catalog) == folded(patches)


class Gated(MemoryStore):
    """Lets objects in only when its gate is open; `asked` once one waits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate, self.broken = threading.Event(), threading.Event(), False

    def flush(self) -> None:
        self.asked.set()
        assert self.gate.wait(90.0)
        if self.broken:
            raise StoreUnavailable("store: does not answer; start it and run again")


def test_patches_are_merged_while_a_group_is_published_and_none_is_lost(catalog: Catalog) -> None:
    store = Gated()
    patches = [flat(1, 1, 10), flat(2, 1, 20), flat(3, 2, 10)]
    with writer(store, catalog) as one, ThreadPoolExecutor(1) as pool:
        one.add(patches[0])
        published = pool.submit(one.publish)
        assert store.asked.wait(90.0)
        for late in patches[1:]:
            one.add(late)  # returns although the group is not in the log yet
        assert catalog.tiles.last_seq(MOSAIC.mosaic_id) == 0
        store.gate.set()
        lines = published.result(30.0)
        assert lines == catalog.tiles.last_seq(MOSAIC.mosaic_id) == ZOOM - MOSAIC.min_zoom + 1
        assert stored(store, catalog) == folded(patches[:1])
        assert one.publish() > 0
        assert stored(store, catalog) == folded(patches)
        assert one.publish() == 0


def test_what_another_wrote_meanwhile_is_kept_by_who_publishes(catalog: Catalog) -> None:
    """Its tile is merged into the copy that is written, and has to be into the tile that goes on."""
    store = MemoryStore()
    a, b = writer(store, catalog), writer(store, catalog)
    a.add(flat(1, 1, 10))
    a.publish()
    b.add(flat(2, 1, 30))
    b.publish()
    a.add(flat(3, 1, 20))
    a.publish()
    a.add(flat(4, 1, 25))
    a.publish()
    assert stored(store, catalog) == folded([flat(2, 1, 30)])


def test_a_lost_object_is_an_error_not_an_empty_tile(catalog: Catalog) -> None:
    store = MemoryStore()
    with writer(store, catalog) as one:
        one.add(flat(1, 0, 10))
    head = catalog.tiles.head(MOSAIC.mosaic_id, 0, TileId(z=ZOOM, x=ORIGIN_X, y=ORIGIN_Y))
    assert head is not None
    assert read_tile(store, head).frames == (frame_id(1),)
    store.delete(head.key)
    with pytest.raises(ObjectMissing):
        writer(store, catalog).add(flat(2, 0, 20))
