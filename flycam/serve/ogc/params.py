"""Query parameters of the OGC and STAC interfaces: bbox, datetime, page.

Anything else is a 400. Sources: OGC 17-069r4 (API Features, part 1) 7.15.2 to 7.15.5 (limit, bbox, datetime),
7.15.1 and `/req/core/query-param-unknown`; STAC API 1.0.0, item search.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Path, Query, Request
from shapely.geometry.base import BaseGeometry

from flycam.http.guards import GuardedRoute, require_viewer
from flycam.http.protocol import Refused
from flycam.messages import Message, _
from flycam.model.records import BoundsLonLat
from flycam.model.time import to_utc_ns

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
