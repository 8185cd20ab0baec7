"""`/api/sync`: steps that field nodes upload, and reference data for them.

Formats: docs/formats/sync.md.

A node queries what is missing here, then sends one step after the other; an interrupted step resumes at its
offset, and is answered once it is imported. Only these addresses are open to a node's token.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from flycam.access.policy import AccessPolicy
from flycam.errors import AccessDenied, FlightBusy, RecordsMissing, SourceUnreadable, StoreConflict
from flycam.http.authenticator import Principal
from flycam.http.errors import Refused
from flycam.http.guards import GuardedRoute, NodeOrAdminPrincipal, require_node
from flycam.http.requests import (
    MAX_LARGE_BYTES,
    build_too_large_error,
    iterate_body,
    limit_body,
    read_byte_count_header,
)
from flycam.http.services import Services, ServicesHere, get_services
from flycam.messages import _, pgettext
from flycam.model.access import Role
from flycam.storage import keys
from flycam.sync.exchange_merge import ApplyReport
from flycam.sync.hooks import SyncApplyHooks
from flycam.sync.manifest import ObjectKind, require_hex_digits
from flycam.sync.node import Node, NodeIdentities
from flycam.sync.reference_feed import (
    ITEM_NAME_DIGITS,
    MAX_FEED_ITEMS_PER_REQUEST,
    FeedItem,
    ReferenceFeed,
    build_feed,
    compute_feed_state,
    encode_feed_listing,
)
from flycam.sync.server import Spool, answer_inventory_query, import_step
from flycam.sync.step_planner import read_step_manifest

# -- `/api/sync/common`: reference data for nodes (docs/formats/sync.md) ---------------------------
#
# Restricted areas, confirmed changes, layers, communes, terrain; never more than the account may see.


_OCTET_TYPE = "application/octet-stream"
_MAX_RESPONSE_BYTES = 64 << 20
_MAX_CACHED_FEEDS = 4

reference_router = APIRouter()


class ReferenceFeedCache:
    """Latest reference feed under each access policy, for several threads at once."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._made: dict[str, ReferenceFeed] = {}

    def state(self, policy: AccessPolicy) -> str:
        """Return the state of the feed now."""
        return compute_feed_state(self._node, policy)

    def get_feed(self, policy: AccessPolicy) -> ReferenceFeed:
        """Return the feed as it is now."""
        of = policy.fingerprint
        with self._lock:
            made = self._made.pop(of, None)
            if made is None or made.state != compute_feed_state(self._node, policy):
                made = build_feed(self._node, policy)
            self._made[of] = made
            while len(self._made) > _MAX_CACHED_FEEDS:
                self._made.pop(next(iter(self._made)))
            return made


def get_reference_cache(request: Request) -> ReferenceFeedCache:
    """Return the server's cache of reference feeds."""
    found: ReferenceFeedCache = request.app.state.shelf
    return found


ReferenceCacheHere = Annotated[ReferenceFeedCache, Depends(get_reference_cache)]


@reference_router.get("/api/sync/common", response_class=Response)
def list_reference_items(
    principal: NodeOrAdminPrincipal, here: ReferenceCacheHere, services: ServicesHere
) -> Response:
    """List the reference items for a node, and the state of the feed."""
    commons = here.get_feed(principal.access_policy)
    data = encode_feed_listing(services.workspace, commons)
    return Response(data, media_type=_OCTET_TYPE, headers={"Cache-Control": "no-store"})


@reference_router.get("/api/sync/common/things", response_class=Response)
def fetch_reference_items(
    principal: NodeOrAdminPrincipal,
    here: ReferenceCacheHere,
    services: ServicesHere,
    of: Annotated[
        str, Query(max_length=MAX_FEED_ITEMS_PER_REQUEST * (ITEM_NAME_DIGITS + 1), pattern=r"^[0-9a-f,]+$")
    ],
    at: Annotated[int, Query(ge=0)] = 0,
    most: Annotated[int, Query(ge=1)] = _MAX_RESPONSE_BYTES,
) -> Response:
    """Return the bytes of items, one after another.

    From byte `at` of the first on, at most `most`. 409 if one is no longer there: the list has changed.
    """
    commons = here.get_feed(principal.access_policy)
    by_name = {one.sha256[:ITEM_NAME_DIGITS]: one for one in commons.items}
    found = [by_name.get(name) for name in of.split(",")]
    wanted = [one for one in found if one is not None]
    if len(wanted) < len(found) or at >= wanted[0].size_bytes:
        raise Refused(409, _("the list is another by now: ask for it"))
    length = min(sum(one.size_bytes for one in wanted) - at, most, _MAX_RESPONSE_BYTES)
    body = _bytes(services.workspace, commons, wanted, at, length)
    headers = {"Content-Length": str(length), "Cache-Control": "no-store"}
    return StreamingResponse(body, media_type=_OCTET_TYPE, headers=headers)


