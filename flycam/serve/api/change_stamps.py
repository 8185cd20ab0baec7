"""Stamps that tell when mosaics, marks, layers or changes on the map differ.

Read once for all screens, however many they are.
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
    """Mosaic revisions on show and the events of their flights.

    revisions: (mosaic id, shown revision); events: (flight id, event id).
    """

    revisions: frozenset[tuple[str, int]]
    events: frozenset[tuple[str, str]]


class MapStamps(TypedDict):
    """Stamp by name of the event that tells screens; a changed value: read again."""

    flights: ShownFlights
    layers: object
    marks: object
    changes: object


class MapStampCache:
    """Stamps of the map, at most `period_s` old. Safe to use from several threads."""

    def __init__(
        self, catalog: Catalog, period_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._period_s, self._clock_s = catalog, period_s, clock_s
        self._lock = threading.Lock()
        self._stamps: MapStamps | None = None
        self._read_s = float("-inf")

    def read(self) -> MapStamps:
        """Return the current stamps. Raises CatalogUnavailable."""
        with self._lock:
            now_s = self._clock_s()
            if self._stamps is None or now_s - self._read_s >= self._period_s:
                self._stamps = {
                    "flights": _read_shown_flights(self._catalog),
                    "layers": self._catalog.layers.stamp(),
                    "marks": self._catalog.marks.stamp(),
                    # confirmed changes decide which roads are cut, and analysts what that means for
                    # settlements
                    "changes": self._catalog.changes.stamp()
                    # comparisons: candidates that a newer one did not find again
                    + self._catalog.comparisons.stamp()
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
