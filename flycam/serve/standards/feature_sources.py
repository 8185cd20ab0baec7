"""What is offered as features: flights, communes, marks, and every specialist layer, each page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import shapely
from fastapi import Request

from flycam.catalog.boxes import around, both
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat, CommuneRecord, LayerFeatureRecord, LayerRecord, MarkLine
from flycam.catalog.withholding import Withholding
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight, is_plane
from flycam.frame.mark import MarkStatus
from flycam.frame.moment import VIETNAM, iso, ns_of
from flycam.messages import _
from flycam.pipeline.mark_words import mark_feature
from flycam.serve.answering.rectangle import fitting
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import withholding_of
from flycam.serve.situation.communes import commune_properties
from flycam.serve.situation.specialist import thing_properties
from flycam.serve.standards.asked_for import Wanted, touching, within
from flycam.serve.tiles.imaged import outline_on_show
from flycam.serve.tiles.offered import bounds_of, events_by_id, flights_on_map, is_near, titled

Ends = tuple[int | None, int | None]

_ROWS_AT_ONCE = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One feature: its name within its collection, its shape (WKB, lon/lat), what is told of it, and from
    when to when it was so (UTC ns; None: open or not known)."""

    name: str
    wkb: bytes
    properties: Json = field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Things of a page; how many there are in all (None: nobody counted); where the next page begins."""

    things: Sequence[Thing]
    matched: int | None
    next_offset: int | None


class Source(Protocol):
    """One collection of features."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...

    def extent(self) -> tuple[BoundsLonLat | None, Ends | None]:
        """The rectangle around all, and the time they span; None where nothing is known."""

    def page(self, wanted: Wanted) -> Page:
        """The things that are wanted."""

    def one(self, name: str) -> Thing:
        """The thing of this name. Raises NotFound."""


class FlightSource:
    """Flights on the map, newest first, each with the ground that its pictures show."""

    name = "flights"
    title = "Chuyến bay / Flights"
    description = "The ground that each flight's pictures show, its times and its ground sample distance."

    def __init__(self, request: Request, catalog: Catalog) -> None:
        self._request, self._catalog = request, catalog
        self._sees = withholding_of(request)

    def extent(self) -> tuple[BoundsLonLat | None, Ends | None]:
        flights = flights_on_map(self._catalog, self._sees)
        return around([bounds_of(one) for one in flights]), _span(
            [(one.first_ns, one.last_ns) for one in flights]
        )

    def page(self, wanted: Wanted) -> Page:
        flights = [
            one
            for one in flights_on_map(self._catalog, self._sees)
            if within(one.first_ns, one.last_ns, wanted.period) and is_near(one, wanted.box)
        ]
        events = events_by_id(self._catalog)
        if wanted.bounds is not None:  # whether it touches only its outline can tell
            return _chosen([self._thing(one, events) for one in flights], wanted)
        page = flights[wanted.offset : wanted.offset + wanted.limit]
        return _cut([self._thing(one, events) for one in page], wanted, len(flights))

    def one(self, name: str) -> Thing:
        flight = next(
            (one for one in flights_on_map(self._catalog, self._sees) if one.flight_id == name), None
        )
        if flight is None:
            raise _nothing(name, self.name)
        return self._thing(flight, events_by_id(self._catalog))

    def _thing(self, flight: Flight, events: dict[str, Event]) -> Thing:
        event = events[flight.event_id]
        outline = outline_on_show(self._request, self._catalog, flight)
        return Thing(
            name=flight.flight_id,
            wkb=outline or shapely.to_wkb(shapely.box(*bounds_of(flight))),
            properties={
                "name": titled(flight.name, event),
                "event_id": event.event_id,
                "event": titled(event.name, event),
                "is_drill": event.is_drill,
                "state": flight.state.value,
                "first": iso(flight.first_ns),
                "last": iso(flight.last_ns),
                "gsd_m": flight.gsd_m,
                "operator": flight.operator,
                "ground": "plane" if is_plane(flight.vertical_datum) else "dem",
            },
            first_ns=flight.first_ns,
            last_ns=flight.last_ns,
        )