def _bytes(node: Node, feed: ReferenceFeed, wanted: list[FeedItem], at: int, length: int) -> Iterator[bytes]:
    for thing in wanted:
        for block in feed.blocks(node, thing, at):
            if length <= 0:
                return
            yield block[:length]
            length -= len(block)
        at = 0


# -- Upload of steps by field nodes ----------------------------------------------------------------


MAX_STEP_BYTES = 4 << 30
_WRITE_BYTES = 64 << 10
_BODY = "application/octet-stream"
_OCTETS_RESPONSE = {
    "requestBody": {"content": {_BODY: {"schema": {"type": "string", "format": "binary"}}}, "required": True}
}


_MAX_CONCURRENT_IMPORTS = 2
"""Imports at a time, over all nodes, in threads of their own: the threads that requests share authenticate
and render tiles."""
_LARGE_KINDS = (ObjectKind.TILE, ObjectKind.TERRAIN, ObjectKind.ORIGINAL)
"""Objects that wait for disk space, however small their step."""

router = APIRouter(route_class=GuardedRoute)


class StepReceiver:
    """Steps on their way in, by sender."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._spools: dict[str, Spool] = {}
        self._audited: set[tuple[str, str]] = set()
        self._speakers = NodeIdentities(services.workspace)
        self._taking = ThreadPoolExecutor(_MAX_CONCURRENT_IMPORTS, "taking-in")

    async def run_in_turn(self, take: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Call `take` in a thread when its turn comes, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._taking, take)

    def get_spool(self, visitor: Principal) -> Spool:
        """Return the sender's own spool. Raises Refused 404 where this server takes none."""
        folder = self._services.sync_dir
        if folder is None:
            raise Refused(404, _("this server takes in no steps"))
        return self._spools.setdefault(visitor.name, Spool(folder / keys.derive_node_id(visitor.name)))

    def require_node_name(self, visitor: Principal, name: str) -> None:
        """Raise AccessDenied where a node's account uses another node's name.

        An administrator, and open access, may use any.
        """
        if visitor.account is not None and visitor.account.role is Role.BOX:
            self._speakers.require(visitor.name, name)

    def take(self, visitor: Principal, path: Path) -> ApplyReport:
        """Import a step that arrived whole.

        Raises as `import_step`, AccessDenied, and DiskFull where it holds more than records and overviews and
        would leave less room than flights need.
        """
        workspace = self._services.workspace
        manifest, __ = read_step_manifest(path, "line")
        self.get_spool(visitor).require_free_bytes(
            sum(one.size_bytes for one in manifest.items if one.kind in _LARGE_KINDS)
        )
        require_peer_name = partial(self.require_node_name, visitor)
        return import_step(workspace, path, SyncApplyHooks(workspace), visitor.name, require_peer_name)

    def audit_visit(self, visitor: Principal, name: str) -> None:
        """Write to the audit log that a node came, once in the life of this server."""
        if (visitor.name, name) not in self._audited:
            self._audited.add((visitor.name, name))
            self._services.workspace.catalog.audit.append(visitor.name, "sync", name)


@router.post("/api/sync", openapi_extra=limit_body(MAX_LARGE_BYTES))
def query_missing_objects(
    question: Annotated[dict[str, Any], Body()], request: Request, principal: NodeOrAdminPrincipal
) -> dict[str, Any]:
    """Return which of the objects that a node names are missing here.

    Also how far its logs were imported, and the state of the reference feed for it (`/api/sync/common`).
    """
    arrivals = _get_receiver(request)
    require_peer_name = partial(arrivals.require_node_name, principal)
    feed_state = get_reference_cache(request).state(principal.access_policy)
    answer = answer_inventory_query(get_services(request).workspace, question, feed_state, require_peer_name)
    arrivals.audit_visit(principal, str(question["box"]))
    return answer


