"""Synchronisation between nodes: `bundle` in files (also flycam itself), `sync` over a network."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.commands.tls_options import add_tls_options, parse_trust, read_token_option
from flycam.commands.workspace import FILE_PATH, CommandOutput, open_workspace
from flycam.console import ProgressBar, get_terminal_language, print_line, print_notice, wrap_command
from flycam.messages import Message, _

if TYPE_CHECKING:
    from flycam.pipeline.workspace import Progress

_SIZE = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


_POLL_S = 5.0
_ASK_S, _ASK_METERED_S = 60.0, 600.0
"""Interval at which the server is asked for news on a flat and on a metered line while there are none here.
"""
_INCOMING_FOLDER = "common"


class _Size(click.ParamType[int]):
    """Bytes, as 650m or 2g."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no size; write 650m or 2g", param, ctx)
        return int(found[1]) * _UNITS[found[2].lower()]


class _Rate(_Size):
    """Bits per second, as 64k or 2m; units of a thousand, as lines are sold."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value))
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is no rate; write 64k or 2m (bits a second)", param, ctx)
        return int(found[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[found[2].lower()]


@click.group()
def bundle_group() -> None:
    """What this box knows, on a stick for another box; and what another brought."""


@bundle_group.command("write")
@click.argument("path", metavar="FILE", type=FILE_PATH)
@click.option("--receipt", type=FILE_PATH, help="What the other box left (default: all beside FILE).")
@click.option("--all", "whole", is_flag=True, help="Everything, whatever receipts say.")
@click.option("--originals", is_flag=True, help="Photos too: they are most of the bytes.")
@click.option("--part-size", type=_Size(), default="4g", show_default=True, help="Largest file.")
@wrap_command
def write_bundle_command(
    *, data_dir: str | None, path: Path, receipt: Path | None, whole: bool, originals: bool, part_size: int
) -> CommandOutput:
    """Write what the other box lacks. Stopped, the same command goes on."""
    from flycam.answers.sync import format_bundle_written
    from flycam.sync.bundle import write_bundle
    from flycam.sync.bundle_parts import FAT32_BYTES

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        written = write_bundle(
            workspace,
            path,
            receipt=receipt,
            full=whole,
            includes_originals=originals,
            part_bytes=min(part_size, FAT32_BYTES),
        )
        return format_bundle_written(written, path)


@bundle_group.command("read")
@click.argument("path", metavar="FILE", type=FILE_PATH)
@wrap_command
def read_bundle_command(*, data_dir: str | None, path: Path) -> CommandOutput:
    """Take in what another box wrote: all of it, or nothing."""
    from flycam.answers.sync import format_bundle_read
    from flycam.pipeline.sync_hooks import SyncApplyHooks
    from flycam.sync.bundle import read_bundle

    progress = ProgressBar()
    with open_workspace(data_dir, creates=True) as (workspace, __):
        read = read_bundle(workspace, path, SyncApplyHooks(workspace, progress), progress)
        return format_bundle_read(read)


@bundle_group.command("wheels")
@click.argument("path", metavar="DIR", type=FILE_PATH)
@click.option(
    "--from", "found_in", type=FILE_PATH, help="Folder of wheels, or another stick: no network is asked."
)
@wrap_command
def write_wheels_command(*, data_dir: str | None, path: Path, found_in: Path | None) -> CommandOutput:
    """Write flycam itself on a stick: a machine of this kind installs it there without a network."""
    from flycam.answers.sync import format_installer
    from flycam.pipeline.installer import write_installer

    del data_dir  # an installer needs no data folder
    return format_installer(write_installer(path, found_in, ProgressBar()))


@click.command()
@click.argument("url")
@add_tls_options
@click.option("--rate", type=_Rate(), help="At most so many bits a second, as 64k.")
@click.option("--budget", type=_Size(), help="Stop after so many bytes, as 20m; the next run goes on.")
@click.option("--metered", is_flag=True, help="A line that costs: overview and records, no full tiles.")
@click.option("--photos", is_flag=True, help="Original photos too, after all else.")
@click.option("--once", is_flag=True, help="End when all is there; else go on with what is new.")
@click.option(
    "--patience", "patience_s", type=float, default=3600.0, help="With --once: give up after so long, s."
)
@wrap_command
def sync_command(
    *,
    data_dir: str | None,
    url: str,
    token_file: Path | None,
    ca: Path | None,
    fingerprint: str | None,
    rate: int | None,
    budget: int | None,
    metered: bool,
    photos: bool,
    once: bool,
    patience_s: float,
) -> CommandOutput:
    """Hand on what this box knows to a server, over any line, and get communes, terrain, layers, restricted
    areas and confirmed changes from there. Cut off or stopped, it goes on."""
    from flycam.answers.sync import format_skipped, format_sync
    from flycam.pipeline.retry import retry_on_outage
    from flycam.pipeline.sync_hooks import SyncApplyHooks
    from flycam.pipeline.upload.http_client import ServerConnection
    from flycam.sync.client import Sender
    from flycam.sync.reference_client import ReferenceFetcher
    from flycam.sync.transfer import TransferLimits

    token, trust = read_token_option(url, token_file), parse_trust(ca, fingerprint)
    patient_s = patience_s if once else float("inf")

    def note(why: Message) -> None:
        print_line(_("waiting: {why}", why=why))

    def passed_over(key: str) -> None:
        print_line(format_skipped([key])[0])

    line = ServerConnection(url, token, patient_s, get_terminal_language(), note, is_thin=True, trust=trust)
    limits = TransferLimits(
        rate_bytes_s=None if rate is None else rate / 8,
        budget_bytes=budget,
        metered=metered,
        originals=photos,
    )
    with open_workspace(data_dir, creates=True) as (workspace, __):
        back = ReferenceFetcher(
            workspace, line, SyncApplyHooks(workspace), workspace.cache_dir / _INCOMING_FOLDER, limits
        )
        bar = ProgressBar()
        heard: list[Progress] = []

        def told(stage: str, done: int, total: int) -> None:
            heard[-1](stage, done, total)

        def shown(stage: str, done: int, total: int) -> None:
            if stage:
                bar(stage, done, total)

        sender = Sender(workspace, line, limits, told, goes_on=not once, back=back, passed_over=passed_over)

        def rounds(progress: Progress) -> None:
            """Send all that the server lacks, then what is new, until stopped."""
            heard.append(progress)
            sender.run_round()
            # show that it has begun, even if there is nothing to send
            progress("", 0, 0)
            asked_s = time.monotonic()
            while not once and sender.sent.ended_by != "budget":
                time.sleep(_POLL_S)
                if sender.has_local_changes() or time.monotonic() - asked_s > (
                    _ASK_METERED_S if metered else _ASK_S
                ):
                    sender.run_round()
                    asked_s = time.monotonic()

        retry_on_outage(workspace, rounds, shown, print_notice)
        return format_sync(sender.sent, back.got, url)
