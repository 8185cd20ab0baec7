"""Sign-in on the map page: the answer brings the map's first lists.

That saves a round trip.
"""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from flycam.catalog.access_records import Scope
from flycam.catalog.records import Role
from flycam.errors import FlycamError
from flycam.serve.api import live_flights
from flycam.serve.auth.authenticator import Principal
from flycam.serve.auth.routing import GuardedRoute
from flycam.serve.auth.sign_in import TokenBody, describe_session, sign_in_visitor
from flycam.serve.http.json_values import Json
from flycam.serve.http.request_bodies import MAX_SIGN_IN_BYTES, limit_body
from flycam.serve.services import Services, ServicesHere
from flycam.serve.tiles import flight_routes, terrain

router = APIRouter(route_class=GuardedRoute)
_LOG = logging.getLogger("flycam.serve")


@router.post("/api/arrival", openapi_extra=limit_body(MAX_SIGN_IN_BYTES))
def bootstrap_page(token: TokenBody, request: Request, response: Response, services: ServicesHere) -> Json:
    """As `/api/login`, whose answer is `session`; `lists`: what `/api/events`, `/api/flights`, `/api/terrain`
    and `/api/airborne` say to whoever came in, in this order; null to whom they say nothing, and where one of
    them cannot be said now: who came in is in, for a one-time code is spent, and asks for them."""
    visitor = sign_in_visitor(token, request, response, services)
    has_all = visitor.account is not None and visitor.account.scope is Scope.ALL
    # a node that signs in here reads no list elsewhere either
    is_for_map = has_all and visitor.has_role(Role.VIEWER)
    return {
        "session": describe_session(visitor),
        "lists": _describe_lists(request, services, visitor) if is_for_map else None,
    }


def _describe_lists(request: Request, services: Services, principal: Principal) -> list[list[Json]] | None:
    try:
        return _build_lists(request, services, principal)
    except FlycamError:
        _LOG.warning("what the map begins with cannot be said at the door", exc_info=True)
        return None


def _build_lists(request: Request, services: Services, principal: Principal) -> list[list[Json]]:
    catalog = services.workspace.catalog
    return [
        flight_routes.list_events(services, principal),
        flight_routes.list_flights(catalog, principal),
        terrain.list_terrain(services),
        live_flights.list_live_flights(live_flights.get_live_feed(request), principal.access_policy),
    ]
