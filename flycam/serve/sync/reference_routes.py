"""`/api/sync/common`: reference data for nodes (docs/formats/sync.md).

Restricted areas, confirmed changes, layers, communes, terrain; never more than the account may see.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from flycam.catalog.access_policy import AccessPolicy
from flycam.messages import _
from flycam.serve.auth.guards import NodeOrAdminPrincipal
from flycam.serve.http.errors import Refused
from flycam.serve.services import ServicesHere
from flycam.sync.capabilities import parse_capabilities_query
from flycam.sync.node import Node
from flycam.sync.reference_feed import (
    ITEM_NAME_DIGITS,
    MAX_FEED_ITEMS_PER_REQUEST,
    FeedItem,
    ReferenceFeed,
    build_feed,
    compute_feed_state,
    encode_feed_listing,
)

_OCTETS = "application/octet-stream"
_MAX_RESPONSE_BYTES = 64 << 20
_MAX_CACHED_FEEDS = 4

router = APIRouter()

CapabilitiesParameter = Annotated[str, Query(max_length=200)]


class ReferenceFeedCache:
    """Latest reference feed under each access policy, for several threads at once."""

    def __init__(self, house: Node) -> None:
        self._node = house
        self._lock = threading.Lock()
        self._made: dict[tuple[str, frozenset[str]], ReferenceFeed] = {}

    def state(self, policy: AccessPolicy, knows: frozenset[str]) -> str:
        """Return the state of the feed now. knows: capabilities of the node that asks."""
        return compute_feed_state(self._node, policy, knows)

    def get_feed(self, policy: AccessPolicy, knows: frozenset[str]) -> ReferenceFeed:
        """Return the feed as it is now."""
        of = policy.fingerprint, knows
        with self._lock:
            made = self._made.pop(of, None)
            if made is None or made.state != compute_feed_state(self._node, policy, knows):
                made = build_feed(self._node, policy, knows)
            self._made[of] = made
            while len(self._made) > _MAX_CACHED_FEEDS:
                self._made.pop(next(iter(self._made)))
            return made


def get_reference_cache(request: Request) -> ReferenceFeedCache:
    """Return the server's cache of reference feeds."""
    found: ReferenceFeedCache = request.app.state.shelf
    return found


ReferenceCacheHere = Annotated[ReferenceFeedCache, Depends(get_reference_cache)]


@router.get("/api/sync/common", response_class=Response)
def list_reference_items(
    principal: NodeOrAdminPrincipal,
    here: ReferenceCacheHere,
    services: ServicesHere,
    knows: CapabilitiesParameter = "",
    also: CapabilitiesParameter = "",
) -> Response:
    """What there is for a box, and the word for all of it. knows, also: `masks`, `withdrawals` of a box that
    keeps to them; others are told of none, for they would not read the list."""
    commons = here.get_feed(principal.access_policy, parse_capabilities_query(knows, also))
    data = encode_feed_listing(services.workspace, commons)
    return Response(data, media_type=_OCTETS, headers={"Cache-Control": "no-store"})


@router.get("/api/sync/common/things", response_class=Response)
def fetch_reference_items(
    principal: NodeOrAdminPrincipal,
    here: ReferenceCacheHere,
    services: ServicesHere,
    of: Annotated[
        str, Query(max_length=MAX_FEED_ITEMS_PER_REQUEST * (ITEM_NAME_DIGITS + 1), pattern=r"^[0-9a-f,]+$")
    ],
    at: Annotated[int, Query(ge=0)] = 0,
    most: Annotated[int, Query(ge=1)] = _MAX_RESPONSE_BYTES,
    knows: CapabilitiesParameter = "",
    also: CapabilitiesParameter = "",
) -> Response:
    """The bytes of things one after another, from byte `at` of the first on, at most so many. 409 where one
    is not there any more: the list is another by now."""
    commons = here.get_feed(principal.access_policy, parse_capabilities_query(knows, also))
    by_name = {one.sha256[:ITEM_NAME_DIGITS]: one for one in commons.items}
    found = [by_name.get(name) for name in of.split(",")]
    wanted = [one for one in found if one is not None]
    if len(wanted) < len(found) or at >= wanted[0].size_bytes:
        raise Refused(409, _("the list is another by now: ask for it"))
    length = min(sum(one.size_bytes for one in wanted) - at, most, _MAX_RESPONSE_BYTES)
    body = _bytes(services.workspace, commons, wanted, at, length)
    headers = {"Content-Length": str(length), "Cache-Control": "no-store"}
    return StreamingResponse(body, media_type=_OCTETS, headers=headers)


def _bytes(node: Node, feed: ReferenceFeed, wanted: list[FeedItem], at: int, length: int) -> Iterator[bytes]:
    for thing in wanted:
        for block in feed.blocks(node, thing, at):
            if length <= 0:
                return
            yield block[:length]
            length -= len(block)
        at = 0
