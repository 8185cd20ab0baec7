"""`/api/airborne`: aircraft of which films are laid now; the same, as it changes, goes to `/events`.

How old a report is, is measured here from when it was first seen, so that the clocks of two machines need not
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

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import Role
from flycam.catalog.withheld import withheld
from flycam.catalog.withholding import Withholding
from flycam.errors import AccessDenied, NotFound
from flycam.frame.airborne import Airborne, LinkState, LonLat, Phase
from flycam.frame.left_out import left_out_said
from flycam.frame.moment import iso
from flycam.geometry.footprint import RANGE_PER_HEIGHT
from flycam.messages import _
from flycam.serve.answering.wording import Json, iso_or_none
from flycam.serve.door.guard import Sees, Viewer, viewer
from flycam.serve.services import CatalogHere, StoreHere
from flycam.serve.tiles.offered import withheld_from
from flycam.serve.tiles.ranges import FOR_A_WHILE
from flycam.store import keys

router = APIRouter(dependencies=[Depends(viewer)])

SILENT_S = 1.25
"""A flight reports more than twice a second: after so long without a report nothing is known of it."""

LOOK_S = 0.2
_AROUND_M = 1000.0
_NOWHERE: bytes = shapely.to_wkb(shapely.Point())
_FASTEST_MPS = 30.0
_SHORTLY = {**FOR_A_WHILE, "Cache-Control": "private, max-age=60"}  # it may be withdrawn at any moment
_SHOWN_ENDED_S, _SHOWN_SILENT_S = 600.0, 3600.0


class Standing(StrEnum):
    """How a flight stands for whoever looks: SILENT is one whose program died, or cannot be heard."""

    FLYING = "flying"
    CLOSING = "closing"
    SILENT = "silent"
    ENDED = "ended"


_ORDER = tuple(Standing)  # who looks wants the aircraft that are up, first


@dataclass(frozen=True, slots=True)
class Sighted:
    """A report, and when (monotonic seconds) it was told, as far as that is known here.

    is_withheld  what its newest picture shows was withdrawn
    is_barred    its newest picture may show ground that is withheld from whoever looks
    """

    told: Airborne
    at_s: float
    is_withheld: bool = False
    is_barred: bool = False

    def age_s(self, now_s: float) -> float:
        """Seconds since it was told."""
        return max(0.0, now_s - self.at_s)

    def standing(self, now_s: float) -> Standing:
        """What the report means by now."""
        if self.told.phase is Phase.ENDED:
            return Standing.ENDED
        if self.age_s(now_s) > SILENT_S:
            return Standing.SILENT
        return Standing(self.told.phase.value)

    def is_up(self, now_s: float) -> bool:
        """Whether more is to be heard of it at any moment."""
        return self.standing(now_s) in (Standing.FLYING, Standing.CLOSING)

    def is_shown(self, now_s: float) -> bool:
        """Whether it is still news."""
        has_ended = self.told.phase is Phase.ENDED
        return self.age_s(now_s) <= (_SHOWN_ENDED_S if has_ended else _SHOWN_SILENT_S)


class Sky:
    """What is in the air, read from the catalogue for all readers of this process. Safe to use from several
    threads.

    idle_s  how often it is looked for a first aircraft; while there are any it is every LOOK_S
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
        self._sighted: dict[str, Sighted] = {}
        self._read_s = float("-inf")

    def look(self) -> list[Sighted]:
        """The flights that are news: those in the air, then the silent, then the ended, each by its id.
        Raises CatalogUnavailable."""
        with self._lock:
            now_s = self._clock_s()
            if now_s - self._read_s >= self._period_s(now_s):
                self._sighted = self._read(now_s)
                self._read_s = now_s
            shown = [one for _, one in sorted(self._sighted.items()) if one.is_shown(now_s)]
            return sorted(shown, key=lambda one: _ORDER.index(one.standing(now_s)))

    def now_s(self) -> float:
        """By the clock that reports are dated with here."""
        return self._clock_s()

    def _period_s(self, now_s: float) -> float:
        is_busy = any(one.is_up(now_s) for one in self._sighted.values())
        return min(LOOK_S, self._idle_s) if is_busy else self._idle_s

    def _read(self, now_s: float) -> dict[str, Sighted]:
        now_ns = self._clock_ns()
        reports = self._catalog.airborne.since(now_ns - round(_SHOWN_SILENT_S * 1e9))
        return {
            told.flight_id: replace(self._sight(told, now_s, now_ns), is_withheld=self._is_withheld(told))
            for told in reports
        }

    def _is_withheld(self, told: Airborne) -> bool:
        return told.picture_key is not None and _withheld(self._catalog, told.flight_id, told.picture_key)

    def _sight(self, told: Airborne, now_s: float, now_ns: int) -> Sighted:
        before = self._sighted.get(told.flight_id)
        if before is None:
            return Sighted(told, now_s - max(0.0, (now_ns - told.told_ns) / 1e9))
        if (before.told.run, before.told.beat) == (told.run, told.beat):
            return Sighted(told, before.at_s)  # its name may be another by now
        return Sighted(told, now_s)


