"""The small files beside an upload's bytes, and what is said when a disk does not take them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flycam.errors import DiskFull, NotFound, StorageFailed
from flycam.messages import _
from flycam.store.disk_space import DISK_FULL_ERRNOS, require_free_space
from flycam.store.fsync import sync_path

MANIFEST_FILE, PREVIEW_FILE, PROGRESS_FILE = "manifest.json", "look.json", "progress.json"
PHOTOS_RESULT_FILE, VIDEOS_RESULT_FILE = (
    "laid.json",
    "filmed.json",
)  # what came of the photos, and of the films
READING_FILE = "reading.json"  # the file that is being read now, of those that a reader may hang in
JOURNAL_FILE = "journal"


def write_json(path: Path, value: Any) -> None:
    """A file that appears complete or not at all, and stays through a power cut. Raises OSError."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=False)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    sync_path(path.parent)


def read_json_file(folder: Path, name: str) -> dict[str, Any] | None:
    """What a file beside an upload says; None if it is not there."""
    try:
        said = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def write_result_file(path: Path, answer: Any) -> None:
    """As `write_json`, without the name of the folder that the files lie in. Raises StorageFailed."""
    card = str(path.parent / "card") + "/"
    text = json.dumps(answer, ensure_ascii=False).replace(json.dumps(card, ensure_ascii=False)[1:-1], "")
    try:
        write_json(path, json.loads(text))
    except OSError as error:
        raise make_storage_error(path.parent, error) from error


def note_reading(folder: Path, file: str) -> None:
    """Say which file of the card is read next, for whoever ends a process that gets no further."""
    with suppress(OSError):  # on a full disk the flight matters, not the word of it
        write_json(folder / READING_FILE, {"file": file})


@contextmanager
def lock_upload(folder: Path) -> Iterator[None]:
    """One process at a time works on an upload, also when the server that began it was killed and another
    begins anew. Raises NotFound, StorageFailed."""
    if not (folder / MANIFEST_FILE).is_file():
        raise make_upload_not_found()
    try:
        fd = os.open(folder / "work.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise make_storage_error(folder, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_upload_not_found() -> NotFound:
    """Also what those hear whom it does not concern."""
    return NotFound(_("there is no such upload here (any more); choose the same files again to go on"))


def require_upload_space(place: Path, free: int, more: int) -> None:
    """Raise DiskFull, with the cure, where `more` bytes would leave less of `free` than flights need."""
    require_free_space(place, free, more, "tự tải tiếp")


def make_storage_error(place: Path, error: OSError) -> StorageFailed:
    """What a disk did not do, with the cure."""
    if error.errno in DISK_FULL_ERRNOS:
        return DiskFull(
            _(
                "{place}: no space left on the server for this upload; free some, then it goes on by itself",
                place=place,
            )
        )
    return StorageFailed(
        _(
            "{place}: the upload cannot be written ({strerror}); check the server's disk",
            place=place,
            strerror=error.strerror,
        )
    )
