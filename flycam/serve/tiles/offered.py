"""What may be shown: the flights that are on the map, and their revisions.

The one place for every standard (WMTS, OGC API, STAC, KML) and for the map's own addresses: what is not
offered here is in none of them. What is withheld from whoever asks is to them as what is not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import no_such_flight
from flycam.catalog.records import BoundsLonLat, MosaicInfo, RevisionState
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.tiles import no_such_mosaic
from flycam.catalog.withholding import Withholding
from flycam.errors import AccessDenied, NotFound
from flycam.frame.flight import Event, Flight, FlightState
from flycam.messages import _

_DRILL = "DIỄN TẬP – "


def flights_here(catalog: Catalog, sees: Withholding, event_id: str | None = None) -> list[Flight]:
    """Flights that this visitor may know of, newest capture first."""
    return [one for one in catalog.flights.flights(event_id) if not sees.hides_whole(one)]


def flight_here(catalog: Catalog, ref: str, sees: Withholding) -> Flight:
    """The flight of this id or name. Raises NotFound, the same for one that is withheld."""
    found = catalog.flights.flight(ref)
    if sees.hides_whole(found):
        raise no_such_flight(ref)
    return found


def flights_on_map(catalog: Catalog, sees: Withholding, event_id: str | None = None) -> list[Flight]:
    """Of those the ones that were not withdrawn and have imaged something."""
    return [one for one in flights_here(catalog, sees, event_id) if _is_on_map(one)]


def on_offer(catalog: Catalog, flight: Flight) -> Iterator[MosaicInfo]:
    """The live mosaics of a flight, and their finished revisions that are or may be on show."""
    for mosaic in catalog.tiles.mosaics(flight.flight_id):
        if (
            mosaic.revision == LIVE_REVISION
            or catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).state is RevisionState.PUBLISHED
        ):
            yield mosaic


def shown_mosaics(catalog: Catalog, sees: Withholding) -> Iterator[tuple[MosaicInfo, Flight]]:
    """The revision on show of every mosaic of the flights on the map."""
    flights = {one.flight_id: one for one in flights_on_map(catalog, sees)}
    for mosaic in catalog.tiles.mosaics():
        if mosaic.published and mosaic.flight_id in flights:
            yield mosaic, flights[mosaic.flight_id]


def shown_mosaic(catalog: Catalog, mosaic_id: str, sees: Withholding) -> tuple[MosaicInfo, Flight]:
    """The revision on show of a mosaic, and its flight. Raises NotFound for what is not on the map."""
    mosaic = catalog.tiles.mosaic(mosaic_id)
    flight = catalog.flights.flight(mosaic.flight_id)
    if not mosaic.published or not _is_on_map(flight) or sees.hides_whole(flight):
        raise no_such_mosaic(mosaic_id)
    return mosaic, flight


def withheld_from(name: str, visitor: str) -> AccessDenied:
    """For pictures that show ground withheld from a visitor."""
    return AccessDenied(
        _(
            "{name}: shows ground that is withheld from {visitor}; ask an administrator for it",
            name=name,
            visitor=visitor,
        )
    )


def revision_on_show(catalog: Catalog, published: MosaicInfo, revision: int | None) -> MosaicInfo:
    """The revision that is asked for, if it may be shown; the published one where none is named.

    Raises NotFound for one that is not there, was retired, or is still being written.
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


def events_by_id(catalog: Catalog) -> dict[str, Event]:
    """Every event under its id."""
    return {one.event_id: one for one in catalog.flights.events()}


def titled(name: str, event: Event) -> str:
    """A name as others are to print it: what belongs to a drill says so."""
    return f"{_DRILL}{name}" if event.is_drill else name


def bounds_of(flight: Flight) -> BoundsLonLat:
    """Where a flight on the map lies; of one that imaged nothing, the whole grid."""
    return flight.bounds_lonlat_deg or (-180.0, -85.05, 180.0, 85.05)


def is_near(flight: Flight, bounds: BoundsLonLat | None) -> bool:
    """Whether a flight on the map may touch a rectangle (None: everywhere): what its box does not, it does
    not."""
    if bounds is None:
        return True
    west, south, east, north = bounds
    box = bounds_of(flight)
    return box[0] <= east and box[2] >= west and box[1] <= north and box[3] >= south
