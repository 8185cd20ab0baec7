"""Detection of new local data while a round is being sent, and of what is urgent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flycam.sync.manifest import ObjectKind
from flycam.sync.step import SyncStep

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog

_TILES_FIRST_S = 30.0
"""How long a round's tiles go before newly orthorectified ones. For a live flight, which has more at any
moment, the new ground is then shown coarsely, and tiles of the old get most of the connection.
"""


class LocalChanges:
    """Changes since a round began, by ends of logs and counts of records.

    No request is made.

    goes_on  whether the sender continues with new data: then it need not wait for the end of a round
    """

    def __init__(
        self, catalog: Catalog, *, goes_on: bool, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._goes_on, self._clock_s = catalog, goes_on, clock_s
        self.stamp: object = None
        """All that was known as the round began."""
        self._pressing: object = None
        self._tiles_from_s: float | None = None

    def begin(self) -> None:
        """Begin a round."""
        self.stamp, self._pressing, self._tiles_from_s = self._stamp(), self._stamp_of_urgent(), None

    def has_any(self) -> bool:
        """Check whether there is anything new."""
        return self._stamp() != self.stamp

    def has_urgent(self) -> bool:
        """Check for what does not wait: withdrawals, redactions, flights begun or ready."""
        return self._stamp_of_urgent() != self._pressing

    def is_ahead_of(self, step: SyncStep) -> bool:
        """Check whether something new goes before a step.

        Before a photo anything does; before a tile what is urgent, and anything else once tiles had their
        time.
        """
        kinds = {one.kind for one in step.manifest.items}
        if ObjectKind.ORIGINAL in kinds:
            return self.has_any()
        if ObjectKind.TILE in kinds and self._goes_on:
            now_s = self._clock_s()
            self._tiles_from_s = now_s if self._tiles_from_s is None else self._tiles_from_s
            if now_s - self._tiles_from_s >= _TILES_FIRST_S and self.has_any():
                return True
        return self.has_urgent()

    def _stamp(self) -> object:
        tiles, flights = self._catalog.tiles, self._catalog.flights
        ends = {one.mosaic_id: tiles.last_seq(one.mosaic_id) for one in tiles.mosaics()}
        return ends, flights.flights(), self._stamp_of_urgent()

    def _stamp_of_urgent(self) -> object:
        catalog = self._catalog
        return catalog.flights.states(), catalog.frames.count_withdrawals(), catalog.redactions.count()
