"""Times of a live flight's video that show withdrawn frames: in its segments, and its latest image."""

from __future__ import annotations

from dataclasses import dataclass

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import FrameStatus
from flycam.errors import NotFound
from flycam.frame.flight import FlightState

# most by which the times of a frame and its segment differ; frames this near show nearly the same too
_SLACK_NS = 2 * 10**9


@dataclass(frozen=True, slots=True)
class WithdrawnTimes:
    """Withdrawn times of a flight's video.

    is_all    the flight was withdrawn
    times_ns  UTC of its withdrawn frames
    """

    is_all: bool
    times_ns: tuple[int, ...]

    def overlaps(self, began_ns: int, ended_ns: int) -> bool:
        """Return True if video between two times, UTC, shows any of it."""
        return self.is_all or any(began_ns - _SLACK_NS <= at <= ended_ns + _SLACK_NS for at in self.times_ns)


def find_withdrawn_times(catalog: Catalog, flight_id: str) -> WithdrawnTimes:
    """Return the withdrawn times of a flight; none if it is not recorded (yet)."""
    try:
        flight = catalog.flights.flight(flight_id)
    except NotFound:
        return WithdrawnTimes(is_all=False, times_ns=())
    gone = catalog.frames.list_for_flight(flight_id, FrameStatus.WITHDRAWN)
    return WithdrawnTimes(
        is_all=flight.flight_id == flight_id and flight.state is FlightState.WITHDRAWN,
        times_ns=tuple(record.header.captured_ns for record in gone),
    )
