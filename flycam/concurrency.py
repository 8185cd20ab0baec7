"""Concurrency: a bounded queue, ordered work in threads, and clusters.

A `BoundedQueue` lies between two threads; its producer never waits: the oldest item is dropped, and counted.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

Item = TypeVar("Item")


class BoundedQueue(Generic[Item]):
    """Queue of at most `max_items` items.

    `is_blocking`: `put` waits for room instead of dropping, for a file, which can wait. The limit, `most`,
    may be changed until the first item comes.
    """

    def __init__(self, max_items: int, *, is_blocking: bool = False) -> None:
        self._items: deque[Item] = deque()
        self.most, self._waits = max_items, is_blocking
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    def __len__(self) -> int:
        """Return the number of waiting items."""
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Add the newest item; return False once the queue is closed."""
        with self._changed:
            while self._waits and len(self._items) >= self.most and not self._closed:
                self._changed.wait()
            if self._closed:
                return False
            if len(self._items) >= self.most:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> Item | None:
        """Wait for the oldest item and return it.

        None once the queue is closed and empty.
        """
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Accept no more items; those that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


# -- Work in several threads, with bounded results in flight, returned in order --------------------
#
# OpenCV, zlib, zstd and hashing release the interpreter lock, so threads use both cores while one process
# keeps one copy of the terrain. Work for several processes or machines goes through a `Cluster` (decision
# 0030).

Result = TypeVar("Result")


def count_workers() -> int:
    """Count the processors that this process may use; one worker for each."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, in_flight: int
) -> Iterator[Result]:
    """Yield work(item) in the order of items.

    At most `in_flight` results wait at any moment. An exception of `work` is raised at its place in the
    order; work already started is completed.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="frame") as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= in_flight:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class Cluster(Protocol):
    """Workers in processes of their own, here or on other machines.

    They use the same store and catalogue. Results come as they are ready. The unfinished tasks of a worker
    that dies are given to another.
    """

    def run(self, order: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, its result). order: a `worker.JobOrder`.

        Raises what a task raised; ClusterUnavailable, WorkerIncompatible.
        """
