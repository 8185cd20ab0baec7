"""Thread that merges frames in order, while the next is being registered."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class MergeThread:
    """Thread that merges one frame at a time, in order; one more may wait.

    No more, as a frame's pixels are 6 MB. An error is raised by the next `add`, or `close`, and is `error`
    until then.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="merging")
        self._newest: Future[None] | None = None

    @property
    def error(self) -> BaseException | None:
        """Error of the frame added last, as soon as it occurred; None: none."""
        newest = self._newest
        return newest.exception() if newest is not None and newest.done() else None

    def add(self, merge: Callable[[], None]) -> None:
        """Wait for the frame before, then merge by this call."""
        if self._newest is not None:
            self._newest.result()
        self._newest = self._pool.submit(merge)

    def close(self) -> None:
        """Wait for the frame that is being merged. Raises its error."""
        self._pool.shutdown()
        if self._newest is not None:
            self._newest.result()

    def abandon(self) -> None:
        """Drop what waits: an error is being raised already."""
        self._pool.shutdown(cancel_futures=True)
