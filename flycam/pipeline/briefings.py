"""Editing of the list of places of a meeting: validation of its views, and the entry in the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flycam.catalog.briefings import BriefingPlace, BriefingVersion
from flycam.catalog.records import AuditEntry
from flycam.errors import InputUnusable, NotFound, StoreConflict
from flycam.frame.text_normalization import is_printable, strip_unprintable
from flycam.messages import _
from flycam.pipeline.workspace import Workspace

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
    told = AuditEntry(who=who, what="places", subject=event_id, detail=detail, at_ns=line.at_ns)
    workspace.catalog.briefings.append(line, told)
    return line


def require_view(view: Mapping[str, str]) -> None:
    """Raise InputUnusable for a view that no address of the map's page has."""
    if sum(map(len, view.values())) > _MAX_VIEW_LENGTH:
        raise InputUnusable(
            _("the view that is presented is too long for an address; present again from the map's page")
        )
    for word, said in view.items():
        if not is_printable(said):
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
