"""Storage of an upload's files as originals; the server does it without loading any recipe."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from flycam.catalog.retention_records import UploadedFile
from flycam.errors import FrameUnreadable, NotFound, OriginalPurged
from flycam.frame.mp4 import is_complete_movie
from flycam.ingest.photo.file_kinds import FileKind, detect_file_kind
from flycam.ingest.photo.photo_reader import compute_sha256
from flycam.ingest.photo.pixels import read_pixel_checks
from flycam.pipeline.original_store import store_original
from flycam.pipeline.upload.upload import Upload
from flycam.pipeline.upload.upload_files import make_upload_not_found, require_upload_space
from flycam.pipeline.workspace import Workspace

_MOVIES = frozenset({".mp4", ".mov", ".m4v"})


def store_upload_file(workspace: Workspace, upload: Upload, number: int) -> None:
    """Store a complete file as an original, under its hash.

    Raises NotFound, StorageFailed, SourceUnreadable; DiskFull, before anything is written, where it would use
    up the space reserved for flights.

    Bytes that another process has stored but not flushed are safe all the same: the upload's own copy is
    synced, and stays until the flight is on the map. A purged original is not stored again: the processing
    reports it.
    """

    def check_room() -> None:
        free = workspace.store.free_bytes()
        if free is not None:
            require_upload_space(upload.folder, free, upload.size(number))

    # otherwise zeros of the same card, announced again, could be stored under the hash of its bytes
    with upload.get_reading_lock(number):
        if upload.is_gone:
            raise make_upload_not_found()
        try:
            sha256 = store_original(workspace, upload.path(number), before_put=check_room)
            _note(workspace, upload, number, sha256)
        except OriginalPurged:
            sha256 = compute_sha256(upload.path(number))
        upload.note_stored(number, sha256, is_damaged=_is_damaged(upload.path(number)))


def _is_damaged(path: Path) -> bool:
    """Return True if a photo does not decode, or a video is truncated.

    Then only the card may have it intact. MPEG-TS and Matroska, which play up to where they end, are not
    checked.
    """
    if detect_file_kind(path.name) is FileKind.PHOTO:
        try:
            read_pixel_checks(path)
        except FrameUnreadable:
            return True
    if path.suffix.lower() in _MOVIES:
        with path.open("rb") as file:

            def read_at(offset: int, length: int) -> bytes:
                return os.pread(file.fileno(), length, offset)

            return not is_complete_movie(read_at, path.stat().st_size)
    return False


def _note(workspace: Workspace, upload: Upload, number: int, sha256: str) -> None:
    """Note that an upload brought a photo or video.

    Its own term applies if no flight uses it.
    """
    manifest = upload.manifest
    if number in manifest.list_numbers(FileKind.LOG):
        return
    file = UploadedFile(
        sha256=sha256,
        name=PurePosixPath(manifest.files[number].path).name,
        event_id=_event_id(workspace, manifest.event),
        came_ns=workspace.clock_ns(),
    )
    workspace.catalog.retention.note_uploaded(file)


def _event_id(workspace: Workspace, event: str | None) -> str:
    """Return the id of the event that an upload names, if it is on record by now."""
    try:
        return workspace.catalog.flights.event(event).event_id if event else ""
    except NotFound:
        return ""
