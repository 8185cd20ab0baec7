"""Routes of uploads: `/files` (tus 1.0.0) and `/api/uploads`.

`/files` is the resumable upload protocol tus 1.0.0 with creation, checksum and expiration. A file is
announced by `POST /api/uploads` (all of a memory card at once) or by `POST /files` (one, as tus clients do).
What HEAD or PATCH acknowledges is synced and in the upload's journal.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import time
import zlib
from email.utils import formatdate
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from flycam.errors import DiskFull, InputUnusable, NotFound, StorageFailed
from flycam.http.guards import GuardedRoute, OperatorPrincipal, Principal, require_operator
from flycam.http.protocol import (
    CROSS_SITE_REQUEST,
    MAX_LARGE_BYTES,
    Refused,
    build_too_large_error,
    iterate_body,
    limit_body,
    read_body,
    read_byte_count_header,
    require_same_origin,
)
from flycam.ingest.photos.photo_search import FileKind
from flycam.ingest.upload.memory_card import MAX_FILES, MAX_VIDEO_BYTES, UploadFile
from flycam.ingest.upload.service import (
    UploadService,
    get_upload_progress,
    get_upload_result,
    get_upload_result_so_far,
    is_in_progress,
)
from flycam.ingest.upload.upload import PREVIEW_FILE, Upload, Writer
from flycam.messages import _, pgettext
from flycam.model.access import Role
from flycam.model.time import format_iso

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


tus_router = APIRouter()


@tus_router.options("/files", status_code=204, response_class=Response)
def get_tus_capabilities() -> Response:
    """Return what this server supports."""
    return Response(
        status_code=204,
        headers={
            "Tus-Version": TUS_VERSION,
            "Tus-Extension": "creation,checksum,expiration",
            "Tus-Max-Size": str(MAX_VIDEO_BYTES),
            "Tus-Checksum-Algorithm": ",".join(_ALGORITHMS),
        },
    )


@tus_router.post("/files", status_code=201, response_class=Response)
def create_tus_upload(request: Request, principal: OperatorPrincipal) -> Response:
    """Announce one file.

    Upload-Metadata: `filename`; with `upload` (an id of `POST /api/uploads`) the file of that upload under
    this path, else an upload of its own, a new one each time: name and size do not distinguish two photos.
    """
    _check_version(request)
    metadata = _parse_metadata(request.headers.get("upload-metadata", ""))
    size = read_byte_count_header(request, "upload-length")
    if size > MAX_VIDEO_BYTES:
        raise build_too_large_error(MAX_VIDEO_BYTES)
    reception: UploadService = request.app.state.reception
    path = metadata.get("filename", "")
    if "upload" in metadata:
        upload = reception.find_upload(metadata["upload"], principal)
    else:
        upload = reception.open(principal, [UploadFile(path=path, size=size, modified_ms=0)], is_new=True)
    numbers = [n for n, file in enumerate(upload.manifest.files) if (file.path, file.size) == (path, size)]
    if not numbers:
        raise InputUnusable(_("no file of this name and size was announced for the upload"))
    headers = {**_expiry_header(reception, upload), "Location": f"/files/{upload.upload_id}/{numbers[0]}"}
    return Response(status_code=201, headers=headers)


@tus_router.head("/files/{upload_id}/{number}", response_class=Response)
def get_tus_offset(upload_id: str, number: int, request: Request, principal: OperatorPrincipal) -> Response:
    """Return the offset at which a file continues."""
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


@tus_router.patch(
    "/files/{upload_id}/{number}",
    status_code=204,
    response_class=Response,
    openapi_extra=_NO_PARTS,
)
async def append_tus_bytes(
    upload_id: str, number: int, request: Request, principal: OperatorPrincipal
) -> Response:
    """Append bytes at Upload-Offset.

    With Upload-Checksum they are checked, and count whole or not at all (460); without, what came before an
    interruption counts. 409 if the offset is not the file's end, 423 while another request appends.
    """
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
    buffer = bytearray()
    committed_s = time.monotonic()
    try:
        async for part in iterate_body(request):
            if len(buffer) + len(part) > writer.remaining_bytes:
                raise build_too_large_error(writer.remaining_bytes)
            buffer += part
            if digest is not None:
                digest.update(part)
            is_late = time.monotonic() - committed_s > _COMMIT_S
            if len(buffer) < _WRITE_BYTES and not is_late:
                continue
            await _write(writer, buffer)
            # again: the token may have been revoked, or the role changed, meanwhile
            await asyncio.to_thread(require_operator, request)
            if check is None and (is_late or writer.uncommitted_bytes >= _COMMIT_BYTES):
                await asyncio.to_thread(writer.commit)
                committed_s = time.monotonic()
    finally:
        if buffer and writer.keeps_parts:
            await _write(writer, buffer)
    await _write(writer, buffer)
    if digest is not None and check is not None and digest.digest() != check[1]:
        await asyncio.to_thread(writer.drop)
        raise Refused(460, pgettext("file of an upload", "the bytes arrived changed: send them again"))


async def _write(writer: Writer, buffer: bytearray) -> None:
    if buffer and not await asyncio.to_thread(writer.write, bytes(buffer)):
        raise Refused(423, _("another sends this file now"), {"Retry-After": "3"})
    buffer.clear()


def _build_locked_error(upload: Upload, number: int) -> Refused:
    if upload.is_written(number):
        return Refused(423, _("another sends this file now"), {"Retry-After": "3"})
    at = upload.offsets[number]
    return Refused(
        409,
        _("this file resumes at byte {offset}", offset=at),
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
    metadata: dict[str, str] = {}
    for pair in filter(None, text.split(",")):
        key, __, value = pair.strip().partition(" ")
        try:
            metadata[key] = base64.b64decode(value, validate=True).decode()
        except ValueError as error:
            raise Refused(400, _("Upload-Metadata: values are base64 of UTF-8")) from error
    return metadata


def _encode_metadata(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# -- JSON bodies of requests and responses ---------------------------------------------------------


UploadStage = Literal["receiving", "keeping", "laying", "laid", "failed"]


_MAX_PATH = 8192  # no disk holds a longer one


class UploadFileBody(BaseModel):
    """A file of a card. modified_ms distinguishes two cards with the same names.

    One whose name or size is unusable is no fault of the request: that file is skipped.
    """

    path: Annotated[str, Field(max_length=_MAX_PATH)]
    size: Annotated[int, Field(ge=0, le=1 << 40)]
    modified_ms: Annotated[int, Field(ge=0, le=1 << 52)]


class UploadBody(BaseModel):
    """Content of an upload.

    folder: name of the photos' folder; telemetry: the flight log's path.
    """

    files: Annotated[list[UploadFileBody], Field(min_length=1, max_length=MAX_FILES)]
    folder: Annotated[str, Field(max_length=500)] = ""
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    event: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    telemetry: Annotated[str | None, Field(max_length=_MAX_PATH)] = None


class BilingualSentence(BaseModel):
    """A sentence in both languages."""

    sentence: str
    sentence_vi: str


class UploadStatus(BaseModel):
    """Progress of an upload.

    photos          number of photos among its files; heads: of those whose first bytes are here
    stored          number of files that are complete, hashed and stored as originals
    saved           all of them are: the card may be removed unless files were skipped
    looked          the headers were checked: the preview is at `look`
    expires         when it is deleted if nothing more comes; null: never
    laid            result, as `flycam ingest` returns it, and of each video, or why there is none; for photos
                    as soon as they are on the map; not in the list of all uploads
    waits_for       what delays it at the moment
    passed_over     number of the card's files that are not here, or came damaged: the card must be kept;
                    passed_over_said: which the first of them are, why, and what to do
    """

    upload_id: str
    label: str
    name: str | None
    owner: str
    began: str
    expires: str | None
    stage: UploadStage
    files: int
    photos: int
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
    waits_for: BilingualSentence | None
    passed_over: int
    passed_over_said: list[BilingualSentence]


class UploadFileStatus(BaseModel):
    """Progress of a file; sha256 once stored.

    Its bytes go to `/files/{upload_id}/{number}` from `offset`.
    """

    number: int
    path: str
    size: int
    offset: int
    sha256: str | None


class OpenedUpload(UploadStatus):
    """An upload with its files, in the order of their numbers."""

    parts: list[UploadFileStatus]


def get_upload_stage(upload: Upload) -> UploadStage:
    """Return the stage of an upload."""
    if upload.is_laid:
        return "laid"
    if "error" in (get_upload_result(upload) or {}):
        return "failed"
    if upload.is_saved:
        return "laying"
    return "keeping" if upload.is_received else "receiving"


def build_upload_status(
    reception: UploadService, upload: Upload, *, includes_result: bool = True
) -> UploadStatus:
    """Return the status of an upload.

    includes_result: with its result, which may be long.
    """
    manifest = upload.manifest
    expires_s = reception.uploads.get_expiry(upload)
    trouble = reception.get_trouble(upload)
    sizes = [file.size for file in manifest.files]
    # before the damaged files: the last may be stored meanwhile, and "saved" must not come without its name
    stage, is_saved = get_upload_stage(upload), upload.is_saved
    on_card = upload.missing_files
    photos = upload.numbers[FileKind.PHOTO]
    return UploadStatus(
        upload_id=upload.upload_id,
        label=manifest.label,
        name=manifest.name,
        owner=manifest.owner,
        began=format_iso(int(manifest.created_s * 1e9)),
        expires=None if expires_s is None else format_iso(int(expires_s * 1e9)),
        stage=stage,
        files=len(sizes),
        photos=len(photos),
        heads=sum(upload.offsets[number] > 0 for number in photos),
        received=sum(at == size for at, size in zip(upload.offsets, sizes, strict=True)),
        stored=len(upload.stored),
        bytes=sum(sizes),
        bytes_received=sum(upload.offsets),
        bytes_stored=sum(sizes[number] for number in list(upload.stored)),
        saved=is_saved,
        looked=(upload.folder / PREVIEW_FILE).exists(),
        progress=get_upload_progress(upload),
        laid=get_upload_result_so_far(upload) if includes_result else None,
        waits_for=None if trouble is None else BilingualSentence(**trouble.to_fields()),
        passed_over=on_card.count,
        passed_over_said=[BilingualSentence(**one.to_fields()) for one in on_card.said],
    )


def build_opened_upload(reception: UploadService, upload: Upload) -> OpenedUpload:
    """Return the status as `build_upload_status`, with its files."""
    return OpenedUpload(
        **build_upload_status(reception, upload).model_dump(),
        parts=[
            UploadFileStatus(
                number=n,
                path=one.path,
                size=one.size,
                offset=upload.offsets[n],
                sha256=upload.stored.get(n),
            )
            for n, one in enumerate(upload.manifest.files)
        ],
    )


# -- `/api/uploads`: announced memory cards, their progress, checks and results --------------------
#
# The bytes go through `/files` (tus); `heads` takes the first bytes of many files in one request, so that the
# preflight check can run before the heavy bytes go.


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
    """Begin or resume the upload of a card.

    The same files by the same account are the same upload.
    """
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
    """List the account's uploads, newest first; for an administrator everybody's.

    Without `laid`, because pages poll this every other second.
    """
    reception = _get_upload_service(request)
    own_uploads = [
        one
        for one in reception.uploads.list_uploads()
        if one.manifest.owner == principal.name or principal.has_role(Role.ADMIN)
    ]
    return [build_upload_status(reception, one, includes_result=False) for one in own_uploads]


@router.get("/api/uploads/{upload_id}")
def get_upload(upload_id: str, request: Request, principal: OperatorPrincipal) -> UploadStatus:
    """Return the progress of an upload."""
    reception = _get_upload_service(request)
    return build_upload_status(reception, reception.find_upload(upload_id, principal))


@router.get("/api/uploads/{upload_id}/files")
def get_upload_files(upload_id: str, request: Request, principal: OperatorPrincipal) -> OpenedUpload:
    """Return the progress of an upload, file by file."""
    reception = _get_upload_service(request)
    return build_opened_upload(reception, reception.find_upload(upload_id, principal))


@router.get("/api/uploads/{upload_id}/look", response_class=FileResponse)
def get_upload_preview(upload_id: str, request: Request, principal: OperatorPrincipal) -> Response:
    """Return the preview of the headers, as `flycam inspect --no-pixels` prints it.

    photos[] with the ground that each sees. 404 until the headers are checked.
    """
    found = _get_upload_service(request).find_upload(upload_id, principal).folder / PREVIEW_FILE
    if not found.exists():
        raise NotFound(_("the heads of these photos were not looked at yet; ask again when all are here"))
    return FileResponse(found, media_type="application/json")


@router.post("/api/uploads/{upload_id}/heads", openapi_extra=_HEADS_BODY)
async def put_upload_heads(
    upload_id: str, request: Request, principal: OperatorPrincipal
) -> dict[str, list[int]]:
    """Store the first bytes of many files.

    For each file: its number and length (two big-endian uint32), then the bytes. One that has some already is
    left alone. `Content-Encoding: gzip` is accepted. Answers `numbers` and `offsets` of all named files.
    """
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
    """Retry what failed, once its cause is removed (terrain registered, space freed)."""
    require_same_origin(request, CROSS_SITE_REQUEST)
    reception = _get_upload_service(request)
    found = reception.find_upload(upload_id, principal)
    reception.retry_failed(found)
    return build_upload_status(reception, found)


@router.delete("/api/uploads/{upload_id}", status_code=204, response_class=Response)
def remove_upload(upload_id: str, request: Request, principal: OperatorPrincipal) -> Response:
    """Delete an upload that is not being processed; stored originals stay."""
    reception = _get_upload_service(request)
    found = reception.find_upload(upload_id, principal)
    if is_in_progress(found):
        raise Refused(409, _("it is being processed"))
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
