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
from flycam.pipeline.access.openid_account import sign_in_with_openid
from flycam.pipeline.access.openid_client import CALLBACK_PATH
from flycam.serve.auth import sessions
from flycam.serve.auth.cookies import set_auth_cookie
from flycam.serve.auth.sign_in import SignInMethod, count_attempt, count_failure, start_session
from flycam.serve.services import Services, ServicesHere, SignInService

router = APIRouter(include_in_schema=False)

OPENID_COOKIE = "flycam_openid"
MAX_CONCURRENT_SIGN_INS = 4
"""Whoever comes while so many wait for the service waits in line, and holds none of the threads that answer
everything else."""
_MINUTES = 10
_PATH = "/openid"
_PAGES = {"map": "/", "upload": "/upload.html"}


@dataclass(frozen=True, slots=True)
class _SignInRound:
    """One way out and back. body: until when it is open, a random word, and the page that it ends on."""

    key: bytes
    body: str

    @property
    def state(self) -> str:
        return sessions.derive_secret(self.key, "openid state", self.body)

    @property
    def nonce(self) -> str:
        return sessions.derive_secret(self.key, "openid nonce", self.body)

    @property
    def verifier(self) -> str:
        return sessions.derive_secret(self.key, "openid verifier", self.body)

    @property
    def return_page(self) -> str:
        return _PAGES[self.body.rpartition(".")[2]]

    def is_valid_return(self, state: str, now_s: float) -> bool:
        """Whether this browser was sent out with this state, not too long ago."""
        if not hmac.compare_digest(self.state.encode(), state.encode("utf-8", "surrogateescape")):
            return False
        return float(self.body.partition(".")[0]) >= now_s  # of our own making, or the state were another


async def _provider(services: ServicesHere) -> SignInService:
    if services.openid is None:
        raise NotFound(_("no sign-in service is configured here; sign in with an access token"))
    return services.openid


SignInServiceHere = Annotated[SignInService, Depends(_provider)]


@router.get("/openid/begin")
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


@router.get(CALLBACK_PATH)
async def complete_openid_sign_in(
    request: Request,
    services: ServicesHere,
    provider: SignInServiceHere,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4000)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> RedirectResponse:
    """Meet the browser that comes back with a code, and let it in."""
    way = _SignInRound(services.session_key, request.cookies.get(OPENID_COOKIE, ""))
    if not way.is_valid_return(state, time.time()):
        raise count_failure(
            request, SignInMethod.SERVICE, _build_foreign_round_error(provider.client.address)
        )
    if not code:  # the service is asked nothing, so it keeps nobody waiting who comes with a code
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
    start_session(request, response, account, "login by sign-in service", sessions.OPENID_SESSION_TTL_S)
    return response


def _get_semaphore(request: Request) -> asyncio.Semaphore:
    line: asyncio.Semaphore = request.app.state.asking_service
    return line


def _build_foreign_round_error(address: str) -> AccessDenied:
    return AccessDenied(
        _(
            "this sign-in was not begun in this browser, or over {minutes} minutes ago: "
            "begin again at {address}",
            minutes=_MINUTES,
            address=address,
        )
    )


def _build_not_admitted_error(issuer: str, why: str) -> AccessDenied:
    return AccessDenied(
        _(
            "{issuer}: did not let you in ({why}): sign in again, or with an access token",
            issuer=issuer,
            why=why,
        )
    )
