"""JSON bodies of uploads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from flycam.frame.timestamp import format_iso
from flycam.ingest.photo.file_kinds import FileKind
from flycam.pipeline.upload.file_selection import MAX_FILES
from flycam.pipeline.upload.upload import Upload
from flycam.pipeline.upload.upload_files import PREVIEW_FILE
from flycam.serve.uploads.upload_service import (
    UploadService,
    get_upload_progress,
    get_upload_result,
    get_upload_result_so_far,
)

UploadStage = Literal["receiving", "keeping", "laying", "laid", "failed"]


_MAX_PATH = 8192  # no disk holds a longer one


class UploadFileBody(BaseModel):
    """A file of a card. modified_ms tells two cards with the same names apart. A name or size that cannot be
    taken is no fault of the request: that file is passed over."""

    path: Annotated[str, Field(max_length=_MAX_PATH)]
    size: Annotated[int, Field(ge=0, le=1 << 40)]
    modified_ms: Annotated[int, Field(ge=0, le=1 << 52)]


class UploadBody(BaseModel):
    """What is to be uploaded. folder: what the photos' folder is called; telemetry: the flight log's path."""

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
    """How far an upload is.

    photos          how many of the files are photos; heads: those of which something is here
    stored          files that are whole, hashed and in the evidence store
    saved           all of them are: the card may be taken out where nothing is passed over
    looked          the heads were looked at: ask for `look`
    expires         when it is forgotten if nothing more comes; null: never
    laid            what came of it, as `flycam ingest` answers, and of each film; or why nothing; of photos
                    as soon as they are on the map; not in the list of all
    waits_for       what holds it up at the moment
    passed_over     how many files of the card are not here, or came damaged, for which the card stays;
                    passed_over_said: of the first of them which, why, and the cure
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
    """How far a file is: bytes go to `/files/{upload_id}/{number}` from `offset`; sha256 once stored."""

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
    on_card = upload.missing_files
    photos = upload.numbers[FileKind.PHOTO]
    return UploadStatus(
        upload_id=upload.upload_id,
        label=manifest.label,
        name=manifest.name,
        owner=manifest.owner,
        began=format_iso(int(manifest.created_s * 1e9)),
        expires=None if expires_s is None else format_iso(int(expires_s * 1e9)),
        stage=get_upload_stage(upload),
        files=len(sizes),
        photos=len(photos),
        heads=sum(upload.offsets[number] > 0 for number in photos),
        received=sum(at == size for at, size in zip(upload.offsets, sizes, strict=True)),
        stored=len(upload.stored),
        bytes=sum(sizes),
        bytes_received=sum(upload.offsets),
        bytes_stored=sum(sizes[number] for number in list(upload.stored)),
        saved=upload.is_saved,
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
