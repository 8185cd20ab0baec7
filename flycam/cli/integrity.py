"""Integrity of stored data: `verify`, `backup`, `restore`, `audit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flycam.cli.output import Output, PartialFailure, ProgressBar, print_line, wrap_command
from flycam.cli.workspace import FILE_PATH, open_workspace
from flycam.errors import FlycamError, OptionUnusable
from flycam.messages import Message, _, join, ngettext, pgettext

if TYPE_CHECKING:
    from flycam.access.audit import AuditVerification
    from flycam.catalog.audit_key import SignedLines
    from flycam.operations.backup import BackupReport
    from flycam.operations.backup_folder import BackupManifest
    from flycam.operations.restore import RestoreReport
    from flycam.operations.verify import Damage, VerifyReport

_KINDS = {
    "photo": pgettext("stored object", "photo"),
    "dem": pgettext("stored object", "terrain file"),
    "layer": pgettext("stored object", "layer's file"),
    "mark_photo": pgettext("stored object", "photo of a mark"),
    "recording": pgettext("stored object", "recorded video"),
    "file": pgettext("stored object", "original file"),
    "terrain": pgettext("stored object", "recorded terrain"),
    "given": pgettext("stored object", "what another node gave"),
    "tile": pgettext("stored object", "tile"),
    "clip": pgettext("stored object", "commune clip"),
    "report": pgettext("stored object", "quality report"),
    "pack": pgettext("stored object", "meeting pack"),
}
_STATES = {"lost": pgettext("stored object", "lost"), "damaged": pgettext("stored object", "damaged")}
_MAX_LINES = 50


def format_verify(report: VerifyReport) -> Output:
    """Return the result of a verification.

    Keys: whole, objects, bytes, parts, left, let_go, mended, standing, damaged[], catalogue[], audit,
    seconds.
    """
    mended, not_mended = len(report.damages) - len(report.unrepaired), len(report.unrepaired)
    answer = {
        "whole": report.error is None,
        "objects": report.objects,
        "bytes": report.size,
        "parts": report.parts,
        "left": report.left,
        "let_go": report.purged,
        "mended": mended,
        "standing": not_mended,
        "damaged": [_damage(one) for one in report.damages],
        "catalogue": list(report.catalogue),
        "audit": _audit(report.audit),
        "seconds": round(report.seconds, 1),
    }
    lines = [
        ngettext(
            "{count} object, {size_mb:.1f} MB read back; repaired: {mended}, not repaired: {standing}",
            "{count} objects, {size_mb:.1f} MB read back; repaired: {mended}, not repaired: {standing}",
            report.objects,
            size_mb=report.size / 1e6,
            mended=mended,
            standing=not_mended,
        )
    ]
    if report.left:
        lines.append(
            ngettext(
                "{count} part was not read this time", "{count} parts were not read this time", report.left
            )
        )
    if report.purged:
        lines.append(
            ngettext(
                "{count} original was deleted under the retention term and is not lost",
                "{count} originals were deleted under the retention term and are not lost",
                report.purged,
            )
        )
    # remaining damage comes first: a long list of mended tiles must not hide it
    ordered = [*report.unrepaired, *(one for one in report.damages if one.advice is None)]
    lines += [_line(one) for one in ordered[:_MAX_LINES]]
    if len(ordered) > _MAX_LINES:
        lines.append(_("  … and {count} more (--json lists them)", count=len(ordered) - _MAX_LINES))
    return answer, lines


def _damage(one: Damage) -> dict[str, Any]:
    return {
        "key": one.item.key,
        "kind": one.item.kind.value,
        "name": one.item.name,
        "flight": one.flight,
        "flight_id": one.item.flight_id,
        "state": one.state.value,
        "mended": one.advice is None,
        **({"cure": None, "cure_vi": None} if one.advice is None else one.advice.to_fields("cure")),
    }


def _line(one: Damage) -> Message:
    name = " ".join(filter(None, (one.item.name, f"({one.flight})" if one.flight else ""))) or one.item.key
    outcome = join([_STATES[one.state], one.advice or _("made whole again")], ": ")
    return join(["  ok" if one.advice is None else "  !!", _KINDS[one.item.kind], name, outcome])


def format_backup(report: BackupReport) -> Output:
    """Return the result of a backup.

    Keys: path, objects, bytes, new, new_bytes, removed, missing[], outside[], audit_head, seconds.
    """
    manifest = report.manifest
    answer = {
        **_manifest(report.folder, manifest),
        "new": report.new,
        "new_bytes": report.new_bytes,
        "removed": report.removed,
        "seconds": round(report.seconds, 1),
    }
    first = ngettext(
        "{folder}: {count} object, {size_mb:.1f} MB; {new} of them new, {new_mb:.1f} MB",
        "{folder}: {count} objects, {size_mb:.1f} MB; {new} of them new, {new_mb:.1f} MB",
        manifest.objects,
        folder=report.folder,
        size_mb=manifest.size / 1e6,
        new=report.new,
        new_mb=report.new_bytes / 1e6,
    )
    if report.removed:
        removed_text = ngettext("{count} old one removed", "{count} old ones removed", report.removed)
        first = join([first, removed_text], "; ")
    outside = [
        _("  ! {path}: is used where it lies, and is not saved", path=path) for path in manifest.outside
    ]
    return answer, [first, *outside]


def format_backup_check(folder: Path, manifest: BackupManifest, bad: Sequence[str]) -> Output:
    """Return the content of a backup.

    Keys: path, objects, bytes, flights, missing[], outside[], audit_head, damaged[].
    """
    answer = {**_manifest(folder, manifest), "damaged": list(bad)}
    if bad:
        return answer, _format_damaged_names(bad)
    line = _(
        "{folder}: the backup is whole, {flights}, {objects}",
        folder=folder,
        flights=_count_flights(manifest.flights),
        objects=_count_objects(manifest.objects),
    )
    return answer, [line]


def format_restore(report: RestoreReport) -> Output:
    """Return the result of a restore.

    Keys: path, objects, bytes, flights, missing[], outside[], audit_head, written, left_out[], seconds.
    """
    manifest = report.manifest
    answer = {
        **_manifest(report.folder, manifest),
        "written": report.written,
        "left_out": list(report.unreadable),
        "seconds": round(report.seconds, 1),
    }
    line = _(
        "{flights}, {objects} restored from {folder}",
        flights=_count_flights(manifest.flights),
        objects=_count_objects(manifest.objects - len(report.unreadable)),
        folder=report.folder,
    )
    return answer, [line, *_format_damaged_names(report.unreadable)]


def _count_flights(count: int) -> Message:
    return ngettext("{count} flight", "{count} flights", count)


def _count_objects(count: int) -> Message:
    return ngettext("{count} object", "{count} objects", count)


def _format_damaged_names(names: Sequence[str]) -> list[str]:
    return [*(f"  !! {name}" for name in names[:_MAX_LINES]), *(["  …"] if len(names) > _MAX_LINES else [])]


def format_audit(proof: AuditVerification) -> Output:
    """Return the result of an audit log's verification.

    Keys: whole, lines, head, signature, key, signed_by[], first_bad, fault.
    """
    if proof.first_bad is not None:
        return _audit(proof), []
    summary = ngettext(
        "{count} line, none was changed; the last (note it elsewhere): {noted}",
        "{count} lines, none was changed; the last (note it elsewhere): {noted}",
        0 if proof.head is None else proof.head.seq,
        noted="-" if proof.head is None else proof.head.head_argument,
    )
    return _audit(proof), [summary, *(_signed(one, proof.key) for one in proof.check.signed_by)]


def _signed(one: SignedLines, own: str) -> Message:
    if one.key == own:
        key_owner = _("this node's key")
    else:
        key_owner = _("a key given") if one.is_known else _("an earlier key")
    return _(
        "  lines {first}-{last} signed by {whose}: {key}",
        first=one.first,
        last=one.last,
        whose=key_owner,
        key=one.key,
    )


def _audit(proof: AuditVerification) -> dict[str, Any]:
    head = proof.head
    return {
        "whole": proof.first_bad is None,
        "lines": 0 if head is None else head.seq,
        "head": None if head is None else head.head_argument,
        "signature": None if head is None else head.signature or None,
        "key": proof.key or None,
        "signed_by": [
            {"key": one.key, "first": one.first, "last": one.last, "lines": one.lines, "known": one.is_known}
            for one in proof.check.signed_by
        ],
        "first_bad": proof.first_bad,
        "fault": None if proof.check.fault is None else proof.check.fault.value,
    }


def _manifest(folder: Path, manifest: BackupManifest) -> dict[str, Any]:
    head = manifest.audit_head
    return {
        "path": str(folder),
        "made_ns": manifest.made_ns,
        "box": manifest.box,
        "flights": manifest.flights,
        "objects": manifest.objects,
        "bytes": manifest.size,
        "missing": list(manifest.missing),
        "outside": list(manifest.outside),
        "audit_head": None if head is None else f"{head[0]}:{head[1]}",
    }


# -- Commands `verify`, `backup`, `restore` and `audit` --------------------------------------------


@click.command()
@click.option("--since", "since_days", type=float, metavar="DAYS", help="Leave out what was read since then.")
@click.option("--share", type=float, default=1.0, show_default=True, help="Read so much, the oldest first.")
@click.option(
    "--from", "source", type=FILE_PATH, help="Card, folder or backup to put lost objects back from."
)
@click.option("--dry-run", is_flag=True, help="Only read; make nothing again.")
@wrap_command
def verify_command(
    *, data_dir: str | None, since_days: float | None, share: float, source: Path | None, dry_run: bool
) -> Output:
    """Read everything back against its hashes, and make again what can be made again."""
    from flycam.mosaic.eviction import DAY_S
    from flycam.operations.verify import VerifyRequest, verify_objects
    from flycam.retry import retry_on_outage

    request = VerifyRequest(
        since_s=None if since_days is None else since_days * DAY_S,
        share=share,
        source=source,
        repair=not dry_run,
    )
    puts_back = source is not None and source.is_dir() and not dry_run
    with open_workspace(data_dir, is_store_new=puts_back) as (workspace, __):
        report = retry_on_outage(
            workspace,
            lambda progress: verify_objects(workspace, request, progress),
            ProgressBar(),
            print_line,
        )
        return _raise_after(format_verify(report), report.error)


@click.command()
@click.argument("folder", type=FILE_PATH, metavar="DIR")
@wrap_command
def backup_command(*, data_dir: str | None, folder: Path) -> Output:
    """Save the catalogue and every object into DIR; again: what is new. Others may go on working."""
    from flycam.operations.backup import save_backup
    from flycam.retry import retry_on_outage

    with open_workspace(data_dir) as (workspace, settings):
        if folder.resolve().is_relative_to(settings.data_dir):
            raise OptionUnusable(
                _(
                    "{folder}: lies in the data folder, and would be lost with it; name one on another disk",
                    folder=folder,
                )
            )
        report = retry_on_outage(
            workspace, lambda progress: save_backup(workspace, folder, progress), ProgressBar(), print_line
        )
        return _raise_after(format_backup(report), report.error)


@click.command()
@click.argument("folder", type=FILE_PATH, metavar="DIR")
@click.option("--check", is_flag=True, help="Only read the backup against its hashes; write nothing.")
@wrap_command
def restore_command(*, data_dir: str | None, folder: Path, check: bool) -> Output:
    """Restore the backup in DIR into an empty data folder (--data NEW), all that is as it was written."""
    from flycam.operations.restore import make_backup_error, require_manifest, restore_backup, verify_backup

    if check:
        manifest = require_manifest(folder)
        bad = verify_backup(folder, manifest, ProgressBar())
        return _raise_after(
            format_backup_check(folder, manifest, bad),
            make_backup_error(folder, bad),
        )
    with open_workspace(data_dir, creates=True) as (workspace, __):
        report = restore_backup(workspace, folder, ProgressBar())
        return _raise_after(format_restore(report), report.error)


@click.group()
def audit_group() -> None:
    """The audit log: who did what."""


@audit_group.command("verify")
@click.option("--head", metavar="NUMBER:DIGEST", help="A line noted before, which must still be the same.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Key of another node that wrote here too.")
@wrap_command
def verify_audit_log_command(*, data_dir: str | None, head: str | None, keys: tuple[str, ...]) -> Output:
    """Prove that no line of the log was changed, written anew, taken out or, with --head, cut off."""
    from flycam.access.audit import make_audit_error, verify_audit_log

    expected_head = None if head is None else _parse_head(head)
    known = [_parse_key(key) for key in keys]
    with open_workspace(data_dir) as (workspace, __):
        proof = verify_audit_log(workspace, expected_head, known)
        return _raise_after(format_audit(proof), make_audit_error(proof))


def _parse_head(text: str) -> tuple[int, str]:
    number, __, digest = text.partition(":")
    if not number.isdigit() or int(number) < 1 or len(digest) < 8:
        raise OptionUnusable(
            _(
                "--head {text}: write a line's number and its digest (8 digits at least), as 17:9f86d081",
                text=text,
            )
        )
    return int(number), digest


def _parse_key(text: str) -> str:
    from flycam.catalog.audit_key import is_public_key

    key = text.strip().lower()
    if not is_public_key(key):
        raise OptionUnusable(
            _("--key {text}: give the 64 digits that 'flycam audit verify' and packs print", text=text[:80])
        )
    return key


def _raise_after(answered: Output, trouble: FlycamError | None) -> Output:
    if trouble is not None:
        raise PartialFailure(*answered, trouble)
    return answered
