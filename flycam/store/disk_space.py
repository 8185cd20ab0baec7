"""How much room a disk has left, and for whom the last of it is.

what is free    what happens
------------    ------------
below 3.2 GB    whoever lays a flight first deletes what can be made again (`flycam.pipeline.eviction`)
below 2.1 GB    recorded video waits: the pictures that are laid, and the map, are worth more
below 1.1 GB    uploads, packs and what is fetched wait: they can; of what boxes send tiles, terrain and
                photos: records, among them withdrawals and masks, and overviews are taken in
below 34 MB     photos and tiles are not begun any more: what is left is the catalogue's, so that it
                closes what was begun, and withdrawals, marks and the audit log are still written
below 4 MB      whoever opens the house has what was held back for that, `release_reserve`: without
                room for SQLite's index of its log not even reading begins
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flycam.errors import DiskFull
from flycam.messages import _

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a disk that is full, a quota that is used up, a file system's largest file."""

LOW_SPACE_BYTES = 3 << 30
"""With less, what can be made again gives way to flights."""

RECORDING_BYTES = 2 << 30
"""Left free by recorded video."""

SPARE_BYTES = 1 << 30
"""Left free for flights and the catalogue by uploads, packs and what is fetched."""

RESERVED_BYTES = 32 << 20
"""Left free for the catalogue by flights: some 100,000 lines of the tile log, with their indices."""

RESERVE_NAME = ".reserve"
_RESERVE_BYTES, _MIN_RESERVE_BYTES = 8 << 20, 1 << 20
_FULL_BYTES = 4 << 20
_SHARE = 8  # of what is free: a small disk gives up no more than this part of it


def get_free_bytes(folder: Path) -> int:
    """Bytes that can still be written in a folder, which need not be there yet. Raises OSError."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


@contextmanager
def release_reserve(folder: Path) -> Iterator[None]:
    """Hold some room of a folder's disk in a file; give it up for as long as this is open on a full disk.

    Whatever else fills the disk cannot take that room, so there is some to read, to sign in, and to delete
    by. Only what fills the disk again while it is given up can.
    """
    reserve, released = folder / RESERVE_NAME, 0
    with suppress(OSError):  # a disk that only may be read, or that others filled meanwhile
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
    """Make the file, or enlarge it. Raises OSError."""
    if size < _MIN_RESERVE_BYTES or (reserve.exists() and reserve.stat().st_size >= size):
        return
    with reserve.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def require_free_space(
    place: Path, free: int, more_bytes: int, resume_hint_vi: str, min_free_bytes: int = SPARE_BYTES
) -> None:
    """Raise DiskFull, with the cure, where `more_bytes` of another machine would leave less than
    `min_free_bytes`
    of `free` bytes. vi_goes_on: how it goes on by itself, in Vietnamese."""
    if free - more_bytes >= min_free_bytes:
        return
    gb, gb_spare = free / 1e9, SPARE_BYTES / 1e9
    raise DiskFull(
        _(
            "{place}: the server has {gb:.1f} GB left, of which {gb_spare:.1f} GB stay free "
            "for flights; free some there, then it goes on by itself from where it is",
            place=place,
            gb=gb,
            gb_spare=gb_spare,
            vi_goes_on=resume_hint_vi,
        )
    )
