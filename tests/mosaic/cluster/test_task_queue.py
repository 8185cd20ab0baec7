"""Neighbours go to one worker, who has nothing takes of the longest stretch; nothing is lost or doubled."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from flycam.mosaic.cluster.dask_cluster import TaskQueue


def test_one_worker_goes_through_neighbours_and_a_second_takes_the_later_half() -> None:
    left = TaskQueue(10)
    assert [left.next_for("a") for _ in range(2)] == [0, 1]
    assert left.next_for("b") == 6  # of 2 to 9 the later half
    assert [left.next_for("a") for _ in range(4)] == [2, 3, 4, 5]
    assert left.next_for("a") == 8  # of 7 to 9 the later half
    assert len(left) == 2


@given(count=st.integers(0, 60), seed=st.integers(0, 999))
def test_every_task_is_done_once_whoever_comes_and_goes(count: int, seed: int) -> None:
    chance = random.Random(seed)
    left, in_hand, done = TaskQueue(count), dict[int, str](), list[int]()
    while len(left) or in_hand:
        worker = chance.choice("abcd")
        what = chance.random()
        if what < 0.5 and (number := left.next_for(worker)) is not None:
            assert number not in in_hand
            in_hand[number] = worker
        elif what < 0.9 and in_hand:
            number = chance.choice(sorted(in_hand))
            del in_hand[number]
            done.append(number)
        elif what > 0.95:
            for number in [n for n, who in in_hand.items() if who == worker]:
                del in_hand[number]
                left.requeue(number)
            left.remove_worker(worker)
    assert sorted(done) == list(range(count))
