"""Atomic writing of a file: it is there whole or not at all."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from flycam.errors import DiskFull, StorageFailed
from flycam.messages import _
from flycam.store.disk_space import DISK_FULL_ERRNOS
from flycam.store.fsync import move_into_place
from flycam.store.regular_file import create_regular


def write_file_atomically(out: Path, data: bytes) -> None:
    """Replace a file, or a link, with these bytes. Raises DiskFull, StorageFailed."""
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with create_regular(part) as file:
            file.write(data)
        # renamed only when it is complete, so that no reader meets half a file
        move_into_place(part, out)
    except OSError as error:
        kind = DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed
        raise kind(
            _("{out}: cannot be written ({strerror}); choose another place", out=out, strerror=error.strerror)
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
