"""`/api/sync`: what field boxes hand on over a line (docs/formats/sync.md).

A box asks what is lacking here, then sends one step after the other; a step that was cut goes on at the byte,
and is answered when it was taken in. Only these addresses are open to a box's token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from flycam import __version__
from flycam.catalog.records import Role
from flycam.errors import AccessDenied, FlightBusy, RecordsMissing, SourceUnreadable, StoreConflict
from flycam.messages import _
from flycam.pipeline.receiving import Receiving
from flycam.serve.answering.bodies import MAX_LARGE_BYTES, bounded, bytes_said, parts_of, too_large
from flycam.serve.answering.failures import Refused
from flycam.serve.boxes.commons import shelf
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import BoxOrAdmin, box
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.services import Services, services_of
from flycam.store import keys
from flycam.sync.desk import answer, take_step
from flycam.sync.knows import known_of
from flycam.sync.manifest import Kind
from flycam.sync.names import hex_digits
from flycam.sync.speakers import Speakers
from flycam.sync.spool import Spool
from flycam.sync.step import manifest_of_step
from flycam.sync.taking import TakenIn

MAX_STEP_BYTES = 4 << 30
_WRITE_BYTES = 64 << 10
_BODY = "application/octet-stream"
_OCTETS = {
    "requestBody": {"content": {_BODY: {"schema": {"type": "string", "format": "binary"}}}, "required": True}
}


_TAKEN_AT_ONCE = 2
"""Steps that are taken in at a time, whatever box they are of, in threads of their own: those that all
requests share look up who asks for a tile, and make it."""
_ROOMY = (Kind.TILE, Kind.TERRAIN, Kind.ORIGINAL)
"""What waits for room, however small its step."""

router = APIRouter(route_class=GuardedRoute)


class Arrivals:
    """What is on its way in, by sender."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._spools: dict[str, Spool] = {}
        self._told: set[tuple[str, str]] = set()
        self._speakers = Speakers(services.workspace)
        self._taking = ThreadPoolExecutor(_TAKEN_AT_ONCE, "taking-in")

    async def in_turn(self, take: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Call `take` in a thread when it has its turn, and return what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._taking, take)

    def of(self, visitor: Visitor) -> Spool:
        """The visitor's own. Raises NotFound where this server takes none."""
        folder = self._services.sync_dir
        if folder is None:
            raise Refused(404, "this server takes in no steps", "máy chủ này không nhận đồng bộ")
        return self._spools.setdefault(visitor.name, Spool(folder / keys.box_id(visitor.name)))

    def require_speaker(self, visitor: Visitor, name: str) -> None:
        """Raise AccessDenied where a box's account speaks in another box's name; an administrator, and open
        access, may speak for any."""
        if visitor.account is not None and visitor.account.role is Role.BOX:
            self._speakers.require(visitor.name, name)

    def take(self, visitor: Visitor, path: Path) -> TakenIn:
        """Take in a step that came whole. Raises as `take_step`, AccessDenied, and DiskFull where it is more
        than records and overview and would leave less room than flights need."""
        workspace = self._services.workspace
        manifest, _ = manifest_of_step(path, "line")
        self.of(visitor).require_spare(sum(one.size_bytes for one in manifest.items if one.kind in _ROOMY))
        speaks = partial(self.require_speaker, visitor)
        return take_step(workspace, path, Receiving(workspace), visitor.name, speaks)

    def tell(self, visitor: Visitor, name: str) -> None:
        """Into the audit log that a box came, once for as long as this server runs."""
        if (visitor.name, name) not in self._told:
            self._told.add((visitor.name, name))
            self._services.workspace.catalog.audit.append(visitor.name, "sync", name)


@router.post("/api/sync", openapi_extra=bounded(MAX_LARGE_BYTES))
def ask(question: Annotated[dict[str, Any], Body()], request: Request, visitor: BoxOrAdmin) -> dict[str, Any]:
    """What of the things that a box asks about is not here, how far its logs were taken in, and the word for
    what there is for it here (`/api/sync/common`)."""
    arrivals = _arrivals(request)
    speaks = partial(arrivals.require_speaker, visitor)
    said = answer(services_of(request).workspace, question, __version__, speaks)
    arrivals.tell(visitor, str(question["box"]))
    word = shelf(request).state(visitor.withholding, known_of(question))
    return {**said, "common": word}


