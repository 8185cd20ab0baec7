"""A file that is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

from flycam.errors import DiskFull, StorageTrouble
from flycam.store.room import FULL
from flycam.store.syncing import move_into_place


def write_file(out: Path, data: bytes) -> None:
    """Write it in place of what was there. Raises DiskFull, StorageTrouble."""
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_bytes(data)
        move_into_place(part, out)
    except OSError as error:
        part.unlink(missing_ok=True)
        kind = DiskFull if error.errno in FULL else StorageTrouble
        raise kind(
            f"{out}: cannot be written ({error.strerror}); choose another place",
            vi=f"{out}: không ghi được; hãy chọn chỗ khác",
        ) from error
