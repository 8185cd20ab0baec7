"""Regular files alone: a pipe that is called like a photo or a part of a bundle is waited at for ever."""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from flycam.errors import SourceUnreadable
from flycam.frame.spelling import to_visible


def open_regular(path: Path) -> FileIO:
    """Open a file for unbuffered reading, links followed.

    Raises OSError, also for a folder; SourceUnreadable, without waiting for another end, for a pipe, a socket
    or a device.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return FileIO(fd, "rb")
    os.close(fd)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise not_regular(path)


def not_regular(path: Path) -> SourceUnreadable:
    """Make the error of a pipe, a socket or a device in the place of a file."""
    shown = to_visible(str(path))
    return SourceUnreadable(
        f"{shown}: is a pipe, a socket or a device; give a file",
        vi=f"{shown}: là đường ống, socket hoặc thiết bị; hãy đưa một tệp",
    )
