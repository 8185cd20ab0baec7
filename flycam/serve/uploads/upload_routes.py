"""`/api/uploads`: announced memory cards, how much is stored, checks and results.

The bytes go through `/files` (tus); `heads` takes the first bytes of many files in one request, so that the
preflight check can run before the heavy bytes go.
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
from flycam.pipeline.upload.file_selection import UploadFile
from flycam.pipeline.upload.upload_files import PREVIEW_FILE
from flycam.serve.auth.authenticator import Principal
from flycam.serve.auth.guards import OperatorPrincipal, require_operator
from flycam.serve.auth.routing import GuardedRoute
from flycam.serve.http.errors import Refused
from flycam.serve.http.request_bodies import MAX_LARGE_BYTES, build_too_large_error, limit_body, read_body
from flycam.serve.http.same_origin import CROSS_SITE_REQUEST, require_same_origin
from flycam.serve.uploads.upload_models import (
    OpenedUpload,
    UploadBody,
    UploadStatus,
    build_opened_upload,
    build_upload_status,
    get_upload_stage,
)
from flycam.serve.uploads.upload_service import UploadService, is_in_progress

HEADS_MEDIA_TYPE = "application/vnd.flycam.heads"
_RECORD = struct.Struct(">II")
_MAX_HEADS = 256
_GZIP = 31  # zlib's window bits of a gzip stream
_HEADS_BODY = {
    "requestBody": {
        "content": {HEADS_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }
}


router = APIRouter(route_class=GuardedRoute, dependencies=[Depends(require_operator)])


@router.post("/api/uploads", openapi_extra=limit_body(MAX_LARGE_BYTES))
def announce_upload(card: UploadBody, request: Request, principal: OperatorPrincipal) -> OpenedUpload:
    """Begin the upload of a card, or go on with it: the same files by the same person are the same upload."""
    reception = _get_upload_service(request)
    files = [UploadFile(**one.model_dump()) for one in card.files]
    upload = reception.open(
        principal,
        files,
        folder=card.folder,
        name=card.name,
        event=card.event,
        telemetry=card.telemetry,
    )
    if get_upload_stage(upload) == "failed":
        # announced again, perhaps for another event
        reception.retry_failed(upload)
    return build_opened_upload(reception, upload)


@router.get("/api/uploads")
def list_uploads(request: Request, principal: OperatorPrincipal) -> list[UploadStatus]:
    """The visitor's own uploads, the newest first; for administrators everybody's. Without `laid`: a page
    asks for this every other second."""
    reception = _get_upload_service(request)
    mine = [
        one
        for one in reception.uploads.list_uploads()
        if one.manifest.owner == principal.name or principal.has_role(Role.ADMIN)
    ]
    return [build_upload_status(reception, one, includes_result=False) for one in mine]


@router.get("/api/uploads/{upload_id}")
def get_upload(upload_id: str, request: Request, principal: OperatorPrincipal) -> UploadStatus:
    """How far it is."""
    reception = _get_upload_service(request)
    return build_upload_status(reception, reception.find_upload(upload_id, principal))


@router.get("/api/uploads/{upload_id}/files")
def get_upload_files(upload_id: str, request: Request, principal: OperatorPrincipal) -> OpenedUpload:
    """How far it is, file by file."""
    reception = _get_upload_service(request)
    return build_opened_upload(reception, reception.find_upload(upload_id, principal))


@router.get("/api/uploads/{upload_id}/look", response_class=FileResponse)
def get_upload_preview(upload_id: str, request: Request, principal: OperatorPrincipal) -> Response:
    """What the heads say, as `flycam inspect --no-pixels`; photos[] with the ground each sees. 404 before."""
    found = _get_upload_service(request).find_upload(upload_id, principal).folder / PREVIEW_FILE
    if not found.exists():
        raise NotFound(_("the heads of these photos were not looked at yet; ask again when all are here"))
    return FileResponse(found, media_type="application/json")


@router.post("/api/uploads/{upload_id}/heads", openapi_extra=_HEADS_BODY)
async def put_upload_heads(
    upload_id: str, request: Request, principal: OperatorPrincipal
) -> dict[str, list[int]]:
    """First bytes of many files: for each its number and length (two big-endian uint32), then the bytes. A
    file that has some already is left alone. `Content-Encoding: gzip` is understood.
    Answers `numbers` and `offsets` of all that were named."""
    if request.headers.get("content-type") != HEADS_MEDIA_TYPE:
        raise Refused(415, _("send the heads as {media_type}", media_type=HEADS_MEDIA_TYPE))
    reception = _get_upload_service(request)
    body = await read_body(request, MAX_LARGE_BYTES)
    # again: the token may have been revoked while the body came
    await asyncio.to_thread(require_operator, request)
    with reception.place(principal):
        plain = await asyncio.to_thread(_decompress_body, body, request.headers.get("content-encoding"))
        return await asyncio.to_thread(_store_heads, reception, upload_id, principal, plain)


@router.post("/api/uploads/{upload_id}/lay")
def retry_upload(upload_id: str, request: Request, principal: OperatorPrincipal) -> UploadStatus:
    """Try again what failed, when its cause was mended (terrain registered, room made)."""
    require_same_origin(request, CROSS_SITE_REQUEST)
    reception = _get_upload_service(request)
    found = reception.find_upload(upload_id, principal)
    reception.retry_failed(found)
    return build_upload_status(reception, found)


@router.delete("/api/uploads/{upload_id}", status_code=204, response_class=Response)
def remove_upload(upload_id: str, request: Request, principal: OperatorPrincipal) -> Response:
    """Give an upload up, but not while it is laid. What is in the evidence store stays there."""
    reception = _get_upload_service(request)
    found = reception.find_upload(upload_id, principal)
    if is_in_progress(found):
        raise Refused(409, _("it is being laid on the map"))
    reception.remove(found, principal)
    return Response(status_code=204)


def _get_upload_service(request: Request) -> UploadService:
    reception: UploadService = request.app.state.reception
    return reception


def _store_heads(
    reception: UploadService, upload_id: str, principal: Principal, body: bytes
) -> dict[str, list[int]]:
    found = reception.find_upload(upload_id, principal)
    records = _parse_head_records(body)
    for number, head in records:
        found.path(number)
        if len(head) > found.size(number):
            raise _build_heads_error()
    found.add_heads(records)
    numbers = [number for number, __ in records]
    reception.wake()
    return {"numbers": numbers, "offsets": [found.offsets[number] for number in numbers]}


def _decompress_body(body: bytes, encoding: str | None) -> bytes:
    """Decompress a body, never to more than MAX_LARGE_BYTES. Raises Refused."""
    if encoding is None:
        return body
    if encoding != "gzip":
        raise Refused(415, _("heads may be packed with gzip only"))
    unpacker = zlib.decompressobj(_GZIP)
    try:
        plain = unpacker.decompress(body, MAX_LARGE_BYTES)
    except zlib.error as error:
        raise _build_heads_error() from error
    if not unpacker.eof:
        raise build_too_large_error(MAX_LARGE_BYTES) if unpacker.unconsumed_tail else _build_heads_error()
    return plain


def _parse_head_records(body: bytes) -> list[tuple[int, bytes]]:
    """Parse records of (number, bytes).

    Raises Refused 400 for a body that does not end with its last record.
    """
    records: list[tuple[int, bytes]] = []
    at = 0
    while at < len(body):
        if len(body) - at < _RECORD.size or len(records) >= _MAX_HEADS:
            raise _build_heads_error()
        number, length = _RECORD.unpack_from(body, at)
        at += _RECORD.size
        if at + length > len(body):
            raise _build_heads_error()
        records.append((number, body[at : at + length]))
        at += length
    return records


def _build_heads_error() -> Refused:
    return Refused(
        400,
        _(
            "heads: at most {max_heads} records of number, length and as many bytes, {max_bytes} bytes",
            max_heads=_MAX_HEADS,
            max_bytes=MAX_LARGE_BYTES,
        ),
    )
