"""What an exchange needs of the house."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.store.base import ObjectStore


class Node(Protocol):
    """The open house, of which this room sees this much; `flycam.pipeline.workspace.Workspace` is one.

    box       this box's name in the tile log
    clock_ns  UTC nanoseconds, for what is written here; the order of an exchange never looks at it
    cache_dir local files that can be thrown away at any time
    """

    @property
    def store(self) -> ObjectStore: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def box(self) -> str: ...

    @property
    def clock_ns(self) -> Callable[[], int]: ...

    @property
    def cache_dir(self) -> Path: ...

    def require_disk_space(self, more_bytes: int = 0) -> None:
        """Raise DiskFull where writing so many bytes more would take what is reserved for the catalogue."""
