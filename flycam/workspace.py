"""Workspace of a node: its store, catalogue and identity.

Every workflow runs on one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.config import PowerMode
from flycam.messages import Message, _
from flycam.model.text import strip_url_credentials
from flycam.power import Power
from flycam.storage.files import DiskSpaceGuard, DiskVolume, list_disks

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.concurrency import Cluster
    from flycam.storage.keys import ObjectStore

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
    cap_sender  sender of CAP messages, as of `flycam.geodata.kml`; "": this node
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


# -- Notices on what a live flight waits for before it begins --------------------------------------
#
# A notice is given once, if the wait is not over soon.


NoticeListener = Callable[[Message], None]
"""Gets a notice for the operator's terminal."""

_SOON_S = 2.0


def ignore_notice(_message: Message) -> None:
    """Ignore the notice."""


@contextmanager
def announce_wait(message: Message | None, say: NoticeListener) -> Iterator[None]:
    """Give the message if the block takes long; None: no message.

    None where a server is called, which answers or does not.
    """
    if message is None:
        yield
        return
    timer = threading.Timer(_SOON_S, say, (message,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def describe_telemetry_wait(url: str) -> Message:
    """Return the notice that a link has sent no position yet."""
    return _(
        "{name}: the video is here, waiting for the aircraft's position (MAVLink) over this link",
        name=strip_url_credentials(url),
    )
