"""What people and other services put on the map (marks, layers, changes): looked at once for all screens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from flycam.catalog.catalog import Catalog

Stamps = Mapping[str, object]
"""By the name of the event that tells screens of it; another value: it is to be read again."""


class Board:
    """Stamps of the board, at most `period_s` old. Safe to use from several threads."""

    def __init__(
        self, catalog: Catalog, period_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._period_s, self._clock_s = catalog, period_s, clock_s
        self._lock = threading.Lock()
        self._stamps: Stamps = {}
        self._read_s = float("-inf")

    def look(self) -> Stamps:
        """How the board stands. Raises CatalogUnavailable."""
        with self._lock:
            now_s = self._clock_s()
            if now_s - self._read_s >= self._period_s:
                self._stamps = {
                    "layers": self._catalog.layers.stamp(),
                    "marks": self._catalog.marks.stamp(),
                    # what is confirmed says which roads are cut, and people what that comes to
                    "changes": self._catalog.changes.stamp() + self._catalog.settlements.stamp(),
                }
                self._read_s = now_s
            return self._stamps
