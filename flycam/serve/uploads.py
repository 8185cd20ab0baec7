"""`/api/uploads`: what a card brings, how much of it is safe, what its heads say, what came of it.

The bytes go through `/files` (tus); `heads` takes the first bytes of many files in one request, so that the
doctor can speak before the heavy bytes go.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from flycam.catalog.records import Role
from flycam.errors import NotFound
from flycam.pipeline.upload import LAID, LOOK, Upload, UploadFile, Writer
from flycam.pipeline.uploads import MAX_FILES
from flycam.serve.bodies import MAX_BYTES, LineCut, parts_of
from flycam.serve.door import Visitor
from flycam.serve.failures import Refused
from flycam.serve.guard import operator
from flycam.serve.reception import Reception, progress_of, said_in
from flycam.serve.services import Services
from flycam.serve.wording import iso

HEADS = "application/vnd.flycam.heads"
_RECORD = struct.Struct(">II")
_MOST_HEADS = 256
_HEADS_BODY = {
    "requestBody": {"content": {HEADS: {"schema": {"type": "string", "format": "binary"}}}, "required": True}
}

Uploader = Annotated[Visitor, Depends(operator)]
Stage = Literal["receiving", "keeping", "laying", "laid", "failed"]

router = APIRouter(dependencies=[Depends(operator)])


class Announced(BaseModel):
    """A file of a card. modified_ms tells two cards with the same names apart."""

    path: Annotated[str, Field(min_length=1, max_length=1000)]
    size: Annotated[int, Field(ge=0, le=1 << 40)]
    modified_ms: Annotated[int, Field(ge=0, le=1 << 52)] = 0


class Card(BaseModel):
    """What is to be uploaded. folder: what the photos' folder is called; telemetry: the flight log's path."""

    files: Annotated[list[Announced], Field(min_length=1, max_length=MAX_FILES)]
    folder: Annotated[str, Field(max_length=500)] = ""
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    event: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    telemetry: Annotated[str | None, Field(max_length=1000)] = None


class Said(BaseModel):
    """A sentence in both languages."""

    sentence: str
    sentence_vi: str


class Standing(BaseModel):
    """How far an upload is.

    heads           files of which something is here
    stored          files that are whole, hashed and in the evidence store
    saved           all of them are: the card may be taken out
    looked          the heads were looked at: ask for `look`
    laid            what came of it, as `flycam ingest` answers; or why nothing
    waits_for       what holds it up at the moment
    """

    upload_id: str
    label: str
    name: str | None
    owner: str
    began: str
    expires: str
    stage: Stage
    files: int
    heads: int
    received: int
    stored: int
    bytes: int
    bytes_received: int
    bytes_stored: int
    saved: bool
    looked: bool
    progress: dict[str, Any] | None
    laid: dict[str, Any] | None
    waits_for: Said | None


class FileStanding(BaseModel):
    """How far a file is: bytes go to `/files/{upload_id}/{number}` from `offset`; sha256 once stored."""

    number: int
    path: str
    size: int
    offset: int
    sha256: str | None


class Opened(Standing):
    """An upload with its files, in the order of their numbers."""

    parts: list[FileStanding]


@router.post("/api/uploads")
def announce(card: Card, request: Request, visitor: Uploader) -> Opened:
    """Begin the upload of a card, or go on with it: the same files by the same person are the same upload."""
    reception = _reception(request)
    files = [UploadFile(**one.model_dump()) for one in card.files]
    known = {one.upload_id for one in reception.uploads.all()}
    upload = reception.uploads.open(
        visitor.name,
        files,
        folder=card.folder,
        name=card.name,
        event=card.event,
        telemetry=card.telemetry,
    )
    if upload.upload_id not in known:
        services: Services = request.app.state.services
        said = f"{len(files)} files, {sum(one.size for one in files)} bytes"
        services.workspace.catalog.audit.append(visitor.name, "upload", upload.upload_id, said)
    return _opened(reception, upload)


@router.get("/api/uploads")
def uploads(request: Request, visitor: Uploader) -> list[Standing]:
    """The visitor's own uploads, the newest first; for administrators everybody's."""
    reception = _reception(request)
    mine = [
        one
        for one in reception.uploads.all()
        if one.manifest.owner == visitor.name or visitor.may(Role.ADMIN)
    ]
    return [_standing(reception, one) for one in mine]


@router.get("/api/uploads/{upload_id}")
def upload(upload_id: str, request: Request, visitor: Uploader) -> Standing:
    """How far it is."""
    reception = _reception(request)
    return _standing(reception, reception.of(upload_id, visitor))


@router.get("/api/uploads/{upload_id}/files")
def files(upload_id: str, request: Request, visitor: Uploader) -> Opened:
    """How far it is, file by file."""
    reception = _reception(request)
    return _opened(reception, reception.of(upload_id, visitor))


@router.get("/api/uploads/{upload_id}/look", response_class=FileResponse)
def look(upload_id: str, request: Request, visitor: Uploader) -> Response:
    """What the heads say, as `flycam inspect --no-pixels`; photos[] with the ground each sees. 404 before."""
    found = _reception(request).of(upload_id, visitor).folder / LOOK
    if not found.exists():
        raise NotFound(
            "the heads of these photos were not looked at yet; ask again when all are here",
            vi="chưa xem xong phần đầu của các ảnh; hãy hỏi lại khi đã nhận đủ",
        )
    return FileResponse(found, media_type="application/json")


@router.post("/api/uploads/{upload_id}/heads", openapi_extra=_HEADS_BODY)
async def heads(upload_id: str, request: Request, visitor: Uploader) -> dict[str, list[int]]:
    """First bytes of many files: for each its number and length (two big-endian uint32), then the bytes. A
    file that has some already is left alone. Answers `numbers` and `offsets` of all that were named."""
    if request.headers.get("content-type") != HEADS:
        raise Refused(415, f"send the heads as {HEADS}", f"hãy gửi phần đầu ảnh dạng {HEADS}")
    reception = _reception(request)
    body = bytearray()
    try:
        async for part in parts_of(request):
            body += part
    except LineCut:
        return {"numbers": [], "offsets": []}  # nobody is there to read it
    with reception.place(visitor):
        return await asyncio.to_thread(_take_heads, reception, upload_id, visitor, bytes(body))


@router.post("/api/uploads/{upload_id}/lay")
def lay(upload_id: str, request: Request, visitor: Uploader) -> Standing:
    """Try again what failed, when its cause was mended (terrain registered, room made)."""
    reception = _reception(request)
    found = reception.of(upload_id, visitor)
    reception.lay_again(found)
    return _standing(reception, found)


@router.delete("/api/uploads/{upload_id}", status_code=204, response_class=Response)
def remove(upload_id: str, request: Request, visitor: Uploader) -> Response:
    """Give an upload up, but not while it is laid. What is in the evidence store stays there."""
    reception = _reception(request)
    found = reception.of(upload_id, visitor)
    if _stage(found) == "laying":
        raise Refused(409, "it is being laid on the map", "đang được đưa lên bản đồ")
    services: Services = request.app.state.services
    services.workspace.catalog.audit.append(visitor.name, "upload removed", upload_id)
    reception.uploads.remove(found)
    return Response(status_code=204)


def _reception(request: Request) -> Reception:
    reception: Reception = request.app.state.reception
    return reception


def _take_heads(reception: Reception, upload_id: str, visitor: Visitor, body: bytes) -> dict[str, list[int]]:
    found = reception.of(upload_id, visitor)
    numbers: list[int] = []
    for number, head in _records(body):
        found.path(number)
        if len(head) > found.size(number):
            raise _bad_heads()
        numbers.append(number)
        writer: Writer | None = found.writer(number, 0) if head else None
        if writer is not None:
            try:
                writer.write(head)
            finally:
                writer.close()
    reception.wake()
    return {"numbers": numbers, "offsets": [found.offsets[number] for number in numbers]}


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
        f"heads: at most {_MOST_HEADS} records of number, length and as many bytes, {MAX_BYTES} bytes in all",
        f"phần đầu ảnh: tối đa {_MOST_HEADS} mục gồm số thứ tự, độ dài và dữ liệu, tổng tới {MAX_BYTES} byte",
    )


def _stage(upload: Upload) -> Stage:
    if upload.is_laid:
        return "laid"
    if "error" in (said_in(upload, LAID) or {}):
        return "failed"
    if upload.is_saved:
        return "laying"
    return "keeping" if upload.is_received else "receiving"


def _standing(reception: Reception, upload: Upload) -> Standing:
    manifest = upload.manifest
    trouble = reception.trouble(upload)
    sizes = [file.size for file in manifest.files]
    return Standing(
        upload_id=upload.upload_id,
        label=manifest.label,
        name=manifest.name,
        owner=manifest.owner,
        began=iso(int(manifest.created_s * 1e9)),
        expires=iso(int(reception.uploads.expires_s(upload) * 1e9)),
        stage=_stage(upload),
        files=len(sizes),
        heads=sum(at > 0 for at in upload.offsets),
        received=sum(at == size for at, size in zip(upload.offsets, sizes, strict=True)),
        stored=len(upload.stored),
        bytes=sum(sizes),
        bytes_received=sum(upload.offsets),
        bytes_stored=sum(sizes[number] for number in list(upload.stored)),
        saved=upload.is_saved,
        looked=(upload.folder / LOOK).exists(),
        progress=progress_of(upload),
        laid=said_in(upload, LAID),
        waits_for=None if trouble is None else Said(sentence=trouble[0], sentence_vi=trouble[1]),
    )


def _opened(reception: Reception, upload: Upload) -> Opened:
    return Opened(
        **_standing(reception, upload).model_dump(),
        parts=[
            FileStanding(
                number=n,
                path=one.path,
                size=one.size,
                offset=upload.offsets[n],
                sha256=upload.stored.get(n),
            )
            for n, one in enumerate(upload.manifest.files)
        ],
    )
