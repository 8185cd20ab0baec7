"""Scratch folder of a live flight; its link log is stored in any case.

A flight that ends, by an error too, stores it itself, once its link is closed; what a killed program left, or
a store did not take, is stored by the next `live`.
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
    """Yield a folder that is removed after the flight. Enter it before the link.

    Raises StorageFailed if the link's log cannot be stored and nothing else failed; it stays there.
    """
    folder, fd = _new(workspace)
    before = threading.Thread(target=recover_link_logs, args=(workspace,), name="left", daemon=True)
    before.start()
    try:
        yield folder
    except BaseException:
        # The next flight tries again; the original error is the one to report.
        with suppress(OSError, FlycamError):
            _emptied(workspace, folder)
        raise
    else:
        _emptied(workspace, folder)
    finally:
        before.join()
        os.close(fd)


def recover_link_logs(workspace: Workspace) -> int:
    """Store link logs of killed programs; return their number. Failures wait."""
    count = 0
    for folder in sorted(workspace.cache_dir.glob(f"{LIVE_DIR_PREFIX}*")):
        with suppress(OSError, FlycamError), probe_folder_lock(folder) as free:
            if free:
                count += _emptied(workspace, folder)
    return count


def _new(workspace: Workspace) -> tuple[Path, int]:
    """Create a folder and lock it."""
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=LIVE_DIR_PREFIX, dir=workspace.cache_dir))
        with suppress(FileNotFoundError):
            fd = lock_folder(folder)
            if folder.is_dir():
                return folder, fd
            # Another program that recovers folders came between.
            os.close(fd)


def _emptied(workspace: Workspace, folder: Path) -> bool:
    """Store the link's log and remove the folder; return True if there was a log."""
    heard = folder / LINK_LOG_FILE
    there = heard.is_file() and heard.stat().st_size > 0
    if there:
        store_original(workspace, heard)
    shutil.rmtree(folder, ignore_errors=True)
    return there
