"""The folder a live flight works in, and what its link said there: kept as evidence however the flight ends.

A flight that ends, by an error too, keeps it itself, once its link is closed; what a killed program left, or
a store did not take, is kept by the next `live`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flycam.errors import FlycamError
from flycam.pipeline.cache_names import FLIGHTS
from flycam.pipeline.evidence import keep
from flycam.pipeline.held_folder import hold, nobody_in
from flycam.pipeline.workspace import Workspace

HEARD = "heard.tlog"


@contextmanager
def scratch_of(workspace: Workspace) -> Iterator[Path]:
    """A folder that goes when the flight is over. Enter it before the link: it is left after that.

    Raises StorageTrouble where what the link said cannot be kept and nothing else went wrong; it stays there.
    """
    folder, fd = _new(workspace)
    before = threading.Thread(target=left_heard, args=(workspace,), name="left", daemon=True)
    before.start()
    try:
        yield folder
    except BaseException:
        with suppress(OSError, FlycamError):  # the next flight tries again; this error is the one to be told
            _emptied(workspace, folder)
        raise
    else:
        _emptied(workspace, folder)
    finally:
        before.join()
        os.close(fd)


def left_heard(workspace: Workspace) -> int:
    """Keep what links said to programs that died; how many folders that were. What cannot be kept waits."""
    count = 0
    for folder in sorted(workspace.cache_dir.glob(f"{FLIGHTS}*")):
        with suppress(OSError, FlycamError), nobody_in(folder) as free:
            if free:
                count += _emptied(workspace, folder)
    return count


def _new(workspace: Workspace) -> tuple[Path, int]:
    """A folder, held."""
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=FLIGHTS, dir=workspace.cache_dir))
        with suppress(FileNotFoundError):
            fd = hold(folder)
            if folder.is_dir():
                return folder, fd
            os.close(fd)  # another program that looked for what was left came between


def _emptied(workspace: Workspace, folder: Path) -> bool:
    """Keep what a link said, if anything, and remove the folder; whether there was something to keep."""
    heard = folder / HEARD
    there = heard.is_file() and heard.stat().st_size > 0
    if there:
        keep(workspace, heard)
    shutil.rmtree(folder, ignore_errors=True)
    return there
