"""A bounded queue between two threads that never makes the first wait: the oldest is dropped, and counted."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class BoundedQueue(Generic[Item]):
    """At most `max_items` items wait. `is_blocking`: `put` waits for room in place of dropping (a file has
    time).

    max_items  may be set until the first item comes
    """

    def __init__(self, max_items: int, *, is_blocking: bool = False) -> None:
        self._items: deque[Item] = deque()
        self.most, self._waits = max_items, is_blocking
        self._closed = False
        self._changed = threading.Condition()
        self.dropped = 0

    def __len__(self) -> int:
        """How many wait by now."""
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Add the newest item; False once the queue is closed."""
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
        """The oldest item, waited for; None once the queue is closed and empty."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No more items come; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
