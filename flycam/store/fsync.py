"""Syncing to disk: one file or folder, or a whole file system at once."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_syncfs = getattr(_libc, "syncfs", None)


def sync_path(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, survive a power cut.

    Raises OSError.
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder(folder: Path) -> None:
    """Make a folder and its missing parents; their names survive a power cut.

    Raises OSError.
    """
    missing = []
    above = folder
    while not above.is_dir() and above != above.parent:
        missing.append(above)
        above = above.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        # a folder that is writable but not readable cannot be opened to be synced
        with suppress(PermissionError):
            sync_path(made.parent)


def move_into_place(part: Path, target: Path) -> None:
    """Sync a file, then rename it to its final name.

    After a power cut there is the whole file or what was there before, never a name without bytes.
    Raises OSError.
    """
    sync_path(part)
    part.replace(target)
    # some file systems of USB sticks cannot sync folders
    with suppress(OSError):
        sync_path(target.parent)


def sync_filesystem(fd: int) -> bool:
    """Sync the whole file system of `fd` at once; return False if unsupported.

    One call for hundreds of files costs about as much as one fsync; Linux also reports write-back errors
    that happened since `fd` was opened. Raises OSError.
    """
    if _syncfs is None:
        return False
    if _syncfs(fd) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number))
