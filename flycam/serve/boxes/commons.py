"""`/api/sync/common`: what boxes get from here (docs/formats/sync.md): restricted areas, confirmed changes,
layers, communes, terrain; never more than whoever asks may see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from flycam.catalog.withholding import Withholding
from flycam.serve.answering.failures import Refused
from flycam.serve.door.guard import BoxOrAdmin
from flycam.serve.services import ServicesHere
from flycam.sync.commons import (
    MOST_THINGS,
    NAME_DIGITS,
    Commons,
    Thing,
    commons_of,
    listing_to_bytes,
    state_of,
)
from flycam.sync.house import House
from flycam.sync.knows import known_in

_OCTETS = "application/octet-stream"
_MOST_BYTES = 64 << 20
_KEPT = 4

router = APIRouter()

Knows = Annotated[str, Query(max_length=200)]


class Shelf:
    """What was made for boxes, as it stood last under each withholding. Safe between threads."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._lock = threading.Lock()
        self._made: dict[tuple[str, frozenset[str]], Commons] = {}

    def state(self, sees: Withholding, knows: frozenset[str]) -> str:
        """The word for all that may be had now. knows: what who asks keeps to."""
        return state_of(self._house, sees, knows)

    def commons(self, sees: Withholding, knows: frozenset[str]) -> Commons:
        """All that may be had now."""
        of = sees.fingerprint, knows
        with self._lock:
            made = self._made.pop(of, None)
            if made is None or made.state != state_of(self._house, sees, knows):
                made = commons_of(self._house, sees, knows)
            self._made[of] = made
            while len(self._made) > _KEPT:
                self._made.pop(next(iter(self._made)))
            return made


def shelf(request: Request) -> Shelf:
    """The server's own."""
    found: Shelf = request.app.state.shelf
    return found


ShelfHere = Annotated[Shelf, Depends(shelf)]


@router.get("/api/sync/common", response_class=Response)
def listing(
    visitor: BoxOrAdmin, here: ShelfHere, services: ServicesHere, knows: Knows = "", also: Knows = ""
) -> Response:
    """What there is for a box, and the word for all of it. knows, also: `masks`, `withdrawals` of a box that
    keeps to them; others are told of none, for they would not read the list."""
    commons = here.commons(visitor.withholding, known_in(knows, also))
    data = listing_to_bytes(services.workspace, commons)
    return Response(data, media_type=_OCTETS, headers={"Cache-Control": "no-store"})


@router.get("/api/sync/common/things", response_class=Response)
def things(
    visitor: BoxOrAdmin,
    here: ShelfHere,
    services: ServicesHere,
    of: Annotated[str, Query(max_length=MOST_THINGS * (NAME_DIGITS + 1), pattern=r"^[0-9a-f,]+$")],
    at: Annotated[int, Query(ge=0)] = 0,
    most: Annotated[int, Query(ge=1)] = _MOST_BYTES,
    knows: Knows = "",
    also: Knows = "",
) -> Response:
    """The bytes of things one after another, from byte `at` of the first on, at most so many. 409 where one
    is not there any more: the list is another by now."""
    commons = here.commons(visitor.withholding, known_in(knows, also))
    by_name = {one.sha256[:NAME_DIGITS]: one for one in commons.things}
    found = [by_name.get(name) for name in of.split(",")]
    wanted = [one for one in found if one is not None]
    if len(wanted) < len(found) or at >= wanted[0].size_bytes:
        raise Refused(409, "the list is another by now: ask for it", "danh sách đã đổi: hãy hỏi lại")
    length = min(sum(one.size_bytes for one in wanted) - at, most, _MOST_BYTES)
    body = _bytes(services.workspace, commons, wanted, at, length)
    headers = {"Content-Length": str(length), "Cache-Control": "no-store"}
    return StreamingResponse(body, media_type=_OCTETS, headers=headers)


def _bytes(house: House, commons: Commons, wanted: list[Thing], at: int, length: int) -> Iterator[bytes]:
    for thing in wanted:
        for block in commons.blocks(house, thing, at):
            if length <= 0:
                return
            yield block[:length]
            length -= len(block)
        at = 0
