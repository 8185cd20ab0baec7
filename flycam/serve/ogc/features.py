"""OGC API: query parameters, landing page, conformance, collections of features.

Feature collections are flights, communes, marks, and every specialist layer; published mosaics are listed as
map tiles.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Literal, Protocol

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse
from shapely.geometry.base import BaseGeometry

from flycam.access.policy import (
    AccessPolicy,
    format_title,
    get_flight_bounds,
    is_near,
    iterate_shown_mosaics,
    list_flights_on_map,
    read_events_by_id,
)
from flycam.board.marks import build_mark_feature
from flycam.board.routes import Now, build_feature_properties
from flycam.catalog.catalog import Catalog
from flycam.catalog.tables import intersect_boxes, union_boxes
from flycam.errors import NotFound
from flycam.http.guards import CatalogHere, GuardedRoute, get_access_policy, require_viewer
from flycam.http.protocol import (
    GEOJSON,
    JSON,
    OPENAPI,
    Json,
    Refused,
    build_current_url,
    build_link,
    format_iso_or_none,
    get_base_url,
    quote_path_segment,
    take_fitting_outlines,
    to_geojson_feature,
)
from flycam.messages import Message, _, pgettext
from flycam.model.board import MarkStatus
from flycam.model.flight import Event, Flight, is_flat_datum
from flycam.model.records import (
    BoundsLonLat,
    CommuneRecord,
    LayerFeatureRecord,
    LayerRecord,
    MarkVersion,
    MosaicInfo,
)
from flycam.model.time import VIETNAM, format_iso, to_utc_ns
from flycam.serve.communes import build_commune_properties
from flycam.serve.flight_routes import get_shown_outline

# -- Query parameters of the OGC and STAC interfaces: bbox, datetime, page -------------------------
#
# Anything else is a 400. Sources: OGC 17-069r4 (API Features, part 1) 7.15.2 to 7.15.5 (limit, bbox,
# datetime), 7.15.1 and `/req/core/query-param-unknown`; STAC API 1.0.0, item search.


DEFAULT_LIMIT, MAX_ITEMS = 100, 1000
"""Features of a page by default, and at most."""
MAX_OFFSET = 100_000_000
"""Largest offset of a page."""
_OPEN_PERIOD_NS = -(2**63), 2**63 - 1
_OPEN_ENDS = ("", "..")
_DAY_NS = 86_400 * 10**9
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})(T\d{2}:\d{2}:\d{2}(?:\.(\d{1,6}))?(?:Z|[+-]\d{2}:\d{2}))?", re.ASCII
)
"""RFC 3339, 5.6: a time without its zone is invalid. A day alone is taken too."""

NamePath = Annotated[str, Path(max_length=200, pattern=r"^[^\x00-\x1f]+$")]
"""Id in an address; PostgreSQL takes no NUL."""
PeriodNs = tuple[int, int]
"""First and last nanosecond (UTC), both inside."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureQuery:
    """Features that intersect `bounds` and `period` (None: all).

    `limit` of them from `offset` on. bounds: west, south, east, north in degrees; over the 180th meridian
    west is greater than east.
    """

    bounds: BoundsLonLat | None = None
    period: PeriodNs | None = None
    limit: int = DEFAULT_LIMIT
    offset: int = 0

    @property
    def bounding_box(self) -> BoundsLonLat | None:
        """Bounding box of the query on one side of the 180th meridian."""
        if self.bounds is None or self.bounds[0] <= self.bounds[2]:
            return self.bounds
        return -180.0, self.bounds[1], 180.0, self.bounds[3]

    @property
    def query_area(self) -> BaseGeometry | None:
        """Bounds as geometry: two parts where they cross the 180th meridian."""
        if self.bounds is None:
            return None
        west, south, east, north = self.bounds
        if west <= east:
            return shapely.box(*self.bounds)
        return shapely.union(shapely.box(west, south, 180, north), shapely.box(-180, south, east, north))


