"""Work in several threads with a bounded number of results in flight, returned in order.

OpenCV, zlib, zstd and hashing release the interpreter lock, so threads use both cores while one process keeps
one copy of the terrain. Work for several processes or machines goes through a `Cluster` (decision 0030).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
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
