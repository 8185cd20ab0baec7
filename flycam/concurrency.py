"""Concurrency: queues and stages of a pipeline, ordered work in threads, a cache, and clusters.

A pipeline is a chain of stages: each is a thread that takes from one `BoundedQueue` and puts into the next.
What has no room is dropped by the queue's own rule, and counted by reason in one `DropCounter`.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

Item = TypeVar("Item")


class DropCounter(Counter[str]):
    """Counter of what a pipeline leaves out, by reason; `add` is thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def add(self, reason: str, count: int = 1) -> None:
        """Count what is left out for a reason."""
        with self._lock:
            self[reason] += count

    def counts(self) -> Counter[str]:
        """Return a copy, while other threads count on."""
        with self._lock:
            return Counter(dict(self))


class BoundedQueue(Generic[Item]):
    """Queue between two threads, bounded by one of two rules.

    most   `put` waits while so many items wait
    admit  `put` never waits: this is called with the waiting items, oldest first, and the newest. It makes
           room among them, returns False to leave the newest out, and counts what it drops
    """

    def __init__(self, most: int = 1, admit: Callable[[deque[Item], Item], bool] | None = None) -> None:
        self._items: deque[Item] = deque()
        self._most, self._admit = most, admit
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def oldest(self) -> Item | None:
        """The item that has waited longest; None if none waits."""
        with self._changed:
            return self._items[0] if self._items else None

    def put(self, item: Item) -> bool:
        """Add the newest item; return False once the queue is closed."""
        with self._changed:
            while self._admit is None and len(self._items) >= self._most and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return False
            if self._admit is None or self._admit(self._items, item):
                self._items.append(item)
                self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> Item | None:
        """Wait for the oldest item and return it; None once the queue is closed and empty.

        Raises TimeoutError where none comes in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._items or self._is_closed, timeout_s):
                raise TimeoutError
            if not self._items:
                return None
            self._changed.notify_all()
            return self._items.popleft()

    def get_all(self, delay_s: Callable[[int], float]) -> list[Item]:
        """Wait for items and return all of them; [] once the queue is closed and empty.

        delay_s  seconds for which so many items still wait for more
        """
        with self._changed:
            while not self._is_closed:
                rest_s = delay_s(len(self._items)) if self._items else None
                if rest_s is not None and rest_s <= 0.0:
                    break
                self._changed.wait(rest_s)
            items = list(self._items)
            self._items.clear()
            self._changed.notify_all()
            return items

    def close(self) -> None:
        """Accept no more items; those that wait can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Accept no more items, and forget those that wait."""
        with self._changed:
            self._items.clear()
            self.close()


class Stage(Generic[Item]):
    """Stage of a pipeline: a thread that runs `run`, which takes from `queue` until that is closed.

    What `run` raises is raised by the next `put`, or `close`, and is `error` from then on.
    """

    def __init__(self, name: str, queue: BoundedQueue[Item], run: Callable[[], None]) -> None:
        self._queue, self._work = queue, run
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: Item) -> None:
        """Add an item; wait for room where the queue does. Raises earlier errors."""
        if not self._queue.put(item):
            self._raise()

    def close(self) -> None:
        """Finish what waits. Raises earlier errors."""
        self._queue.close()
        self._thread.join()
        self._raise()

    def abandon(self) -> None:
        """Finish the item under way and forget the others: an error is being raised."""
        self._queue.abandon()
        self._thread.join()

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  raised again in `put`, `close`
            self.error = error
            self._queue.abandon()


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


Key = TypeVar("Key")
Value = TypeVar("Value")


class LruCache(Generic[Key, Value]):
    """Values by key within a bound; the least recently used are dropped. Thread-safe.

    limit    of the sizes of all values; one is kept whatever its size
    size_of  size of a value; by default each counts one
    """

    def __init__(self, limit: int, size_of: Callable[[Value], int] = lambda _value: 1) -> None:
        self._limit, self._size_of = limit, size_of
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._making: dict[Key, threading.Lock] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made if it is not kept: once for all threads that want it."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        try:
            with making:
                with self._lock:
                    if key in self._kept:
                        self._kept.move_to_end(key)
                        return self._kept[key]
                value = make()
                self._keep(key, value)
                return value
        finally:
            # also of a hit or a failure: nothing is remembered of keys that are not kept
            with self._lock:
                self._making.pop(key, None)

    def _keep(self, key: Key, value: Value) -> None:
        with self._lock:
            # after a failure two threads may have made it
            if key in self._kept:
                self._size -= self._size_of(self._kept.pop(key))
            self._kept[key] = value
            self._size += self._size_of(value)
            while self._size > self._limit and len(self._kept) > 1:
                self._size -= self._size_of(self._kept.popitem(last=False)[1])

    def clear(self) -> None:
        """Drop all values; each is made again when requested."""
        with self._lock:
            self._kept.clear()
            self._size = 0


class Cluster(Protocol):
    """Workers in processes of their own, here or on other machines.

    They use the same store and catalogue. Results come as they are ready. The unfinished tasks of a worker
    that dies are given to another.
    """

    def run(self, order: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, its result). order: a `worker.JobOrder`.

        Raises what a task raised; ClusterUnavailable, WorkerIncompatible.
        """
