"""Signing in where the map is: the answer brings what the map begins with, which saves a round trip."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from flycam.catalog.access_records import Scope
from flycam.catalog.records import Role
from flycam.errors import FlycamError
from flycam.serve.answering.bodies import MAX_SIGN_IN_BYTES, bounded
from flycam.serve.answering.wording import Json
from flycam.serve.door.accounts import Token, session_said, sign_in
from flycam.serve.door.admission import Visitor
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import Services, ServicesHere
from flycam.serve.situation import airborne
from flycam.serve.tiles import flights, terrain

router = APIRouter(route_class=GuardedRoute)
_LOG = logging.getLogger("flycam.serve")


@router.post("/api/arrival", openapi_extra=bounded(MAX_SIGN_IN_BYTES))
def arrive(token: Token, request: Request, response: Response, services: ServicesHere) -> Json:
    """As `/api/login`, whose answer is `session`; `lists`: what `/api/events`, `/api/flights`, `/api/terrain`
    and `/api/airborne` say to whoever came in, in this order; null to whom they say nothing, and where one of
    them cannot be said now: who came in is in, for a one-time code is spent, and asks for them."""
    visitor = sign_in(token, request, response, services)
    has_all = visitor.account is not None and visitor.account.scope is Scope.ALL
    is_for_map = has_all and visitor.may(Role.VIEWER)  # a box that asks here reads no list elsewhere either
    return {
        "session": session_said(visitor),
        "lists": _said(request, services, visitor) if is_for_map else None,
    }


def _said(request: Request, services: Services, visitor: Visitor) -> list[list[Json]] | None:
    try:
        return _lists(request, services, visitor)
    except FlycamError:
        _LOG.warning("what the map begins with cannot be said at the door", exc_info=True)
        return None


def _lists(request: Request, services: Services, visitor: Visitor) -> list[list[Json]]:
    catalog = services.workspace.catalog
    return [
        flights.events(services, visitor),
        flights.flights(catalog, visitor),
        terrain.terrain(services),
        airborne.airborne(airborne.sky_of(request), visitor.withholding),
    ]
