"""Rule of the mosaic: withdrawn frames leave no pixel, and tiles of different epochs never merge."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.errors import StoreConflict
from flycam.geometry.grid import TileId, TileRange
from flycam.model.frame import OrthoPatch
from flycam.mosaic.orthorectify.rebuild import find_stale_tiles, rebuild_stale_tiles
from flycam.mosaic.tiles.codec import TileLog, read_tile
from flycam.mosaic.tiles.merge import NO_AMENDMENTS, Amendments
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import MemoryStore, open_store
from tests.laws.conftest import House
from tests.laws.recorded import MOSAIC, folded, frame_id, opened, patch, stored

NUMBERS = range(8)
_fresh = itertools.count()


def amendments(numbers: Iterable[int]) -> Amendments:
    return Amendments(withdrawn={frame_id(n): patch(n).tiles for n in numbers})


def expected(withdrawn: Iterable[int], ever_stored: set[TileId]) -> dict[TileId, str]:
    """Fold of what is left; a tile that lost its last frame stays in the log, empty."""
    gone = amendments(withdrawn)
    rest = [patch(n) for n in NUMBERS if n not in set(withdrawn)]
    return folded(rest, {t: gone.epoch(t) for t in ever_stored})


def writing(store: ObjectStore, log: TileLog, gone: Amendments = NO_AMENDMENTS) -> MosaicWriter:
    return MosaicWriter(store, log, MOSAIC, origin="box", clock_ns=lambda: 0, amendments=gone)


def withdraw(store: ObjectStore, log: TileLog, gone: Amendments) -> int:
    """The recipe: find what is stale, fold it again from all recorded frames."""

    def patches_of(tiles: TileRange) -> Iterable[OrthoPatch]:
        return (p for p in map(patch, NUMBERS) if not p.tiles.intersection(tiles).is_empty)

    with writing(store, log, gone) as writer:
        return rebuild_stale_tiles(writer, find_stale_tiles(log, MOSAIC, gone), patches_of)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(NUMBERS), steps=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4))
def test_withdrawing_one_after_another_equals_never_having_seen_them(
    tmp_path: Path, order: list[int], steps: list[int]
) -> None:
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/{next(_fresh)}.db")
    with writing(store, catalog.tiles) as writer:
        for n in order:
            writer.add(patch(n))
    before = {t for t in stored(store, catalog) if t.z == MOSAIC.base_zoom}
    for count in range(1, len(steps) + 1):
        withdraw(store, catalog.tiles, amendments(steps[:count]))
    assert stored(store, catalog) == expected(steps, before)
    catalog.close()


def test_a_withdrawn_frame_never_enters_again(house: House) -> None:
    store, catalog = open_store(house.store_url), opened(house.database)
    gone = amendments([3, 5])
    with writing(store, catalog.tiles) as writer:
        for n in NUMBERS:
            writer.add(patch(n))
    before = {t for t in stored(store, catalog) if t.z == MOSAIC.base_zoom}
    assert withdraw(store, catalog.tiles, gone) > 0
    assert withdraw(store, catalog.tiles, gone) == 0
    with writing(store, catalog.tiles, gone) as writer:
        assert sum(writer.add(patch(n)) for n in NUMBERS) == 0
    assert stored(store, catalog) == expected([3, 5], before)
    for head in catalog.tiles.heads(MOSAIC.mosaic_id, 0):
        assert not {frame_id(3), frame_id(5)} & set(read_tile(store, head).frames)


def test_who_does_not_know_the_withdrawal_cannot_write_over_it(tmp_path: Path) -> None:
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/c.db")
    with writing(store, catalog.tiles) as writer:
        writer.add(patch(0))
    with writing(store, catalog.tiles) as late:
        # merged before the withdrawal, written after it
        late.add(dataclasses.replace(patch(0), frame_id=frame_id(99), quality=patch(0).quality // 2 * 3))
        withdraw(store, catalog.tiles, amendments([0]))
        after = stored(store, catalog)
        with pytest.raises(StoreConflict, match="epoch"):
            late.flush()
        late._dirty.clear()
    assert stored(store, catalog) == after