class CommuneSource:
    """Communes as their boundaries are in force, by code."""

    name = "communes"
    title = "Xã, phường / Communes"
    description = "Boundaries of communes and wards in force; the time of each is that since which it holds."

    def __init__(self, catalog: Catalog) -> None:
        self._boundaries = catalog.boundaries

    def extent(self) -> tuple[BoundsLonLat | None, Ends | None]:
        return self._boundaries.extent(), None

    def page(self, wanted: Wanted) -> Page:
        if wanted.bounds is None and wanted.period is None:  # the outlines of the other pages stay unread
            codes = list(self._boundaries.names())
            page = codes[wanted.offset : wanted.offset + wanted.limit]
            return _cut([_commune(self._boundaries.commune(one)) for one in page], wanted, len(codes))
        return _chosen([_commune(one) for one in self._boundaries.communes(bounds=wanted.box)], wanted)

    def one(self, name: str) -> Thing:
        commune = self._boundaries.commune(name)
        if commune.valid_to is not None:
            raise _nothing(name, self.name)
        return _commune(commune)


class MarkSource:
    """Field marks and search sectors as they stand, the newest first."""

    name = "marks"
    title = "Dấu thực địa, khu tìm kiếm / Field marks"
    description = "Field marks and search sectors as they stand; those taken off the map are not among them."

    def __init__(self, catalog: Catalog, sees: Withholding) -> None:
        self._catalog, self._sees = catalog, sees

    def extent(self) -> tuple[BoundsLonLat | None, Ends | None]:
        marks = self._current(None)
        return around([one.bounds_lonlat_deg for one in marks]), _span(
            [(one.at_ns, one.at_ns) for one in marks]
        )

    def page(self, wanted: Wanted) -> Page:
        events = events_by_id(self._catalog)
        marks = self._current(wanted.box)
        return _chosen([_mark(one, events) for one in marks], wanted)

    def one(self, name: str) -> Thing:
        line = self._catalog.marks.history(name)[-1]
        if line.status is MarkStatus.REMOVED or self._sees.is_outside(line.wkb):
            raise _nothing(name, self.name)
        return _mark(line, events_by_id(self._catalog))

    def _current(self, bounds: BoundsLonLat | None) -> list[MarkLine]:
        found = self._catalog.marks.current(bounds=bounds)
        return [one for one in found if not self._sees.is_outside(one.wkb)]


class LayerSource:
    """The things of one specialist layer, those in trouble first."""

    def __init__(self, catalog: Catalog, layer: LayerRecord, now_ns: int, sees: Withholding) -> None:
        self._sees = sees
        self._layers, self._layer, self._now_ns = catalog.layers, layer, now_ns
        self.name = layer.layer_id
        self.title = layer.name
        of = f" of {layer.owner}" if layer.owner else ""
        self.description = f"Specialist layer{of}: {layer.kind.value}."

    def extent(self) -> tuple[BoundsLonLat | None, Ends | None]:
        valid_ns = self._layer.valid_ns
        return self._layer.bounds_lonlat_deg, None if valid_ns is None else (None, valid_ns)

    def page(self, wanted: Wanted) -> Page:
        """A page may hold fewer than its limit, for only boxes are compared where the things lie; but not
        none while there is a next one, where clients stop: then what comes after is read many rows at a time,
        however small the page."""
        box, offset, rows = both(wanted.box, self._sees.within_box), wanted.offset, wanted.limit
        is_whole = wanted.bounds is None and wanted.period is None and self._sees.is_nothing
        while True:
            found, matched = self._layers.features(self._layer.layer_id, box, rows, offset)
            chosen = self._chosen(found, wanted)
            kept = fitting([found[n] for n in chosen[: wanted.limit]])
            kept = kept or [found[n] for n in chosen[:1]]
            offset += chosen[len(kept)] if len(kept) < len(chosen) else len(found)
            is_last = not found or offset >= matched
            if kept or is_last:
                return Page(
                    things=[self._thing(one) for one in kept],
                    matched=matched if is_whole else None,
                    next_offset=None if is_last else offset,
                )
            rows = max(wanted.limit, _ROWS_AT_ONCE)

    def _chosen(self, found: Sequence[LayerFeatureRecord], wanted: Wanted) -> list[int]:
        """Which of the rows are wanted, and for the visitor."""
        wkbs = [one.wkb for one in found]
        are_outside, touched = self._sees.are_outside(wkbs), touching(wkbs, wanted.area)
        return [
            n
            for n, one in enumerate(found)
            if touched[n] and not are_outside[n] and within(one.valid_ns, one.valid_ns, wanted.period)
        ]

    def one(self, name: str) -> Thing:
        if not (name.isascii() and name.isdecimal() and len(name) < 10):
            raise _nothing(name, self.name)
        found = self._layers.feature(self._layer.layer_id, int(name))
        if self._sees.is_outside(found.wkb):
            raise _nothing(name, self.name)
        return self._thing(found)

    def _thing(self, one: LayerFeatureRecord) -> Thing:
        told = thing_properties(self._layer, one, self._now_ns)
        return Thing(
            name=str(one.number), wkb=one.wkb, properties=told, first_ns=one.valid_ns, last_ns=one.valid_ns
        )


