"""Bytes to the disk: one file or folder, or all of a file system at once."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_syncfs = getattr(_libc, "syncfs", None)


def sync_path(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, survive a power cut. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; their names survive a power cut. Raises OSError."""
    missing = []
    above = folder
    while not above.is_dir() and above != above.parent:
        missing.append(above)
        above = above.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        with suppress(PermissionError):  # a folder that may be written and not read cannot be synced
            sync_path(made.parent)


def move_into_place(part: Path, target: Path) -> None:
    """Give a file its last name once its bytes are on the disk: after a power cut there is the whole file or
    what was there before, never a name without bytes. Raises OSError."""
    sync_path(part)
    part.replace(target)
    with suppress(OSError):  # some file systems of sticks sync no folders
        sync_path(target.parent)


def sync_filesystem(fd: int) -> bool:
    """Sync the whole file system that holds `fd`, in one go; False if this machine cannot. Raises OSError.

    One call for hundreds of files costs about what one fsync does; Linux also reports write-back errors
    that happened since `fd` was opened.
    """
    if _syncfs is None:
        return False
    if _syncfs(fd) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number))
