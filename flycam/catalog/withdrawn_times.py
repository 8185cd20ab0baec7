"""What of a live flight's film shows what was withdrawn: its recorded pieces, and its newest picture."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import FrameStatus
from flycam.errors import NotFound
from flycam.frame.flight import FlightState

_SLACK_NS = 2 * 10**9  # by so much a picture's time and its piece's may differ; it shows nearly the same too


@dataclass(frozen=True, slots=True)
class WithdrawnTimes:
    """everything: the flight was withdrawn; times_ns: UTC of its frames that were."""

    is_all: bool
    times_ns: tuple[int, ...]

    def overlaps(self, began_ns: int, ended_ns: int) -> bool:
        """Whether film from one time to another, UTC, shows any of it."""
        return self.is_all or any(began_ns - _SLACK_NS <= at <= ended_ns + _SLACK_NS for at in self.times_ns)


def find_withdrawn_times(catalog: Catalog, flight_id: str) -> WithdrawnTimes:
    """What was withdrawn of a flight; nothing of one that is not on record (yet)."""
    try:
        flight = catalog.flights.flight(flight_id)
    except NotFound:
        return WithdrawnTimes(is_all=False, times_ns=())
    gone = catalog.frames.list_for_flight(flight_id, FrameStatus.WITHDRAWN)
    return WithdrawnTimes(
        is_all=flight.flight_id == flight_id and flight.state is FlightState.WITHDRAWN,
        times_ns=tuple(record.header.captured_ns for record in gone),
    )
