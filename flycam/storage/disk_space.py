"""Free disk space: thresholds, consequences of each, and a guard of writes.

free            what happens
------------    ------------
below 3.2 GB    a flight about to be orthorectified first evicts what can be made again
                (`flycam.mosaic.eviction`)
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
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flycam.errors import DiskFull, StorageFailed
from flycam.messages import Message, _
from flycam.model.warning import SPACE_FREED, encode_warning
from flycam.storage.base import ObjectStore

DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a full disk, an exhausted quota and a file system's largest file."""


def make_write_error(error: OSError, message: Message) -> StorageFailed:
    """Make DiskFull of a disk or a quota that is full, StorageFailed of other trouble."""
    return (DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed)(message)


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
    resume: that the transfer resumes by itself.
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


# -- Guard of free disk space ----------------------------------------------------------------------
#
# Checked before photos and groups of tiles are written: the disks of a local store and of the catalogue's
# file (a system call each). An S3 store and a database server do not report free space: they raise when they
# are full.


GROUP_BYTES = 16 << 20
"""Upper estimate of the bytes of a group of tiles with its ancestors."""

# between two searches for what can be evicted
_PAUSE_S, _PAUSE_IN_NEED_S = 60.0, 5.0


@dataclass(frozen=True, slots=True)
class Freed:
    """Evicted data, all of which can be made again, and its size.

    tiles       old tile states; clips: old clips; copies: local copies and stage files
    size_bytes  of all of it
    """

    tiles: int = 0
    clips: int = 0
    copies: int = 0
    size_bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        return Freed(
            self.tiles + other.tiles,
            self.clips + other.clips,
            self.copies + other.copies,
            self.size_bytes + other.size_bytes,
        )

    def __bool__(self) -> bool:
        return self.tiles + self.clips + self.copies > 0


@dataclass(frozen=True, slots=True)
class DiskVolume:
    """A disk that is written to, under a name that people know, with its free bytes."""

    name: str
    free_bytes: int


FreeSpace = Callable[[int, str | None], Freed]
"""Frees space until so many bytes are free; takes the name of the flight's lock that the caller holds, if
any.
"""


class DiskSpaceGuard:
    """Guard of free disk space for one command. Thread-safe.

    free   frees space; None: nothing is deleted, and only the reserve is guarded
    freed  what was evicted so far
    """

    def __init__(self, free: FreeSpace | None = None, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._free, self._clock_s = free, clock_s
        self._tried: dict[str | None, float] = {}
        self._pause_s = _PAUSE_S
        self._guard = threading.Lock()
        self.freed = Freed()

    def require_space(
        self, look: Callable[[], DiskVolume | None], more_bytes: int = 0, *, held_lock: str | None = None
    ) -> None:
        """Free space where it is low; raise DiskFull if too little remains.

        It is raised if the write would use up the reserve. The reserve is kept for the catalogue
        (`RESERVED_BYTES`).

        look        the disk with the least free space, None where it is unknown
        more_bytes  that are about to be written
        held_lock   the lock under which the caller writes a flight's tiles, if he alone does and writes none
                    before this returns: then old states of that flight may be evicted too
        """
        low, least = LOW_SPACE_BYTES + more_bytes, RESERVED_BYTES + more_bytes
        place = look()
        if place is None or place.free_bytes >= low:
            return
        with self._guard:
            if self._free is not None and self._is_time(held_lock, is_needed=place.free_bytes < least):
                began_s = self._clock_s()
                self.freed += self._free(low, held_lock)
                self._tried[held_lock] = ended_s = self._clock_s()
                # a search through a large node takes long: most of the time belongs to flights
                self._pause_s = max(_PAUSE_S, 10.0 * (ended_s - began_s))
            place = look()
        if place is not None and place.free_bytes < least:
            raise make_disk_full_error(place)

    def free_space(self, wanted_bytes: int) -> None:
        """Free space until so many bytes are free, as far as possible."""
        if self._free is not None:
            with self._guard:
                self.freed += self._free(wanted_bytes, None)

    def _is_time(self, holding: str | None, *, is_needed: bool) -> bool:
        before_s = self._tried.get(holding)
        pause_s = _PAUSE_IN_NEED_S if is_needed else self._pause_s
        return before_s is None or self._clock_s() >= before_s + pause_s

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about evicted data, as `flycam.model.warning` encodes them.

        Empty if nothing was.
        """
        return (describe_freed(self.freed),) if self.freed else ()


def describe_freed(freed: Freed) -> str:
    """Encode evicted data as a warning of `flycam.model.warning`."""
    return encode_warning(
        SPACE_FREED,
        mb=f"{freed.size_bytes / 1e6:.1f}",
        tiles=freed.tiles,
        clips=freed.clips,
        copies=freed.copies,
    )


def list_disks(store: ObjectStore, catalogue: Path | None) -> list[DiskVolume]:
    """List the disks of the store and of the catalogue's folder, as far as known.

    Raises StorageFailed.
    """
    found = []
    in_store = store.free_bytes()
    if in_store is not None:
        found.append(DiskVolume(str(store), in_store))
    if catalogue is not None:
        # a disk that cannot be queried raises at the first write
        with suppress(OSError):
            found.append(DiskVolume(str(catalogue), get_free_bytes(catalogue)))
    return found


def make_disk_full_error(place: DiskVolume) -> DiskFull:
    """Make the error for flights, which must leave the catalogue its reserve."""
    left, kept = f"{place.free_bytes / 1e6:.0f} MB", f"{RESERVED_BYTES / 1e6:.0f} MB"
    return DiskFull(
        _(
            "{name}: no space left for flights: {left} are free, and the last {kept} are "
            "kept for the catalogue; nothing is lost: free some there ('flycam collect', a "
            "smaller --keep-video, or a larger disk) and run again",
            name=place.name,
            left=left,
            kept=kept,
        )
    )
