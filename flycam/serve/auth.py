"""Sign-in and credentials.

Sign-in is by token, one-time link or guest link (tokens are entered in a form, links open a page with a
button), or through the province's own OpenID service, where one is configured. Credentials are tokens,
one-time codes to type and the set-up code, which their owners and administrators make and revoke; the
certificate of the node's own authority is served here too (`/authority.crt`, public).
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from flycam import __version__
from flycam.access.accounts import (
    DEFAULT_TOKEN_DAYS,
    MAX_GUEST_HOURS,
    MAX_LABEL_LENGTH,
    MAX_TOKEN_DAYS,
    SIGN_IN_CODE_TTL_MIN,
    consume_code,
    find_descendants,
    invite_guest,
    is_code,
    list_active_tokens,
    make_first_administrator,
    make_sign_in_code,
    make_token,
    resolve_guest_communes,
    revoke_guest,
    revoke_token,
    sign_in_with_openid,
)
from flycam.catalog.access import Guest, make_account_not_found
from flycam.config import AUTHORITY_PATH, CALLBACK_PATH
from flycam.errors import AccessDenied, FlycamError, NotFound
from flycam.http import guards
from flycam.http.guards import (
    COOKIE,
    GUEST_COOKIE,
    OPENID_SESSION_TTL_S,
    AdminPrincipal,
    Authenticator,
    DownloadLog,
    GuardedRoute,
    GuestPrincipal,
    OperatorPrincipal,
    Principal,
    Services,
    ServicesHere,
    SignInService,
    ViewerPrincipal,
    build_scope_error,
    can_sign_in,
    get_services,
)
from flycam.http.protocol import (
    ACCOUNT_SCOPE_KEY,
    BAD_GUEST_LINK,
    BAD_LINK,
    BAD_TOKEN,
    CROSS_SITE_REQUEST,
    FORM_HEADERS,
    MAX_SIGN_IN_BYTES,
    Json,
    SignInRequired,
    TooManyAttempts,
    format_iso_or_none,
    limit_body,
    require_same_origin,
)
from flycam.messages import Message, _
from flycam.model.access import Account, Descendants, Role, Scope, Token
from flycam.model.time import format_iso, get_local_zone_name
from flycam.serve.limits import Attempts

# -- Confirmation page of a sign-in link -----------------------------------------------------------
#
# It has a button, so that programs that only fetch a link do not sign in.


_OPEN = _("Open the map")


def render_button_page(sentence: Message) -> str:
    """Return HTML with one sentence (HTML), in both languages, and a button.

    The button posts to the same address.
    """
    return f"""<!doctype html><html lang="vi"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>flycam</title><body><form method="post"><h1>flycam</h1>
