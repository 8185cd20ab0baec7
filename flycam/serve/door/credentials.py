"""What lets people and programs in, made and ended by themselves and by administrators: tokens, codes that
are typed by hand once, and the first account of all.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from flycam.catalog.access_records import Descendants, Scope, Token
from flycam.catalog.records import Account, Role
from flycam.catalog.tokens import no_account
from flycam.errors import AccessDenied, NotFound
from flycam.messages import _
from flycam.pipeline.people.codes import SIGN_IN_MINUTES, first_administrator, make_code
from flycam.pipeline.people.tokens import (
    MOST_DAYS,
    MOST_LABEL,
    USUAL_DAYS,
    find_descendants,
    held_tokens,
    make_token,
    revoke_token,
)
from flycam.serve.answering.bodies import MAX_SIGN_IN_BYTES, bounded
from flycam.serve.answering.failures import SignInRequired
from flycam.serve.answering.own_page import require_own_page
from flycam.serve.answering.wording import Json, iso_or_none
from flycam.serve.door.accounts import WayIn, counted, let_in
from flycam.serve.door.admission import Door, Visitor
from flycam.serve.door.guard import Admin, Viewer
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import services_of

router = APIRouter(route_class=GuardedRoute)

_Name = Annotated[str, Field(min_length=1, max_length=200)]


class First(BaseModel):
    """The set-up code that the server printed, and the name of the first administrator."""

    code: Annotated[str, Field(min_length=1, max_length=200)]
    name: _Name


class TokenAsked(BaseModel):
    """What it is for, what it reaches, for how many days (null: for ever), whose it is (null: one's own)."""

    label: Annotated[str, Field(min_length=1, max_length=MOST_LABEL)]
    scope: Scope = Scope.ALL
    days: Annotated[float, Field(gt=0, le=MOST_DAYS, allow_inf_nan=False)] | None = USUAL_DAYS
    account: _Name | None = None


class CodeAsked(BaseModel):
    """Whom the code signs in (null: whoever asks)."""

    account: _Name | None = None


@router.post("/api/setup", openapi_extra=bounded(MAX_SIGN_IN_BYTES))
def set_up(asked: First, request: Request, response: Response) -> Json:
    """Make the first administrator by the set-up code. The token is told this once. After ten wrong codes of
    an address: 429, right or not, until they are old."""
    require_own_page(request)
    with counted(request, WayIn.SETUP):
        account, token = first_administrator(services_of(request).workspace, asked.code, asked.name)
    door: Door = request.app.state.door
    let_in(request, response, door.by_token(token) or account, "login by set-up code")
    return {"account": {"name": account.name, "role": account.role.value}, "token": token}


@router.get("/api/accounts")
def accounts(request: Request, _: Admin) -> list[Json]:
    """All accounts by name (administrators only)."""
    known = services_of(request).workspace.catalog.accounts.all()
    return [{"name": one.name, "role": one.role.value, "communes": list(one.communes)} for one in known]


@router.get("/api/tokens")
def tokens(request: Request, visitor: Viewer) -> list[Json]:
    """The tokens that hold: one's own, for administrators everybody's."""
    workspace = services_of(request).workspace
    own = None if visitor.may(Role.ADMIN) else visitor.name
    made = find_descendants(workspace)
    return [_told(one, visitor, made.get(one.token_id)) for one in held_tokens(workspace, own)]


@router.post("/api/tokens")
def make(asked: TokenAsked, request: Request, visitor: Viewer) -> Json:
    """Make a token of one's own account; administrators of any. `token` is told this once."""
    workspace = services_of(request).workspace
    account = _whose(request, asked.account, visitor)
    made, secret = make_token(
        workspace, account, asked.label, asked.scope, asked.days, visitor.name, visitor.account
    )
    if not _is_still_let_in(request, visitor):  # within the two seconds that the door remembers
        revoke_token(workspace, made.token_id, visitor.name)
        raise SignInRequired("bad_token")
    return {**_told(made, visitor), "token": secret}


@router.delete("/api/tokens/{token_id}")
def revoke(token_id: str, request: Request, visitor: Viewer) -> Json:
    """Let a token, the sessions that it opened, and what was made with it, open nothing any more."""
    own = None if visitor.may(Role.ADMIN) else visitor.name
    token, ended = revoke_token(services_of(request).workspace, token_id, visitor.name, own)
    return _told(token, visitor, ended)


@router.post("/api/codes")
def code(asked: CodeAsked, request: Request, visitor: Viewer) -> Json:
    """A code to type into the sign-in form of another machine, once within a quarter of an hour: for oneself;
    administrators for anybody."""
    name = _whose(request, asked.account, visitor)
    if not _is_still_let_in(request, visitor):
        raise SignInRequired("bad_token")
    made = make_code(services_of(request).workspace, name, visitor.name, visitor.token_id)
    return {"account": name, "code": made, "seconds": 60 * SIGN_IN_MINUTES}


def _whose(request: Request, asked: str | None, visitor: Visitor) -> str:
    """Whose account is meant. Whom the sign-in service bars is out within a shift: who came by it makes
    nothing that lasts longer. Raises AccessDenied, NotFound (in open access nobody has an account)."""
    name = visitor.name if asked is None else asked.strip()
    services = services_of(request)
    if visitor.account is None:
        raise NotFound(
            _("{name}: no such account; make it with: flycam user add NAME --role admin", name=name)
        )
    if name != visitor.name and not visitor.may(Role.ADMIN):
        raise AccessDenied(_("{name}: only an administrator makes what lets others in", name=visitor.name))
    if not visitor.may(Role.ADMIN) and services.workspace.catalog.identities.are_of(name):
        raise AccessDenied(
            _(
                "{name}: this account is of the province's sign-in service; an administrator "
                "makes its tokens",
                name=name,
            )
        )
    if services.workspace.catalog.accounts.find(name) is None:
        raise no_account(name)
    return name


def _is_still_let_in(request: Request, visitor: Visitor) -> bool:
    account: Account | None = visitor.account
    return account is None or services_of(request).workspace.catalog.accounts.holds(account)


def _told(token: Token, visitor: Visitor, made: Descendants | None = None) -> dict[str, Any]:
    """`made_with`: the token by which its maker came; `ends_with_it`: what was made with it, in turn too."""
    return {
        "token_id": token.token_id,
        "account": token.account,
        "label": token.label,
        "scope": token.scope.value,
        "made_by": token.made_by,
        "made": iso_or_none(token.made_ns),
        "expires": iso_or_none(token.expires_ns),
        "used": iso_or_none(token.used_ns),
        "is_mine_now": token.token_id == visitor.token_id,
        "made_with": token.made_with,
        "ends_with_it": (made or Descendants()).ids,
    }
