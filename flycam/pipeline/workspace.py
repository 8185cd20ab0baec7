"""Workspace of every recipe: store, catalogue, and the identity of this node."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.pipeline.disk_space import DiskSpaceGuard, DiskVolume, list_disks
from flycam.pipeline.power import Power, PowerMode

# type hints only: without a catalogue its libraries are not loaded
if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.pipeline.executor import Cluster
    from flycam.store.base import ObjectStore

Progress = Callable[[str, int, int], None]
"""Stage, how much of it is done, and of how much; 0 where that is unknown, as of a stream."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workspace:
    """An open data folder with its store and catalogue.

    box         this node's name in the tile log (`TileRecord.origin`)
    cache_dir   local files that can be deleted at any time (terrain fetched from the store)
    operator    who works here, written into flights and the audit log
    clock_ns    UTC nanoseconds
    power       how this machine is powered, and whether its battery has to last
    cluster     workers that share ingests and finishes; None: none
    cap_sender sender of CAP messages, as of `flycam.geodata.cap_file`; "": this node
    disk_space  guard of free space, before photos and tiles are written
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
        """List the disks that this node writes to, as far as known. Raises StorageFailed."""
        return list_disks(self.store, self.catalog.folder)

    def find_fullest_disk(self) -> DiskVolume | None:
        """Return the disk with the least free space; None if unknown.

        Raises StorageFailed.
        """
        return min(self.list_disks(), key=lambda one: one.free_bytes, default=None)

    def require_disk_space(self, more_bytes: int = 0, *, held_lock: str | None = None) -> None:
        """Require free space, see `DiskSpaceGuard.require_space`.

        Raises DiskFull, StorageFailed.
        """
        self.disk_space.require_space(self.find_fullest_disk, more_bytes, held_lock=held_lock)


def ignore_progress(_stage: str, _done: int, _total: int) -> None:
    """Ignore progress."""
