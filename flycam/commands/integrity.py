"""Integrity of stored data: `verify`, `backup`, `restore`, `audit`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.workspace import FILE_PATH, CommandOutput, open_workspace
from flycam.console import PartialFailure, ProgressBar, print_notice, wrap_command
from flycam.errors import FlycamError, OptionUnusable
from flycam.messages import _


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
) -> CommandOutput:
    """Read everything back against its hashes, and make again what can be made again."""
    from flycam.answers.integrity import format_verify
    from flycam.pipeline.garbage_collection import DAY_S
    from flycam.pipeline.operations.verify import VerifyRequest, verify_objects
    from flycam.pipeline.retry import retry_on_outage

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
            print_notice,
        )
        return _raise_after(format_verify(report), report.error)


@click.command()
@click.argument("folder", type=FILE_PATH, metavar="DIR")
@wrap_command
def backup_command(*, data_dir: str | None, folder: Path) -> CommandOutput:
    """Save the catalogue and every object into DIR; again: what is new. Others may go on working."""
    from flycam.answers.integrity import format_backup
    from flycam.pipeline.operations.backup import save_backup
    from flycam.pipeline.retry import retry_on_outage

    with open_workspace(data_dir) as (workspace, settings):
        if folder.resolve().is_relative_to(settings.data_dir):
            raise OptionUnusable(
                _(
                    "{folder}: lies in the data folder, and would be lost with it; name one on another disk",
                    folder=folder,
                )
            )
        report = retry_on_outage(
            workspace, lambda progress: save_backup(workspace, folder, progress), ProgressBar(), print_notice
        )
        return _raise_after(format_backup(report), report.error)


@click.command()
@click.argument("folder", type=FILE_PATH, metavar="DIR")
@click.option("--check", is_flag=True, help="Only read the backup against its hashes; write nothing.")
@wrap_command
def restore_command(*, data_dir: str | None, folder: Path, check: bool) -> CommandOutput:
    """Put the house saved in DIR into an empty place (--data NEW), all that still is as it was written."""
    from flycam.answers.integrity import format_backup_check, format_restore
    from flycam.pipeline.operations.restore import (
        make_backup_error,
        require_manifest,
        restore_backup,
        verify_backup,
    )

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
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Key of another box that wrote here too.")
@wrap_command
def verify_audit_log_command(
    *, data_dir: str | None, head: str | None, keys: tuple[str, ...]
) -> CommandOutput:
    """Prove that no line of the log was changed, written anew, taken out or, with --head, cut off."""
    from flycam.answers.integrity import format_audit
    from flycam.pipeline.operations.audit_check import make_audit_error, verify_audit_log

    kept = None if head is None else _parse_head(head)
    known = [_parse_key(key) for key in keys]
    with open_workspace(data_dir) as (workspace, __):
        proof = verify_audit_log(workspace, kept, known)
        return _raise_after(format_audit(proof), make_audit_error(proof))


def _parse_head(text: str) -> tuple[int, str]:
    number, __, digest = text.partition(":")
    if not number.isdigit() or int(number) < 1 or len(digest) < 8:
        raise OptionUnusable(
            _(
                "--head {said}: write a line's number and its digest (8 digits at least), as 17:9f86d081",
                said=text,
            )
        )
    return int(number), digest


def _parse_key(text: str) -> str:
    from flycam.catalog.audit_key import is_public_key

    key = text.strip().lower()
    if not is_public_key(key):
        raise OptionUnusable(
            _("--key {said}: give the 64 digits that 'flycam audit verify' and packs print", said=text[:80])
        )
    return key


def _raise_after(answered: CommandOutput, trouble: FlycamError | None) -> CommandOutput:
    if trouble is not None:
        raise PartialFailure(*answered, trouble)
    return answered
