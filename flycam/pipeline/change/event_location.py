"""Distance from an event's flights and the known communes."""

from __future__ import annotations

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat
from flycam.frame.flight import Event, FlightState
from flycam.geometry.lonlat_bounds import compute_box_distance_m

MAX_EVENT_DISTANCE_M = 100_000.0
"""Farthest from all that is known of an event: neighbouring provinces and a river's upper reaches lie nearer.
Chosen, not fitted: what it catches is the wrong file, which lies anywhere on earth."""


def measure_event_distance(catalog: Catalog, event: Event, bounds: BoundsLonLat) -> float | None:
    """Return the metres from bounds to an event's nearest flight or commune.

    bounds: degrees.

    None if that is near enough to be the event's ground, or if neither flight nor commune is known.
    """
    known = [
        flight.bounds_lonlat_deg
        for flight in catalog.flights.flights(event.event_id)
        if flight.state is not FlightState.WITHDRAWN and flight.bounds_lonlat_deg is not None
    ]
    known += catalog.boundaries.boxes()
    nearest_m = min((compute_box_distance_m(bounds, one) for one in known), default=0.0)
    return nearest_m if nearest_m > MAX_EVENT_DISTANCE_M else None
