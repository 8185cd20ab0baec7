"""Credentials of accounts: tokens, one-time codes to type, the set-up code.

Their owners and administrators make and revoke them. The certificate of the node's own authority is served
here too (`/authority.crt`, public).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from flycam.access.accounts import (
    DEFAULT_TOKEN_DAYS,
    MAX_LABEL_LENGTH,
    MAX_TOKEN_DAYS,
    SIGN_IN_CODE_TTL_MIN,
    find_descendants,
    list_active_tokens,
    make_first_administrator,
    make_sign_in_code,
    make_token,
    revoke_token,
)
from flycam.catalog.accounts import make_account_not_found
from flycam.config import AUTHORITY_PATH
from flycam.errors import AccessDenied, NotFound
from flycam.http.authenticator import Authenticator, Principal
from flycam.http.errors import BAD_TOKEN, SignInRequired
from flycam.http.guards import AdminPrincipal, GuardedRoute, ViewerPrincipal
from flycam.http.requests import MAX_SIGN_IN_BYTES, limit_body, require_same_origin
from flycam.http.responses import Json, format_iso_or_none
from flycam.http.services import ServicesHere, get_services
from flycam.messages import _
from flycam.model.access import Account, Descendants, Role, Scope, Token
from flycam.serve.auth.sign_in import SignInMethod, count_attempt, start_session

router = APIRouter(route_class=GuardedRoute)

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
            _("{name}: no such account; make it with: flycam user add NAME --role admin", name=name)
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
