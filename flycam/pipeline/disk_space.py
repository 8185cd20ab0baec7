"""How much room is left where this house writes, looked at before photos and groups of tiles are written.

What the disks of the store and of the catalogue's file tell is looked at (a system call each). Of a store on
S3 and of a database on a server nobody can tell: those say themselves that they are full.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flycam.errors import DiskFull
from flycam.frame.warning import SPACE_FREED, encode_warning
from flycam.messages import _
from flycam.store.base import ObjectStore
from flycam.store.disk_space import LOW_SPACE_BYTES, RESERVED_BYTES, get_free_bytes

GROUP_BYTES = 16 << 20
"""What a group of tiles with its ancestors takes at the most, about."""

_PAUSE_S, _PAUSE_IN_NEED_S = 60.0, 5.0  # before it is looked for what can be freed once more


@dataclass(frozen=True, slots=True)
class Freed:
    """What was deleted because room was low, all of which can be made again: old states of tiles, old clips,
    local copies and stage files; and the bytes of all of it."""

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
    """A disk that is written to, as people know it, and what is free there."""

    name: str
    free_bytes: int


FreeSpace = Callable[[int, str | None], Freed]
"""Makes room until so many bytes are free; the name of a flight's lock that the caller holds, if he does."""


class DiskSpaceGuard:
    """One for a command. Safe between threads.

    free   makes room; None: nothing is deleted, and only what is reserved is looked after
    freed  what was, until now
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
        """Where room is low, make some; then raise DiskFull if writing so many bytes more would take what is
        reserved for the catalogue.

        look     the disk with the least room, None where nobody can tell
        held_lock  the lock under which the caller writes a flight's tiles, if he alone does and writes none
                 before this returns: then old states of that flight may go too
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
                # a large house takes a while to be looked through: most of the time belongs to flights
                self._pause_s = max(_PAUSE_S, 10.0 * (ended_s - began_s))
            place = look()
        if place is not None and place.free_bytes < least:
            raise make_disk_full_error(place)

    def free_space(self, wanted_bytes: int) -> None:
        """Make room until so many bytes are free, as far as that is possible."""
        if self._free is not None:
            with self._guard:
                self.freed += self._free(wanted_bytes, None)

    def _is_time(self, holding: str | None, *, is_needed: bool) -> bool:
        before_s = self._tried.get(holding)
        pause_s = _PAUSE_IN_NEED_S if is_needed else self._pause_s
        return before_s is None or self._clock_s() >= before_s + pause_s

    @property
    def notes(self) -> tuple[str, ...]:
        """What was freed, as `flycam.frame.warning` keeps it; nothing if nothing was."""
        return (describe_freed(self.freed),) if self.freed else ()


def describe_freed(freed: Freed) -> str:
    """What was freed, as `flycam.frame.warning` keeps it."""
    return encode_warning(
        SPACE_FREED,
        mb=f"{freed.size_bytes / 1e6:.1f}",
        tiles=freed.tiles,
        clips=freed.clips,
        copies=freed.copies,
    )


def list_disks(store: ObjectStore, catalogue: Path | None) -> list[DiskVolume]:
    """The store's disk and that of the catalogue's folder, as far as they can be told. Raises
    StorageFailed."""
    found = []
    in_store = store.free_bytes()
    if in_store is not None:
        found.append(DiskVolume(str(store), in_store))
    if catalogue is not None:
        with suppress(OSError):  # a disk that does not tell is met at the first thing written there
            found.append(DiskVolume(str(catalogue), get_free_bytes(catalogue)))
    return found


def make_disk_full_error(place: DiskVolume) -> DiskFull:
    """For flights, which leave to the catalogue what is reserved for it."""
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