def create_standard_router(prefix: str, tag: str, *checks: Callable[..., None]) -> APIRouter:
    """Return a router of one standard.

    For viewers and above; unknown parameters are refused.
    """
    return APIRouter(
        route_class=GuardedRoute,
        prefix=prefix,
        tags=[tag],
        dependencies=[Depends(one) for one in (require_viewer, require_known_parameters, *checks)],
        responses={400: {"description": "A parameter is not known or cannot be read"}},
    )


def build_bad_request(message: Message) -> Refused:
    """Return the error 400."""
    return Refused(400, message)


def require_known_parameters(request: Request) -> None:
    """Refuse query parameters that the OpenAPI description does not name.

    Otherwise a client that misspells `bbox` would take everything for an answer.
    """
    operation = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    for name in request.query_params:
        if name not in known and name != "lang":
            raise build_bad_request(
                _(
                    "{name}: there is no such parameter here, only: {known}",
                    name=name[:60],
                    known=", ".join(sorted(known)) or "–",
                )
            )


def parse_feature_query(
    bbox: Annotated[str | None, Query(max_length=200)] = None,
    datetime: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1)] = DEFAULT_LIMIT,
    offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
) -> FeatureQuery:
    """Parse the page that a query requests.

    bbox: west,south,east,north in degrees (or with heights between); datetime: a moment or an interval of RFC
    3339, with ".." where it is open. A limit above the greatest is reduced to it.
    """
    return FeatureQuery(
        bounds=None if bbox is None else parse_bbox(bbox),
        period=None if datetime is None else parse_period(datetime),
        limit=min(limit, MAX_ITEMS),
        offset=offset,
    )


FeatureQueryHere = Annotated[FeatureQuery, Depends(parse_feature_query)]


def parse_bbox(text: str) -> BoundsLonLat:
    """Parse "w,s,e,n" to (west, south, east, north)."""
    try:
        return to_bbox([float(part) for part in text.split(",")])
    except ValueError as error:
        raise _build_bbox_error(text) from error


def to_bbox(numbers: Sequence[float]) -> BoundsLonLat:
    """Return (west, south, east, north) of four numbers, or of six with heights.

    Heights are ignored.
    """
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise _build_bbox_error(",".join(map(str, numbers)))
    west, south, east, north = numbers
    if not (min(west, east) >= -180 and max(west, east) <= 180 and -90 <= south <= north <= 90):
        raise _build_bbox_error(",".join(map(str, numbers)))
    return west, south, east, north


def parse_period(text: str) -> PeriodNs:
    """Parse a moment or an interval "a/b" of RFC 3339, either end open (".." or "").

    A moment is as long as it is written: a day without a time is the whole UTC day (as STAC clients write
    it), a second its billion nanoseconds.
    """
    first, slash, last = text.partition("/")
    if not slash:
        return _moment(text)
    start = _OPEN_PERIOD_NS[0] if first in _OPEN_ENDS else _moment(first)[0]
    end = _OPEN_PERIOD_NS[1] if last in _OPEN_ENDS else _moment(last)[1]
    if start > end or (first in _OPEN_ENDS and last in _OPEN_ENDS):
        raise _build_datetime_error(text)
    return start, end


def _moment(text: str) -> PeriodNs:
    found = _RFC3339.fullmatch(text.strip().upper())
    if found is None:
        raise _build_datetime_error(text)
    day, time, fraction = found.groups()
    try:
        start = to_utc_ns(
            datetime.fromisoformat(found[0]) if time else datetime.fromisoformat(f"{day}T00:00Z")
        )
    except (ValueError, OverflowError) as error:
        raise _build_datetime_error(text) from error
    return start, start + (10 ** (9 - len(fraction or "")) if time else _DAY_NS) - 1


def mask_intersecting(wkbs: Sequence[bytes], area: BaseGeometry | None) -> list[bool]:
    """Return for each geometry (WKB, lon/lat) whether it intersects the area.

    All do where it is None.
    """
    if area is None or not wkbs:
        return [True] * len(wkbs)
    found: list[bool] = np.asarray(shapely.intersects(shapely.from_wkb(wkbs), area)).tolist()
    return found


