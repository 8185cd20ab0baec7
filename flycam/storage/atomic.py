"""Atomic writing of files and folders, and locks on folders.

A folder is written beside its place, and renamed when it is complete.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flycam.errors import DiskFull, InputUnusable, StorageFailed
from flycam.messages import _
from flycam.storage.disk_space import DISK_FULL_ERRNOS
from flycam.storage.files import create_regular, move_into_place, sync_filesystem, sync_path

# -- Atomic writing of a file ----------------------------------------------------------------------


def write_file_atomically(out: Path, data: bytes) -> None:
    """Replace a file, or a link, with these bytes. Raises DiskFull, StorageFailed."""
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with create_regular(part) as file:
            file.write(data)
        # renamed only when it is complete, so that no reader meets half a file
        move_into_place(part, out)
    except OSError as error:
        kind = DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed
        raise kind(
            _("{out}: cannot be written ({strerror}); choose another place", out=out, strerror=error.strerror)
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


# -- Locks on folders in which one process works ---------------------------------------------------
#
# The kernel drops a lock when its process dies.


def lock_folder(folder: Path) -> int:
    """Return a descriptor that locks the folder until it is closed. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
    except BaseException:
        os.close(fd)
        raise
    return fd


@contextmanager
def probe_folder_lock(folder: Path) -> Iterator[bool]:
    """Yield True if no living process holds the folder's lock.

    None can take it meanwhile. Raises OSError.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)


# -- Atomic writing of a folder --------------------------------------------------------------------


@contextmanager
def replace_folder(out: Path, find_foreign_file: Callable[[Path], str | None]) -> Iterator[Path]:
    """Yield a new folder to write into, which replaces `out` when the block ends.

    find_foreign_file  names something in a folder that an older one does not hold; such a folder is never
                       replaced

    What a killed run left is deleted. Between the two renames of a replacement a reader may find no folder
    for a moment; a program killed there leaves the older one aside, and the next run puts it back. Raises
    InputUnusable (not a place for a folder), DiskFull, StorageFailed, and whatever the block raises.
    """
    try:
        place = out.expanduser().resolve()  # a link stays; its target is replaced
        if place.name:
            _recover_interrupted(place, find_foreign_file)
        _require_replaceable(out, place, find_foreign_file)
        part = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.part")
        part.mkdir()
        lock_fd = lock_folder(part)
        try:
            yield part
            # checked again: minutes have passed, and people may have put files there
            _require_replaceable(out, place, find_foreign_file)
            # the files are on disk before the folder gets its name
            sync_filesystem(lock_fd)
            _exchange(part, place, find_foreign_file)
        finally:
            os.close(lock_fd)
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        kind = DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed
        raise kind(
            _(
                "{out}: cannot be written ({strerror}); free some space there or choose another place",
                out=out,
                strerror=error.strerror,
            )
        ) from error


def _recover_interrupted(place: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    """Delete leftovers of killed runs, and put back what they had set aside."""
    if not place.parent.is_dir():
        return
    aside = _aside(place)
    if aside.is_dir() and not place.exists():
        aside.rename(place)
    _delete_replaced(aside, find_foreign_file)
    for sibling in place.parent.iterdir():
        if sibling.name.startswith(f".{place.name}.") and sibling.name.endswith(".part") and sibling.is_dir():
            # a folder that is still locked belongs to a process that is alive
            with probe_folder_lock(sibling) as is_free:
                if is_free:
                    shutil.rmtree(sibling, ignore_errors=True)


def _require_replaceable(out: Path, place: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    if not place.parent.is_dir():
        raise InputUnusable(
            _("{out}: the folder it would lie in does not exist; create it or choose another place", out=out)
        )
    if place.exists() and not place.is_dir():
        raise InputUnusable(_("{out}: is a file; give the name of a folder", out=out))
    stranger = None
    if place.is_dir():
        stranger = find_foreign_file(place) if place.name else "/"
    if stranger is not None:
        raise InputUnusable(
            _(
                "{out}: holds other things ({stranger}), not replaced; move them away or give a new folder",
                out=out,
                stranger=stranger,
            )
        )


def _exchange(part: Path, place: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    aside = _aside(place)
    if place.exists():
        place.rename(aside)
    part.rename(place)
    # some file systems of USB sticks cannot sync folders
    with suppress(OSError):
        sync_path(place.parent)  # before the older one is deleted
    _delete_replaced(aside, find_foreign_file)


def _delete_replaced(aside: Path, find_foreign_file: Callable[[Path], str | None]) -> None:
    """Delete an older folder that was set aside.

    Files put into it at the last moment stay, under a name that no later run deletes.
    """
    if not aside.is_dir():
        return
    if find_foreign_file(aside) is None:
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.rename(aside.with_name(f"{aside.name.lstrip('.')}-{uuid.uuid4().hex[:8]}"))


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")
