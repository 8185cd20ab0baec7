"""Small files beside an upload's bytes, and errors of the disk under them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flycam.errors import DiskFull, NotFound, StorageFailed
from flycam.messages import _, pgettext
from flycam.store.disk_space import DISK_FULL_ERRNOS, require_free_space
from flycam.store.fsync import sync_path

MANIFEST_FILE, PREVIEW_FILE, PROGRESS_FILE = "manifest.json", "look.json", "progress.json"
# results of the photos, and of the videos
PHOTOS_RESULT_FILE, VIDEOS_RESULT_FILE = (
    "laid.json",
    "filmed.json",
)
# the file being read now, in which a decoder may hang
READING_FILE = "reading.json"
JOURNAL_FILE = "journal"


def write_json(path: Path, value: Any) -> None:
    """Write JSON durably and atomically. Raises OSError."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=False)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    sync_path(path.parent)


def read_json_file(folder: Path, name: str) -> dict[str, Any] | None:
    """Read a JSON file beside an upload; None if it is missing or unreadable."""
    try:
        said = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) else None


def write_result_file(path: Path, answer: Any) -> None:
    """Write JSON as `write_json`, without the path of the upload's folder.

    Raises StorageFailed.
    """
    card = str(path.parent / "card") + "/"
    text = json.dumps(answer, ensure_ascii=False).replace(json.dumps(card, ensure_ascii=False)[1:-1], "")
    try:
        write_json(path, json.loads(text))
    except OSError as error:
        raise make_storage_error(path.parent, error) from error


def note_reading(folder: Path, file: str) -> None:
    """Note the file that is read next, in case the process hangs on it."""
    # on a full disk the flight matters more than this note
    with suppress(OSError):
        write_json(folder / READING_FILE, {"file": file})


@contextmanager
def lock_upload(folder: Path) -> Iterator[None]:
    """Lock an upload for one process at a time.

    Also if its server was killed and another starts anew. Raises NotFound, StorageFailed.
    """
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
    """Make the error for an unknown upload, also for accounts that may not see it."""
    return NotFound(_("there is no such upload here (any more); choose the same files again to go on"))


def require_upload_space(place: Path, free: int, more: int) -> None:
    """Raise DiskFull, with the cure, if flights would lack space.

    It is raised if `more` bytes would leave less of `free` than flights need.
    """
    require_free_space(place, free, more, pgettext("uploading", "goes on by itself"))


def make_storage_error(place: Path, error: OSError) -> StorageFailed:
    """Make the error for a disk failure, with the cure."""
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
