"""Guest links: made by presenters, opened by whoever holds them, until they expire or are revoked.

A guest sees the map and its tiles. No account's credential is in a link, and none can be had by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from flycam.catalog.records import Role
from flycam.catalog.sharing_records import Guest
from flycam.errors import NotFound
from flycam.frame.moment import iso
from flycam.messages import _
from flycam.pipeline.people.accounts import (
    MOST_GUEST_HOURS,
    guest_communes,
    invite_guest,
    revoke_guest,
)
from flycam.serve.answering.failures import SignInRequired
from flycam.serve.answering.own_page import SAYS_WHOSE, require_own_page
from flycam.serve.answering.wording import Json
from flycam.serve.door.accounts import WayIn, address_of, failing
from flycam.serve.door.admission import GUEST_COOKIE, Door, Visitor
from flycam.serve.door.button_page import button_page
from flycam.serve.door.cookies import give_cookie
from flycam.serve.door.guard import Operator
from flycam.serve.door.openings import Openings
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.door.sessions import SERVICE_SECONDS
from flycam.serve.services import Services, ServicesHere

router = APIRouter(route_class=GuardedRoute)


_PAGE = button_page("Liên kết khách: chỉ xem bản đồ, có thời hạn. / Guest link: the map alone, for a while.")


class Invitation(BaseModel):
    """For how long, which event (id or name; none: all), which communes (names or codes, commas between;
    none: all that whoever invites sees)."""

    hours: Annotated[float, Field(gt=0, le=MOST_GUEST_HOURS, allow_inf_nan=False)]
    event: Annotated[str, Field(max_length=200)] | None = None
    communes: Annotated[str, Field(max_length=1000)] | None = None


@router.post("/api/guests")
def invite(asked: Invitation, services: ServicesHere, visitor: Operator) -> Json:
    """Make a link. Its `path` is told this once.
    `expires` may be sooner than was asked: when the token ends by which its maker came, and after 12 h of
    people of the sign-in service."""
    own = visitor.account.communes if visitor.account else ()
    communes = guest_communes(services.workspace, asked.communes, own)
    until_ns = _latest_end_ns(services, visitor)
    guest, secret = invite_guest(
        services.workspace, asked.hours, asked.event, visitor.name, communes, until_ns, visitor.token_id
    )
    _require_still(services, visitor, guest)
    return {**_told(guest, _names(services)), "path": f"/guest/{secret}"}


@router.get("/api/guests")
def guests(services: ServicesHere, visitor: Operator) -> list[Json]:
    """The links that hold: one's own, for administrators everybody's."""
    now_ns = services.workspace.clock_ns()
    held = [one for one in services.workspace.catalog.guests.all() if one.holds(now_ns)]
    names = _names(services)
    return [_told(one, names) for one in held if _is_theirs(one, visitor)]


@router.delete("/api/guests/{guest_id}")
def revoke(guest_id: str, services: ServicesHere, visitor: Operator) -> Json:
    """Let a link open nothing any more."""
    known = services.workspace.catalog.guests.all()
    if not any(one.guest_id == guest_id and _is_theirs(one, visitor) for one in known):
        raise NotFound(
            _("{guest_id}: there is no such guest link of yours; see /api/guests", guest_id=guest_id[:80])
        )
    return _told(revoke_guest(services.workspace, guest_id, visitor.name), _names(services))


@router.get("/guest/{secret}", response_class=HTMLResponse, include_in_schema=False)
def page() -> HTMLResponse:
    """A button: programs that fetch a link to preview it are no guests."""
    return HTMLResponse(_PAGE, headers=SAYS_WHOSE)


@router.post("/guest/{secret}", include_in_schema=False)
def come_in(secret: str, request: Request, services: ServicesHere) -> Response:
    """Open the map with the link, as often as wanted while it holds. Whoever is signed in stays so."""
    require_own_page(request)
    door: Door = request.app.state.door
    openings: Openings = request.app.state.openings
    guest = door.guest(secret)
    if guest is None:
        raise failing(request, WayIn.GUEST_LINK, SignInRequired("bad_guest"))
    openings.note_guest(services.workspace.catalog.audit, guest.guest_id, address_of(request))
    response = RedirectResponse("/", status_code=303)
    is_secure = request.url.scheme == "https"
    give_cookie(response, GUEST_COOKIE, secret, door.seconds_left(guest), is_secure=is_secure)
    return response


def _require_still(services: Services, visitor: Visitor, guest: Guest) -> None:
    """Whoever lost the account or its token within the door's two seconds makes no link that outlives it."""
    account = visitor.account
    if account is not None and not services.workspace.catalog.accounts.holds(account):
        revoke_guest(services.workspace, guest.guest_id, account.name)
        raise SignInRequired("bad_token")


def _latest_end_ns(services: Services, visitor: Visitor) -> int | None:
    """Until when a link of this visitor may last. Whom the sign-in service bars is out within a shift, and so
    is whoever has a link of theirs (decision 0033 on tokens)."""
    account = visitor.account
    if account is None:
        return None
    is_of_service = services.workspace.catalog.identities.are_of(account.name)
    if visitor.may(Role.ADMIN) or not is_of_service:
        return account.until_ns
    shift_ns = services.workspace.clock_ns() + SERVICE_SECONDS * 10**9
    return shift_ns if account.until_ns is None else min(account.until_ns, shift_ns)


def _is_theirs(guest: Guest, visitor: Visitor) -> bool:
    return guest.made_by == visitor.name or visitor.may(Role.ADMIN)


def _names(services: Services) -> Mapping[str, str]:
    return services.workspace.catalog.boundaries.names()


def _told(guest: Guest, names: Mapping[str, str]) -> Json:
    return {
        "guest_id": guest.guest_id,
        "event_id": guest.event_id or None,
        "communes": [{"code": code, "name": names.get(code, code)} for code in guest.communes],
        "made_by": guest.made_by,
        "expires": iso(guest.expires_ns),
        "revoked": guest.revoked_ns is not None,
    }