def is_within_period(first_ns: int | None, last_ns: int | None, period: PeriodNs | None) -> bool:
    """Return True if a span (None: open on that side) shares a moment with a period.

    A feature without a time does, as the standard wants it (`/req/core/fc-time-response`, C).
    """
    if period is None:
        return True
    start = _OPEN_PERIOD_NS[0] if first_ns is None else first_ns
    end = _OPEN_PERIOD_NS[1] if last_ns is None else last_ns
    return start <= period[1] and end >= period[0]


def _build_bbox_error(text: str) -> Refused:
    return build_bad_request(
        _("bbox={bbox}: give west,south,east,north in degrees, none beyond the world's edge", bbox=text[:80])
    )


def _build_datetime_error(text: str) -> Refused:
    return build_bad_request(
        _(
            "datetime={moment}: give a moment such as 2024-09-10T03:15:00Z, or two with / between "
            "(.. where it is open)",
            moment=text[:80],
        )
    )


# -- OGC API: landing page, conformance, and collections of features -------------------------------


TimeSpan = tuple[int | None, int | None]

_ROWS_AT_ONCE = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFeature:
    """Feature: its id within its collection, shape (WKB, lon/lat) and properties.

    Its period is in UTC ns; None: open or not known.
    """

    name: str
    wkb: bytes
    properties: Json = field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FeaturePage:
    """Page of features.

    matched_count: in all pages (None: not counted); next_offset: where the next page begins.
    """

    features: Sequence[SourceFeature]
    matched_count: int | None
    next_offset: int | None


