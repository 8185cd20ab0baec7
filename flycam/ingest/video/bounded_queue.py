"""Bounded queue between two threads whose producer never waits.

The oldest item is dropped, and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

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