def sky_of(request: Request) -> Sky:
    """The sky behind a request."""
    sky: Sky = request.app.state.sky
    return sky


@router.get("/api/airborne")
def airborne(sky: Annotated[Sky, Depends(sky_of)], sees: Sees) -> list[Json]:
    """Live flights, those that ended or fell silent a while ago too, each with its track."""
    seen = as_seen(sky.look(), sees)
    return [{**in_words(one, sky.now_s()), "track": _track(one.told, sees)} for one in seen]


@router.get("/api/airborne/{flight_id}/picture", response_class=Response)
def newest_picture(
    flight_id: Annotated[str, Path(max_length=200)],
    sky: Annotated[Sky, Depends(sky_of)],
    catalog: CatalogHere,
    store: StoreHere,
    visitor: Viewer,
) -> Response:
    """What a live flight saw last, a small JPEG; withdrawn, it is for administrators, as video is."""
    seen = as_seen(sky.look(), visitor.withholding)
    found = next((one for one in seen if one.told.flight_id == flight_id), None)
    if found is not None and found.is_barred:
        raise withheld_from(found.told.name, visitor.name)
    key = found.told.picture_key if found else None
    if key is None or not store.exists(key):
        raise NotFound(
            _("{flight_id}: no picture of this flight is shown now; see /api/airborne", flight_id=flight_id)
        )
    if not visitor.may(Role.ADMIN) and _withheld(catalog, flight_id, key):
        raise AccessDenied(
            _(
                "{flight_id}: what its newest picture shows was withdrawn; ask an administrator for it",
                flight_id=flight_id,
            )
        )
    return Response(store.get(key), media_type="image/jpeg", headers=_SHORTLY)


def in_words(sighted: Sighted, now_s: float) -> Json:
    """A flight without its track; every `…_s` counts up to this moment."""
    told, since_s = sighted.told, sighted.age_s(now_s)
    aircraft = told.aircraft
    return {
        "flight_id": told.flight_id,
        "event_id": told.event_id,
        "name": told.name,
        "is_drill": told.is_drill,
        "is_recording": told.is_recording,
        "run": told.run,
        "state": sighted.standing(now_s).value,
        "told": iso(told.told_ns),
        "told_s": round(since_s, 2),
        "aircraft": aircraft
        and {
            "lonlat": aircraft.lonlat_deg,
            "heading_deg": aircraft.heading_deg,
            "above_m": aircraft.above_m,
            "age_s": round(aircraft.age_s + since_s, 2),
        },
        "footprint": told.footprint or None,
        "picture": iso_or_none(told.picture_ns),
        "picture_s": _since(told.picture_age_s, since_s),
        "laid": iso_or_none(told.laid_ns),
        "video": _link(told.video, since_s),
        "telemetry": _link(told.telemetry, since_s),
        "left_out": dict(told.left_out),
        "left_out_said": left_out_said(told.left_out),
        "left_out_said_vi": left_out_said(told.left_out, "vi"),
        "picture_url": None if sighted.is_withheld or sighted.is_barred else _picture_url(told),
        "recorded_s": told.recorded_s,
        "is_matching": told.is_matching,
        "remarks": [{"sentence": english, "sentence_vi": vi} for english, vi in told.remarks],
        "failure": told.failure and {"sentence": told.failure[0], "sentence_vi": told.failure[1]},
    }


