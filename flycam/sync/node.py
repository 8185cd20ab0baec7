"""Interface of the node that an exchange uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog
    from flycam.store.base import ObjectStore


class Node(Protocol):
    """The part of a node that sync uses.

    `flycam.pipeline.workspace.Workspace` is one.

    box        this node's name in the tile log
    clock_ns   UTC nanoseconds, for what is written here; the order of an exchange does not depend on it
    cache_dir  local files that can be deleted at any time
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
        """Raise DiskFull if so many bytes more would use the catalogue's reserve."""
