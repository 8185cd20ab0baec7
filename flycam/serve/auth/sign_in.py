"""Sign-in: a form that takes the token, a one-time link, and signing out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field

from flycam import __version__
from flycam.catalog.access_records import Scope
from flycam.catalog.records import Account
from flycam.errors import AccessDenied, FlycamError, NotFound
from flycam.frame.timestamp import get_local_zone_name
from flycam.messages import _
from flycam.pipeline.access.sign_in_codes import consume_code, is_code
from flycam.serve.auth import sessions
from flycam.serve.auth.attempts import Attempts
from flycam.serve.auth.authenticator import COOKIE, GUEST_COOKIE, Authenticator, Principal
from flycam.serve.auth.button_page import render_button_page
from flycam.serve.auth.cookies import set_auth_cookie
from flycam.serve.auth.guards import AdminPrincipal, GuestPrincipal
from flycam.serve.auth.routing import GuardedRoute
from flycam.serve.auth.scopes import build_scope_error, can_sign_in
from flycam.serve.http.errors import BAD_LINK, BAD_TOKEN, SignInRequired, TooManyAttempts
from flycam.serve.http.request_bodies import MAX_SIGN_IN_BYTES, limit_body
from flycam.serve.http.request_metrics import ACCOUNT_SCOPE_KEY
from flycam.serve.http.same_origin import CROSS_SITE_REQUEST, FORM_HEADERS, require_same_origin
from flycam.serve.services import Services, ServicesHere, get_services

router = APIRouter(route_class=GuardedRoute)

_PAGE = render_button_page(_("This link works once."))


class TokenBody(BaseModel):
    """What the sign-in form sends."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class LinkRequest(BaseModel):
    """Whose one-time link is wanted."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


@router.get("/api/session")
def get_session(principal: GuestPrincipal) -> dict[str, Any]:
    """Who is signed in; `open` where no account exists yet."""
    return describe_session(principal)


@router.post("/api/login", openapi_extra=limit_body(MAX_SIGN_IN_BYTES))
def sign_in_with_token(
    token: TokenBody, request: Request, response: Response, services: ServicesHere
) -> dict[str, Any]:
    """Exchange a token, or a code that is good once, for a cookie that scripts cannot read. A wrong token
    after ten wrong ones of the same address: 429 until they are old; a code then right or not."""
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
    """`openid`: whether the province's own sign-in service lets people in here (`/openid/begin`); `setup`:
    whether there is no account yet, and the set-up code makes the first (`/api/setup`)."""
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
    """Forget the cookies; the session of one opens nothing any more, wherever a copy of it lies."""
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
    """A link that signs a person in once, within a quarter of an hour (administrators only)."""
    door: Authenticator = request.app.state.door
    code = door.create_link(wanted.name, principal.token_id)
    if code is None:
        raise NotFound(
            _("{name}: no such account; make it with: flycam user add NAME --role viewer", name=wanted.name)
        )
    made_with = f"made with {principal.token_id}" if principal.token_id else ""
    services.workspace.catalog.audit.append(principal.name, "login-link", wanted.name, made_with)
    return {"path": f"/login/{code}", "seconds": sessions.LINK_TTL_S}


@router.get("/login/{code}", response_class=HTMLResponse, include_in_schema=False)
def show_sign_in_link_page() -> HTMLResponse:
    """A button: programs that fetch a link to preview it must not spend it."""
    return HTMLResponse(_PAGE, headers=FORM_HEADERS)


@router.post("/login/{code}", include_in_schema=False)
def use_sign_in_link(code: str, request: Request) -> Response:
    """Spend the link."""
    require_same_origin(request)
    door: Authenticator = request.app.state.door
    account = door.use_link_code(code)
    if account is None:
        raise SignInRequired(BAD_LINK)
    response = RedirectResponse("/", status_code=303)
    start_session(request, response, account, "login by link")
    return response


def start_session(
    request: Request, response: Response, account: Account, method: str, seconds: int = sessions.SESSION_TTL_S
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