@router.head("/api/sync/steps/{sha256}", response_class=Response)
def standing(sha256: str, request: Request, visitor: BoxOrAdmin) -> Response:
    """Where a step goes on: Upload-Offset, of Upload-Length."""
    size = bytes_said(request, "upload-length")
    at = _arrivals(request).of(visitor).offset(_hex(sha256), size)
    return Response(headers={"Upload-Offset": str(at), "Cache-Control": "no-store"})


@router.put("/api/sync/steps/{sha256}", openapi_extra=_OCTETS)
async def add(sha256: str, request: Request, visitor: BoxOrAdmin) -> dict[str, Any]:
    """Bytes of a step from Upload-Offset on; answered when all of Upload-Length came and was taken in.

    409 where the step goes on at another byte, what it counts on has to be asked for anew, or something of
    this box is being taken in; 460 where the bytes came changed.
    """
    arrivals = _arrivals(request)
    spool = arrivals.of(visitor)
    at, size = bytes_said(request, "upload-offset"), bytes_said(request, "upload-length")
    if not at <= size <= MAX_STEP_BYTES:
        raise too_large(MAX_STEP_BYTES)
    said = await asyncio.to_thread(spool.answer, _hex(sha256))
    if said is not None:
        return said
    turn = await asyncio.to_thread(spool.begin, sha256, at, size)
    if turn is None:
        raise _elsewhere(spool.offset(sha256, size))
    at = await _receive(request, spool, turn, sha256, at, size)
    if at < size:
        raise _elsewhere(at)
    await asyncio.to_thread(box, request)
    with spool.taking():
        return await arrivals.in_turn(partial(_taken, arrivals, visitor, spool, sha256))


async def _receive(request: Request, spool: Spool, turn: int, sha256: str, at: int, size: int) -> int:
    """The body into the spool; how far the step is. What came before a cut counts."""
    held = bytearray()

    async def write() -> None:
        nonlocal at
        if held and not await asyncio.to_thread(spool.add, turn, sha256, bytes(held)):
            raise FlightBusy(_("another attempt goes on with this step; it is asked again by itself"))
        at += len(held)
        held.clear()

    try:
        async for part in parts_of(request):
            held += part
            if at + len(held) > size:
                held.clear()
                raise too_large(size)
            if len(held) >= _WRITE_BYTES:
                await write()
                await asyncio.to_thread(box, request)  # a token may be taken away meanwhile
    finally:
        await write()
    return at


def _taken(arrivals: Arrivals, visitor: Visitor, spool: Spool, sha256: str) -> dict[str, Any]:
    if (said := spool.answer(sha256)) is not None:
        return said
    path = spool.whole(sha256)
    if path is None:
        raise Refused(460, "the bytes came changed: send them again", "dữ liệu bị sai: hãy gửi lại")
    try:
        taken = arrivals.take(visitor, path)
    except (AccessDenied, RecordsMissing, SourceUnreadable, StoreConflict):
        spool.forget(sha256)
        raise
    said = {
        "flights": list(taken.flights),
        "lines": taken.lines,
        "apart": [one.told for one in taken.apart],
        "unnamed": list(taken.unnamed),
    }
    spool.finish(sha256, said)
    return said


def _elsewhere(at: int) -> Refused:
    return Refused(
        409,
        f"this step goes on at byte {at}",
        f"cần gửi tiếp từ byte {at}",
        {"Upload-Offset": str(at)},
    )


def _hex(sha256: str) -> str:
    try:
        return hex_digits(sha256, 64)
    except ValueError as error:
        raise Refused(400, "a step is named by its SHA-256", "tên bước phải là mã SHA-256") from error


def _arrivals(request: Request) -> Arrivals:
    arrivals: Arrivals = request.app.state.arrivals
    return arrivals
