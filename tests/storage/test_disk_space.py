"""Looked at before photos and tiles are written: what is low is freed first, what is reserved stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.errors import DiskFull
from flycam.model.warning import describe_warning
from flycam.storage.files import (
    LOW_SPACE_BYTES,
    RESERVED_BYTES,
    DiskSpaceGuard,
    DiskVolume,
    Freed,
    list_disks,
)
from flycam.storage.stores import LocalStore, MemoryStore

TILES = Freed(tiles=3, clips=1, copies=2, size_bytes=5_000_000)


class Disk:
    """A disk with so much room, of which so much can be freed; what was asked of it."""

    def __init__(self, free_bytes: int, can_free: int = 0) -> None:
        self.free_bytes, self.can_free = free_bytes, can_free
        self.requests: list[tuple[int, str | None]] = []
        self.now_s = 0.0

    def look(self) -> DiskVolume:
        return DiskVolume("/ổ đĩa", self.free_bytes)

    def free(self, wanted_bytes: int, holding: str | None) -> Freed:
        self.requests.append((wanted_bytes, holding))
        self.free_bytes += self.can_free
        freed, self.can_free = (TILES if self.can_free else Freed()), 0
        return freed

    def watch(self) -> DiskSpaceGuard:
        return DiskSpaceGuard(self.free, lambda: self.now_s)


def test_where_there_is_room_nothing_is_asked() -> None:
    disk = Disk(LOW_SPACE_BYTES)
    watch = disk.watch()
    watch.require_space(disk.look)
    assert (disk.requests, watch.notes) == ([], ())


def test_low_room_is_made_and_told_and_the_work_goes_on() -> None:
    disk = Disk(LOW_SPACE_BYTES - 1, can_free=5_000_000)
    watch = disk.watch()
    watch.require_space(disk.look, 1000, held_lock="f1")
    assert disk.requests == [(LOW_SPACE_BYTES + 1000, "f1")]
    assert watch.freed == TILES
    (note,) = watch.notes
    assert "5.0 MB" in str(describe_warning(note))


def test_what_is_reserved_for_the_catalogue_is_not_taken() -> None:
    disk = Disk(RESERVED_BYTES + 999)
    watch = disk.watch()
    watch.require_space(disk.look, 999)
    with pytest.raises(DiskFull, match="/ổ đĩa"):
        watch.require_space(disk.look, 1000)
    assert watch.freed == Freed()


def test_a_watch_that_frees_nothing_looks_after_what_is_reserved() -> None:
    disk = Disk(RESERVED_BYTES - 1, can_free=1 << 40)
    with pytest.raises(DiskFull):
        DiskSpaceGuard().require_space(disk.look)
    disk.free_bytes = RESERVED_BYTES
    DiskSpaceGuard().require_space(disk.look)


def test_it_is_not_looked_for_what_can_be_freed_at_every_group() -> None:
    disk = Disk(LOW_SPACE_BYTES // 2)
    watch = disk.watch()
    for second in range(60):
        disk.now_s = float(second)
        watch.require_space(disk.look, held_lock="f1")
    assert len(disk.requests) == 1
    disk.now_s = 60.0
    watch.require_space(disk.look, held_lock="f1")
    assert len(disk.requests) == 2
    watch.require_space(disk.look)  # a photo, which frees nothing of its own flight, is in nobody's way
    assert disk.requests[2:] == [(LOW_SPACE_BYTES, None)]


def test_the_disks_of_store_and_catalogue_are_told_apart_and_some_cannot_be_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "kho")
    volumes = list_disks(store, tmp_path)
    assert [one.name for one in volumes] == [str(tmp_path / "kho"), str(tmp_path)]
    assert all(one.free_bytes > 0 for one in volumes)
    assert list_disks(MemoryStore(), None) == []
    store.close()
