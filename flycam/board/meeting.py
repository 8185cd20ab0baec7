"""Meetings: the presented view, and the places of a briefing.

`/api/meeting` has the presenter and the view that followers see; `/events` sends changes at once. It is of
this moment and of this server only: nothing is stored. A presenter's page reports every few seconds; when it
has been silent for long, nobody presents any more. A presenter is an account with its page: the page's id
alone, which all followers receive, makes nobody the presenter.

The places of a briefing (`/api/meeting/places`) are stored, one list an event, with versions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import shapely
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field, StringConstraints

from flycam.catalog.board import BriefingPlace, BriefingVersion
from flycam.errors import InputUnusable, NotFound, StoreConflict
from flycam.http.guards import (
    CatalogHere,
    GuardedRoute,
    GuestPrincipal,
    OperatorPrincipal,
    Principal,
    ServicesHere,
    ViewerPrincipal,
    get_services,
)
from flycam.http.protocol import Json
from flycam.messages import _
from flycam.model.access import Role
from flycam.model.records import AuditEntry
from flycam.model.text import is_printable, strip_unprintable
from flycam.model.time import format_iso
from flycam.workspace import Workspace

# -- Briefings: edits of the list of places --------------------------------------------------------


MAX_PLACES = 60
MAX_NAME_LENGTH = 120

_MAX_VIEW_LENGTH = 8000


def write_briefing(
    workspace: Workspace, event_id: str, based_on: int, places: Sequence[BriefingPlace], who: str
) -> BriefingVersion:
    """Set the places of an event, in this order; the same list again changes nothing.

    based_on  the version that the caller saw; 0 where there was none

    Raises InputUnusable (a view, a name, too many), NotFound (the event), StoreConflict (the list has changed
    since).
    """
    checked = _validate_places(places)
    if event_id not in {one.event_id for one in workspace.catalog.flights.events()}:
        raise NotFound(
            _(
                "{event_id}: there is no such event; the places of a meeting belong to one",
                event_id=event_id[:40],
            )
        )
    last = workspace.catalog.briefings.last(event_id)
    if last is not None and last.places == checked:
        # the answer to an identical request was lost, and the client sent it again
        is_lost_answer = (last.version, last.author) == (based_on + 1, who)
        if is_lost_answer or last.version == based_on:
            return last
    if based_on != (last.version if last else 0):
        raise StoreConflict(
            _("{event_id}: somebody changed these places meanwhile; look at them again", event_id=event_id)
        )
    line = BriefingVersion(
        event_id=event_id,
        version=based_on + 1,
        places=checked,
        author=who,
        at_ns=workspace.clock_ns(),
    )
    detail = f"version {line.version}: {len(checked)} places"
    entry = AuditEntry(who=who, what="places", subject=event_id, detail=detail, at_ns=line.at_ns)
    workspace.catalog.briefings.append(line, entry)
    return line


def require_view(view: Mapping[str, str]) -> None:
    """Raise InputUnusable for a view that no address of the map's page has."""
    if sum(map(len, view.values())) > _MAX_VIEW_LENGTH:
        raise InputUnusable(
            _("the view that is presented is too long for an address; present again from the map's page")
        )
    for word, value in view.items():
        if not is_printable(value):
            raise InputUnusable(
                _(
                    "the view that is presented ({word}) holds characters that no address of "
                    "a page has (control characters, half letters); present again from the "
                    "map's page",
                    word=word,
                )
            )


def _validate_places(places: Sequence[BriefingPlace]) -> list[BriefingPlace]:
    if len(places) > MAX_PLACES:
        raise InputUnusable(
            _(
                "the list holds more than {most_places} places; take some off the list",
                most_places=MAX_PLACES,
            )
        )
    return [_validate_place(number, one) for number, one in enumerate(places, 1)]


def _validate_place(number: int, place: BriefingPlace) -> BriefingPlace:
    require_view(place.view)
    name = strip_unprintable(place.name)
    if not name or len(name) > MAX_NAME_LENGTH:
        raise InputUnusable(
            _(
                "place {number}: give it a name of 1 to {name_letters} letters",
                number=number,
                name_letters=MAX_NAME_LENGTH,
            )
        )
    west, south, east, north = place.bounds
    if not (west < east and south < north):
        raise InputUnusable(
            _("place {number}: its bounds are empty; look at it on the map and add it again", number=number)
        )
    return BriefingPlace(name=name, view=dict(place.view), bounds=place.bounds)


# -- Presented view, and its routes (`/api/meeting`) -----------------------------------------------


router = APIRouter(route_class=GuardedRoute)

