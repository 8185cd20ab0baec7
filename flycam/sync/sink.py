"""Files of reference items while they are fetched, and the disk space left there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flycam.errors import StorageFailed
from flycam.messages import _
from flycam.store.disk_space import get_free_bytes
from flycam.sync.reference_feed import FeedItem

COPIES = 2
"""Of an item that came: as fetched, and as an original."""


def measure_free_bytes(folder: Path) -> int:
    """Return the bytes free in a folder, created if needed; raises StorageFailed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return get_free_bytes(folder)
    except OSError as error:
        raise _build_write_error(folder, error) from error


class Sink:
    """Writer of several items in a row, each into its own file."""

    def __init__(self, things: Sequence[tuple[FeedItem, Path]], folder: Path) -> None:
        self._things = list(things)
        self._folder = folder

    def add(self, data: bytes) -> None:
        """Append bytes, dropping what exceeds the requested items; raises StorageFailed."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            while data and self._things:
                thing, path = self._things[0]
                with path.open("ab") as file:
                    left = thing.size_bytes - file.tell()
                    file.write(data[:left])
                data = data[left:]
                if data or left <= 0:
                    self._things.pop(0)
        except OSError as error:
            raise _build_write_error(self._folder, error) from error


def _build_write_error(folder: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        _(
            "{folder}: what the server gives cannot be kept ({strerror}); make room there",
            folder=folder,
            strerror=error.strerror,
        )
    )
