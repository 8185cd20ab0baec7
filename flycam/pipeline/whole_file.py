"""A file that is there whole or not at all."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from flycam.errors import DiskFull, StorageTrouble
from flycam.messages import _
from flycam.store.regular import new_file
from flycam.store.room import FULL
from flycam.store.syncing import move_into_place


def write_file(out: Path, data: bytes) -> None:
    """Write it in place of what was there, a link included. Raises DiskFull, StorageTrouble."""
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with new_file(part) as file:
            file.write(data)
        move_into_place(part, out)
    except OSError as error:
        kind = DiskFull if error.errno in FULL else StorageTrouble
        raise kind(
            _("{out}: cannot be written ({strerror}); choose another place", out=out, strerror=error.strerror)
        ) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