<p>{sentence.in_both_languages()}</p>
<button type="submit">{_OPEN.in_both_languages()}</button></form></body></html>"""


# -- Cookies, hidden from scripts and from other sites ---------------------------------------------


def set_auth_cookie(
    response: Response, name: str, value: str, seconds: int, *, is_secure: bool, path: str = "/"
) -> None:
    """Set a cookie that lasts `seconds`.

    is_secure: it is sent over https only; path: below which it is sent.
    """
    response.set_cookie(
        name, value, max_age=seconds, path=path, httponly=True, samesite="lax", secure=is_secure
    )


# -- Sign-in by form or one-time link, and signing out ---------------------------------------------


router = APIRouter(route_class=GuardedRoute)

_LINK_PAGE = render_button_page(_("This link works once."))


class TokenBody(BaseModel):
    """Body that the sign-in form sends."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class LinkRequest(BaseModel):
    """Account that a one-time link is requested for."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


@router.get("/api/session")
def get_session(principal: GuestPrincipal) -> dict[str, Any]:
    """Return who is signed in; `open` where no account exists yet."""
    return describe_session(principal)


@router.post("/api/login", openapi_extra=limit_body(MAX_SIGN_IN_BYTES))
def sign_in_with_token(
    token: TokenBody, request: Request, response: Response, services: ServicesHere
) -> dict[str, Any]:
    """Exchange a token or a one-time code for a cookie that scripts cannot read.

    After ten failures from an address a wrong token gets 429 until they are old; a code then right or not.
    """
    return describe_session(sign_in_visitor(token, request, response, services))


def sign_in_visitor(token: TokenBody, request: Request, response: Response, services: Services) -> Principal:
    """Sign in by a token or code; set the cookie and return the principal.

    Raises SignInRequired, TooManyAttempts, AccessDenied.
    """
    require_same_origin(request)
    door: Authenticator = request.app.state.door
    account, how = door.find_account_by_token(token.token), "login"
    if account is not None:
        get_attempts(request, SignInMethod.WORD).clear_failures(get_client_address(request))
    elif is_code(token.token):
        with count_attempt(request, SignInMethod.CODE):
            account, how = consume_code(services.workspace, token.token), "login by code"
    else:
        raise count_failure(request, SignInMethod.WORD, SignInRequired(BAD_TOKEN))
    if not can_sign_in(account.scope):
        raise build_scope_error(account.name, account.scope)
    start_session(request, response, account, how)
    return door.create_principal(account)


@router.get("/api/sign-in")
def get_sign_in_methods(services: ServicesHere) -> dict[str, bool]:
    """Return which sign-in methods exist.

    `openid`: the province's own sign-in service (`/openid/begin`). `setup`: there is no account yet, and the
    set-up code makes the first (`/api/setup`).
    """
    return {
        "openid": services.openid is not None,
        "setup": services.workspace.catalog.accounts.is_empty(),
    }


class SignInMethod(StrEnum):
    """Sign-in methods, each with its own failures: guessing at one bars no other."""

    WORD = "token"
    CODE = "one-time code"
    SETUP = "set-up code"
    GUEST_LINK = "guest link"
    SERVICE = "sign-in service"
    SERVICE_CODE = "sign-in service's code"


@contextmanager
def count_attempt(request: Request, way: SignInMethod) -> Iterator[None]:
    """Count the sign-in within as a failure until it succeeds.

    For secrets whose check has a price. Raises TooManyAttempts while the address has failed too often, right
    or not. An attempt counts as failed before it ends, or all attempts sent at once would be checked.
    """
    attempts, address = get_attempts(request, way), get_client_address(request)
    wait_s = attempts.note_failure(address)
    if wait_s > 0.0:
        raise TooManyAttempts(wait_s)
    try:
        yield
    except (SignInRequired, AccessDenied):
        raise
    except BaseException:
        attempts.undo_failure(address)
        raise
    attempts.clear_failures(address)


def count_failure(request: Request, way: SignInMethod, error: FlycamError) -> FlycamError:
    """Count a failed sign-in; return this error, or TooManyAttempts after too many."""
    wait_s = get_attempts(request, way).note_failure(get_client_address(request))
    return TooManyAttempts(wait_s) if wait_s > 0.0 else error


def get_attempts(request: Request, way: SignInMethod) -> Attempts:
    """Return the failures by a sign-in method."""
    attempts: Mapping[SignInMethod, Attempts] = request.app.state.attempts
    return attempts[way]


def get_client_address(request: Request) -> str:
    """Return the client's address."""
    return request.client.host if request.client else ""


@router.post("/api/logout")
def sign_out(request: Request, response: Response) -> dict[str, bool]:
    """Delete the cookies and end their sessions, wherever copies of them are."""
    require_same_origin(request, CROSS_SITE_REQUEST)
    door: Authenticator = request.app.state.door
    door.end_sessions(request.headers.get("cookie", ""))
    for name in (COOKIE, GUEST_COOKIE):
        response.delete_cookie(name, path="/")
    return {"done": True}


@router.post("/api/login-links")
def create_sign_in_link(
    wanted: LinkRequest, request: Request, services: ServicesHere, principal: AdminPrincipal
) -> dict[str, Any]:
    """Make a one-time sign-in link, valid for a quarter of an hour.

    Administrators only.
    """
    door: Authenticator = request.app.state.door
    code = door.create_link(wanted.name, principal.token_id)
    if code is None:
        raise NotFound(
            _(
                "{name}: no such account; make it with: flycam account add NAME --role viewer",
                name=wanted.name,
            )
        )
    made_with = f"made with {principal.token_id}" if principal.token_id else ""
    services.workspace.catalog.audit.append(principal.name, "login-link", wanted.name, made_with)
    return {"path": f"/login/{code}", "seconds": guards.LINK_TTL_S}


