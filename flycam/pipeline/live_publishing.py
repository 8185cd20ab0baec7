"""Merged pictures made visible in a thread of its own, while the next ones are being merged.

One group is written at a time and takes all that was merged by its beginning: where pictures come faster than
groups are written, groups grow, and share their tiles and the catalogue's commits. A picture waits for two
groups at most; whoever merges waits once too many pictures are merged and not yet shown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Merged = TypeVar("Merged")
MOST_WAITING = 8


class Publisher(Generic[Merged]):
    """publish  writes what is merged; shown: told of the pictures that readers see from now on, oldest first

    Both are called in this one's thread; what they raise is raised by the next `add`, or `close`, and is
    `error` until then.
    """

    def __init__(
        self,
        publish: Callable[[], object],
        shown: Callable[[Sequence[Merged]], None],
        most: int = MOST_WAITING,
    ) -> None:
        self._publish, self._shown, self._most = publish, shown, most
        self._waiting: list[Merged] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="publishing", daemon=True)
        self._thread.start()

    def add(self, merged: Merged) -> None:
        """A picture that is merged; waits while too many are. Raises what went wrong before."""
        with self._changed:
            while len(self._waiting) >= self._most and self.error is None:
                self._changed.wait()
            self._raise()
            self._waiting.append(merged)
            self._changed.notify_all()

    def close(self) -> None:
        """Show what waits. Raises what went wrong."""
        self._end()
        self._raise()

    def abandon(self) -> None:
        """Let go of what waits: an error is on its way."""
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
            try:
                self._publish()
                self._shown(group)
            except BaseException as error:  # noqa: BLE001  raised where the pictures come from
                with self._changed:
                    self.error = error
                    self._changed.notify_all()
                return

    def _next(self) -> list[Merged]:
        """All that waits, once there is anything; none at the end."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            group, self._waiting = self._waiting, []
            self._changed.notify_all()
            return group
