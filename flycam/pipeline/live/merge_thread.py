"""Pictures merged in a thread of their own, one after the other, while the next is being fitted."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class MergeThread:
    """One picture is merged at a time, in the order in which they were added, and one more may wait: a
    picture's pixels are 6 MB. What goes wrong is raised by the next `add`, or `close`, and is `error` until
    then."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="merging")
        self._newest: Future[None] | None = None

    @property
    def error(self) -> BaseException | None:
        """What went wrong with the picture added last, as soon as it did; None: nothing."""
        newest = self._newest
        return newest.exception() if newest is not None and newest.done() else None

    def add(self, merge: Callable[[], None]) -> None:
        """Merge by this call once the picture before is merged, which is waited for."""
        if self._newest is not None:
            self._newest.result()
        self._newest = self._pool.submit(merge)

    def close(self) -> None:
        """Wait for what is being merged. Raises what went wrong."""
        self._pool.shutdown()
        if self._newest is not None:
            self._newest.result()

    def abandon(self) -> None:
        """Let go: an error is on its way already."""
        self._pool.shutdown(cancel_futures=True)
