"""Rule of the mosaic: frames laid again leave nothing of where they lay before, whoever learns it when."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.errors import StoreConflict
from flycam.model.frame import OrthoPatch
from flycam.mosaic.orthorectify.rebuild import find_stale_tiles, rebuild_stale_tiles
from flycam.mosaic.tiles.codec import TileLog
from flycam.mosaic.tiles.merge import NO_AMENDMENTS, Amendments, ReplacedPlacements
from flycam.mosaic.tiles.writer import MosaicWriter, find_damaged_tiles, repair_parents
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import MemoryStore, open_store
from tests.laws.conftest import PROVINCE, House
from tests.laws.recorded import (
    MOSAIC,
    ZOOM,
    amendments,
    expected,
    folded,
    frame_id,
    holding,
    in_force,
    opened,
    patch,
    refolded,
    stored,
)
from tests.waiting import trials

ROOT = Path(__file__).resolve().parents[2]
COUNT = 7
NUMBERS = range(COUNT)
_fresh = itertools.count()

placed = st.dictionaries(st.sampled_from(NUMBERS), st.integers(1, 2), min_size=1, max_size=5)
gone = st.sets(st.sampled_from(NUMBERS), max_size=2)


def writing(store: ObjectStore, log: TileLog, amended: Amendments = NO_AMENDMENTS) -> MosaicWriter:
    return MosaicWriter(store, log, MOSAIC, origin="box", clock_ns=lambda: 0, amendments=amended)


def merged(store: ObjectStore, log: TileLog, patches: Iterable[OrthoPatch]) -> None:
    with writing(store, log) as writer:
        for one in patches:
            writer.add(one)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(NUMBERS), laid=placed, withdrawn=gone, data=st.data())
def test_whatever_the_order_in_which_it_is_learned_the_tiles_are_those_of_the_set(
    tmp_path: Path, order: list[int], laid: dict[int, int], withdrawn: set[int], data: st.DataObject
) -> None:
    """News come one at a time, some twice, some as old news after the newer; after each the box refolds."""
    news = [("laid", n, v) for n, last in laid.items() for v in range(1, last + 1)]
    news += [("withdrawn", n, 0) for n in withdrawn]
    arriving = data.draw(st.permutations([*news, *data.draw(st.lists(st.sampled_from(news), max_size=2))]))
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/{next(_fresh)}.db")
    merged(store, catalog.tiles, map(patch, order))
    known: dict[int, int] = {}
    out: set[int] = set()
    for kind, number, version in arriving:
        if kind == "laid":
            known[number] = max(known.get(number, 0), version)
        else:
            out.add(number)
        refolded(store, catalog.tiles, NUMBERS, known, out)
    assert (known, out) == (laid, withdrawn)
    assert holding(store, catalog) == expected(NUMBERS, laid, withdrawn)
    catalog.close()


def test_an_old_placement_never_enters_again(tmp_path: Path) -> None:
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/c.db")
    merged(store, catalog.tiles, map(patch, NUMBERS))
    laid = {2: 2, 6: 1}
    refolded(store, catalog.tiles, NUMBERS, laid, ())
    before = stored(store, catalog)
    with writing(store, catalog.tiles, amendments(laid)) as writer:
        assert [writer.add(patch(2)), writer.add(patch(2, version=1)), writer.add(patch(6))] == [0, 0, 0]
        assert writer.add(patch(2, version=2)) == 0, "it is there already"
    assert stored(store, catalog) == before


def test_who_does_not_know_of_it_cannot_write_over_it(tmp_path: Path) -> None:
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/c.db")
    merged(store, catalog.tiles, [patch(0)])
    refolded(store, catalog.tiles, [0], {0: 1}, ())
    after = stored(store, catalog)
    late = writing(store, catalog.tiles)
    with pytest.raises(StoreConflict, match="epoch"):
        late.add(patch(0))
    assert stored(store, catalog) == after


def test_a_frame_set_aside_leaves_no_pixel_until_it_is_laid_again(tmp_path: Path) -> None:
    store, catalog = MemoryStore(), opened(f"sqlite:///{tmp_path}/c.db")
    merged(store, catalog.tiles, map(patch, NUMBERS))
    old = f"{frame_id(3)}-0"
    aside = Amendments(
        replaced={frame_id(3): ReplacedPlacements(current=None, superseded={old: patch(3).tiles})}
    )
    with writing(store, catalog.tiles, aside) as writer:
        rebuild_stale_tiles(
            writer, find_stale_tiles(catalog.tiles, MOSAIC, aside), lambda _: map(patch, NUMBERS)
        )
        assert writer.add(patch(3)) == writer.add(patch(3, version=1)) == 0
    left = [patch(n) for n in NUMBERS if n != 3]
    touched = {t for t in folded(left) if t.z == ZOOM}
    assert holding(store, catalog) == folded(left, {t: aside.epoch(t) for t in touched})
    refolded(store, catalog.tiles, NUMBERS, {3: 1}, ())
    assert holding(store, catalog) == expected(NUMBERS, {3: 1}, ())


@pytest.mark.parametrize("every", [2])
def test_lost_and_damaged_objects_come_back_the_same(house: House, every: int) -> None:
    """Base tiles from the patches, parents from their children; under their keys, without a line."""
    laid = {1: 1}
    store, catalog = open_store(house.store_url), opened(house.database)
    merged(store, catalog.tiles, map(patch, NUMBERS))
    refolded(store, catalog.tiles, NUMBERS, laid, ())
    before, last = stored(store, catalog), catalog.tiles.last_seq(MOSAIC.mosaic_id)
    heads = catalog.tiles.heads(MOSAIC.mosaic_id, 0)
    for number, head in enumerate(heads[::every]):
        data = store.get(head.key)
        store.delete(head.key)
        if number % 2:
            store.put(head.key, data[: len(data) // 2])
    damaged = find_damaged_tiles(store, heads, lambda _: None)
    assert damaged == [head.tile_id for head in heads[::every]]
    base = [tile_id for tile_id in damaged if tile_id.z == ZOOM]
    with MosaicWriter(
        store,
        catalog.tiles,
        MOSAIC,
        origin="box",
        clock_ns=lambda: 0,
        amendments=amendments(laid),
        damaged=base,
    ) as writer:
        assert rebuild_stale_tiles(writer, base, lambda _: in_force(NUMBERS, laid, ())) == 0
    repair_parents(store, catalog.tiles, MOSAIC, damaged, origin="box", now_ns=0)
    assert stored(store, catalog) == before
    assert catalog.tiles.last_seq(MOSAIC.mosaic_id) == last


@pytest.mark.parametrize("house", ["local", PROVINCE], indirect=True)
def test_laid_again_after_kill_9_at_random_moments(house: House) -> None:
    """After each cut every parent is that of its children, and the same command completes it."""
    rng = random.Random(1)
    count = 24
    store, catalog = open_store(house.store_url), opened(house.database)
    merged(store, catalog.tiles, map(patch, range(count)))
    laid = dict.fromkeys(range(0, count, 2), 1)
    withdrawn = [1, 4]
    arguments = [house.store_url, house.database, str(count), json.dumps(laid), json.dumps(withdrawn)]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.laws.refold_recorded", *arguments],
            cwd=ROOT,
            env=os.environ | {"OPENCV_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
        )

    killed: list[bool] = []
    for number in trials(2, lambda: any(killed)):
        process = start()
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.0, 0.2) / (1 + number // 3))
        process.kill()
        killed.append(process.wait(60) != 0)
        holding(store, catalog)
    assert any(killed), "no process was cut: the moments are too late to test anything"
    assert start().wait(120) == 0
    assert holding(store, catalog) == expected(range(count), laid, withdrawn)
