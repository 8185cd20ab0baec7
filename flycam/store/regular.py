"""Regular files alone: a pipe that is called like a photo or a part of a bundle is waited at for ever."""

from __future__ import annotations

import stat
from io import FileIO
from pathlib import Path

from flycam.errors import SourceUnreadable
from flycam.frame.spelling import to_visible


def open_regular(path: Path) -> FileIO:
    """Open a file for unbuffered reading, links followed.

    Raises OSError, also for a folder; SourceUnreadable for a pipe, a socket or a device, which is not opened:
    that may wait for another end, or set a machine to work.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise not_regular(path)
    return path.open("rb", buffering=0)


def not_regular(path: Path) -> SourceUnreadable:
    """Make the error of a pipe, a socket or a device in the place of a file."""
    shown = to_visible(str(path))
    return SourceUnreadable(
        f"{shown}: is a pipe, a socket or a device; give a file",
        vi=f"{shown}: là đường ống, socket hoặc thiết bị; hãy đưa một tệp",
    )
