"""Answers of `bundle` and `sync`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.messages import Message, _, from_fields, join, ngettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.pipeline.installer import Installer
    from flycam.sync.bundle import BundleReadReport, BundleWriteReport
    from flycam.sync.reference_client import FetchReport
    from flycam.sync.transfer import SyncReport


def format_bundle_written(written: BundleWriteReport, path: Path) -> Output:
    """Return what was written into a bundle.

    Keys: sent (bytes), left (0: everything requested is on the stick), bundle_id, flights, tiles, parts,
    readers[] (nodes that have the rest by their receipts), passed[] (keys of what is lost or damaged here and
    not on the stick).
    """
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
                "left out: what these have by their receipts: {names}; for a box that has read none: --all",
                names=", ".join(written.readers),
            )
        )
    return answer, lines + format_skipped(written.skipped)


def format_skipped(skipped: Collection[str]) -> list[Message]:
    """List what is lost or damaged here and was not sent, with the cure.

    Empty if everything was whole.
    """
    if not skipped:
        return []
    return [
        _(
            "{first}: lost or damaged on this box and passed over ({count} in all); run flycam verify: what "
            "it mends goes with the next sync or bundle",
            first=next(iter(skipped)),
            count=len(skipped),
        )
    ]


def format_installer(written: Installer) -> Output:
    """Return path, wheels, bytes and manifest_sha256 of an installer.

    The installer prints manifest_sha256 too, before it installs.
    """
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


def format_bundle_read(read: BundleReadReport) -> Output:
    """Return what was read from a bundle.

    Keys: sent, left (0), box (the node that gave it), bundle_id, flights[], tiles (in it), known (those of
    them left out, because more of the same logs came before), lines (logged), receipt.

    apart[]    flights that could not be merged with those here: flight_id, name, sentence, sentence_vi
    unnamed[]  SHA-256 of photos that no flight here names: they were skipped
    """
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
                "{count} tile was left out, for more came from {box} before: this is an older bundle, or two "
                "boxes carry this name (a copied disk): then give one a name of its own with FLYCAM_BOX and "
                "write its bundle again with --all",
                "{count} tiles were left out, for more came from {box} before: this is an older bundle, or "
                "two boxes carry this name (a copied disk): then give one a name of its own with FLYCAM_BOX "
                "and write its bundle again with --all",
                read.known,
                box=read.box,
            )
        )
    lines += [one.sentence for one in read.applied.conflicts]
    if count := len(read.applied.unreferenced):
        lines.append(
            _(
                "photos that no flight here names, passed over: {count}; bring both boxes to one version",
                count=count,
            )
        )
    if read.receipt is None:
        lines.append(_("no receipt could be written on the stick: the other box will write everything again"))
    else:
        lines.append(
            _(
                "receipt: {path} (carry it back: the next bundle holds only what is new)",
                path=read.receipt,
            )
        )
    return answer, lines


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
    lines = [
        _(
            "{url}: {size_mb:.2f} MB sent, {tiles}, {views}, {originals}",
            url=url,
            size_mb=sent.sent_bytes / 1e6,
            tiles=_count_tiles(sent.tiles),
            views=ngettext("{count} early view", "{count} early views", sent.views),
            originals=_count_originals(sent.originals),
        ),
        *_format_received(got),
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
                "stopped: the budget is used up; {left_mb:.1f} MB are left, the same command goes on",
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


def _format_received(got: FetchReport) -> list[Message]:
    """List what the server sent, what remains there, and what was not taken in."""
    lines = []
    if got.item_counts:
        items = join((_count_received(*one) for one in sorted(got.item_counts.items())), ", ")
        lines.append(_("got from there: {items}", items=items))
    if comes := got.left_bytes - got.metered_bytes:
        lines.append(_("{size} there are still to come; the same command goes on", size=_format_size(comes)))
    if got.metered_bytes:
        lines.append(
            _(
                "metered line: {size} of terrain there wait; the same command without --metered gets them",
                size=_format_size(got.metered_bytes),
            )
        )
    return lines + [one.sentence for one in got.conflicts]


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
