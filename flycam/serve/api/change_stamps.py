"""Whether what is on the map is another: mosaics, and what people and other services put there (marks,
layers, changes).

Looked at once for all screens, however many they are.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypedDict

from flycam.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class ShownFlights:
    """revisions: which revision (number) of which mosaic is on show; events: which flight lies in which."""

    revisions: frozenset[tuple[str, int]]
    events: frozenset[tuple[str, str]]


class MapStamps(TypedDict):
    """By the name of the event that tells screens of it; another value: it is to be read again."""

    flights: ShownFlights
    layers: object
    marks: object
    changes: object


class MapStampCache:
    """What it is like now, at most `period_s` old. Safe to use from several threads."""

    def __init__(
        self, catalog: Catalog, period_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._period_s, self._clock_s = catalog, period_s, clock_s
        self._lock = threading.Lock()
        self._stamps: MapStamps | None = None
        self._read_s = float("-inf")

    def read(self) -> MapStamps:
        """How it stands. Raises CatalogUnavailable."""
        with self._lock:
            now_s = self._clock_s()
            if self._stamps is None or now_s - self._read_s >= self._period_s:
                self._stamps = {
                    "flights": _read_shown_flights(self._catalog),
                    "layers": self._catalog.layers.stamp(),
                    "marks": self._catalog.marks.stamp(),
                    # what is confirmed says which roads are cut, and people what that comes to
                    "changes": self._catalog.changes.stamp()
                    + self._catalog.comparisons.stamp()  # what was not found again
                    + self._catalog.settlements.stamp(),
                }
                self._read_s = now_s
            return self._stamps


def _read_shown_flights(catalog: Catalog) -> ShownFlights:
    published = (one for one in catalog.tiles.mosaics() if one.published)
    return ShownFlights(
        revisions=frozenset((one.mosaic_id, one.revision) for one in published),
        events=frozenset((one.flight_id, one.event_id) for one in catalog.flights.flights()),
    )