def sources(request: Request, catalog: Catalog, now_ns: int) -> list[Source]:
    """Every collection of features that there is for this visitor."""
    sees = withholding_of(request)
    fixed: list[Source] = [FlightSource(request, catalog), CommuneSource(catalog), MarkSource(catalog, sees)]
    layers = [one for one in catalog.layers.all() if not sees.hides_layer(one.layer_id)]
    return [*fixed, *(LayerSource(catalog, one, now_ns, sees) for one in layers)]


def _commune(commune: CommuneRecord) -> Thing:
    return Thing(
        name=commune.code,
        wkb=commune.wkb,
        properties=commune_properties(commune),
        first_ns=_midnight_ns(commune.valid_from),
        last_ns=_midnight_ns(commune.valid_to) - 1 if commune.valid_to else None,
    )


def _midnight_ns(day: date) -> int:
    return ns_of(datetime(day.year, day.month, day.day, tzinfo=VIETNAM))


def _mark(line: MarkLine, events: dict[str, Event]) -> Thing:
    event = events.get(line.event_id)
    drill = {"is_drill": event.is_drill, "event": titled(event.name, event)} if event else {}
    return Thing(
        name=line.mark_id,
        wkb=line.wkb,
        properties={**mark_feature(line, None)["properties"], **drill},
        first_ns=line.at_ns,
        last_ns=line.at_ns,
    )


def _chosen(things: Sequence[Thing], wanted: Wanted) -> Page:
    """The page of things that are all at hand."""
    found = _filtered(things, wanted)
    return _cut(found[wanted.offset : wanted.offset + wanted.limit], wanted, len(found))


def _filtered(things: Sequence[Thing], wanted: Wanted) -> list[Thing]:
    timely = [one for one in things if within(one.first_ns, one.last_ns, wanted.period)]
    touched = touching([one.wkb for one in timely], wanted.area)
    return [one for one, is_inside in zip(timely, touched, strict=True) if is_inside]


def _cut(things: Sequence[Thing], wanted: Wanted, matched: int) -> Page:
    """A page of things from `wanted.offset` on, ended early where their outlines grow too large."""
    kept = fitting(things) or list(things[:1])
    reached = wanted.offset + len(kept)
    return Page(things=kept, matched=matched, next_offset=reached if kept and reached < matched else None)


def _span(times: Sequence[tuple[int, int]]) -> Ends | None:
    if not times:
        return None
    first, last = zip(*times, strict=True)
    return min(first), max(last)


def _nothing(name: str, source: str) -> NotFound:
    return NotFound(
        _(
            "{name}: {source} has no such feature; see /ogc/collections/{source}/items",
            name=name[:80],
            source=source,
        )
    )