@router.get("/login/{code}", response_class=HTMLResponse, include_in_schema=False)
def show_sign_in_link_page() -> HTMLResponse:
    """Show a button: programs that fetch a link to preview it must not use it up."""
    return HTMLResponse(_LINK_PAGE, headers=FORM_HEADERS)


@router.post("/login/{code}", include_in_schema=False)
def use_sign_in_link(code: str, request: Request) -> Response:
    """Sign in by the link, which is then used up."""
    require_same_origin(request)
    door: Authenticator = request.app.state.door
    account = door.use_link_code(code)
    if account is None:
        raise SignInRequired(BAD_LINK)
    response = RedirectResponse("/", status_code=303)
    start_session(request, response, account, "login by link")
    return response


def start_session(
    request: Request,
    response: Response,
    account: Account,
    method: str,
    seconds: int = guards.SESSION_TTL_S,
) -> None:
    """Set the cookie of a session of `seconds`, and note it in the audit log."""
    door: Authenticator = request.app.state.door
    get_services(request).workspace.catalog.audit.append(account.name, method, get_client_address(request))
    request.scope[ACCOUNT_SCOPE_KEY] = account.name
    word = door.create_session(account, seconds)
    set_auth_cookie(response, COOKIE, word, seconds, is_secure=request.url.scheme == "https")


def describe_session(principal: Principal) -> dict[str, Any]:
    """Describe the session to a page."""
    account = principal.account
    return {
        "account": {"name": account.name, "role": account.role.value} if account else None,
        "scope": account.scope.value if account else Scope.ALL.value,
        "open": account is None,
        "version": __version__,
        "withheld": principal.access_policy.fingerprint,
        "time_zone": get_local_zone_name(),
    }


# -- Guest links, valid for any holder until expired or revoked ------------------------------------
#
# A guest sees the map and its tiles. No account's credential is in a link, and none can be had by it.


_GUEST_PAGE = render_button_page(_("Guest link: the map alone, for a while."))


class GuestInvitation(BaseModel):
    """Guest link to be made.

    event: id or name, none for all; communes: names or codes, separated by commas, none for all that the
    presenter sees.
    """

    hours: Annotated[float, Field(gt=0, le=MAX_GUEST_HOURS, allow_inf_nan=False)]
    event: Annotated[str, Field(max_length=200)] | None = None
    communes: Annotated[str, Field(max_length=1000)] | None = None


@router.post("/api/guests")
def create_guest_link(body: GuestInvitation, services: ServicesHere, principal: OperatorPrincipal) -> Json:
    """Make a guest link, whose `path` is returned only this once.

    `expires` may be sooner than requested: when the maker's token ends, and after 12 h for accounts of the
    sign-in service.
    """
    own = principal.account.communes if principal.account else ()
    communes = resolve_guest_communes(services.workspace, body.communes, own)
    until_ns = _latest_end_ns(services, principal)
    guest, secret = invite_guest(
        services.workspace, body.hours, body.event, principal.name, communes, until_ns, principal.token_id
    )
    # an account or token that ended within the authenticator's two seconds makes no link that outlives it
    account = principal.account
    if account is not None and not services.workspace.catalog.accounts.is_valid(account):
        revoke_guest(services.workspace, guest.guest_id, account.name)
        raise SignInRequired(BAD_TOKEN)
    return {**_describe_guest_link(guest, _names(services)), "path": f"/guest/{secret}"}


@router.get("/api/guests")
def list_guest_links(services: ServicesHere, principal: OperatorPrincipal) -> list[Json]:
    """List valid guest links: one's own, for administrators everybody's."""
    now_ns = services.workspace.clock_ns()
    valid = [one for one in services.workspace.catalog.guests.all() if one.is_valid(now_ns)]
    names = _names(services)
    return [_describe_guest_link(one, names) for one in valid if _is_owned_by(one, principal)]


