"""Scratch files of one process, which vanish with it.

Each process has a folder of its own and holds a lock on it. The lock dies with the process, so a process
that can take it knows that nobody writes there any more, also when process numbers are reused or hidden.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SCRATCH_NAME = ".tmp"


class Scratch:
    """Scratch files below `folder`, which is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._own: Path | None = None
        self._own_fd = -1
        self._owner = 0

    @contextmanager
    def file(self) -> Iterator[Path]:
        """Yield a path for one new file; remove it at the end. Raises OSError."""
        path = self._own_folder() / str(next(self._numbers))
        try:
            yield path
        finally:
            with suppress(FileNotFoundError):
                path.unlink()

    def sweep(self) -> None:
        """Remove what dead processes left; do nothing if that is not permitted."""
        if not self._folder.is_dir():
            return
        with suppress(OSError), _locked(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            for folder in self._folder.iterdir():
                with suppress(OSError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    shutil.rmtree(folder)

    def close(self) -> None:
        """Remove this process's folder."""
        with self._lock:
            if self._own is not None and self._owner == os.getpid():
                shutil.rmtree(self._own, ignore_errors=True)
                os.close(self._own_fd)
            self._own = None

    def _own_folder(self) -> Path:
        with self._lock:
            # a forked child must not write into its parent's folder
            if self._own is None or self._owner != os.getpid():
                self._folder.mkdir(parents=True, exist_ok=True)
                # shared lock: no other process sweeps between making the folder and locking it
                with _locked(self._folder, fcntl.LOCK_SH):
                    self._own = Path(tempfile.mkdtemp(dir=self._folder))
                    self._own_fd = os.open(self._own, os.O_RDONLY | os.O_DIRECTORY)
                    fcntl.flock(self._own_fd, fcntl.LOCK_EX)
                self._owner = os.getpid()
            return self._own


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)