def as_seen(seen: list[Sighted], sees: Withholding) -> list[Sighted]:
    """The flights that this visitor may know of, those barred that fly near ground withheld from them.

    Whoever is there for some communes knows of those over them, and of none that may be anywhere."""
    if sees.is_nothing:
        return seen
    known = [
        one
        for one in seen
        if not sees.hides_flight(one.told.flight_id) and not sees.is_outside(_near(one.told) or _NOWHERE)
    ]
    return [replace(one, is_barred=_is_barred(one.told, sees)) for one in known]


def _is_barred(told: Airborne, sees: Withholding) -> bool:
    """Whether its newest picture may show withheld ground: anything as far away as its camera can see.

    Masked ground too: the outline is of another picture than the one that is shown, and of what a log covers;
    a camera that was turned since, or of which no ground is known, shows what lies anywhere around.
    """
    around_m = max(_AROUND_M, RANGE_PER_HEIGHT * _height_m(told)) + _moved_m(told)
    return sees.touches(_near(told), around_m, masks_m=around_m)


def _height_m(told: Airborne) -> float:
    return 0.0 if told.aircraft is None or told.aircraft.above_m is None else abs(told.aircraft.above_m)


def _moved_m(told: Airborne) -> float:
    """How far it may be from where it was last told to be: pictures go on where telemetry is lost."""
    return 0.0 if told.aircraft is None else _FASTEST_MPS * told.aircraft.age_s


def _near(told: Airborne) -> bytes | None:
    """The ground below it and in its outline (WKB); None where nothing is known."""
    places = [*told.footprint, *([told.aircraft.lonlat_deg] if told.aircraft else ())]
    wkb: bytes = shapely.to_wkb(shapely.MultiPoint(places).convex_hull)
    return wkb if places else None


def _track(told: Airborne, sees: Withholding) -> list[LonLat]:
    """Where it has been, as far as that was over the communes of whoever asks."""
    if sees.is_nothing:
        return list(told.track)
    return [at for at in told.track if not sees.is_outside(shapely.to_wkb(shapely.Point(at)))]


def news_of(seen: list[Sighted], now_s: float) -> frozenset[tuple[str, str, int, Standing, bool]]:
    """What makes a screen's picture of the sky another one."""
    return frozenset(
        (
            one.told.flight_id,
            one.told.run,
            one.told.beat,
            one.standing(now_s),
            one.is_withheld or one.is_barred,
        )
        for one in seen
    )


def _withheld(catalog: Catalog, flight_id: str, picture_key: str) -> bool:
    """Whether a picture shows what was withdrawn."""
    taken_ns = keys.taken_of_newest_picture(picture_key)
    return withheld(catalog, flight_id).shows(taken_ns, taken_ns)


def _picture_url(told: Airborne) -> str | None:
    """Where its newest picture is; another picture has another address."""
    if told.picture_key is None:
        return None
    return f"/api/airborne/{told.flight_id}/picture?{told.picture_key.rpartition('/')[2]}"


def _link(link: LinkState, since_s: float) -> Json:
    return {
        "lost": link.is_lost,
        "silent_s": _since(link.silent_s, since_s),
        "connections": link.connections,
    }


def _since(told_s: float | None, since_s: float) -> float | None:
    return None if told_s is None else round(told_s + since_s, 2)
