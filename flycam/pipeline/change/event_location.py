"""Where an event lies, as far as its flights and the communes of the house tell."""

from __future__ import annotations

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat
from flycam.frame.flight import Event, FlightState
from flycam.geometry.lonlat_bounds import compute_box_distance_m

MAX_EVENT_DISTANCE_M = 100_000.0
"""From all that is known of an event: more than a neighbouring province, or a river's upper reaches, lie off.
Chosen, not fitted: what is caught by it is the wrong file, which lies anywhere on earth."""


def measure_event_distance(catalog: Catalog, event: Event, bounds: BoundsLonLat) -> float | None:
    """Metres from ground (degrees) to the nearest flight of an event or commune, where that is too far for it
    to be the event's ground; None: it may be, and so it may where neither flight nor commune is known."""
    known = [
        flight.bounds_lonlat_deg
        for flight in catalog.flights.flights(event.event_id)
        if flight.state is not FlightState.WITHDRAWN and flight.bounds_lonlat_deg is not None
    ]
    known += catalog.boundaries.boxes()
    nearest_m = min((compute_box_distance_m(bounds, one) for one in known), default=0.0)
    return nearest_m if nearest_m > MAX_EVENT_DISTANCE_M else None
