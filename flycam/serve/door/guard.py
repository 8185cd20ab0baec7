"""Who may call a route: dependencies that name the least role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from flycam.catalog.records import Role
from flycam.catalog.withholding import Withholding
from flycam.errors import AccessDenied
from flycam.messages import Bilingual, _
from flycam.serve.answering.failures import sign_in_required
from flycam.serve.answering.watching import ACCOUNT
from flycam.serve.door.admission import Door, Visitor
from flycam.serve.door.scopes import beyond

_NAMES_VI = {
    Role.BOX: "trạm dã chiến",
    Role.GUEST: "khách",
    Role.VIEWER: "người xem",
    Role.OPERATOR: "người vận hành",
    Role.ANALYST: "người phân tích",
    Role.ADMIN: "quản trị",
}


def visitor_with(role: Role) -> Callable[[Request], Visitor]:
    """A dependency that gives the visitor, or raises SignInRequired or AccessDenied."""

    def check(request: Request) -> Visitor:
        door: Door = request.app.state.door
        visitor = door.visitor(request.scope)
        if visitor is None:
            raise sign_in_required(request.scope["headers"])
        request.scope[ACCOUNT] = visitor.name
        if visitor.account is not None and not visitor.reaches(request.method, request.url.path):
            raise beyond(visitor.name, visitor.account.scope)
        if not visitor.may(role):
            raise role_missing(visitor, role)
        return visitor

    return check


def role_missing(visitor: Visitor, role: Role) -> AccessDenied:
    """That a visitor who is known may not have what this role may."""
    return AccessDenied(
        _(
            "{name}: this needs the role {role}; ask an administrator for it",
            name=visitor.name,
            role=Bilingual(role.value, _NAMES_VI[role]),
        )
    )


viewer_or_box = visitor_with(Role.BOX)
guest = visitor_with(Role.GUEST)
viewer = visitor_with(Role.VIEWER)
operator = visitor_with(Role.OPERATOR)
analyst = visitor_with(Role.ANALYST)
admin = visitor_with(Role.ADMIN)


def box(request: Request) -> Visitor:
    """Gives a visitor who may hand on what a box knows: a box, an administrator, or open access. Raises
    SignInRequired, AccessDenied."""
    visitor = viewer_or_box(request)
    if visitor.account is not None and visitor.account.role not in (Role.BOX, Role.ADMIN):
        raise AccessDenied(
            _(
                "{name}: this needs a box's own token; on the server: flycam user add NAME --role box",
                name=visitor.name,
            )
        )
    return visitor


def withholding_of(request: Request) -> Withholding:
    """What is withheld from whoever asks. Raises SignInRequired."""
    return guest(request).withholding


GUARDS = frozenset({viewer_or_box, guest, viewer, operator, analyst, admin, box, withholding_of})
"""Dependencies that look at who asks, and at nothing else of a request."""

Sees = Annotated[Withholding, Depends(withholding_of)]

Guest = Annotated[Visitor, Depends(guest)]
Viewer = Annotated[Visitor, Depends(viewer)]
Operator = Annotated[Visitor, Depends(operator)]
Analyst = Annotated[Visitor, Depends(analyst)]
Admin = Annotated[Visitor, Depends(admin)]
BoxOrAdmin = Annotated[Visitor, Depends(box)]
