"""Signing in through the province's own sign-in service, where one is configured.

Nothing of it is kept here between the way out and the way back: what belongs to it is derived from a random
word in the browser's cookie and the server's key, so any process of the server may meet the way back.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from flycam.errors import AccessDenied, NotFound
from flycam.messages import _
from flycam.pipeline.people.openid_client import CALLBACK
from flycam.pipeline.people.openid_person import sign_in
from flycam.serve.door import sessions
from flycam.serve.door.accounts import WayIn, counted, failing, let_in
from flycam.serve.door.cookies import give_cookie
from flycam.serve.services import Services, ServicesHere, SignInService

router = APIRouter(include_in_schema=False)

COOKIE = "flycam_openid"
ASKING_AT_ONCE = 4
"""Whoever comes while so many wait for the service waits in line, and holds none of the threads that answer
everything else."""
_MINUTES = 10
_PATH = "/openid"
_PAGES = {"map": "/", "upload": "/upload.html"}


@dataclass(frozen=True, slots=True)
class _Way:
    """One way out and back. body: until when it is open, a random word, and the page that it ends on."""

    key: bytes
    body: str

    @property
    def state(self) -> str:
        return sessions.derived(self.key, "openid state", self.body)

    @property
    def nonce(self) -> str:
        return sessions.derived(self.key, "openid nonce", self.body)

    @property
    def verifier(self) -> str:
        return sessions.derived(self.key, "openid verifier", self.body)

    @property
    def ends_on(self) -> str:
        return _PAGES[self.body.rpartition(".")[2]]

    def is_way_back(self, state: str, now_s: float) -> bool:
        """Whether this browser was sent out with this state, not too long ago."""
        if not hmac.compare_digest(self.state.encode(), state.encode("utf-8", "surrogateescape")):
            return False
        return float(self.body.partition(".")[0]) >= now_s  # of our own making, or the state were another


async def _provider(services: ServicesHere) -> SignInService:
    if services.openid is None:
        raise NotFound(_("no sign-in service is configured here; sign in with an access token"))
    return services.openid


Configured = Annotated[SignInService, Depends(_provider)]


@router.get("/openid/begin")
async def begin(
    request: Request, services: ServicesHere, provider: Configured, page: Literal["map", "upload"] = "map"
) -> RedirectResponse:
    """Send the browser to the service."""
    body = f"{int(time.time()) + 60 * _MINUTES}.{secrets.token_urlsafe(24)}.{page}"
    way = _Way(services.session_key, body)
    async with _in_line(request):
        there = await run_in_threadpool(provider.begin, way.state, way.nonce, way.verifier)
    response = RedirectResponse(there, status_code=303)
    response.headers["Cache-Control"] = "no-store"
    is_secure = provider.client.address.startswith("https:")
    give_cookie(response, COOKIE, body, 60 * _MINUTES, is_secure=is_secure, path=_PATH)
    return response


@router.get(CALLBACK)
async def come_back(
    request: Request,
    services: ServicesHere,
    provider: Configured,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> RedirectResponse:
    """Meet the browser that comes back with a code, and let it in."""
    way = _Way(services.session_key, request.cookies.get(COOKIE, ""))
    if not way.is_way_back(state, time.time()):
        raise failing(request, WayIn.SERVICE, _begun_elsewhere(provider.client.address))
    if not code:  # the service is asked nothing, so it keeps nobody waiting who comes with a code
        raise failing(request, WayIn.SERVICE, _not_let_in(provider.client.issuer, error or "no code"))
    async with _in_line(request):
        return await run_in_threadpool(_met, request, services, provider, way, code)


def _met(
    request: Request, services: Services, provider: SignInService, way: _Way, code: str
) -> RedirectResponse:
    with counted(request, WayIn.SERVICE_CODE):
        claims = provider.claims(code, way.nonce, way.verifier)
        account = sign_in(services.workspace, provider.client, claims)
    response = RedirectResponse(way.ends_on, status_code=303)
    response.headers["Cache-Control"] = "no-store"
    response.delete_cookie(COOKIE, path=_PATH)
    let_in(request, response, account, "login by sign-in service", sessions.SERVICE_SECONDS)
    return response


def _in_line(request: Request) -> asyncio.Semaphore:
    line: asyncio.Semaphore = request.app.state.asking_service
    return line


def _begun_elsewhere(address: str) -> AccessDenied:
    return AccessDenied(
        _(
            "this sign-in was not begun in this browser, or over {minutes} minutes ago: "
            "begin again at {address}",
            minutes=_MINUTES,
            address=address,
        )
    )


def _not_let_in(issuer: str, why: str) -> AccessDenied:
    return AccessDenied(
        _(
            "{issuer}: did not let you in ({why}): sign in again, or with an access token",
            issuer=issuer,
            why=why,
        )
    )
