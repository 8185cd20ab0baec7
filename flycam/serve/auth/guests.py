"""Guest links: made by presenters, valid for any holder until expired or revoked.

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
from flycam.frame.timestamp import format_iso
from flycam.messages import _
from flycam.pipeline.access.accounts import (
    MAX_GUEST_HOURS,
    invite_guest,
    resolve_guest_communes,
    revoke_guest,
)
from flycam.serve.auth.authenticator import GUEST_COOKIE, Authenticator, Principal
from flycam.serve.auth.button_page import render_button_page
from flycam.serve.auth.cookies import set_auth_cookie
from flycam.serve.auth.download_log import DownloadLog
from flycam.serve.auth.guards import OperatorPrincipal
from flycam.serve.auth.routing import GuardedRoute
from flycam.serve.auth.sessions import OPENID_SESSION_TTL_S
from flycam.serve.auth.sign_in import SignInMethod, count_failure, get_client_address
from flycam.serve.http.errors import BAD_GUEST_LINK, BAD_TOKEN, SignInRequired
from flycam.serve.http.json_values import Json
from flycam.serve.http.same_origin import FORM_HEADERS, require_same_origin
from flycam.serve.services import Services, ServicesHere

router = APIRouter(route_class=GuardedRoute)


_PAGE = render_button_page(_("Guest link: the map alone, for a while."))


class GuestInvitation(BaseModel):
    """For how long, which event (id or name; none: all), which communes (names or codes, commas between;
    none: all that whoever invites sees)."""

    hours: Annotated[float, Field(gt=0, le=MAX_GUEST_HOURS, allow_inf_nan=False)]
    event: Annotated[str, Field(max_length=200)] | None = None
    communes: Annotated[str, Field(max_length=1000)] | None = None


@router.post("/api/guests")
def create_guest_link(body: GuestInvitation, services: ServicesHere, principal: OperatorPrincipal) -> Json:
    """Make a link. Its `path` is told this once.
    `expires` may be sooner than was asked: when the token ends by which its maker came, and after 12 h of
    people of the sign-in service."""
    own = principal.account.communes if principal.account else ()
    communes = resolve_guest_communes(services.workspace, body.communes, own)
    until_ns = _latest_end_ns(services, principal)
    guest, secret = invite_guest(
        services.workspace, body.hours, body.event, principal.name, communes, until_ns, principal.token_id
    )
    _require_still_valid(services, principal, guest)
    return {**_describe_guest_link(guest, _names(services)), "path": f"/guest/{secret}"}


@router.get("/api/guests")
def list_guest_links(services: ServicesHere, principal: OperatorPrincipal) -> list[Json]:
    """The links that hold: one's own, for administrators everybody's."""
    now_ns = services.workspace.clock_ns()
    held = [one for one in services.workspace.catalog.guests.all() if one.is_valid(now_ns)]
    names = _names(services)
    return [_describe_guest_link(one, names) for one in held if _is_owned_by(one, principal)]


@router.delete("/api/guests/{guest_id}")
def revoke_guest_link(guest_id: str, services: ServicesHere, principal: OperatorPrincipal) -> Json:
    """Let a link open nothing any more."""
    known = services.workspace.catalog.guests.all()
    if not any(one.guest_id == guest_id and _is_owned_by(one, principal) for one in known):
        raise NotFound(
            _("{guest_id}: there is no such guest link of yours; see /api/guests", guest_id=guest_id[:80])
        )
    return _describe_guest_link(revoke_guest(services.workspace, guest_id, principal.name), _names(services))


@router.get("/guest/{secret}", response_class=HTMLResponse, include_in_schema=False)
def show_guest_link_page() -> HTMLResponse:
    """A button: programs that fetch a link to preview it are no guests."""
    return HTMLResponse(_PAGE, headers=FORM_HEADERS)


@router.post("/guest/{secret}", include_in_schema=False)
def enter_as_guest(secret: str, request: Request, services: ServicesHere) -> Response:
    """Open the map with the link, as often as wanted while it holds. Whoever is signed in stays so."""
    require_same_origin(request)
    door: Authenticator = request.app.state.door
    openings: DownloadLog = request.app.state.openings
    guest = door.guest(secret)
    if guest is None:
        raise count_failure(request, SignInMethod.GUEST_LINK, SignInRequired(BAD_GUEST_LINK))
    openings.note_guest(services.workspace.catalog.audit, guest.guest_id, get_client_address(request))
    response = RedirectResponse("/", status_code=303)
    is_secure = request.url.scheme == "https"
    set_auth_cookie(response, GUEST_COOKIE, secret, door.get_seconds_left(guest), is_secure=is_secure)
    return response


def _require_still_valid(services: Services, principal: Principal, guest: Guest) -> None:
    """Revoke the new link and raise SignInRequired if its maker's token has ended.

    An account or token that ended within the authenticator's two seconds makes no link that outlives it.
    """
    account = principal.account
    if account is not None and not services.workspace.catalog.accounts.is_valid(account):
        revoke_guest(services.workspace, guest.guest_id, account.name)
        raise SignInRequired(BAD_TOKEN)


def _latest_end_ns(services: Services, principal: Principal) -> int | None:
    """Return the latest end of a link that the principal makes; None: no limit.

    An account barred at the sign-in service is out within a shift, and so are holders of its links (decision
    0033 on tokens).
    """
    account = principal.account
    if account is None:
        return None
    is_of_service = services.workspace.catalog.identities.is_external(account.name)
    if principal.has_role(Role.ADMIN) or not is_of_service:
        return account.until_ns
    shift_ns = services.workspace.clock_ns() + OPENID_SESSION_TTL_S * 10**9
    return shift_ns if account.until_ns is None else min(account.until_ns, shift_ns)


def _is_owned_by(guest: Guest, principal: Principal) -> bool:
    return guest.made_by == principal.name or principal.has_role(Role.ADMIN)


def _names(services: Services) -> Mapping[str, str]:
    return services.workspace.catalog.boundaries.names()


def _describe_guest_link(guest: Guest, names: Mapping[str, str]) -> Json:
    return {
        "guest_id": guest.guest_id,
        "event_id": guest.event_id or None,
        "communes": [{"code": code, "name": names.get(code, code)} for code in guest.communes],
        "made_by": guest.made_by,
        "expires": format_iso(guest.expires_ns),
        "revoked": guest.revoked_ns is not None,
    }