@router.delete("/api/guests/{guest_id}")
def revoke_guest_link(guest_id: str, services: ServicesHere, principal: OperatorPrincipal) -> Json:
    """Revoke a guest link."""
    known = services.workspace.catalog.guests.all()
    if not any(one.guest_id == guest_id and _is_owned_by(one, principal) for one in known):
        raise NotFound(
            _("{guest_id}: there is no such guest link of yours; see /api/guests", guest_id=guest_id[:80])
        )
    return _describe_guest_link(revoke_guest(services.workspace, guest_id, principal.name), _names(services))


@router.get("/guest/{secret}", response_class=HTMLResponse, include_in_schema=False)
def show_guest_link_page() -> HTMLResponse:
    """Show a button: programs that fetch a link to preview it are no guests."""
    return HTMLResponse(_GUEST_PAGE, headers=FORM_HEADERS)


@router.post("/guest/{secret}", include_in_schema=False)
def enter_as_guest(secret: str, request: Request, services: ServicesHere) -> Response:
    """Open the map by the link, any number of times while it is valid.

    An account that is signed in stays so.
    """
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


# -- Credentials of accounts -----------------------------------------------------------------------


_Name = Annotated[str, Field(min_length=1, max_length=200)]


class SetupRequest(BaseModel):
    """Set-up code that the server printed, and the first administrator's name."""

    code: Annotated[str, Field(min_length=1, max_length=200)]
    name: _Name


class TokenRequest(BaseModel):
    """Token to be made.

    label: its purpose; days: its lifetime, null for ever; account: its owner, null for oneself.
    """

    label: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_LENGTH)]
    scope: Scope = Scope.ALL
    days: Annotated[float, Field(gt=0, le=MAX_TOKEN_DAYS, allow_inf_nan=False)] | None = DEFAULT_TOKEN_DAYS
    account: _Name | None = None


class CodeRequest(BaseModel):
    """Account that the code signs in (null: the requester's)."""

    account: _Name | None = None


@router.post("/api/setup", openapi_extra=limit_body(MAX_SIGN_IN_BYTES))
def create_first_administrator(body: SetupRequest, request: Request, response: Response) -> Json:
    """Make the first administrator by the set-up code.

    The token is returned only this once. After ten wrong codes from an address: 429, right or not, until they
    are old.
    """
    require_same_origin(request)
    with count_attempt(request, SignInMethod.SETUP):
        account, token = make_first_administrator(get_services(request).workspace, body.code, body.name)
    door: Authenticator = request.app.state.door
    start_session(request, response, door.find_account_by_token(token) or account, "login by set-up code")
    return {"account": {"name": account.name, "role": account.role.value}, "token": token}


@router.get("/api/accounts")
def list_accounts(request: Request, _: AdminPrincipal) -> list[Json]:
    """List all accounts by name (administrators only)."""
    known = get_services(request).workspace.catalog.accounts.all()
    return [{"name": one.name, "role": one.role.value, "communes": list(one.communes)} for one in known]


@router.get("/api/tokens")
def list_tokens(request: Request, principal: ViewerPrincipal) -> list[Json]:
    """List valid tokens: one's own, for administrators everybody's."""
    workspace = get_services(request).workspace
    own = None if principal.has_role(Role.ADMIN) else principal.name
    made = find_descendants(workspace)
    return [
        _describe_token(one, principal, made.get(one.token_id)) for one in list_active_tokens(workspace, own)
    ]


@router.post("/api/tokens")
def create_token(body: TokenRequest, request: Request, principal: ViewerPrincipal) -> Json:
    """Make a token for one's own account; administrators for any.

    `token` is returned only this once.
    """
    workspace = get_services(request).workspace
    account = _resolve_account(request, body.account, principal)
    made, secret = make_token(
        workspace, account, body.label, body.scope, body.days, principal.name, principal.account
    )
    # revoked while the authenticator's cache still let them in (two seconds)
    if not _is_still_admitted(request, principal):
        revoke_token(workspace, made.token_id, principal.name)
        raise SignInRequired(BAD_TOKEN)
    return {**_describe_token(made, principal), "token": secret}


