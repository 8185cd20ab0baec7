"""What every recipe works with: the store, the catalogue, and who this box is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.pipeline.disk_space import DiskSpaceGuard, DiskVolume, list_disks
from flycam.pipeline.power import Power, PowerMode

if TYPE_CHECKING:  # named here, made elsewhere: who opens no catalogue does not wait for its libraries
    from flycam.catalog.catalog import Catalog
    from flycam.pipeline.executor import Cluster
    from flycam.store.base import ObjectStore

Progress = Callable[[str, int, int], None]
"""Stage, how much of it is done, and of how much; 0 where nobody knows yet, as of a stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """The open house.

    box        this box's name in the tile log (`TileRecord.origin`)
    cache_dir  local files that can be thrown away at any time (terrain fetched from the store)
    operator   who is at work here, written into flights and the audit log
    clock_ns   UTC nanoseconds
    power      how this machine is powered, and whether its battery has to last
    cluster    who ingests and finishes with this process; None: nobody
    cap_sender who sends CAP messages, as `flycam.geodata.cap_file` takes it; "": this box
    disk_space  looks at how much room is left before photos and tiles are written
    """

    store: ObjectStore
    catalog: Catalog
    box: str
    cache_dir: Path
    operator: str | None = None
    clock_ns: Callable[[], int] = time.time_ns
    power: Power = field(default_factory=lambda: Power(PowerMode.FULL))
    cluster: Cluster | None = None
    cap_sender: str = ""
    disk_space: DiskSpaceGuard = field(default_factory=DiskSpaceGuard)

    def list_disks(self) -> list[DiskVolume]:
        """The disks that this house writes to, as far as they can be told. Raises StorageFailed."""
        return list_disks(self.store, self.catalog.folder)

    def find_fullest_disk(self) -> DiskVolume | None:
        """The one with the least room; None where nobody can tell. Raises StorageFailed."""
        return min(self.list_disks(), key=lambda one: one.free_bytes, default=None)

    def require_disk_space(self, more_bytes: int = 0, *, held_lock: str | None = None) -> None:
        """See `RoomWatch.require`. Raises DiskFull, StorageFailed."""
        self.disk_space.require_space(self.find_fullest_disk, more_bytes, held_lock=held_lock)


def ignore_progress(_stage: str, _done: int, _total: int) -> None:
    """A progress listener that says nothing."""
