"""Signing in: a form that takes the token, a link that works once, and signing out."""

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
from flycam.frame.moment import house_zone_name
from flycam.messages import _
from flycam.pipeline.people.codes import is_code, spend_code
from flycam.serve.answering.bodies import MAX_SIGN_IN_BYTES, bounded
from flycam.serve.answering.failures import SignInRequired, TooManyAttempts
from flycam.serve.answering.own_page import ASKED, SAYS_WHOSE, require_own_page
from flycam.serve.answering.watching import ACCOUNT
from flycam.serve.door import sessions
from flycam.serve.door.admission import COOKIE, GUEST_COOKIE, Door, Visitor
from flycam.serve.door.attempts import Attempts
from flycam.serve.door.button_page import button_page
from flycam.serve.door.cookies import give_cookie
from flycam.serve.door.guard import Admin, Guest
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.door.scopes import beyond, signs_in
from flycam.serve.services import Services, ServicesHere, services_of

router = APIRouter(route_class=GuardedRoute)

_PAGE = button_page("Liên kết này dùng được một lần. / This link works once.")


class Token(BaseModel):
    """What the sign-in form sends."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class LinkFor(BaseModel):
    """Whose one-time link is wanted."""

    name: Annotated[str, Field(min_length=1, max_length=200)]


@router.get("/api/session")
def session(visitor: Guest) -> dict[str, Any]:
    """Who is signed in; `open` where no account exists yet."""
    return session_said(visitor)


@router.post("/api/login", openapi_extra=bounded(MAX_SIGN_IN_BYTES))
def login(token: Token, request: Request, response: Response, services: ServicesHere) -> dict[str, Any]:
    """Exchange a token, or a code that is good once, for a cookie that scripts cannot read. A wrong token
    after ten wrong ones of the same address: 429 until they are old; a code then right or not."""
    return session_said(sign_in(token, request, response, services))


def sign_in(token: Token, request: Request, response: Response, services: Services) -> Visitor:
    """Who comes in by a token or code; the answer gets the cookie. Raises SignInRequired, TooManyAttempts,
    AccessDenied."""
    require_own_page(request)
    door: Door = request.app.state.door
    account, how = door.by_token(token.token), "login"
    if account is not None:
        attempts_of(request, WayIn.WORD).succeeded(address_of(request))
    elif is_code(token.token):
        with counted(request, WayIn.CODE):
            account, how = spend_code(services.workspace, token.token), "login by code"
    else:
        raise failing(request, WayIn.WORD, SignInRequired("bad_token"))
    if not signs_in(account.scope):
        raise beyond(account.name, account.scope)
    let_in(request, response, account, how)
    return door.visitor_of(account)


@router.get("/api/sign-in")
def ways_in(services: ServicesHere) -> dict[str, bool]:
    """`openid`: whether the province's own sign-in service lets people in here (`/openid/begin`); `setup`:
    whether there is no account yet, and the set-up code makes the first (`/api/setup`)."""
    return {
        "openid": services.openid is not None,
        "setup": services.workspace.catalog.accounts.is_empty(),
    }


class WayIn(StrEnum):
    """Ways to come in, each with failures of its own: who guesses at one bars no other."""

    WORD = "token"
    CODE = "one-time code"
    SETUP = "set-up code"
    GUEST_LINK = "guest link"
    SERVICE = "sign-in service"
    SERVICE_CODE = "sign-in service's code"


@contextmanager
def counted(request: Request, way: WayIn) -> Iterator[None]:
    """Within it somebody comes in by what only others can say is right, at a price. Raises TooManyAttempts
    while the address has failed too often, right or not. Whoever is not through yet counts as failed, or all
    who ask at once would be heard."""
    attempts, address = attempts_of(request, way), address_of(request)
    wait_s = attempts.failed(address)
    if wait_s > 0.0:
        raise TooManyAttempts(wait_s)
    try:
        yield
    except (SignInRequired, AccessDenied):
        raise
    except BaseException:
        attempts.was_none(address)
        raise
    attempts.succeeded(address)


def failing(request: Request, way: WayIn, error: FlycamError) -> FlycamError:
    """What is said to whoever failed to come in: this error, and after too many that there were."""
    wait_s = attempts_of(request, way).failed(address_of(request))
    return TooManyAttempts(wait_s) if wait_s > 0.0 else error


def attempts_of(request: Request, way: WayIn) -> Attempts:
    """Who failed how often to come in so."""
    attempts: Mapping[WayIn, Attempts] = request.app.state.attempts
    return attempts[way]


def address_of(request: Request) -> str:
    """The address that asks."""
    return request.client.host if request.client else ""


@router.post("/api/logout")
def logout(request: Request, response: Response) -> dict[str, bool]:
    """Forget the cookies; the session of one opens nothing any more, wherever a copy of it lies."""
    require_own_page(request, ASKED)
    door: Door = request.app.state.door
    door.end_sessions(request.headers.get("cookie", ""))
    for name in (COOKIE, GUEST_COOKIE):
        response.delete_cookie(name, path="/")
    return {"done": True}


@router.post("/api/login-links")
def make_link(wanted: LinkFor, request: Request, services: ServicesHere, visitor: Admin) -> dict[str, Any]:
    """A link that signs a person in once, within a quarter of an hour (administrators only)."""
    door: Door = request.app.state.door
    code = door.link_for(wanted.name, visitor.token_id)
    if code is None:
        raise NotFound(
            _("{name}: no such account; make it with: flycam user add NAME --role viewer", name=wanted.name)
        )
    made_with = f"made with {visitor.token_id}" if visitor.token_id else ""
    services.workspace.catalog.audit.append(visitor.name, "login-link", wanted.name, made_with)
    return {"path": f"/login/{code}", "seconds": sessions.LINK_SECONDS}


@router.get("/login/{code}", response_class=HTMLResponse, include_in_schema=False)
def link_page() -> HTMLResponse:
    """A button: programs that fetch a link to preview it must not spend it."""
    return HTMLResponse(_PAGE, headers=SAYS_WHOSE)


@router.post("/login/{code}", include_in_schema=False)
def use_link(code: str, request: Request) -> Response:
    """Spend the link."""
    require_own_page(request)
    door: Door = request.app.state.door
    account = door.use_link(code)
    if account is None:
        raise SignInRequired("bad_link")
    response = RedirectResponse("/", status_code=303)
    let_in(request, response, account, "login by link")
    return response


def let_in(
    request: Request, response: Response, account: Account, how: str, seconds: int = sessions.SESSION_SECONDS
) -> None:
    """Set the cookie of a session that lasts so long, and say so in the audit log."""
    door: Door = request.app.state.door
    services_of(request).workspace.catalog.audit.append(account.name, how, address_of(request))
    request.scope[ACCOUNT] = account.name
    word = door.session_for(account, seconds)
    give_cookie(response, COOKIE, word, seconds, is_secure=request.url.scheme == "https")


def session_said(visitor: Visitor) -> dict[str, Any]:
    """What a page is told of who is signed in."""
    account = visitor.account
    return {
        "account": {"name": account.name, "role": account.role.value} if account else None,
        "scope": account.scope.value if account else Scope.ALL.value,
        "open": account is None,
        "version": __version__,
        "withheld": visitor.withholding.fingerprint,
        "time_zone": house_zone_name(),
    }
