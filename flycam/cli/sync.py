"""Synchronisation between nodes: `bundle` in files, `sync` over a network.

`bundle` also writes an installer of flycam itself.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import (
    FILE_PATH,
    SECRET_FILE,
    Output,
    ProgressBar,
    get_terminal_language,
    open_workspace,
    print_line,
    wrap_command,
)
from flycam.config import ServerTrust, is_token_exposed, parse_fingerprint, read_settings
from flycam.messages import Message, _, from_fields, join, ngettext

if TYPE_CHECKING:
    from flycam.sync.client import SyncReport
    from flycam.sync.reference_client import FetchReport
    from flycam.workspace import Progress


def format_skipped(skipped: Collection[str]) -> list[Message]:
    """List what is lost or damaged here and was not sent, with the cure.

    Empty if everything was whole.
    """
    if not skipped:
        return []
    return [
        _(
            "{first}: lost or damaged on this node and passed over ({count} in all); run "
            "flycam verify: what it mends goes with the next sync or bundle",
            first=next(iter(skipped)),
            count=len(skipped),
        )
    ]


def format_sync(sent: SyncReport, got: FetchReport, url: str) -> Output:
    """Return what was sent to and received from a server.

    Sent: sent, left (bytes of tiles and photos that are not there), box (the receiving node), steps, tiles,
    views, originals, tile_bytes, ended_by ("", "budget", "metered"), apart[] as `bundle read` has it,
    passed[] as `bundle write` has it.

    Received: got (number of items, by kind), got_bytes, left_there (bytes), kept[] (name, sentence,
    sentence_vi of what this node did not take in).
    """
    answer = {
        "sent": sent.sent_bytes,
        "left": sent.left_bytes,
        "box": sent.peer,
        "steps": sent.steps,
        "tiles": sent.tiles,
        "views": sent.views,
        "originals": sent.originals,
        "tile_bytes": sent.tile_bytes,
        "ended_by": sent.ended_by,
        "apart": list(sent.conflicts.values()),
        "passed": list(sent.skipped),
        "got": dict(sorted(got.item_counts.items())),
        "got_bytes": sent.received_bytes,
        "left_there": got.left_bytes,
        "kept": [{"name": one.name, **one.sentence.to_fields()} for one in got.conflicts],
    }
    left_mb = sent.left_bytes / 1e6
    lines = []
    if got.item_counts:
        items = join((_count_received(*one) for one in sorted(got.item_counts.items())), ", ")
        lines.append(_("got from there: {items}", items=items))
    if comes := got.left_bytes - got.metered_bytes:
        lines.append(_("{size} there are still to come; the same command resumes", size=_format_size(comes)))
    if got.metered_bytes:
        lines.append(
            _(
                "metered line: {size} of terrain there wait; the same command without --metered gets them",
                size=_format_size(got.metered_bytes),
            )
        )
    lines = [
        _(
            "{url}: {size_mb:.2f} MB sent, {tiles}, {views}, {originals}",
            url=url,
            size_mb=sent.sent_bytes / 1e6,
            tiles=_count_tiles(sent.tiles),
            views=ngettext("{count} early view", "{count} early views", sent.views),
            originals=_count_originals(sent.originals),
        ),
        *(lines + [one.sentence for one in got.conflicts]),
    ]
    if sent.ended_by == "budget" and not sent.step_bytes:
        lines.append(
            _(
                "stopped: asking what is lacking there used the budget up; {left_mb:.1f} MB are left: give a "
                "larger --budget",
                left_mb=left_mb,
            )
        )
    elif sent.ended_by == "budget":
        lines.append(
            _(
                "stopped: the budget is used up; {left_mb:.1f} MB are left, the same command resumes",
                left_mb=left_mb,
            )
        )
    elif sent.ended_by == "metered":
        lines.append(
            _(
                "metered line: {left_mb:.1f} MB of tiles wait for another line, or a stick",
                left_mb=left_mb,
            )
        )
    lines += map(from_fields, sent.conflicts.values())
    return answer, lines + format_skipped(sent.skipped)


def _count_received(kind: str, count: int) -> Message:
    return {
        "area": ngettext("{count} restricted area", "{count} restricted areas", count),
        "mask": ngettext("{count} photo with masks", "{count} photos with masks", count),
        "withdrawn": ngettext(
            "{count} flight with withdrawn pictures", "{count} flights with withdrawn pictures", count
        ),
        "changes": ngettext(
            "{count} group of confirmed changes", "{count} groups of confirmed changes", count
        ),
        "layer": ngettext("{count} layer", "{count} layers", count),
        "communes": ngettext("{count} group of communes", "{count} groups of communes", count),
        "terrain": ngettext("{count} terrain file", "{count} terrain files", count),
    }[kind]


def _count_flights(count: int) -> Message:
    return ngettext("{count} flight", "{count} flights", count)


def _count_tiles(count: int) -> Message:
    return ngettext("{count} tile", "{count} tiles", count)


def _count_originals(count: int) -> Message:
    return ngettext("{count} original", "{count} originals", count)


def _format_size(size_bytes: int) -> Message:
    """Format a size in MB, below a tenth of one in kB."""
    if size_bytes >= 1e5:
        return _("{size_mb:.1f} MB", size_mb=size_bytes / 1e6)
    return _("{size_kb:.1f} kB", size_kb=size_bytes / 1e3)


# -- Options of every command that connects to a server: trust and token ---------------------------


TOKEN_VARIABLE = "FLYCAM_TOKEN"  # noqa: S105  the name of a variable


def add_tls_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a command that speaks to a server over HTTPS.

    One of them is its token.
    """
    for option in (
        click.option("--fingerprint", help="SHA-256 that the server prints at its start: believe it alone."),
        click.option("--ca", type=FILE_PATH, help="File of authorities to believe (default: the system's)."),
        click.option(
            "--token-file", type=SECRET_FILE, help=f"File with the access token (default: {TOKEN_VARIABLE})."
        ),
    ):
        run = option(run)
    return run