class FeatureSource(Protocol):
    """One collection of features."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...

    def extent(self) -> tuple[BoundsLonLat | None, TimeSpan | None]:
        """Return the bounds of all features and their period; None where unknown."""

    def page(self, wanted: FeatureQuery) -> FeaturePage:
        """Return the requested features."""

    def get_feature(self, name: str) -> SourceFeature:
        """Return the feature of this id. Raises NotFound."""


class FlightSource:
    """Flights on the map, newest first, with the footprint of their frames."""

    name = "flights"
    title = pgettext("title", "Flights").in_both_languages()
    description = "The ground that each flight's pictures show, its times and its ground sample distance."

    def __init__(self, request: Request, catalog: Catalog) -> None:
        self._request, self._catalog = request, catalog
        self._access_policy = get_access_policy(request)

    def extent(self) -> tuple[BoundsLonLat | None, TimeSpan | None]:
        flights = list_flights_on_map(self._catalog, self._access_policy)
        return union_boxes([get_flight_bounds(one) for one in flights]), _compute_span(
            [(one.first_ns, one.last_ns) for one in flights]
        )

    def page(self, wanted: FeatureQuery) -> FeaturePage:
        flights = [
            one
            for one in list_flights_on_map(self._catalog, self._access_policy)
            if is_within_period(one.first_ns, one.last_ns, wanted.period)
            and is_near(one, wanted.bounding_box)
        ]
        events = read_events_by_id(self._catalog)
        # filtered by outline: the bounds of a flight may touch what its outline does not
        if wanted.bounds is not None:
            return _page_of_all([self._thing(one, events) for one in flights], wanted)
        page = flights[wanted.offset : wanted.offset + wanted.limit]
        return _cut_page([self._thing(one, events) for one in page], wanted, len(flights))

    def get_feature(self, name: str) -> SourceFeature:
        flight = next(
            (one for one in list_flights_on_map(self._catalog, self._access_policy) if one.flight_id == name),
            None,
        )
        if flight is None:
            raise _build_not_found(name, self.name)
        return self._thing(flight, read_events_by_id(self._catalog))

    def _thing(self, flight: Flight, events: dict[str, Event]) -> SourceFeature:
        event = events[flight.event_id]
        outline = get_shown_outline(self._request, self._catalog, flight)
        return SourceFeature(
            name=flight.flight_id,
            wkb=outline or shapely.to_wkb(shapely.box(*get_flight_bounds(flight))),
            properties={
                "name": format_title(flight.name, event),
                "event_id": event.event_id,
                "event": format_title(event.name, event),
                "is_drill": event.is_drill,
                "state": flight.state.value,
                "first": format_iso(flight.first_ns),
                "last": format_iso(flight.last_ns),
                "gsd_m": flight.gsd_m,
                "operator": flight.operator,
                "ground": "plane" if is_flat_datum(flight.vertical_datum) else "dem",
            },
            first_ns=flight.first_ns,
            last_ns=flight.last_ns,
        )


class CommuneSource:
    """Communes whose boundaries are in force, by code."""

    name = "communes"
    title = pgettext("title", "Communes").in_both_languages()
    description = "Boundaries of communes and wards in force; the time of each is that since which it holds."

    def __init__(self, catalog: Catalog) -> None:
        self._boundaries = catalog.boundaries

    def extent(self) -> tuple[BoundsLonLat | None, TimeSpan | None]:
        return self._boundaries.extent(), None

    def page(self, wanted: FeatureQuery) -> FeaturePage:
        # only this page's outlines need be read
        if wanted.bounds is None and wanted.period is None:
            codes = list(self._boundaries.names())
            page = codes[wanted.offset : wanted.offset + wanted.limit]
            return _cut_page(
                [_commune_feature(self._boundaries.commune(one)) for one in page], wanted, len(codes)
            )
        return _page_of_all(
            [_commune_feature(one) for one in self._boundaries.communes(bounds=wanted.bounding_box)], wanted
        )

    def get_feature(self, name: str) -> SourceFeature:
        commune = self._boundaries.commune(name)
        if commune.valid_to is not None:
            raise _build_not_found(name, self.name)
        return _commune_feature(commune)


class MarkSource:
    """Field marks and search sectors in force, newest first."""

    name = "marks"
    title = pgettext("title", "Field marks").in_both_languages()
    description = "Field marks and search sectors as they stand; those taken off the map are not among them."

    def __init__(self, catalog: Catalog, policy: AccessPolicy) -> None:
        self._catalog, self._access_policy = catalog, policy

    def extent(self) -> tuple[BoundsLonLat | None, TimeSpan | None]:
        marks = self._current(None)
        return union_boxes([one.bounds_lonlat_deg for one in marks]), _compute_span(
            [(one.at_ns, one.at_ns) for one in marks]
        )

    def page(self, wanted: FeatureQuery) -> FeaturePage:
        events = read_events_by_id(self._catalog)
        marks = self._current(wanted.bounding_box)
        return _page_of_all([_mark_feature(one, events) for one in marks], wanted)

    def get_feature(self, name: str) -> SourceFeature:
        line = self._catalog.marks.history(name)[-1]
        if line.status is MarkStatus.REMOVED or self._access_policy.is_outside(line.wkb):
            raise _build_not_found(name, self.name)
        return _mark_feature(line, read_events_by_id(self._catalog))

    def _current(self, bounds: BoundsLonLat | None) -> list[MarkVersion]:
        found = self._catalog.marks.current(bounds=bounds)
        return [one for one in found if not self._access_policy.is_outside(one.wkb)]


class LayerSource:
    """Features of one specialist layer, those in trouble first."""

    def __init__(self, catalog: Catalog, layer: LayerRecord, now_ns: int, policy: AccessPolicy) -> None:
        self._access_policy = policy
        self._layers, self._layer, self._now_ns = catalog.layers, layer, now_ns
        self.name = layer.layer_id
        self.title = layer.name
        of = f" of {layer.owner}" if layer.owner else ""
        self.description = f"Specialist layer{of}: {layer.kind.value}."

    def extent(self) -> tuple[BoundsLonLat | None, TimeSpan | None]:
        valid_ns = self._layer.valid_ns
        return self._layer.bounds_lonlat_deg, None if valid_ns is None else (None, valid_ns)

    def page(self, wanted: FeatureQuery) -> FeaturePage:
        """Return a page, which may hold fewer features than its limit.

        The catalogue compares only bounding boxes. But a page is never empty while there is a next one, where
        clients stop: then many rows are read at a time, however small the page.
        """
        box = intersect_boxes(wanted.bounding_box, self._access_policy.visible_bounds)
        offset, rows = wanted.offset, wanted.limit
        is_whole = wanted.bounds is None and wanted.period is None and self._access_policy.is_nothing
        while True:
            found, matched = self._layers.features(self._layer.layer_id, box, rows, offset)
            wkbs = [one.wkb for one in found]
            are_outside = self._access_policy.are_outside(wkbs)
            touched = mask_intersecting(wkbs, wanted.query_area)
            chosen = [
                n
                for n, one in enumerate(found)
                if touched[n]
                and not are_outside[n]
                and is_within_period(one.valid_ns, one.valid_ns, wanted.period)
            ]
            fitted = take_fitting_outlines([found[n] for n in chosen[: wanted.limit]])
            fitted = fitted or [found[n] for n in chosen[:1]]
            offset += chosen[len(fitted)] if len(fitted) < len(chosen) else len(found)
            is_last = not found or offset >= matched
            if fitted or is_last:
                return FeaturePage(
                    features=[self._thing(one) for one in fitted],
                    matched_count=matched if is_whole else None,
                    next_offset=None if is_last else offset,
                )
            rows = max(wanted.limit, _ROWS_AT_ONCE)

    def get_feature(self, name: str) -> SourceFeature:
        if not (name.isascii() and name.isdecimal() and len(name) < 10):
            raise _build_not_found(name, self.name)
        found = self._layers.feature(self._layer.layer_id, int(name))
        if self._access_policy.is_outside(found.wkb):
            raise _build_not_found(name, self.name)
        return self._thing(found)

    def _thing(self, one: LayerFeatureRecord) -> SourceFeature:
        fields = build_feature_properties(self._layer, one, self._now_ns)
        return SourceFeature(
            name=str(one.number), wkb=one.wkb, properties=fields, first_ns=one.valid_ns, last_ns=one.valid_ns
        )


def list_feature_sources(request: Request, catalog: Catalog, now_ns: int) -> list[FeatureSource]:
    """Return every collection of features that is visible to the principal."""
    policy = get_access_policy(request)
    fixed: list[FeatureSource] = [
        FlightSource(request, catalog),
        CommuneSource(catalog),
        MarkSource(catalog, policy),
    ]
    layers = [one for one in catalog.layers.all() if not policy.hides_layer(one.layer_id)]
    return [*fixed, *(LayerSource(catalog, one, now_ns, policy) for one in layers)]


def _commune_feature(commune: CommuneRecord) -> SourceFeature:
    return SourceFeature(
        name=commune.code,
        wkb=commune.wkb,
        properties=build_commune_properties(commune),
        first_ns=_midnight_ns(commune.valid_from),
        last_ns=_midnight_ns(commune.valid_to) - 1 if commune.valid_to else None,
    )


def _midnight_ns(day: date) -> int:
    return to_utc_ns(datetime(day.year, day.month, day.day, tzinfo=VIETNAM))


def _mark_feature(line: MarkVersion, events: dict[str, Event]) -> SourceFeature:
    event = events.get(line.event_id)
    drill = {"is_drill": event.is_drill, "event": format_title(event.name, event)} if event else {}
    return SourceFeature(
        name=line.mark_id,
        wkb=line.wkb,
        properties={**build_mark_feature(line, None)["properties"], **drill},
        first_ns=line.at_ns,
        last_ns=line.at_ns,
    )


def _page_of_all(things: Sequence[SourceFeature], wanted: FeatureQuery) -> FeaturePage:
    """Return the page of features that are all in memory."""
    timely = [one for one in things if is_within_period(one.first_ns, one.last_ns, wanted.period)]
    touched = mask_intersecting([one.wkb for one in timely], wanted.query_area)
    found = [one for one, is_inside in zip(timely, touched, strict=True) if is_inside]
    return _cut_page(found[wanted.offset : wanted.offset + wanted.limit], wanted, len(found))


def _cut_page(things: Sequence[SourceFeature], wanted: FeatureQuery, matched: int) -> FeaturePage:
    """Build a page of features from `wanted.offset` on.

    It ends early where outlines grow too large.
    """
    fitted = take_fitting_outlines(things) or list(things[:1])
    reached = wanted.offset + len(fitted)
    return FeaturePage(
        features=fitted, matched_count=matched, next_offset=reached if fitted and reached < matched else None
    )


def _compute_span(times: Sequence[tuple[int, int]]) -> TimeSpan | None:
    if not times:
        return None
    first, last = zip(*times, strict=True)
    return min(first), max(last)


def _build_not_found(name: str, source: str) -> NotFound:
    return NotFound(
        _(
            "{name}: {source} has no such feature; see /ogc/collections/{source}/items",
            name=name[:80],
            source=source,
        )
    )


# -- Landing page, conformance, and collections of OGC API -----------------------------------------
#
# Sources: OGC 17-069r4 (Features, part 1), OGC 19-072 (Common, part 1), OGC 20-057 (Tiles, part 1).


def accept_json_only(_f: Annotated[Literal["json"] | None, Query(alias="f")] = None) -> None:
    """Accept `f=json`: the only encoding, which some clients request by name."""


router = create_standard_router("/ogc", "OGC API", accept_json_only)

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
TILESETS = "http://www.opengis.net/def/rel/ogc/1.0/tilesets-map"
SCHEMES = "http://www.opengis.net/def/rel/ogc/1.0/tiling-schemes"
_CONFORMS = (
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/tileset",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/tilesets-list",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/geodata-tilesets",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/png",
    "http://www.opengis.net/spec/tms/2.0/conf/tilematrixset",
    "http://www.opengis.net/spec/tms/2.0/conf/json-tilematrixset",
)


@router.get("")
def get_ogc_landing(request: Request) -> Json:
    """Return the landing page: links to all that is below `/ogc`."""
    base = get_base_url(request)
    here_ = f"{base}ogc"
    return {
        "title": "flycam",
        "description": _("drone mosaics, flights, communes, field marks and layers.").in_both_languages(),
        "links": [
            build_link("self", here_),
            build_link("service-desc", f"{base}api/openapi.json", OPENAPI),
            build_link("service-doc", f"{base}api/docs", "text/html"),
            build_link("conformance", f"{here_}/conformance"),
            build_link("data", f"{here_}/collections"),
            build_link(SCHEMES, f"{here_}/tileMatrixSets"),
        ],
    }


@router.get("/conformance")
def get_ogc_conformance() -> Json:
    """List the conformance classes that are met."""
    return {"conformsTo": list(_CONFORMS)}


@router.get("/collections")
def list_ogc_collections(request: Request, catalog: CatalogHere, now_ns: Now) -> Json:
    """List every collection: features first, then mosaics as map tiles.

    Mosaics are the published ones of every flight and layer.
    """
    base = get_base_url(request)
    described = [
        _describe_feature_collection(one, base) for one in list_feature_sources(request, catalog, now_ns)
    ]
    events = read_events_by_id(catalog)
    mosaics = [
        _describe_tile_collection(*pair, events, base)
        for pair in iterate_shown_mosaics(catalog, get_access_policy(request))
    ]
    return {"links": [build_link("self", f"{base}ogc/collections")], "collections": [*described, *mosaics]}


@router.get("/collections/{collection_id}")
def get_ogc_collection(collection_id: NamePath, request: Request, catalog: CatalogHere, now_ns: Now) -> Json:
    """Return one collection: its extent, and where its items or tiles are."""
    base = get_base_url(request)
    source = next(
        (one for one in list_feature_sources(request, catalog, now_ns) if one.name == collection_id), None
    )
    if source is not None:
        return _describe_feature_collection(source, base)
    for mosaic, flight in iterate_shown_mosaics(catalog, get_access_policy(request)):
        if mosaic.mosaic_id == collection_id:
            return _describe_tile_collection(mosaic, flight, read_events_by_id(catalog), base)
    raise _build_no_collection_error(collection_id)


@router.get("/collections/{collection_id}/items")
def list_ogc_items(
    collection_id: NamePath, wanted: FeatureQueryHere, request: Request, catalog: CatalogHere, now_ns: Now
) -> JSONResponse:
    """Return a page of features as GeoJSON, and the link to the next.

    `numberMatched` is left out where the features were not counted.
    """
    source = _find_source(collection_id, request, catalog, now_ns)
    page = source.page(wanted)
    base = get_base_url(request)
    links = [
        build_link("self", build_current_url(request), GEOJSON),
        build_link("collection", _address(base, source.name)),
    ]
    if page.next_offset is not None:
        links.append(build_link("next", build_current_url(request, offset=page.next_offset), GEOJSON))
    counted = {} if page.matched_count is None else {"numberMatched": page.matched_count}
    body = {
        "type": "FeatureCollection",
        "features": [_feature(one, source.name, base) for one in page.features],
        "links": links,
        "timeStamp": format_iso(now_ns, "seconds"),
        **counted,
        "numberReturned": len(page.features),
    }
    return JSONResponse(body, media_type=GEOJSON)


@router.get("/collections/{collection_id}/items/{feature_id}")
def get_ogc_item(
    collection_id: NamePath, feature_id: NamePath, request: Request, catalog: CatalogHere, now_ns: Now
) -> JSONResponse:
    """Return one feature as GeoJSON."""
    source = _find_source(collection_id, request, catalog, now_ns)
    return JSONResponse(
        _feature(source.get_feature(feature_id), source.name, get_base_url(request)), media_type=GEOJSON
    )


def _find_source(name: str, request: Request, catalog: Catalog, now_ns: int) -> FeatureSource:
    found = next((one for one in list_feature_sources(request, catalog, now_ns) if one.name == name), None)
    if found is None:
        raise _build_no_collection_error(name)
    return found


def _describe_feature_collection(source: FeatureSource, base: str) -> Json:
    address = _address(base, source.name)
    return {
        "id": source.name,
        "title": source.title,
        "description": source.description,
        "itemType": "feature",
        "crs": [CRS84],
        **_extent(*source.extent()),
        "links": [build_link("self", address), build_link("items", f"{address}/items", GEOJSON)],
    }


def _describe_tile_collection(
    mosaic: MosaicInfo, flight: Flight, events: dict[str, Event], base: str
) -> Json:
    address = _address(base, mosaic.mosaic_id)
    return {
        "id": mosaic.mosaic_id,
        "title": f"{format_title(flight.name, events[flight.event_id])} ({mosaic.layer.value})",
        "description": f"Mosaic, revision {mosaic.revision}, GSD {flight.gsd_m:.3f} m.",
        # clients take a collection without itemType for features; GDAL's driver reads layerDataType alone
        "itemType": "map",
        "layerDataType": "Raster",
        "crs": [CRS84],
        **_extent(get_flight_bounds(flight), (flight.first_ns, flight.last_ns)),
        "links": [
            build_link("self", address),
            build_link(TILESETS, f"{address}/map/tiles"),
            build_link(
                "alternate", f"{base}tilejson/{quote_path_segment(mosaic.mosaic_id)}", JSON, "TileJSON"
            ),
        ],
    }


def _extent(bounds: BoundsLonLat | None, ends: TimeSpan | None) -> Json:
    """Return the `extent` member; {} where nothing is known."""
    extent: Json = {}
    if bounds is not None:
        extent["spatial"] = {"bbox": [list(bounds)], "crs": CRS84}
    if ends is not None:
        extent["temporal"] = {"interval": [[format_iso_or_none(one) for one in ends]]}
    return {"extent": extent} if extent else {}


def _feature(thing: SourceFeature, collection: str, base: str) -> Json:
    address = _address(base, collection)
    links: Iterable[Json] = (
        build_link("self", f"{address}/items/{quote_path_segment(thing.name)}", GEOJSON),
        build_link("collection", address),
    )
    return {**to_geojson_feature(thing.wkb, thing.properties), "id": thing.name, "links": list(links)}


def _address(base: str, collection: str) -> str:
    return f"{base}ogc/collections/{quote_path_segment(collection)}"


def _build_no_collection_error(name: str) -> NotFound:
    return NotFound(
        _("{name}: there is no such collection of features; see /ogc/collections", name=name[:80])
    )