PRESENTER_TIMEOUT_S = 150.0
"""The presentation ends after so long without a report of the presenter's page. Browsers let a hidden page
send once a minute: one such report may be lost."""

ViewWord = Annotated[str, StringConstraints(min_length=1, max_length=16, pattern=r"^[a-z]+$")]
DegreesValue = Annotated[float, Field(ge=-180.0, le=180.0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Presentation:
    """View that is presented.

    version   grows with every report of a presenter, also of another one
    screen    id of the presenting page, of its own making
    since_ns  when this presenter began
    view      parameters of the page's address, so that any page can show the view
    bounds    ground on the presenter's screen: west, south, east, north in degrees
    """

    version: int
    presenter: str
    screen: str
    since_ns: int
    view: Mapping[str, str]
    bounds: tuple[float, float, float, float]

    def is_shown_by(self, who: str, screen: str) -> bool:
        """Return True if this account presents on this screen."""
        return (self.presenter, self.screen) == (who, screen)


class Meeting:
    """The one presentation of a server. Safe to use from several threads."""

    def __init__(self, clock_ns: Callable[[], int], clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_ns, self._clock_s = clock_ns, clock_s
        self._lock = threading.Lock()
        self._shown: Presentation | None = None
        # from the clock, so that it exceeds any version of before a restart
        self._version = clock_ns() // 1_000_000
        self._last_report_s = 0.0
        self._listeners: list[Callable[[], object]] = []

    def get_current(self) -> Presentation | None:
        """Return the current presentation; None if nobody presents."""
        with self._lock:
            return self._get_current()

    def show(
        self,
        who: str,
        screen: str,
        view: Mapping[str, str],
        bounds: tuple[float, float, float, float],
        *,
        take: bool,
    ) -> tuple[Presentation, bool]:
        """Show a view; return (what is shown now, True if the presenter is new).

        A presenter is new where nobody presented, or another account, or another screen of the same. Raises
        StoreConflict where another presents and `take` is False.
        """
        with self._lock:
            before = self._get_current()
            is_same = before is not None and before.is_shown_by(who, screen)
            if before is not None and not is_same and not take:
                raise StoreConflict(
                    _("{presenter} presents now; take over first", presenter=before.presenter)
                )
            self._last_report_s = self._clock_s()
            if before is not None and is_same and (before.view, before.bounds) == (view, bounds):
                return before, False
            self._version += 1
            shown = self._shown = Presentation(
                version=self._version,
                presenter=who,
                screen=screen,
                since_ns=before.since_ns if before is not None and is_same else self._clock_ns(),
                view=view,
                bounds=bounds,
            )
        self._notify()
        return shown, not is_same

    def end(self, who: str, screen: str, *, for_another: bool = False) -> bool:
        """End the presentation of this screen; return True if it was presenting.

        for_another: it may be another account's.
        """
        with self._lock:
            shown = self._get_current()
            if shown is None or shown.screen != screen or not (for_another or shown.presenter == who):
                return False
            self._shown = None
        self._notify()
        return True

    def _get_current(self) -> Presentation | None:
        """Return the current presentation, with the lock held."""
        if self._shown is not None and self._clock_s() - self._last_report_s > PRESENTER_TIMEOUT_S:
            self._shown = None
        return self._shown

    def add_listener(self, listener: Callable[[], object]) -> Callable[[], None]:
        """Call `listener` when another view is shown; return a function that stops this."""
        with self._lock:
            self._listeners = [*self._listeners, listener]

        def stop() -> None:
            with self._lock:
                self._listeners = [one for one in self._listeners if one is not listener]

        return stop

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


class PresentedViewBody(BaseModel):
    """View on a presenter's page. view: parameters of its address; take: take over from another presenter."""

    screen: Annotated[str, Field(min_length=8, max_length=40, pattern=r"^[0-9a-f]+$")]
    view: Annotated[dict[ViewWord, str], Field(max_length=20)]
    bounds: tuple[DegreesValue, DegreesValue, DegreesValue, DegreesValue]
    take: bool = False


def _get_meeting(request: Request) -> Meeting:
    meeting: Meeting = request.app.state.meeting
    return meeting


MeetingHere = Annotated[Meeting, Depends(_get_meeting)]


@router.get("/api/meeting")
def get_presentation(meeting: MeetingHere, principal: GuestPrincipal) -> Json | None:
    """The view presented, by whom, since when; null: none, or none that the caller may see."""
    return describe_presentation(filter_presentation(meeting.get_current(), principal))


@router.put("/api/meeting")
def present_view(
    view: PresentedViewBody, meeting: MeetingHere, principal: OperatorPrincipal, request: Request
) -> Json | None:
    """Present a view, and go on presenting it (409: somebody else presents, and `take` is not said)."""
    require_view(view.view)
    shown = meeting.get_current()
    if not view.take and shown is not None and filter_presentation(shown, principal) is None:
        raise StoreConflict(_("somebody presents now; take over first"))
    shown, is_new = meeting.show(principal.name, view.screen, view.view, view.bounds, take=view.take)
    if is_new:
        _audit(request, principal.name, "presents", view.screen)
    return describe_presentation(shown)


@router.delete("/api/meeting")
def end_presentation(
    meeting: MeetingHere,
    principal: OperatorPrincipal,
    request: Request,
    screen: Annotated[str, Query(min_length=8, max_length=40)],
) -> dict[str, bool]:
    """End one's own presentation on a screen, an administrator anybody's; nothing happens where another
    presents by now."""
    ended = meeting.end(principal.name, screen, for_another=principal.has_role(Role.ADMIN))
    if ended:
        _audit(request, principal.name, "presents no more", screen)
    return {"ended": ended}


def filter_presentation(shown: Presentation | None, principal: Principal) -> Presentation | None:
    """Return the presentation if it is visible to the principal, else None."""
    if shown is None or not is_visible_to(principal, shown.view.get("event", ""), shown.bounds):
        return None
    return shown


def is_visible_to(principal: Principal, event_id: str, bounds: tuple[float, float, float, float]) -> bool:
    """Return True if a view of an event ("": none) is for the principal.

    Guests of an event see its views; the ground must lie within the access policy.
    """
    only = principal.account.event_id if principal.account else ""
    if only and only != event_id:
        return False
    return principal.access_policy.is_nothing or not principal.access_policy.is_outside(
        shapely.to_wkb(shapely.box(*bounds))
    )


def describe_presentation(shown: Presentation | None) -> Json | None:
    """Describe a presentation for `/api/meeting` and the event `meeting`."""
    if shown is None:
        return None
    return {
        "version": shown.version,
        "presenter": shown.presenter,
        "screen": shown.screen,
        "since": format_iso(shown.since_ns),
        "view": dict(shown.view),
        "bounds": list(shown.bounds),
    }


def _audit(request: Request, who: str, what: str, screen: str) -> None:
    get_services(request).workspace.catalog.audit.append(who, what, screen)


# -- Routes of a briefing's places (`/api/meeting/places`) -----------------------------------------


EventParameter = Annotated[str, Query(max_length=200)]


class BriefingPlaceBody(BaseModel):
    """A view of the map with a name. view: words of the page's address."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    view: Annotated[dict[ViewWord, str], Field(max_length=20)]
    bounds: tuple[DegreesValue, DegreesValue, DegreesValue, DegreesValue]


class BriefingPlacesBody(BaseModel):
    """The list as it is to be. based_on: the version that was seen, 0 where there was none."""

    based_on: Annotated[int, Field(ge=0, le=1_000_000)]
    places: Annotated[list[BriefingPlaceBody], Field(max_length=MAX_PLACES)]


@router.get("/api/meeting/places")
def list_briefing_places(catalog: CatalogHere, event: EventParameter, principal: ViewerPrincipal) -> Json:
    """The places of an event (id or name) in their order, and who left them so when; version 0: nobody
    made a list. Without those that are not for whoever asks."""
    return _describe_places(catalog.briefings.last(catalog.flights.event(event).event_id), principal)


@router.put("/api/meeting/places")
def put_briefing_places(
    body: BriefingPlacesBody, event: EventParameter, principal: OperatorPrincipal, services: ServicesHere
) -> Json:
    """Make these the places of an event (409: somebody changed the list since it was seen). Places that are
    not for whoever asks stay, after the others."""
    wanted = [BriefingPlace(name=one.name, view=one.view, bounds=one.bounds) for one in body.places]
    catalog = services.workspace.catalog
    event_id = catalog.flights.event(event).event_id
    last = catalog.briefings.last(event_id)
    unseen = (
        [one for one in last.places if not is_visible_to(principal, event_id, one.bounds)] if last else []
    )
    wanted += [one for one in unseen if one not in wanted]
    return _describe_places(
        write_briefing(services.workspace, event_id, body.based_on, wanted, principal.name), principal
    )


def _describe_places(line: BriefingVersion | None, principal: Principal) -> Json:
    if line is None:
        return {"version": 0, "places": [], "author": None, "time": None}
    places = [
        {"name": one.name, "view": dict(one.view), "bounds": list(one.bounds)}
        for one in line.places
        if is_visible_to(principal, line.event_id, one.bounds)
    ]
    return {"version": line.version, "places": places, "author": line.author, "time": format_iso(line.at_ns)}
