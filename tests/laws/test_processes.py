"""Rule of the mosaic: split over processes, killed at any moment and replayed, the tiles are the same."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flycam.storage.stores import open_store
from tests.laws.conftest import LOCAL, PROVINCE, House
from tests.laws.recorded import folded, opened, patch, stored
from tests.waiting import trials

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = list(range(24))


def start(house: House, flush_every: int, numbers: list[int]) -> subprocess.Popen[bytes]:
    arguments = [house.store_url, house.database, str(flush_every), *map(str, numbers)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.laws.ingest_recorded", *arguments],
        cwd=ROOT,
        env=os.environ | {"OPENCV_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
    )


def wait_ready(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


@pytest.mark.parametrize("house", [LOCAL, PROVINCE], indirect=True)
def test_two_boxes_that_write_at_once_converge(house: House) -> None:
    opened(house.database).close()
    shares = [NUMBERS[::2] + NUMBERS[4:8], NUMBERS[1::2][::-1]]
    processes = [start(house, 1, share) for share in shares]
    assert [process.wait(120) for process in processes] == [0, 0]
    catalog = opened(house.database)
    assert stored(open_store(house.store_url), catalog) == folded(patch(n) for n in NUMBERS)
    assert {head.seq for head in catalog.tiles.log_since("laws", 0, 10_000)} == set(
        range(1, catalog.tiles.last_seq("laws") + 1)
    )


def test_replay_after_kill_9_at_random_moments(house: House) -> None:
    """Each life of the process is cut at a random moment; after each cut the log is whole and consistent."""
    rng = random.Random(1)
    catalog = opened(house.database)
    store = open_store(house.store_url)
    killed: list[bool] = []
    for number in trials(2, lambda: any(killed)):
        process = start(house, rng.choice([1, 2, 5]), rng.sample(NUMBERS, len(NUMBERS)))
        wait_ready(process)
        time.sleep(rng.uniform(0.0, 0.35) / (1 + number // 4))
        process.kill()
        killed.append(process.wait(60) != 0)
        stored(store, catalog)
    assert any(killed), "no process was cut: the moments are too late to test anything"
    assert start(house, 7, NUMBERS).wait(120) == 0
    assert stored(store, catalog) == folded(patch(n) for n in NUMBERS)
