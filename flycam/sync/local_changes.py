"""What is new in a house while it hands on what it knew as a round began, and what of it goes first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flycam.sync.manifest import ObjectKind
from flycam.sync.step import SyncStep

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog

_TILES_FIRST_S = 30.0
"""So long a round's tiles go before what was laid meanwhile: of a flight in the air, which has more at any
moment, the new ground is seen coarsely by then, and tiles of the old have most of the line."""


class LocalChanges:
    """Told by the ends of logs and by numbers of lines: nobody is asked.

    goes_on  whether whoever hands on goes on with what is new: then it need not wait for the end of a round
    """

    def __init__(
        self, catalog: Catalog, *, goes_on: bool, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog, self._goes_on, self._clock_s = catalog, goes_on, clock_s
        self.stamp: object = None
        """Of all that was known as the round began."""
        self._pressing: object = None
        self._tiles_from_s: float | None = None

    def begin(self) -> None:
        """A round begins."""
        self.stamp, self._pressing, self._tiles_from_s = self._stamp(), self._stamp_of_urgent(), None

    def has_any(self) -> bool:
        """Whether there is something new."""
        return self._stamp() != self.stamp

    def has_urgent(self) -> bool:
        """Whether there is something that does not wait: withdrawals, masks, flights begun or complete."""
        return self._stamp_of_urgent() != self._pressing

    def is_ahead_of(self, step: SyncStep) -> bool:
        """Whether there is something new that goes before a step: before a photo whatever it is, before a
        tile what is pressing, and what else there is once tiles had their time."""
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
