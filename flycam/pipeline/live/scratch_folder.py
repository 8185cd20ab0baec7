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
from flycam.pipeline.cache_layout import LIVE_DIR_PREFIX
from flycam.pipeline.folder_lock import lock_folder, probe_folder_lock
from flycam.pipeline.original_store import store_original
from flycam.pipeline.workspace import Workspace

LINK_LOG_FILE = "heard.tlog"


@contextmanager
def open_scratch_folder(workspace: Workspace) -> Iterator[Path]:
    """A folder that goes when the flight is over. Enter it before the link: it is left after that.

    Raises StorageFailed where what the link said cannot be kept and nothing else went wrong; it stays there.
    """
    folder, fd = _new(workspace)
    before = threading.Thread(target=recover_link_logs, args=(workspace,), name="left", daemon=True)
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


def recover_link_logs(workspace: Workspace) -> int:
    """Keep what links said to programs that died; how many folders that were. What cannot be kept waits."""
    count = 0
    for folder in sorted(workspace.cache_dir.glob(f"{LIVE_DIR_PREFIX}*")):
        with suppress(OSError, FlycamError), probe_folder_lock(folder) as free:
            if free:
                count += _emptied(workspace, folder)
    return count


def _new(workspace: Workspace) -> tuple[Path, int]:
    """A folder, held."""
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=LIVE_DIR_PREFIX, dir=workspace.cache_dir))
        with suppress(FileNotFoundError):
            fd = lock_folder(folder)
            if folder.is_dir():
                return folder, fd
            os.close(fd)  # another program that looked for what was left came between


def _emptied(workspace: Workspace, folder: Path) -> bool:
    """Keep what a link said, if anything, and remove the folder; whether there was something to keep."""
    heard = folder / LINK_LOG_FILE
    there = heard.is_file() and heard.stat().st_size > 0
    if there:
        store_original(workspace, heard)
    shutil.rmtree(folder, ignore_errors=True)
    return there
