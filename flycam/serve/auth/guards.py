"""Guards of routes: dependencies that name the least role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import Depends, Request

from flycam.catalog.access_policy import AccessPolicy
from flycam.catalog.records import Role
from flycam.errors import AccessDenied
from flycam.messages import Message, _, pgettext
from flycam.serve.auth.authenticator import Authenticator, Principal
from flycam.serve.auth.scopes import build_scope_error
from flycam.serve.http.errors import build_sign_in_error
from flycam.serve.http.request_metrics import ACCOUNT_SCOPE_KEY

_ROLE_NAMES: Mapping[Role, Message] = {
    Role.BOX: pgettext("role", "box"),
    Role.GUEST: pgettext("role", "guest"),
    Role.VIEWER: pgettext("role", "viewer"),
    Role.OPERATOR: pgettext("role", "operator"),
    Role.ANALYST: pgettext("role", "analyst"),
    Role.ADMIN: pgettext("role", "admin"),
}


def require_role(role: Role) -> Callable[[Request], Principal]:
    """Return a dependency that gives the principal.

    It raises SignInRequired or AccessDenied.
    """

    def check(request: Request) -> Principal:
        door: Authenticator = request.app.state.door
        visitor = door.authenticate(request.scope)
        if visitor is None:
            raise build_sign_in_error(request.scope["headers"])
        request.scope[ACCOUNT_SCOPE_KEY] = visitor.name
        if visitor.account is not None and not visitor.can_reach(request.method, request.url.path):
            raise build_scope_error(visitor.name, visitor.account.scope)
        if not visitor.has_role(role):
            raise build_role_error(visitor, role)
        return visitor

    return check


def build_role_error(principal: Principal, role: Role) -> AccessDenied:
    """Return the error for a principal whose role is too low."""
    return AccessDenied(
        _(
            "{name}: this needs the role {role}; ask an administrator for it",
            name=principal.name,
            role=_ROLE_NAMES[role],
        )
    )


require_viewer_or_node = require_role(Role.BOX)
require_guest = require_role(Role.GUEST)
require_viewer = require_role(Role.VIEWER)
require_operator = require_role(Role.OPERATOR)
require_analyst = require_role(Role.ANALYST)
require_admin = require_role(Role.ADMIN)


def require_node(request: Request) -> Principal:
    """Return a principal that may synchronise a node's records.

    That is a node, an administrator, or open access. Raises SignInRequired, AccessDenied.
    """
    visitor = require_viewer_or_node(request)
    if visitor.account is not None and visitor.account.role not in (Role.BOX, Role.ADMIN):
        raise AccessDenied(
            _(
                "{name}: this needs a box's own token; on the server: flycam user add NAME --role box",
                name=visitor.name,
            )
        )
    return visitor


def get_access_policy(request: Request) -> AccessPolicy:
    """Return the access policy of the sender. Raises SignInRequired."""
    return require_guest(request).access_policy


GUARDS = frozenset(
    {
        require_viewer_or_node,
        require_guest,
        require_viewer,
        require_operator,
        require_analyst,
        require_admin,
        require_node,
        get_access_policy,
    }
)
"""Dependencies that look at the principal, and at nothing else of a request."""

AccessPolicyHere = Annotated[AccessPolicy, Depends(get_access_policy)]

GuestPrincipal = Annotated[Principal, Depends(require_guest)]
ViewerPrincipal = Annotated[Principal, Depends(require_viewer)]
OperatorPrincipal = Annotated[Principal, Depends(require_operator)]
AnalystPrincipal = Annotated[Principal, Depends(require_analyst)]
AdminPrincipal = Annotated[Principal, Depends(require_admin)]
NodeOrAdminPrincipal = Annotated[Principal, Depends(require_node)]
