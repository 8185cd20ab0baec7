"""Stage results of a `finish` run on disk, from which a killed run continues.

 <cache>/finish/<flight>/<layer>-<hash of inputs and options>/<stage>.stage

A stage's file is written under another name, synced and renamed: it is complete or absent. A file that is
damaged, or of other inputs, counts as absent. The folder can be deleted at any time.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from flycam.errors import DiskFull, StorageFailed
from flycam.messages import _
from flycam.pipeline.cluster.serialization import read_serialized, write_serialized
from flycam.store.disk_space import DISK_FULL_ERRNOS

Made = TypeVar("Made")

_SUFFIX = ".stage"
_PARTIAL = ".part"


class StageFolder:
    """Stage files of one run.

    Safe between threads; one process at a time, which the caller ensures.
    """

    def __init__(self, folder: Path, inputs_hash: str) -> None:
        self.folder = folder
        self._hash = inputs_hash

    def remove_partial(self) -> None:
        """Remove partial files of a killed run. Only while nobody else writes here."""
        for leftover in self.folder.glob(f"**/*{_PARTIAL}"):
            leftover.unlink(missing_ok=True)

    def load_or_make(self, stage: str, kinds: Iterable[type], make: Callable[[], Made]) -> Made:
        """Load this stage's result, else make it and keep it for the next run.

        Raises DiskFull or StorageFailed if it cannot be kept, and whatever `make` raises.
        """
        found = self.load(stage, kinds)
        if found is None:
            found = make()
            self.save(stage, found)
        value: Made = found
        return value

    def load(self, stage: str, kinds: Iterable[type]) -> Any | None:
        """Load what a run of the same inputs kept; None if there is nothing intact."""
        path = self._path(stage)
        with _translated(path):
            try:
                data = bytearray(path.stat().st_size)
                with path.open("rb") as file:
                    if file.readinto(data) != len(data):
                        return None
            except FileNotFoundError:
                return None
        return read_serialized(data, kinds, self._stamp(stage))

    def save(self, stage: str, value: Any, *, synced: bool = True) -> None:
        """Keep a value.

        synced=False for many small ones: a power cut may lose them, never damage them.
        """
        path = self._path(stage)
        partial = path.with_name(f"{path.name}.{os.getpid()}{_PARTIAL}")
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("wb") as file:
                    write_serialized(file, value, self._stamp(stage))
                    if synced:
                        file.flush()
                        os.fsync(file.fileno())
                # Synced before the rename: a power cut leaves the complete file or none.
                partial.replace(path)
                if synced:
                    _sync_folder(path.parent)
            finally:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all of it, the run's folder included."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def require_free(self, wanted_bytes: int, name: str) -> None:
        """Raise DiskFull, naming the shortage, unless that much can be written here."""
        with _translated(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        if free < wanted_bytes:
            raise DiskFull(
                _(
                    "{name}: finishing it takes about {wanted_bytes:.1f} GB in {parent}, and "
                    "{free:.1f} GB are free; make room there and run again",
                    name=name,
                    wanted_bytes=wanted_bytes / 1000000000.0,
                    parent=self.folder.parent,
                    free=free / 1000000000.0,
                )
            )

    def _path(self, stage: str) -> Path:
        return self.folder / f"{stage}{_SUFFIX}"

    def _stamp(self, stage: str) -> str:
        return f"{self._hash} {stage}"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind = DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed
        raise kind(
            _(
                "{path}: cannot be written or read ({strerror}); make room there, or make the "
                "folder writable, and run again",
                path=path,
                strerror=error.strerror,
            )
        ) from error
