"""`/files`: the resumable upload protocol tus 1.0.0, with creation, checksum and expiration.

A file is announced by `POST /api/uploads` (all of a card at once) or by `POST /files` (one, as tus clients
do). What HEAD or PATCH acknowledges is synced and in the upload's journal.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from email.utils import formatdate

from fastapi import APIRouter, Request, Response

from flycam.errors import DiskFull, InputUnusable, StorageTrouble
from flycam.messages import _
from flycam.pipeline.upload.choice import MAX_FILM_BYTES, UploadFile
from flycam.pipeline.upload.upload import Upload, Writer
from flycam.serve.answering.bodies import bytes_said, parts_of, too_large
from flycam.serve.answering.failures import Refused
from flycam.serve.door.guard import Operator, operator
from flycam.serve.uploads.reception import Reception

VERSION = "1.0.0"
BODY = "application/offset+octet-stream"
_ALGORITHMS = ("sha256", "sha1")
_WRITE_BYTES = 256 << 10
_COMMIT_BYTES = 8 << 20
_COMMIT_S = 2.0
_NO_PARTS = {
    "requestBody": {"content": {BODY: {"schema": {"type": "string", "format": "binary"}}}, "required": True}
}


router = APIRouter()


@router.options("/files", status_code=204, response_class=Response)
def abilities() -> Response:
    """What this server can do."""
    return Response(
        status_code=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,checksum,expiration",
            "Tus-Max-Size": str(MAX_FILM_BYTES),
            "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
        },
    )


@router.post("/files", status_code=201, response_class=Response)
def create(request: Request, visitor: Operator) -> Response:
    """Announce one file. Upload-Metadata: `filename`; with `upload` (an id of `POST /api/uploads`) it is the
    file of that upload under this path, else an upload of its own, another one each time: name and size do
    not tell two photos apart."""
    _check_version(request)
    said = _metadata(request.headers.get("upload-metadata", ""))
    size = bytes_said(request, "upload-length")
    if size > MAX_FILM_BYTES:
        raise too_large(MAX_FILM_BYTES)
    reception: Reception = request.app.state.reception
    path = said.get("filename", "")
    if "upload" in said:
        upload = reception.of(said["upload"], visitor)
    else:
        upload = reception.open(visitor, [UploadFile(path=path, size=size, modified_ms=0)], is_new=True)
    numbers = [n for n, file in enumerate(upload.manifest.files) if (file.path, file.size) == (path, size)]
    if not numbers:
        raise InputUnusable(_("no file of this name and size was announced for the upload"))
    headers = {**_expires(reception, upload), "Location": f"/files/{upload.upload_id}/{numbers[0]}"}
    return Response(status_code=201, headers=headers)


@router.head("/files/{upload_id}/{number}", response_class=Response)
def standing(upload_id: str, number: int, request: Request, visitor: Operator) -> Response:
    """How far a file is."""
    _check_version(request)
    reception: Reception = request.app.state.reception
    upload = reception.of(upload_id, visitor)
    upload.path(number)
    upload.release_stale(number)
    headers = {
        "Upload-Offset": str(upload.offsets[number]),
        "Upload-Length": str(upload.size(number)),
        "Upload-Metadata": f"filename {_encoded(upload.manifest.files[number].path)}",
        "Cache-Control": "no-store",
        **_expires(reception, upload),
    }
    return Response(headers=headers)


@router.patch(
    "/files/{upload_id}/{number}",
    status_code=204,
    response_class=Response,
    openapi_extra=_NO_PARTS,
)
async def add(upload_id: str, number: int, request: Request, visitor: Operator) -> Response:
    """Add bytes at Upload-Offset. With Upload-Checksum they count whole and checked or not at all (460);
    without, what came before a cut counts. 409 where the offset is not the file's end,
    423 while another adds."""
    _check_version(request)
    if request.headers.get("content-type") != BODY:
        raise Refused(415, f"send the bytes as {BODY}", f"hãy gửi dữ liệu dạng {BODY}")
    reception: Reception = request.app.state.reception
    upload = await asyncio.to_thread(reception.of, upload_id, visitor)
    offset = bytes_said(request, "upload-offset")
    check = _checksum(request.headers.get("upload-checksum"))
    upload.path(number)
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > upload.size(number) - offset:
        raise too_large(max(upload.size(number) - offset, 0))
    with reception.place(visitor):
        writer = await asyncio.to_thread(upload.writer, number, offset)
        if writer is None:
            raise _not_now(upload, number)
        writer.keeps_parts = check is None
        try:
            await _receive(request, writer, check)
            await asyncio.to_thread(operator, request)
            at = await asyncio.to_thread(writer.commit)
        except DiskFull:
            raise  # what came before is kept, and gone on from once there is room
        except StorageTrouble:
            await asyncio.to_thread(writer.drop)
            raise
        finally:
            await asyncio.to_thread(writer.close)
    if at == upload.size(number) or not offset:
        reception.wake()
    return Response(status_code=204, headers={"Upload-Offset": str(at), **_expires(reception, upload)})


async def _receive(request: Request, writer: Writer, check: tuple[str, bytes] | None) -> None:
    """The body into the file. Raises LineCut, Refused, SignInRequired, AccessDenied, StorageTrouble."""
    digest = hashlib.new(check[0], usedforsecurity=False) if check else None
    held = bytearray()
    committed_s = time.monotonic()
    try:
        async for part in parts_of(request):
            if len(held) + len(part) > writer.room:
                raise too_large(writer.room)
            held += part
            if digest is not None:
                digest.update(part)
            is_late = time.monotonic() - committed_s > _COMMIT_S
            if len(held) < _WRITE_BYTES and not is_late:
                continue
            await _write(writer, held)
            await asyncio.to_thread(operator, request)  # a token or a role may be taken away meanwhile
            if check is None and (is_late or writer.waiting >= _COMMIT_BYTES):
                await asyncio.to_thread(writer.commit)
                committed_s = time.monotonic()
    finally:
        if held and writer.keeps_parts:
            await _write(writer, held)
    await _write(writer, held)
    if digest is not None and check is not None and digest.digest() != check[1]:
        await asyncio.to_thread(writer.drop)
        raise Refused(
            460, "the bytes came changed: send them again", "dữ liệu bị sai trên đường truyền: hãy gửi lại"
        )


async def _write(writer: Writer, held: bytearray) -> None:
    if held and not await asyncio.to_thread(writer.write, bytes(held)):
        raise Refused(423, "another sends this file now", "nơi khác đang gửi tệp này", {"Retry-After": "3"})
    held.clear()


def _not_now(upload: Upload, number: int) -> Refused:
    if upload.is_written(number):
        return Refused(423, "another sends this file now", "nơi khác đang gửi tệp này", {"Retry-After": "3"})
    at = upload.offsets[number]
    return Refused(
        409,
        f"this file goes on at byte {at}",
        f"tệp này cần gửi tiếp từ byte {at}",
        {"Upload-Offset": str(at)},
    )


def _expires(reception: Reception, upload: Upload) -> dict[str, str]:
    at_s = reception.uploads.expires_s(upload)
    return {} if at_s is None else {"Upload-Expires": formatdate(at_s, usegmt=True)}


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise Refused(
            412,
            f"say the protocol's version: Tus-Resumable: {VERSION}",
            f"hãy ghi phiên bản giao thức: Tus-Resumable: {VERSION}",
            {"Tus-Version": VERSION},
        )


def _checksum(text: str | None) -> tuple[str, bytes] | None:
    """(algorithm, digest). Raises Refused 400."""
    if text is None:
        return None
    name, _, value = text.partition(" ")
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        digest = b""
    if name not in _ALGORITHMS or not digest:
        raise Refused(
            400,
            f"Upload-Checksum: one of {', '.join(_ALGORITHMS)}, then the digest in base64",
            f"Upload-Checksum: một trong {', '.join(_ALGORITHMS)}, rồi mã băm dạng base64",
        )
    return name, digest


def _metadata(text: str) -> dict[str, str]:
    """Upload-Metadata: `key base64, key base64, …`. Raises Refused 400."""
    said: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        key, _, value = pair.strip().partition(" ")
        try:
            said[key] = base64.b64decode(value, validate=True).decode()
        except ValueError as error:
            raise Refused(
                400,
                "Upload-Metadata: values are base64 of UTF-8",
                "Upload-Metadata: giá trị phải là base64 của UTF-8",
            ) from error
    return said


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
