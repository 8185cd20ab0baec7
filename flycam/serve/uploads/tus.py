"""`/files`: the resumable upload protocol tus 1.0.0.

With creation, checksum and expiration. A file is announced by `POST /api/uploads` (all of a memory card at
once) or by `POST /files` (one, as tus clients do). What HEAD or PATCH acknowledges is synced and in the
upload's journal.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from email.utils import formatdate

from fastapi import APIRouter, Request, Response

from flycam.errors import DiskFull, InputUnusable, StorageFailed
from flycam.messages import _, pgettext
from flycam.pipeline.upload.file_selection import MAX_VIDEO_BYTES, UploadFile
from flycam.pipeline.upload.upload import Upload, Writer
from flycam.serve.auth.guards import OperatorPrincipal, require_operator
from flycam.serve.http.errors import Refused
from flycam.serve.http.request_bodies import build_too_large_error, iterate_body, read_byte_count_header
from flycam.serve.uploads.upload_service import UploadService

TUS_VERSION = "1.0.0"
TUS_BODY_TYPE = "application/offset+octet-stream"
_ALGORITHMS = ("sha256", "sha1")
_WRITE_BYTES = 256 << 10
_COMMIT_BYTES = 8 << 20
# a commit takes two fsyncs, so not one for each write (decision 0019)
_COMMIT_S = 2.0
_NO_PARTS = {
    "requestBody": {
        "content": {TUS_BODY_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }
}


router = APIRouter()


@router.options("/files", status_code=204, response_class=Response)
def get_tus_capabilities() -> Response:
    """What this server can do."""
    return Response(
        status_code=204,
        headers={
            "Tus-Version": TUS_VERSION,
            "Tus-Extension": "creation,checksum,expiration",
            "Tus-Max-Size": str(MAX_VIDEO_BYTES),
            "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
        },
    )


@router.post("/files", status_code=201, response_class=Response)
def create_tus_upload(request: Request, principal: OperatorPrincipal) -> Response:
    """Announce one file. Upload-Metadata: `filename`; with `upload` (an id of `POST /api/uploads`) it is the
    file of that upload under this path, else an upload of its own, another one each time: name and size do
    not tell two photos apart."""
    _check_version(request)
    said = _parse_metadata(request.headers.get("upload-metadata", ""))
    size = read_byte_count_header(request, "upload-length")
    if size > MAX_VIDEO_BYTES:
        raise build_too_large_error(MAX_VIDEO_BYTES)
    reception: UploadService = request.app.state.reception
    path = said.get("filename", "")
    if "upload" in said:
        upload = reception.find_upload(said["upload"], principal)
    else:
        upload = reception.open(principal, [UploadFile(path=path, size=size, modified_ms=0)], is_new=True)
    numbers = [n for n, file in enumerate(upload.manifest.files) if (file.path, file.size) == (path, size)]
    if not numbers:
        raise InputUnusable(_("no file of this name and size was announced for the upload"))
    headers = {**_expiry_header(reception, upload), "Location": f"/files/{upload.upload_id}/{numbers[0]}"}
    return Response(status_code=201, headers=headers)


@router.head("/files/{upload_id}/{number}", response_class=Response)
def get_tus_offset(upload_id: str, number: int, request: Request, principal: OperatorPrincipal) -> Response:
    """How far a file is."""
    _check_version(request)
    reception: UploadService = request.app.state.reception
    upload = reception.find_upload(upload_id, principal)
    upload.path(number)
    upload.release_stale(number)
    headers = {
        "Upload-Offset": str(upload.offsets[number]),
        "Upload-Length": str(upload.size(number)),
        "Upload-Metadata": f"filename {_encode_metadata(upload.manifest.files[number].path)}",
        "Cache-Control": "no-store",
        **_expiry_header(reception, upload),
    }
    return Response(headers=headers)


@router.patch(
    "/files/{upload_id}/{number}",
    status_code=204,
    response_class=Response,
    openapi_extra=_NO_PARTS,
)
async def append_tus_bytes(
    upload_id: str, number: int, request: Request, principal: OperatorPrincipal
) -> Response:
    """Add bytes at Upload-Offset. With Upload-Checksum they count whole and checked or not at all (460);
    without, what came before a cut counts. 409 where the offset is not the file's end,
    423 while another adds."""
    _check_version(request)
    if request.headers.get("content-type") != TUS_BODY_TYPE:
        raise Refused(415, _("send the bytes as {media_type}", media_type=TUS_BODY_TYPE))
    reception: UploadService = request.app.state.reception
    upload = await asyncio.to_thread(reception.find_upload, upload_id, principal)
    offset = read_byte_count_header(request, "upload-offset")
    check = _parse_checksum(request.headers.get("upload-checksum"))
    upload.path(number)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > upload.size(number) - offset:
        raise build_too_large_error(max(upload.size(number) - offset, 0))
    with reception.place(principal):
        writer = await asyncio.to_thread(upload.writer, number, offset)
        if writer is None:
            raise _build_locked_error(upload, number)
        writer.keeps_parts = check is None
        try:
            await _receive(request, writer, check)
            await asyncio.to_thread(require_operator, request)
            at = await asyncio.to_thread(writer.commit)
        except DiskFull:
            # bytes before it are kept, and the upload resumes once there is room
            raise
        except StorageFailed:
            await asyncio.to_thread(writer.drop)
            raise
        finally:
            await asyncio.to_thread(writer.close)
    if at == upload.size(number) or not offset:
        reception.wake()
    return Response(status_code=204, headers={"Upload-Offset": str(at), **_expiry_header(reception, upload)})


async def _receive(request: Request, writer: Writer, check: tuple[str, bytes] | None) -> None:
    """Write the body into the file.

    Raises ClientDisconnected, Refused, SignInRequired, AccessDenied, StorageFailed.
    """
    digest = hashlib.new(check[0], usedforsecurity=False) if check else None
    held = bytearray()
    committed_s = time.monotonic()
    try:
        async for part in iterate_body(request):
            if len(held) + len(part) > writer.remaining_bytes:
                raise build_too_large_error(writer.remaining_bytes)
            held += part
            if digest is not None:
                digest.update(part)
            is_late = time.monotonic() - committed_s > _COMMIT_S
            if len(held) < _WRITE_BYTES and not is_late:
                continue
            await _write(writer, held)
            # again: the token may have been revoked, or the role changed, meanwhile
            await asyncio.to_thread(require_operator, request)
            if check is None and (is_late or writer.uncommitted_bytes >= _COMMIT_BYTES):
                await asyncio.to_thread(writer.commit)
                committed_s = time.monotonic()
    finally:
        if held and writer.keeps_parts:
            await _write(writer, held)
    await _write(writer, held)
    if digest is not None and check is not None and digest.digest() != check[1]:
        await asyncio.to_thread(writer.drop)
        raise Refused(460, pgettext("file of an upload", "the bytes came changed: send them again"))


async def _write(writer: Writer, held: bytearray) -> None:
    if held and not await asyncio.to_thread(writer.write, bytes(held)):
        raise Refused(423, _("another sends this file now"), {"Retry-After": "3"})
    held.clear()


def _build_locked_error(upload: Upload, number: int) -> Refused:
    if upload.is_written(number):
        return Refused(423, _("another sends this file now"), {"Retry-After": "3"})
    at = upload.offsets[number]
    return Refused(
        409,
        _("this file goes on at byte {offset}", offset=at),
        {"Upload-Offset": str(at)},
    )


def _expiry_header(reception: UploadService, upload: Upload) -> dict[str, str]:
    at_s = reception.uploads.get_expiry(upload)
    return {} if at_s is None else {"Upload-Expires": formatdate(at_s, usegmt=True)}


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != TUS_VERSION:
        raise Refused(
            412,
            _("say the protocol's version: Tus-Resumable: {version}", version=TUS_VERSION),
            {"Tus-Version": TUS_VERSION},
        )


def _parse_checksum(text: str | None) -> tuple[str, bytes] | None:
    """Parse Upload-Checksum to (algorithm, digest). Raises Refused 400."""
    if text is None:
        return None
    name, __, value = text.partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        digest = b""
    if name not in _ALGORITHMS or not digest:
        raise Refused(
            400,
            _("Upload-Checksum: one of {names}, then the digest in base64", names=", ".join(_ALGORITHMS)),
        )
    return name, digest


def _parse_metadata(text: str) -> dict[str, str]:
    """Parse Upload-Metadata: `key base64, key base64, …`. Raises Refused 400."""
    said: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        key, __, value = pair.strip().partition(" ")
        try:
            said[key] = base64.b64decode(value, validate=True).decode()
        except ValueError as error:
            raise Refused(400, _("Upload-Metadata: values are base64 of UTF-8")) from error
    return said


def _encode_metadata(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