def parse_trust(ca: Path | None, fingerprint: str | None) -> ServerTrust:
    """Return the trusted certificates.

    Options take precedence over FLYCAM_CA and FLYCAM_FINGERPRINT. Raises OptionUnusable.
    """
    if fingerprint is not None:
        return ServerTrust(fingerprint=parse_fingerprint(fingerprint, "--fingerprint"))
    return ServerTrust(ca=ca) if ca is not None else read_settings(os.environ).trust


def read_token_option(url: str, token_file: Path | None) -> str | None:
    """Return the token to send; warn once if it goes unencrypted.

    Raises OptionUnusable.
    """
    from flycam.ingest.upload.client import read_token

    token = read_token(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "").strip() or None
    if is_token_exposed(url, token):
        warning = {
            "en": f"{url}: the token goes over this network for all to read; start that server with "
            "'flycam serve --tls' and write https://",
            "vi": f"{url}: mã truy cập đi qua mạng mà ai cũng đọc được; hãy chạy máy chủ bằng "
            "'flycam serve --tls' rồi ghi https://",
        }
        print_line(warning[get_terminal_language()])
    return token


# -- Commands `bundle` and `sync` ------------------------------------------------------------------


_SIZE = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


_POLL_S = 5.0
_ASK_S, _ASK_METERED_S = 60.0, 600.0
"""Interval at which the server is polled for news on a flat and on a metered line while there are none here.
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
    """Records and tiles of this node on a stick for another node, and from one."""


@bundle_group.command("write")
@click.argument("path", metavar="FILE", type=FILE_PATH)
@click.option("--receipt", type=FILE_PATH, help="Receipt of the other node (default: all beside FILE).")
@click.option("--all", "whole", is_flag=True, help="Everything, whatever receipts say.")
@click.option("--originals", is_flag=True, help="Photos too: they are most of the bytes.")
@click.option("--part-size", type=_Size(), default="4g", show_default=True, help="Largest file.")
@wrap_command
def write_bundle_command(
    *, data_dir: str | None, path: Path, receipt: Path | None, whole: bool, originals: bool, part_size: int
) -> Output:
    """Write what the other node lacks. Stopped, the same command goes on."""
    from flycam.sync.bundle import FAT32_BYTES, write_bundle

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        written = write_bundle(
            workspace,
            path,
            receipt=receipt,
            full=whole,
            includes_originals=originals,
            part_bytes=min(part_size, FAT32_BYTES),
        )
        # sent: bytes; left 0: everything requested is on the stick; readers: nodes that have the rest by
        # their receipts; passed: keys of what is lost or damaged here and left out
        answer = {
            "sent": written.size_bytes,
            "left": 0,
            "bundle_id": written.bundle_id,
            "path": str(path),
            "flights": written.flights,
            "tiles": written.tiles,
            "originals": written.originals,
            "parts": written.parts,
            "written": written.written,
            "readers": list(written.readers),
            "passed": list(written.skipped),
        }
        lines = [
            _(
                "{path}: {flights}, {tiles}, {originals}; {size_mb:.1f} MB in {parts}",
                path=path,
                flights=_count_flights(written.flights),
                tiles=_count_tiles(written.tiles),
                originals=_count_originals(written.originals),
                size_mb=written.size_bytes / 1e6,
                parts=ngettext("{count} file", "{count} files", written.parts),
            )
        ]
        if written.readers:
            lines.append(
                _(
                    "left out: what these have by their receipts: {names}; for a node that has read none: "
                    "--all",
                    names=", ".join(written.readers),
                )
            )
        return answer, lines + format_skipped(written.skipped)


@bundle_group.command("read")
@click.argument("path", metavar="FILE", type=FILE_PATH)
@wrap_command
def read_bundle_command(*, data_dir: str | None, path: Path) -> Output:
    """Import what another node wrote: all of it, or nothing."""
    from flycam.sync.bundle import read_bundle
    from flycam.sync.exchange_import import SyncApplyHooks

    progress = ProgressBar()
    with open_workspace(data_dir, creates=True) as (workspace, __):
        read = read_bundle(workspace, path, SyncApplyHooks(workspace, progress), progress)
        # known: tiles left out, because more of the same logs came before; apart: flights that could not be
        # merged with those here; unnamed: SHA-256 of photos that no flight here names, which were skipped
        answer = {
            "sent": 0,
            "left": 0,
            "box": read.box,
            "bundle_id": read.bundle_id,
            "flights": list(read.applied.flights),
            "tiles": read.tiles,
            "known": read.known,
            "lines": read.applied.lines,
            "receipt": None if read.receipt is None else str(read.receipt),
            "apart": [one.summary for one in read.applied.conflicts],
            "unnamed": list(read.applied.unreferenced),
        }
        lines = [
            _(
                "taken in from {box}: {flights}, {tiles}",
                box=read.box,
                flights=_count_flights(len(read.applied.flights)),
                tiles=_count_tiles(read.tiles - read.known),
            )
        ]
        if read.known:
            lines.append(
                ngettext(
                    "{count} tile was left out, for more came from {box} before: this is an older "
                    "bundle, or two nodes carry this name (a copied disk): then give one a name of "
                    "its own with FLYCAM_BOX and write its bundle again with --all",
                    "{count} tiles were left out, for more came from {box} before: this is an "
                    "older bundle, or two nodes carry this name (a copied disk): then give one a "
                    "name of its own with FLYCAM_BOX and write its bundle again with --all",
                    read.known,
                    box=read.box,
                )
            )
        lines += [one.sentence for one in read.applied.conflicts]
        if count := len(read.applied.unreferenced):
            lines.append(
                _(
                    "photos that no flight here names, passed over: {count}; bring both nodes to one version",
                    count=count,
                )
            )
        if read.receipt is None:
            lines.append(
                _("no receipt could be written on the stick: the other node will write everything again")
            )
        else:
            lines.append(
                _(
                    "receipt: {path} (carry it back: the next bundle holds only what is new)",
                    path=read.receipt,
                )
            )
        return answer, lines


@bundle_group.command("wheels")
@click.argument("path", metavar="DIR", type=FILE_PATH)
@click.option(
    "--from", "found_in", type=FILE_PATH, help="Folder of wheels, or another stick: no network is asked."
)
@wrap_command
def write_wheels_command(*, data_dir: str | None, path: Path, found_in: Path | None) -> Output:
    """Write flycam itself on a stick: a machine of this kind installs it there without a network."""
    from flycam.operations.installer import write_installer

    del data_dir  # an installer needs no data folder
    written = write_installer(path, found_in, ProgressBar())
    answer = {
        "path": str(written.path),
        "wheels": written.wheels,
        "bytes": written.size_bytes,
        "manifest_sha256": written.manifest_sha256,
    }
    return answer, [
        _(
            "{path}: {wheels} wheels, {size_mb:.0f} MB; install: sh {path}/install.sh FOLDER",
            path=written.path,
            wheels=written.wheels,
            size_mb=written.size_bytes / 1e6,
        ),
        _("manifest SHA-256 {sha256}", sha256=written.manifest_sha256),
    ]


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
) -> Output:
    """Send the records and tiles of this node to a server, over any line, and get communes, terrain, layers,
    restricted areas and confirmed changes from there. Cut off or stopped, it goes on."""
    from flycam.http.client import ServerConnection
    from flycam.retry import retry_on_outage
    from flycam.sync.client import Sender, TransferLimits
    from flycam.sync.exchange_import import SyncApplyHooks
    from flycam.sync.reference_client import ReferenceFetcher

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
        reporters: list[Progress] = []

        def report(stage: str, done: int, total: int) -> None:
            reporters[-1](stage, done, total)

        def shown(stage: str, done: int, total: int) -> None:
            if stage:
                bar(stage, done, total)

        sender = Sender(workspace, line, limits, report, goes_on=not once, back=back, passed_over=passed_over)

        def rounds(progress: Progress) -> None:
            """Send all that the server lacks, then what is new, until stopped."""
            reporters.append(progress)
            sender.run_round()
            # show that it has begun, even if there is nothing to send
            progress("", 0, 0)
            requested_s = time.monotonic()
            while not once and sender.sent.ended_by != "budget":
                time.sleep(_POLL_S)
                if sender.has_local_changes() or time.monotonic() - requested_s > (
                    _ASK_METERED_S if metered else _ASK_S
                ):
                    sender.run_round()
                    requested_s = time.monotonic()

        retry_on_outage(workspace, rounds, shown, print_line)
        return format_sync(sender.sent, back.got, url)