@router.delete("/api/tokens/{token_id}")
def end_token(token_id: str, request: Request, principal: ViewerPrincipal) -> Json:
    """Revoke a token, the sessions that it opened, and what was made with it."""
    own = None if principal.has_role(Role.ADMIN) else principal.name
    token, ended = revoke_token(get_services(request).workspace, token_id, principal.name, own)
    return _describe_token(token, principal, ended)


@router.post("/api/codes")
def create_sign_in_code(body: CodeRequest, request: Request, principal: ViewerPrincipal) -> Json:
    """Make a one-time code to type into the sign-in form of another machine.

    Valid for a quarter of an hour; for oneself, by administrators for any account.
    """
    name = _resolve_account(request, body.account, principal)
    if not _is_still_admitted(request, principal):
        raise SignInRequired(BAD_TOKEN)
    made = make_sign_in_code(get_services(request).workspace, name, principal.name, principal.token_id)
    return {"account": name, "code": made, "seconds": 60 * SIGN_IN_CODE_TTL_MIN}


def _resolve_account(request: Request, requested_account: str | None, principal: Principal) -> str:
    """Return the account that a credential is made for, by default one's own.

    An account barred at the sign-in service is out within a shift, so its owner may make nothing that lasts
    longer. Raises AccessDenied, NotFound (in open access there is no account).
    """
    name = principal.name if requested_account is None else requested_account.strip()
    services = get_services(request)
    if principal.account is None:
        raise NotFound(
            _("{name}: no such account; make it with: flycam account add NAME --role admin", name=name)
        )
    if name != principal.name and not principal.has_role(Role.ADMIN):
        raise AccessDenied(_("{name}: only an administrator makes what lets others in", name=principal.name))
    if not principal.has_role(Role.ADMIN) and services.workspace.catalog.identities.is_external(name):
        raise AccessDenied(
            _(
                "{name}: this account is of the province's sign-in service; an administrator "
                "makes its tokens",
                name=name,
            )
        )
    if services.workspace.catalog.accounts.find(name) is None:
        raise make_account_not_found(name)
    return name


def _is_still_admitted(request: Request, principal: Principal) -> bool:
    account: Account | None = principal.account
    return account is None or get_services(request).workspace.catalog.accounts.is_valid(account)


def _describe_token(token: Token, principal: Principal, made: Descendants | None = None) -> dict[str, Any]:
    """Describe a token for JSON.

    `made_with`: the token by which its maker signed in; `ends_with_it`: tokens made with it, in turn too.
    """
    return {
        "token_id": token.token_id,
        "account": token.account,
        "label": token.label,
        "scope": token.scope.value,
        "made_by": token.made_by,
        "made": format_iso_or_none(token.made_ns),
        "expires": format_iso_or_none(token.expires_ns),
        "used": format_iso_or_none(token.used_ns),
        "is_mine_now": token.token_id == principal.token_id,
        "made_with": token.made_with,
        "ends_with_it": (made or Descendants()).ids,
    }


# -- Certificate of the node's own authority -------------------------------------------------------


authority_router = APIRouter()


@authority_router.get(AUTHORITY_PATH, response_class=Response)
def get_authority_certificate(services: ServicesHere) -> Response:
    """Return the certificate as PEM.

    Public: every handshake shows the same, and its fingerprint proves it.
    """
    if services.authority is None:
        raise NotFound(
            _("this server has no authority of its own; its certificate is from elsewhere, or it has none")
        )
    return Response(
        services.authority,
        media_type="application/x-x509-ca-cert",
        headers={"Content-Disposition": 'attachment; filename="flycam-authority.crt"'},
    )


# -- Sign-in through the province's own OpenID service ---------------------------------------------


openid_router = APIRouter(include_in_schema=False)

OPENID_COOKIE = "flycam_openid"
MAX_CONCURRENT_SIGN_INS = 4
"""Sign-ins beyond this number wait in the event loop, and hold none of the threads for other requests."""
_MINUTES = 10
_PATH = "/openid"
_PAGES = {"map": "/", "upload": "/upload.html"}


