"""Flights on the map, and their revisions, that a principal may see.

Used by every standard (WMTS, OGC API, STAC, KML) and by the map's own routes: what is not offered here is in
none of them. Withheld flights are treated as missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from flycam.access.policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import make_flight_not_found
from flycam.catalog.mosaics import LIVE_REVISION, make_mosaic_not_found
from flycam.errors import AccessDenied, NotFound
from flycam.messages import _
from flycam.model.flight import DRILL_MARK, Event, Flight, FlightState
from flycam.model.records import BoundsLonLat, MosaicInfo, RevisionState

_DRILL_PREFIX = f"{DRILL_MARK} – "


def list_visible_flights(
    catalog: Catalog, access_policy: AccessPolicy, event_id: str | None = None
) -> list[Flight]:
    """Return flights visible under an access policy, newest capture first."""
    return [one for one in catalog.flights.flights(event_id) if not access_policy.hides_flight_entirely(one)]


def find_visible_flight(catalog: Catalog, ref: str, access_policy: AccessPolicy) -> Flight:
    """Return the flight of this id or name. Raises NotFound, also if it is withheld."""
    found = catalog.flights.flight(ref)
    if access_policy.hides_flight_entirely(found):
        raise make_flight_not_found(ref)
    return found


def list_flights_on_map(
    catalog: Catalog, access_policy: AccessPolicy, event_id: str | None = None
) -> list[Flight]:
    """Return visible flights that are not withdrawn and have imaged something."""
    return [one for one in list_visible_flights(catalog, access_policy, event_id) if _is_on_map(one)]


def iterate_offered_mosaics(catalog: Catalog, flight: Flight) -> Iterator[MosaicInfo]:
    """Yield a flight's live mosaics, and its finished revisions that may be shown."""
    for mosaic in catalog.tiles.mosaics(flight.flight_id):
        if (
            mosaic.revision == LIVE_REVISION
            or catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).state is RevisionState.PUBLISHED
        ):
            yield mosaic


def iterate_shown_mosaics(
    catalog: Catalog, access_policy: AccessPolicy
) -> Iterator[tuple[MosaicInfo, Flight]]:
    """Yield the revision on show of every mosaic of the flights on the map."""
    flights = {one.flight_id: one for one in list_flights_on_map(catalog, access_policy)}
    for mosaic in catalog.tiles.mosaics():
        if mosaic.published and mosaic.flight_id in flights:
            yield mosaic, flights[mosaic.flight_id]


def find_shown_mosaic(
    catalog: Catalog, mosaic_id: str, access_policy: AccessPolicy
) -> tuple[MosaicInfo, Flight]:
    """Return the revision on show of a mosaic, and its flight.

    Raises NotFound for what is not on the map.
    """
    mosaic = catalog.tiles.mosaic(mosaic_id)
    flight = catalog.flights.flight(mosaic.flight_id)
    if not mosaic.published or not _is_on_map(flight) or access_policy.hides_flight_entirely(flight):
        raise make_mosaic_not_found(mosaic_id)
    return mosaic, flight


def build_withheld_error(name: str, principal: str) -> AccessDenied:
    """Return the error for images that show ground withheld from a principal."""
    return AccessDenied(
        _(
            "{name}: shows ground that is withheld from {visitor}; ask an administrator for it",
            name=name,
            visitor=principal,
        )
    )


def find_shown_revision(catalog: Catalog, published: MosaicInfo, revision: int | None) -> MosaicInfo:
    """Return the requested revision, if it may be shown; the published one for None.

    Raises NotFound for one that does not exist, was retired, or is still being written.
    """
    if revision is None:
        return published
    found = catalog.tiles.mosaic(published.mosaic_id, revision)
    if revision != LIVE_REVISION:
        state = catalog.revisions.get(published.mosaic_id, revision).state
        if state is not RevisionState.PUBLISHED:
            raise NotFound(
                _(
                    "{mosaic_id} revision {revision}: it is {value} and not shown; see the flight's list",
                    mosaic_id=published.mosaic_id,
                    revision=revision,
                    value=state.value,
                )
            )
    return found


def _is_on_map(flight: Flight) -> bool:
    return flight.state is not FlightState.WITHDRAWN and flight.bounds_lonlat_deg is not None


def read_events_by_id(catalog: Catalog) -> dict[str, Event]:
    """Return every event by its id."""
    return {one.event_id: one for one in catalog.flights.events()}


def format_title(name: str, event: Event) -> str:
    """Format a name for display elsewhere: in an exercise it says so."""
    return f"{_DRILL_PREFIX}{name}" if event.is_drill else name


def get_flight_bounds(flight: Flight) -> BoundsLonLat:
    """Return the bounds of a flight; the whole grid if it imaged nothing."""
    return flight.bounds_lonlat_deg or (-180.0, -85.05, 180.0, 85.05)


def is_near(flight: Flight, bounds: BoundsLonLat | None) -> bool:
    """Return True if a flight may touch a rectangle, by its bounds; None: everywhere."""
    if bounds is None:
        return True
    west, south, east, north = bounds
    box = get_flight_bounds(flight)
    return box[0] <= east and box[2] >= west and box[1] <= north and box[3] >= south
