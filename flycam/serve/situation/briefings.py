"""`/api/meeting/places`: what a presenter walks through, for each event a list, the same for everybody."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flycam.catalog.briefings import BriefingLine, BriefingPlace
from flycam.frame.moment import iso
from flycam.pipeline.briefings import MOST_PLACES, NAME_LETTERS, write_briefing
from flycam.serve.answering.wording import Json
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Operator, Viewer
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import CatalogHere, ServicesHere
from flycam.serve.situation.meeting import Degrees, Word, is_for

router = APIRouter(route_class=GuardedRoute)

Event = Annotated[str, Query(max_length=200)]


class Place(BaseModel):
    """A view of the map with a name. view: words of the page's address."""

    name: Annotated[str, Field(min_length=1, max_length=NAME_LETTERS)]
    view: Annotated[dict[Word, str], Field(max_length=20)]
    bounds: tuple[Degrees, Degrees, Degrees, Degrees]


class Places(BaseModel):
    """The list as it is to be. based_on: the version that was seen, 0 where there was none."""

    based_on: Annotated[int, Field(ge=0, le=1_000_000)]
    places: Annotated[list[Place], Field(max_length=MOST_PLACES)]


@router.get("/api/meeting/places")
def places(catalog: CatalogHere, event: Event, visitor: Viewer) -> Json:
    """The places of an event (id or name) in their order, and who left them so when; version 0: nobody
    made a list. Without those that are not for whoever asks."""
    return _in_words(catalog.briefings.last(catalog.flights.event(event).event_id), visitor)


@router.put("/api/meeting/places")
def put_places(asked: Places, event: Event, visitor: Operator, services: ServicesHere) -> Json:
    """Make these the places of an event (409: somebody changed the list since it was seen). Places that are
    not for whoever asks stay, after the others."""
    wanted = [BriefingPlace(name=one.name, view=one.view, bounds=one.bounds) for one in asked.places]
    catalog = services.workspace.catalog
    event_id = catalog.flights.event(event).event_id
    last = catalog.briefings.last(event_id)
    unseen = [one for one in last.places if not is_for(visitor, event_id, one.bounds)] if last else []
    wanted += [one for one in unseen if one not in wanted]
    return _in_words(
        write_briefing(services.workspace, event_id, asked.based_on, wanted, visitor.name), visitor
    )


def _in_words(line: BriefingLine | None, visitor: Visitor) -> Json:
    if line is None:
        return {"version": 0, "places": [], "author": None, "time": None}
    places = [
        {"name": one.name, "view": dict(one.view), "bounds": list(one.bounds)}
        for one in line.places
        if is_for(visitor, line.event_id, one.bounds)
    ]
    return {"version": line.version, "places": places, "author": line.author, "time": iso(line.at_ns)}
