"""`/api/uploads`: what a card brings, how much of it is safe, what its heads say, what came of it.

The bytes go through `/files` (tus); `heads` takes the first bytes of many files in one request, so that the
doctor can speak before the heavy bytes go.
"""

from __future__ import annotations

import asyncio
import struct
import zlib

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from flycam.catalog.records import Role
from flycam.errors import NotFound
from flycam.messages import _
from flycam.pipeline.upload.choice import UploadFile
from flycam.pipeline.upload.files import LOOK
from flycam.serve.answering.bodies import MAX_LARGE_BYTES, bounded, read_body, too_large
from flycam.serve.answering.failures import Refused
from flycam.serve.answering.own_page import ASKED, require_own_page
from flycam.serve.door.admission import Visitor
from flycam.serve.door.guard import Operator, operator
from flycam.serve.door.routing import GuardedRoute
from flycam.serve.uploads.reception import Reception, is_worked_on
from flycam.serve.uploads.words import Card, Opened, Standing, opened_of, stage_of, standing_of

HEADS = "application/vnd.flycam.heads"
_RECORD = struct.Struct(">II")
_MOST_HEADS = 256
_GZIP = 31  # zlib's window bits of a gzip stream
_HEADS_BODY = {
    "requestBody": {"content": {HEADS: {"schema": {"type": "string", "format": "binary"}}}, "required": True}
}


router = APIRouter(route_class=GuardedRoute, dependencies=[Depends(operator)])


@router.post("/api/uploads", openapi_extra=bounded(MAX_LARGE_BYTES))
def announce(card: Card, request: Request, visitor: Operator) -> Opened:
    """Begin the upload of a card, or go on with it: the same files by the same person are the same upload."""
    reception = _reception(request)
    files = [UploadFile(**one.model_dump()) for one in card.files]
    upload = reception.open(
        visitor,
        files,
        folder=card.folder,
        name=card.name,
        event=card.event,
        telemetry=card.telemetry,
    )
    if stage_of(upload) == "failed":
        reception.lay_again(upload)  # offered again, perhaps for another event
    return opened_of(reception, upload)


@router.get("/api/uploads")
def uploads(request: Request, visitor: Operator) -> list[Standing]:
    """The visitor's own uploads, the newest first; for administrators everybody's. Without `laid`: a page
    asks for this every other second."""
    reception = _reception(request)
    mine = [
        one
        for one in reception.uploads.all()
        if one.manifest.owner == visitor.name or visitor.may(Role.ADMIN)
    ]
    return [standing_of(reception, one, has_laid=False) for one in mine]


@router.get("/api/uploads/{upload_id}")
def upload(upload_id: str, request: Request, visitor: Operator) -> Standing:
    """How far it is."""
    reception = _reception(request)
    return standing_of(reception, reception.of(upload_id, visitor))


@router.get("/api/uploads/{upload_id}/files")
def files(upload_id: str, request: Request, visitor: Operator) -> Opened:
    """How far it is, file by file."""
    reception = _reception(request)
    return opened_of(reception, reception.of(upload_id, visitor))


@router.get("/api/uploads/{upload_id}/look", response_class=FileResponse)
def look(upload_id: str, request: Request, visitor: Operator) -> Response:
    """What the heads say, as `flycam inspect --no-pixels`; photos[] with the ground each sees. 404 before."""
    found = _reception(request).of(upload_id, visitor).folder / LOOK
    if not found.exists():
        raise NotFound(_("the heads of these photos were not looked at yet; ask again when all are here"))
    return FileResponse(found, media_type="application/json")


@router.post("/api/uploads/{upload_id}/heads", openapi_extra=_HEADS_BODY)
async def heads(upload_id: str, request: Request, visitor: Operator) -> dict[str, list[int]]:
    """First bytes of many files: for each its number and length (two big-endian uint32), then the bytes. A
    file that has some already is left alone. `Content-Encoding: gzip` is understood.
    Answers `numbers` and `offsets` of all that were named."""
    if request.headers.get("content-type") != HEADS:
        raise Refused(415, f"send the heads as {HEADS}", f"hãy gửi phần đầu ảnh dạng {HEADS}")
    reception = _reception(request)
    body = await read_body(request, MAX_LARGE_BYTES)
    await asyncio.to_thread(operator, request)  # a token may be taken away meanwhile
    with reception.place(visitor):
        plain = await asyncio.to_thread(_unpacked, body, request.headers.get("content-encoding"))
        return await asyncio.to_thread(_take_heads, reception, upload_id, visitor, plain)


@router.post("/api/uploads/{upload_id}/lay")
def lay(upload_id: str, request: Request, visitor: Operator) -> Standing:
    """Try again what failed, when its cause was mended (terrain registered, room made)."""
    require_own_page(request, ASKED)
    reception = _reception(request)
    found = reception.of(upload_id, visitor)
    reception.lay_again(found)
    return standing_of(reception, found)


@router.delete("/api/uploads/{upload_id}", status_code=204, response_class=Response)
def remove(upload_id: str, request: Request, visitor: Operator) -> Response:
    """Give an upload up, but not while it is laid. What is in the evidence store stays there."""
    reception = _reception(request)
    found = reception.of(upload_id, visitor)
    if is_worked_on(found):
        raise Refused(409, "it is being laid on the map", "đang được đưa lên bản đồ")
    reception.remove(found, visitor)
    return Response(status_code=204)


def _reception(request: Request) -> Reception:
    reception: Reception = request.app.state.reception
    return reception


def _take_heads(reception: Reception, upload_id: str, visitor: Visitor, body: bytes) -> dict[str, list[int]]:
    found = reception.of(upload_id, visitor)
    records = _records(body)
    for number, head in records:
        found.path(number)
        if len(head) > found.size(number):
            raise _bad_heads()
    found.add_heads(records)
    numbers = [number for number, _ in records]
    reception.wake()
    return {"numbers": numbers, "offsets": [found.offsets[number] for number in numbers]}


def _unpacked(body: bytes, encoding: str | None) -> bytes:
    """The body as it was before it was packed, never more than MAX_LARGE_BYTES of it. Raises Refused."""
    if encoding is None:
        return body
    if encoding != "gzip":
        raise Refused(415, "heads may be packed with gzip only", "phần đầu ảnh chỉ được nén bằng gzip")
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(body, MAX_LARGE_BYTES)
    except zlib.error as error:
        raise _bad_heads() from error
    if not unpacker.eof:
        raise too_large(MAX_LARGE_BYTES) if unpacker.unconsumed_tail else _bad_heads()
    return plain


def _records(body: bytes) -> list[tuple[int, bytes]]:
    """(number, bytes). Raises Refused 400 for a body that does not end with its last record."""
    records: list[tuple[int, bytes]] = []
    at = 0
    while at < len(body):
        if len(body) - at < _RECORD.size or len(records) >= _MOST_HEADS:
            raise _bad_heads()
        number, length = _RECORD.unpack_from(body, at)
        at += _RECORD.size
        if at + length > len(body):
            raise _bad_heads()
        records.append((number, body[at : at + length]))
        at += length
    return records


def _bad_heads() -> Refused:
    return Refused(
        400,
        f"heads: at most {_MOST_HEADS} records of number, length and as many bytes, {MAX_LARGE_BYTES} bytes",
        f"phần đầu ảnh: nhiều nhất {_MOST_HEADS} mục gồm số, độ dài, dữ liệu, tổng {MAX_LARGE_BYTES} byte",
    )
