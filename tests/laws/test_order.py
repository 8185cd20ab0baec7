"""Rule of the mosaic: the order and the number of times that frames arrive change nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.stores import MemoryStore, open_store
from tests.laws.conftest import House
from tests.laws.recorded import MOSAIC, folded, opened, patch, stored

NUMBERS = range(7)
EXPECTED = folded(patch(n) for n in NUMBERS)
_fresh = itertools.count()

arrivals = st.lists(st.sampled_from(NUMBERS), max_size=6).flatmap(
    lambda again: st.permutations([*NUMBERS, *again])
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=arrivals, flushes=st.sets(st.integers(0, 13)), cache=st.sampled_from([1, 3, 50]))
def test_any_order_any_repetition_any_grouping_gives_the_same_tiles(
    tmp_path: Path, order: list[int], flushes: set[int], cache: int
) -> None:
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/{next(_fresh)}.db")
    with MosaicWriter(
        store, catalog.tiles, MOSAIC, origin="box", clock_ns=lambda: 0, cache_tiles=cache
    ) as writer:
        for position, number in enumerate(order):
            writer.add(patch(number))
            if position in flushes:
                writer.flush()
    assert stored(store, catalog) == EXPECTED
    catalog.close()


def test_ingesting_again_writes_no_line_and_no_object(house: House) -> None:
    store, catalog = open_store(house.store_url), opened(house.database)
    for _ in range(2):
        with MosaicWriter(store, catalog.tiles, MOSAIC, origin="box", clock_ns=lambda: 0) as writer:
            changed = sum(writer.add(patch(n)) for n in NUMBERS)
        objects = list(store.list("mosaics/"))
        last = catalog.tiles.last_seq(MOSAIC.mosaic_id)
    assert changed == 0
    assert len(objects) == len(EXPECTED) == last
    assert stored(store, catalog) == EXPECTED
