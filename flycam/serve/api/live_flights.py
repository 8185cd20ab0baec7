"""`/api/airborne`: live flights; `/events` sends the same as it changes.

The age of a report is measured here from when it was first seen, so that the clocks of two machines need not
agree; only a report that was there before this server began is as old as the two clocks say.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated

import shapely
from fastapi import APIRouter, Depends, Path, Request, Response

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Role
from flycam.catalog.withdrawn_times import find_withdrawn_times
from flycam.errors import AccessDenied, NotFound
from flycam.frame.live_flight import LinkState, LiveFlightPhase, LiveFlightReport, LonLat
from flycam.frame.rejection_reasons import format_rejection_counts
from flycam.frame.timestamp import format_iso
from flycam.geometry.footprint import RANGE_PER_HEIGHT
from flycam.messages import _, verbatim
from flycam.serve.auth.guards import AccessPolicyHere, ViewerPrincipal, require_viewer
from flycam.serve.http.json_values import Json, format_iso_or_none
from flycam.serve.services import CatalogHere, StoreHere
from flycam.serve.tiles.byte_ranges import BRIEF_CACHE_HEADERS
from flycam.serve.tiles.visible_flights import build_withheld_error
from flycam.store import keys

router = APIRouter(dependencies=[Depends(require_viewer)])

SILENCE_TIMEOUT_S = 1.25
"""A flight reports more than twice a second: after so long without a report its state is unknown."""

POLL_INTERVAL_S = 0.2
# the footprint that is known is of another frame than the one that is shown (decision 0028)
_AROUND_M = 1000.0
_NOWHERE: bytes = shapely.to_wkb(shapely.Point())
# drift assumed for each second that telemetry is old (decision 0028)
_MAX_SPEED_MPS = 30.0
# cached briefly: the image may be withdrawn at any moment
_PICTURE_HEADERS = {
    **BRIEF_CACHE_HEADERS,
    "Cache-Control": "private, max-age=60",
}
# how long ended and silent flights stay listed (decision 0018)
_SHOWN_ENDED_S, _SHOWN_SILENT_S = 600.0, 3600.0


class LiveState(StrEnum):
    """State of a live flight; SILENT: its program died, or cannot be heard."""

    FLYING = "flying"
    CLOSING = "closing"
    SILENT = "silent"
    ENDED = "ended"


# aircraft in the air come first
_ORDER = tuple(LiveState)


@dataclass(frozen=True, slots=True)
class LiveFlight:
    """Report of a live flight, and when it came (monotonic seconds).

    is_withheld  its newest frame shows a time that was withdrawn
    is_barred    its newest frame may show ground that is withheld from the principal
    """

    report: LiveFlightReport
    at_s: float
    is_withheld: bool = False
    is_barred: bool = False

    def age_s(self, now_s: float) -> float:
        """Return the seconds since the report."""
        return max(0.0, now_s - self.at_s)

    def get_state(self, now_s: float) -> LiveState:
        """Return the state that the report means by now."""
        if self.report.phase is LiveFlightPhase.ENDED:
            return LiveState.ENDED
        if self.age_s(now_s) > SILENCE_TIMEOUT_S:
            return LiveState.SILENT
        return LiveState(self.report.phase.value)

    def is_flying(self, now_s: float) -> bool:
        """Return True if more reports are expected at any moment."""
        return self.get_state(now_s) in (LiveState.FLYING, LiveState.CLOSING)

    def is_current(self, now_s: float) -> bool:
        """Return True while the flight is recent enough to be shown."""
        has_ended = self.report.phase is LiveFlightPhase.ENDED
        return self.age_s(now_s) <= (_SHOWN_ENDED_S if has_ended else _SHOWN_SILENT_S)


class LiveFlightFeed:
    """Live flights, read from the catalogue for all readers of this process.

    Safe to use from several threads.

    idle_s: seconds between reads while nothing flies; else `POLL_INTERVAL_S`.
    """

    def __init__(
        self,
        catalog: Catalog,
        idle_s: float,
        clock_ns: Callable[[], int] = time.time_ns,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog, self._idle_s = catalog, idle_s
        self._clock_ns, self._clock_s = clock_ns, clock_s
        self._lock = threading.Lock()
        self._sighted: dict[str, LiveFlight] = {}
        self._read_s = float("-inf")

    def read_flights(self) -> list[LiveFlight]:
        """Return recent flights: in the air, then silent, then ended, each by id.

        Raises CatalogUnavailable.
        """
        with self._lock:
            now_s = self._clock_s()
            if now_s - self._read_s >= self._period_s(now_s):
                self._sighted = self._read(now_s)
                self._read_s = now_s
            shown = [one for _, one in sorted(self._sighted.items()) if one.is_current(now_s)]
            return sorted(shown, key=lambda one: _ORDER.index(one.get_state(now_s)))

    def now_s(self) -> float:
        """Return the time by the clock that dates reports here."""
        return self._clock_s()

    def _period_s(self, now_s: float) -> float:
        is_busy = any(one.is_flying(now_s) for one in self._sighted.values())
        return min(POLL_INTERVAL_S, self._idle_s) if is_busy else self._idle_s

    def _read(self, now_s: float) -> dict[str, LiveFlight]:
        now_ns = self._clock_ns()
        reports = self._catalog.airborne.list_since(now_ns - round(_SHOWN_SILENT_S * 1e9))
        return {
            told.flight_id: replace(
                self._to_live_flight(told, now_s, now_ns), is_withheld=self._is_withheld(told)
            )
            for told in reports
        }

    def _is_withheld(self, told: LiveFlightReport) -> bool:
        return told.picture_key is not None and _is_picture_withdrawn(
            self._catalog, told.flight_id, told.picture_key
        )

    def _to_live_flight(self, told: LiveFlightReport, now_s: float, now_ns: int) -> LiveFlight:
        before = self._sighted.get(told.flight_id)
        if before is None:
            return LiveFlight(told, now_s - max(0.0, (now_ns - told.told_ns) / 1e9))
        if (before.report.run, before.report.beat) == (told.run, told.beat):
            # the flight may have been renamed meanwhile
            return LiveFlight(told, before.at_s)
        return LiveFlight(told, now_s)


def get_live_feed(request: Request) -> LiveFlightFeed:
    """Return the live flights that the server reads."""
    sky: LiveFlightFeed = request.app.state.sky
    return sky


@router.get("/api/airborne")
def list_live_flights(
    sky: Annotated[LiveFlightFeed, Depends(get_live_feed)], access_policy: AccessPolicyHere
) -> list[Json]:
    """Live flights, those that ended or fell silent a while ago too, each with its track."""
    seen = filter_live_flights(sky.read_flights(), access_policy)
    return [
        {**describe_live_flight(one, sky.now_s()), "track": _track(one.report, access_policy)} for one in seen
    ]


@router.get("/api/airborne/{flight_id}/picture", response_class=Response)
def get_newest_picture(
    flight_id: Annotated[str, Path(max_length=200)],
    sky: Annotated[LiveFlightFeed, Depends(get_live_feed)],
    catalog: CatalogHere,
    store: StoreHere,
    principal: ViewerPrincipal,
) -> Response:
    """What a live flight saw last, a small JPEG; withdrawn, it is for administrators, as video is."""
    seen = filter_live_flights(sky.read_flights(), principal.access_policy)
    found = next((one for one in seen if one.report.flight_id == flight_id), None)
    if found is not None and found.is_barred:
        raise build_withheld_error(found.report.name, principal.name)
    key = found.report.picture_key if found else None
    if key is None or not store.exists(key):
        raise NotFound(
            _("{flight_id}: no picture of this flight is shown now; see /api/airborne", flight_id=flight_id)
        )
    if not principal.has_role(Role.ADMIN) and _is_picture_withdrawn(catalog, flight_id, key):
        raise AccessDenied(
            _(
                "{flight_id}: what its newest picture shows was withdrawn; ask an administrator for it",
                flight_id=flight_id,
            )
        )
    return Response(store.get(key), media_type="image/jpeg", headers=_PICTURE_HEADERS)


def describe_live_flight(sighted: LiveFlight, now_s: float) -> Json:
    """Describe a flight without its track; every `…_s` counts up to this moment."""
    told, since_s = sighted.report, sighted.age_s(now_s)
    aircraft = told.aircraft
    return {
        "flight_id": told.flight_id,
        "event_id": told.event_id,
        "name": told.name,
        "is_drill": told.is_drill,
        "is_recording": told.is_recording,
        "run": told.run,
        "state": sighted.get_state(now_s).value,
        "told": format_iso(told.told_ns),
        "told_s": round(since_s, 2),
        "aircraft": aircraft
        and {
            "lonlat": aircraft.lonlat_deg,
            "heading_deg": aircraft.heading_deg,
            "above_m": aircraft.above_m,
            "age_s": round(aircraft.age_s + since_s, 2),
        },
        "footprint": told.footprint or None,
        "picture": format_iso_or_none(told.picture_ns),
        "picture_s": _age_since(told.picture_age_s, since_s),
        "laid": format_iso_or_none(told.laid_ns),
        "video": _link(told.video, since_s),
        "telemetry": _link(told.telemetry, since_s),
        "left_out": dict(told.left_out),
        **(format_rejection_counts(told.left_out) or verbatim("")).to_fields("left_out_said"),
        "picture_url": None if sighted.is_withheld or sighted.is_barred else _picture_url(told),
        "recorded_s": told.recorded_s,
        "is_matching": told.is_matching,
        "remarks": [one.to_fields() for one in told.remarks],
        "failure": told.failure and told.failure.to_fields(),
    }


def filter_live_flights(seen: list[LiveFlight], access_policy: AccessPolicy) -> list[LiveFlight]:
    """Return the flights that the policy shows; near withheld ground they are barred.

    An account for some communes sees flights over them, and none that may be anywhere.
    """
    if access_policy.is_nothing:
        return seen
    known = [
        one
        for one in seen
        if not access_policy.hides_flight(one.report.flight_id)
        and not access_policy.is_outside(_ground_near(one.report) or _NOWHERE)
    ]
    return [replace(one, is_barred=_is_barred(one.report, access_policy)) for one in known]


def _is_barred(report: LiveFlightReport, access_policy: AccessPolicy) -> bool:
    """Return True if the newest frame may show withheld ground.

    Anything counts as far away as its camera can see. Redacted ground too: the outline is of another frame
    than the one that is shown, and of the ground that a log covers; a camera that was turned since, or whose
    ground is unknown, shows what lies anywhere around.
    """
    around_m = max(_AROUND_M, RANGE_PER_HEIGHT * _height_m(report)) + _drift_m(report)
    return access_policy.touches(_ground_near(report), around_m, redaction_margin_m=around_m)


def _height_m(report: LiveFlightReport) -> float:
    return 0.0 if report.aircraft is None or report.aircraft.above_m is None else abs(report.aircraft.above_m)


def _drift_m(report: LiveFlightReport) -> float:
    """Return how far it may be from its last position.

    Frames go on where telemetry is lost.
    """
    return 0.0 if report.aircraft is None else _MAX_SPEED_MPS * report.aircraft.age_s


def _ground_near(report: LiveFlightReport) -> bytes | None:
    """Return the ground below it and in its footprint (WKB); None if unknown."""
    places = [*report.footprint, *([report.aircraft.lonlat_deg] if report.aircraft else ())]
    wkb: bytes = shapely.to_wkb(shapely.MultiPoint(places).convex_hull)
    return wkb if places else None


def _track(report: LiveFlightReport, access_policy: AccessPolicy) -> list[LonLat]:
    """Return its track, as far as that lies over the communes of the access policy."""
    if access_policy.is_nothing:
        return list(report.track)
    return [at for at in report.track if not access_policy.is_outside(shapely.to_wkb(shapely.Point(at)))]


def fingerprint_live_flights(
    seen: list[LiveFlight], now_s: float
) -> frozenset[tuple[str, str, int, LiveState, bool]]:
    """Return what, when changed, makes screens draw the live flights anew."""
    return frozenset(
        (
            one.report.flight_id,
            one.report.run,
            one.report.beat,
            one.get_state(now_s),
            one.is_withheld or one.is_barred,
        )
        for one in seen
    )


def _is_picture_withdrawn(catalog: Catalog, flight_id: str, picture_key: str) -> bool:
    """Return True if the picture shows a withdrawn time."""
    taken_ns = keys.parse_latest_image_ns(picture_key)
    return find_withdrawn_times(catalog, flight_id).overlaps(taken_ns, taken_ns)


def _picture_url(report: LiveFlightReport) -> str | None:
    """Return the address of the newest picture; another picture has another address."""
    if report.picture_key is None:
        return None
    return f"/api/airborne/{report.flight_id}/picture?{report.picture_key.rpartition('/')[2]}"


def _link(link: LinkState, since_s: float) -> Json:
    return {
        "lost": link.is_lost,
        "silent_s": _age_since(link.silent_s, since_s),
        "connections": link.connections,
    }


def _age_since(reported_s: float | None, since_s: float) -> float | None:
    return None if reported_s is None else round(reported_s + since_s, 2)
