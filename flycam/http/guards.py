"""Guards of routes: least roles, and the audit of downloads.

Guards are dependencies that name the least role. A guarded route authenticates before it reads the body.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from flycam.access.policy import AccessPolicy
from flycam.catalog.audit import Audit
from flycam.catalog.live_flights import VideoSegment
from flycam.errors import AccessDenied
from flycam.http.authenticator import Authenticator, Principal, build_scope_error
from flycam.http.errors import build_sign_in_error
from flycam.http.metrics import ACCOUNT_SCOPE_KEY
from flycam.http.requests import MAX_BODY_BYTES, ReadRequest, read_body
from flycam.messages import Message, _, pgettext
from flycam.model.access import Role
from flycam.model.records import FrameRecord

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
        if visitor.account is not None and not visitor.can_reach(request.method, request.scope["path"]):
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
                "{name}: this needs a node's own token; on the server: flycam user add NAME --role box",
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


# -- Audit of downloads: photos, videos and exports, once a minute each ----------------------------
#
# Many ranges of one file are then one line of the audit log.


DOWNLOAD_WINDOW_S = 60.0
# an entry that is forgotten is logged twice, never left out
_MAX_REMEMBERED = 4096


class DownloadLog:
    """Downloads that this process logged in the last minute.

    Memory is bounded; safe to use from several threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._written: OrderedDict[tuple[str, str, str, str], float] = OrderedDict()

    def note(self, audit: Audit, who: str, frame: FrameRecord) -> None:
        """Log that `who` opens this photo, unless logged less than DOWNLOAD_WINDOW_S ago.

        Raises CatalogUnavailable when it cannot be written: then the photo must not be served.
        """
        self._once(audit, who, "photo opened", frame.frame_id, frame.header.provenance.source_name)

    def note_video(self, audit: Audit, who: str, piece: VideoSegment) -> None:
        """Log that `who` opens a flight's video at this segment.

        Further ranges within DOWNLOAD_WINDOW_S belong to it.
        """
        self._once(audit, who, "video opened", piece.flight_id, piece.sha256)

    def note_guest(self, audit: Audit, guest_id: str, address: str) -> None:
        """Log that a guest link was opened from an address."""
        self._once(audit, guest_id, "guest link opened", address, "")

    def note_export(self, audit: Audit, who: str, what: str, subject: str, detail: str) -> bool:
        """Log that `who` downloads an export; return True if it was not logged already.

        what: "changes exported", …. Raises as `note`.
        """
        return self._once(audit, who, what, subject, detail, beside=detail)

    def _once(
        self, audit: Audit, who: str, what: str, subject: str, detail: str, *, beside: str = ""
    ) -> bool:
        key = (who, what, subject, beside)
        with self._lock:
            now = self._clock()
            last = self._written.get(key)
            if last is not None and now - last < DOWNLOAD_WINDOW_S:
                return False
            audit.append(who, what, subject, detail)
            self._written[key] = now
            self._written.move_to_end(key)
            while len(self._written) > _MAX_REMEMBERED:
                self._written.popitem(last=False)
        return True


# -- Routes that authenticate before they read the body --------------------------------------------


class GuardedRoute(APIRoute):
    """Route with a JSON body, which FastAPI would parse before it checks credentials."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, behind the route's guards and body limit."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        max_bytes = (self.openapi_extra or {}).get("x-max-bytes", MAX_BODY_BYTES)
        guards = [one.call for one in self.dependant.dependencies if one.call in GUARDS]

        async def handle_guarded(request: Request) -> Response:
            for guard in guards:
                await run_in_threadpool(guard, request)
            return await handle(ReadRequest(request, await read_body(request, max_bytes)))

        return handle_guarded