@router.head("/api/sync/steps/{sha256}", response_class=Response)
def get_step_offset(sha256: str, request: Request, principal: NodeOrAdminPrincipal) -> Response:
    """Return the offset at which a step continues: Upload-Offset, of Upload-Length."""
    size = read_byte_count_header(request, "upload-length")
    at = _get_receiver(request).get_spool(principal).offset(_require_sha256(sha256), size)
    return Response(headers={"Upload-Offset": str(at), "Cache-Control": "no-store"})


@router.put("/api/sync/steps/{sha256}", openapi_extra=_OCTETS_RESPONSE)
async def append_step_bytes(sha256: str, request: Request, principal: NodeOrAdminPrincipal) -> dict[str, Any]:
    """Append bytes of a step from Upload-Offset on.

    Answered once all of Upload-Length came and was imported. 409 if the step continues at another offset, if
    what it builds on has to be queried anew, or while another step of this node is being imported; 460 if the
    bytes came changed.
    """
    arrivals = _get_receiver(request)
    spool = arrivals.get_spool(principal)
    at, size = (
        read_byte_count_header(request, "upload-offset"),
        read_byte_count_header(request, "upload-length"),
    )
    if not at <= size <= MAX_STEP_BYTES:
        raise build_too_large_error(MAX_STEP_BYTES)
    answer = await asyncio.to_thread(spool.find_answer, _require_sha256(sha256))
    if answer is not None:
        return answer
    turn = await asyncio.to_thread(spool.begin, sha256, at, size)
    if turn is None:
        raise _build_offset_conflict(spool.offset(sha256, size))
    at = await _receive(request, spool, turn, sha256, at, size)
    if at < size:
        raise _build_offset_conflict(at)
    await asyncio.to_thread(require_node, request)
    with spool.lock_for_import():
        return await arrivals.run_in_turn(partial(_import_received_step, arrivals, principal, spool, sha256))


async def _receive(request: Request, spool: Spool, turn: int, sha256: str, at: int, size: int) -> int:
    """Write the body into the spool; return the step's offset.

    What came before a cut counts.
    """
    buffer = bytearray()

    async def write() -> None:
        nonlocal at
        if buffer and not await asyncio.to_thread(spool.add, turn, sha256, bytes(buffer)):
            raise FlightBusy(_("another attempt goes on with this step; it is asked again by itself"))
        at += len(buffer)
        buffer.clear()

    try:
        async for part in iterate_body(request):
            buffer += part
            if at + len(buffer) > size:
                buffer.clear()
                raise build_too_large_error(size)
            if len(buffer) >= _WRITE_BYTES:
                await write()
                # again: the token may have been revoked meanwhile
                await asyncio.to_thread(require_node, request)
    finally:
        await write()
    return at


def _import_received_step(
    arrivals: StepReceiver, principal: Principal, spool: Spool, sha256: str
) -> dict[str, Any]:
    if (answer := spool.find_answer(sha256)) is not None:
        return answer
    path = spool.find_complete(sha256)
    if path is None:
        raise Refused(460, pgettext("step", "the bytes came changed: send them again"))
    try:
        taken = arrivals.take(principal, path)
    except (AccessDenied, RecordsMissing, SourceUnreadable, StoreConflict):
        spool.forget(sha256)
        raise
    answer = {
        "flights": list(taken.flights),
        "lines": taken.lines,
        "apart": [one.summary for one in taken.conflicts],
        "unnamed": list(taken.unreferenced),
    }
    spool.finish(sha256, answer)
    return answer


def _build_offset_conflict(at: int) -> Refused:
    return Refused(
        409,
        _("this step resumes at byte {offset}", offset=at),
        {"Upload-Offset": str(at)},
    )


def _require_sha256(sha256: str) -> str:
    try:
        return require_hex_digits(sha256, 64)
    except ValueError as error:
        raise Refused(400, _("a step is named by its SHA-256")) from error


def _get_receiver(request: Request) -> StepReceiver:
    arrivals: StepReceiver = request.app.state.arrivals
    return arrivals
