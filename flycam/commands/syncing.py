"""One box to another by stick: `bundle`."""

from __future__ import annotations

import re
from pathlib import Path

import click

from flycam.commands.house import FILE, Result, opened
from flycam.console import ProgressBar, command, language

_SIZE = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class _Size(click.ParamType[int]):
    """Bytes, as 650m or 2g; 4g is what FAT32 holds, a byte less."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from flycam.sync.parts import FAT32_BYTES

        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no size; write 650m or 2g", param, ctx)
        return min(int(found[1]) * _UNITS[found[2].lower()], FAT32_BYTES)


@click.group()
def bundle() -> None:
    """What this box knows, on a stick for another box; and what another brought."""


@bundle.command("write")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--receipt", type=FILE, help="What the other box left (default: all beside FILE).")
@click.option("--all", "whole", is_flag=True, help="Everything, whatever receipts say.")
@click.option("--originals", is_flag=True, help="Photos too: they are most of the bytes.")
@click.option("--part-size", type=_Size(), default="4g", show_default=True, help="Largest file.")
@command
def bundle_write(
    *, data_dir: str | None, path: Path, receipt: Path | None, whole: bool, originals: bool, part_size: int
) -> Result:
    """Write what the other box lacks. Stopped, the same command goes on."""
    from flycam.answers.synced import of_bundle_written
    from flycam.sync.bundle import write_bundle

    with opened(data_dir) as (workspace, _):
        written = write_bundle(
            workspace, path, receipt=receipt, whole=whole, originals=originals, part_bytes=part_size
        )
        return of_bundle_written(written, path, language())


@bundle.command("read")
@click.argument("path", metavar="FILE", type=FILE)
@command
def bundle_read(*, data_dir: str | None, path: Path) -> Result:
    """Take in what another box wrote: all of it, or nothing."""
    from flycam.answers.synced import of_bundle_read
    from flycam.pipeline.receiving import Receiving
    from flycam.sync.bundle import read_bundle

    progress = ProgressBar()
    with opened(data_dir) as (workspace, _):
        read = read_bundle(workspace, path, Receiving(workspace, progress), progress)
        return of_bundle_read(read, language())
