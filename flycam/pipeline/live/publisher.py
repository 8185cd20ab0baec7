"""Thread that publishes merged frames, while the next ones are being merged.

One group is written at a time and takes all that was merged by its beginning: where frames come faster than
groups are written, groups grow, and share their tiles and the catalogue's commits. A group's overview tiles
reach to the coarsest zoom, and cost as much as its frames do; so after each group the thread rests half as
long as that took. `add` waits once too many frames are merged and not yet published, as while the store is
away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Merged = TypeVar("Merged")
MAX_UNPUBLISHED = 8
_REST_SHARE, _MAX_REST_S = 0.5, 0.5


class Publisher(Generic[Merged]):
    """Publisher of merged frames, in groups.

    publish   writes what is merged; on_shown: called with the published frames, oldest first
    patience  calls `publish` again while store or database are away

    Both are called in this one's thread; what they raise is raised by the next `add`, or `close`, and is
    `error` until then.
    """

    def __init__(
        self,
        publish: Callable[[], object],
        on_shown: Callable[[Sequence[Merged]], None],
        most: int = MAX_UNPUBLISHED,
        clock_s: Callable[[], float] = time.monotonic,
        patience: Callable[[Callable[[], object]], object] = lambda ask: ask(),
    ) -> None:
        self._patience = patience
        self._publish, self._shown, self._most, self._clock_s = publish, on_shown, most, clock_s
        self._rest_until_s = clock_s()
        self._waiting: list[Merged] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="publishing", daemon=True)
        self._thread.start()

    def add(self, merged: Merged) -> None:
        """Add a merged frame; wait while too many are unpublished. Raises earlier errors."""
        with self._changed:
            while len(self._waiting) >= self._most and self.error is None:
                self._changed.wait()
            self._raise()
            self._waiting.append(merged)
            self._changed.notify_all()

    def close(self) -> None:
        """Publish what waits. Raises earlier errors."""
        self._end()
        self._raise()

    def abandon(self) -> None:
        """Drop what waits: an error is being raised."""
        with self._changed:
            self._waiting.clear()
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        while group := self._next():
            began_s = self._clock_s()
            try:
                self._patience(self._publish)
                now_s = self._clock_s()
                self._rest_until_s = now_s + min(_REST_SHARE * (now_s - began_s), _MAX_REST_S)
                self._shown(group)
            except BaseException as error:  # noqa: BLE001  raised again in `add`, `close`
                with self._changed:
                    self.error = error
                    self._changed.notify_all()
                return

    def _next(self) -> list[Merged]:
        """Return all that waits, once there is any and the rest is over; [] at the end."""
        with self._changed:
            while not self._is_closed and (rest_s := self._rest_s()) != 0.0:
                self._changed.wait(rest_s)
            group, self._waiting = self._waiting, []
            self._changed.notify_all()
            return group

    def _rest_s(self) -> float | None:
        """Return seconds until the next group; None: no frame. No rest if half full."""
        if not self._waiting:
            return None
        if 2 * len(self._waiting) >= self._most:
            return 0.0
        return max(self._rest_until_s - self._clock_s(), 0.0)
