"""Thresholds of free disk space, and what is given up below each.

free            what happens
------------    ------------
below 3.2 GB    a flight about to be orthorectified first evicts what can be made again
                (`flycam.pipeline.eviction`)
below 2.1 GB    video recording waits: orthorectified frames and the mosaic are worth more
below 1.1 GB    uploads, packs and fetches wait, which they can. From other nodes only records (among them
                withdrawals and redactions) and overview tiles are accepted; tiles, terrain and photos wait
below 34 MB     no photo or tile is begun: the rest is the catalogue's, so that it closes what was
                begun, and withdrawals, marks and the audit log are still written
below 4 MB      opening the data folder releases its reserve (`release_reserve`): without room for the
                index of SQLite's write-ahead log not even reading works
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flycam.errors import DiskFull
from flycam.messages import Message, _

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exhausted quota and a file system's largest file."""

LOW_SPACE_BYTES = 3 << 30
"""Below this, what can be made again is evicted for flights."""

RECORDING_BYTES = 2 << 30
"""Left free by video recording."""

SPARE_BYTES = 1 << 30
"""Left free for flights and the catalogue by uploads, packs and fetches."""

RESERVED_BYTES = 32 << 20
"""Left free for the catalogue by flights: some 100,000 lines of the tile log, with their indices."""

RESERVE_NAME = ".reserve"
_RESERVE_BYTES, _MIN_RESERVE_BYTES = 8 << 20, 1 << 20
_FULL_BYTES = 4 << 20
# at most this part of the free space, so that a small disk is not filled by its reserve
_SHARE = 8


def get_free_bytes(folder: Path) -> int:
    """Return the free bytes of a folder's disk; the folder need not exist yet.

    Raises OSError.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


@contextmanager
def release_reserve(folder: Path) -> Iterator[None]:
    """Keep a reserve file in a folder; release it inside the block on a full disk.

    Nothing else that fills the disk can take the reserved space, so it remains possible to read, to sign in
    and to delete. Only writes made while it is released can use it up.
    """
    reserve, released = folder / RESERVE_NAME, 0
    # the disk may be read-only, or filled by others meanwhile
    with suppress(OSError):
        free = get_free_bytes(folder)
        if free >= _FULL_BYTES:
            _hold(reserve, min(_RESERVE_BYTES, free // _SHARE))
        elif reserve.exists():
            released = reserve.stat().st_size
            reserve.unlink(missing_ok=True)
    try:
        yield
    finally:
        if released:
            with suppress(OSError):
                _hold(reserve, min(released, get_free_bytes(folder)))


def _hold(reserve: Path, size: int) -> None:
    """Make the reserve file, or enlarge it. Raises OSError."""
    if size < _MIN_RESERVE_BYTES or (reserve.exists() and reserve.stat().st_size >= size):
        return
    with reserve.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def require_free_space(
    place: Path, free: int, more_bytes: int, resume: Message, min_free_bytes: int = SPARE_BYTES
) -> None:
    """Raise DiskFull, with the cure, unless `more_bytes` fit into the free space.

    They do not fit if they leave less than `min_free_bytes` of the `free` bytes of another machine.
    resume: that the transfer goes on by itself.
    """
    if free - more_bytes >= min_free_bytes:
        return
    gb, gb_spare = free / 1e9, SPARE_BYTES / 1e9
    raise DiskFull(
        _(
            "{place}: the server has {gb:.1f} GB left, of which {gb_spare:.1f} GB stay free "
            "for flights; free some there, then it {resume} from where it is",
            place=place,
            gb=gb,
            gb_spare=gb_spare,
            resume=resume,
        )
    )