@dataclass(frozen=True, slots=True)
class _SignInRound:
    """One redirect and callback.

    body: until when it is open, a random value, and the page that it ends on.
    """

    key: bytes
    body: str

    @property
    def state(self) -> str:
        return guards.derive_secret(self.key, "openid state", self.body)

    @property
    def nonce(self) -> str:
        return guards.derive_secret(self.key, "openid nonce", self.body)

    @property
    def verifier(self) -> str:
        return guards.derive_secret(self.key, "openid verifier", self.body)

    @property
    def return_page(self) -> str:
        return _PAGES[self.body.rpartition(".")[2]]

    def is_valid_return(self, state: str, now_s: float) -> bool:
        """Return True if this browser was sent out with this state, not too long ago."""
        if not hmac.compare_digest(self.state.encode(), state.encode("utf-8", "surrogateescape")):
            return False
        # the number is ours: a foreign body has another state and has been refused above
        return float(self.body.partition(".")[0]) >= now_s


async def _provider(services: ServicesHere) -> SignInService:
    if services.openid is None:
        raise NotFound(_("no sign-in service is configured here; sign in with an access token"))
    return services.openid


SignInServiceHere = Annotated[SignInService, Depends(_provider)]


@openid_router.get("/openid/begin")
async def begin_openid_sign_in(
    request: Request,
    services: ServicesHere,
    provider: SignInServiceHere,
    page: Literal["map", "upload"] = "map",
) -> RedirectResponse:
    """Send the browser to the service."""
    body = f"{int(time.time()) + 60 * _MINUTES}.{secrets.token_urlsafe(24)}.{page}"
    way = _SignInRound(services.session_key, body)
    async with _get_semaphore(request):
        there = await run_in_threadpool(provider.begin, way.state, way.nonce, way.verifier)
    response = RedirectResponse(there, status_code=303)
    response.headers["Cache-Control"] = "no-store"
    is_secure = provider.client.address.startswith("https:")
    set_auth_cookie(response, OPENID_COOKIE, body, 60 * _MINUTES, is_secure=is_secure, path=_PATH)
    return response


@openid_router.get(CALLBACK_PATH)
async def complete_openid_sign_in(
    request: Request,
    services: ServicesHere,
    provider: SignInServiceHere,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> RedirectResponse:
    """Sign in the browser that comes back with a code."""
    way = _SignInRound(services.session_key, request.cookies.get(OPENID_COOKIE, ""))
    if not way.is_valid_return(state, time.time()):
        raise count_failure(
            request,
            SignInMethod.SERVICE,
            AccessDenied(
                _(
                    "this sign-in was not begun in this browser, or over {minutes} minutes ago: "
                    "begin again at {address}",
                    minutes=_MINUTES,
                    address=provider.client.address,
                )
            ),
        )
    # refused before the semaphore: no request goes to the service, and nobody with a code waits
    if not code:
        raise count_failure(
            request,
            SignInMethod.SERVICE,
            _build_not_admitted_error(provider.client.issuer, error or "no code"),
        )
    async with _get_semaphore(request):
        return await run_in_threadpool(_exchange_code, request, services, provider, way, code)


def _exchange_code(
    request: Request, services: Services, provider: SignInService, way: _SignInRound, code: str
) -> RedirectResponse:
    with count_attempt(request, SignInMethod.SERVICE_CODE):
        claims = provider.fetch_claims(code, way.nonce, way.verifier)
        account = sign_in_with_openid(services.workspace, provider.client, claims)
    response = RedirectResponse(way.return_page, status_code=303)
    response.headers["Cache-Control"] = "no-store"
    response.delete_cookie(OPENID_COOKIE, path=_PATH)
    start_session(request, response, account, "login by sign-in service", guards.OPENID_SESSION_TTL_S)
    return response


def _get_semaphore(request: Request) -> asyncio.Semaphore:
    line: asyncio.Semaphore = request.app.state.asking_service
    return line


def _build_not_admitted_error(issuer: str, why: str) -> AccessDenied:
    return AccessDenied(
        _(
            "{issuer}: did not let you in ({why}): sign in again, or with an access token",
            issuer=issuer,
            why=why,
        )
    )
