"""Sign-in through the province's own OpenID service, where one is configured.

No state is kept here between redirect and callback: it is derived from a random value in the browser's cookie
and the server's key, so that any process of the server may answer the callback.
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

from flycam.access.accounts import sign_in_with_openid
from flycam.config import CALLBACK_PATH
from flycam.errors import AccessDenied, NotFound
from flycam.http import authenticator
from flycam.http.services import Services, ServicesHere, SignInService
from flycam.messages import _
from flycam.serve.auth.sign_in import (
    SignInMethod,
    count_attempt,
    count_failure,
    set_auth_cookie,
    start_session,
)

router = APIRouter(include_in_schema=False)

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
        return authenticator.derive_secret(self.key, "openid state", self.body)

    @property
    def nonce(self) -> str:
        return authenticator.derive_secret(self.key, "openid nonce", self.body)

    @property
    def verifier(self) -> str:
        return authenticator.derive_secret(self.key, "openid verifier", self.body)

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
    start_session(request, response, account, "login by sign-in service", authenticator.OPENID_SESSION_TTL_S)
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
