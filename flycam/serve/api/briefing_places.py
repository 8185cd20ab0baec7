"""`/api/meeting/places`: named views of a briefing, one list an event."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from flycam.catalog.briefings import BriefingPlace, BriefingVersion
from flycam.frame.timestamp import format_iso
from flycam.pipeline.briefings import MAX_NAME_LENGTH, MAX_PLACES, write_briefing
from flycam.serve.api.meeting import DegreesValue, ViewWord, is_visible_to
from flycam.serve.auth.authenticator import Principal
from flycam.serve.auth.guards import OperatorPrincipal, ViewerPrincipal
from flycam.serve.auth.routing import GuardedRoute
from flycam.serve.http.json_values import Json
from flycam.serve.services import CatalogHere, ServicesHere

router = APIRouter(route_class=GuardedRoute)

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
