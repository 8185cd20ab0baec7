"""What is kept, kept whole: `verify`, `backup`, `restore`, `audit`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.house import FILE, Result, opened
from flycam.console import AnsweredWithTrouble, ProgressBar, command, language, say_aside
from flycam.errors import FlycamError, OptionUnusable
from flycam.messages import _


@click.command()
@click.option("--since", "since_days", type=float, metavar="DAYS", help="Leave out what was read since then.")
@click.option("--share", type=float, default=1.0, show_default=True, help="Read so much, the oldest first.")
@click.option("--from", "source", type=FILE, help="Card, folder or backup to put lost objects back from.")
@click.option("--dry-run", is_flag=True, help="Only read; make nothing again.")
@command
def verify(
    *, data_dir: str | None, since_days: float | None, share: float, source: Path | None, dry_run: bool
) -> Result:
    """Read everything back against its hashes, and make again what can be made again."""
    from flycam.answers.keeping import of_verify
    from flycam.pipeline.collect import DAY_S
    from flycam.pipeline.outlasting import outlasting
    from flycam.pipeline.upkeep.verify import VerifyRequest
    from flycam.pipeline.upkeep.verify import verify as read_everything

    request = VerifyRequest(
        since_s=None if since_days is None else since_days * DAY_S,
        share=share,
        source=source,
        mend=not dry_run,
    )
    puts_back = source is not None and source.is_dir() and not dry_run
    with opened(data_dir, is_store_new=puts_back) as (workspace, _):
        report = outlasting(
            workspace,
            lambda progress: read_everything(workspace, request, progress),
            ProgressBar(),
            say_aside,
        )
        return _told(of_verify(report, language()), report.trouble)


@click.command()
@click.argument("folder", type=FILE, metavar="DIR")
@command
def backup(*, data_dir: str | None, folder: Path) -> Result:
    """Save the catalogue and every object into DIR; again: what is new. Others may go on working."""
    from flycam.answers.keeping import of_backup
    from flycam.pipeline.outlasting import outlasting
    from flycam.pipeline.upkeep.backup import backup as save_house

    with opened(data_dir) as (workspace, settings):
        if folder.resolve().is_relative_to(settings.data_dir):
            raise OptionUnusable(
                _(
                    "{folder}: lies in the data folder, and would be lost with it; name one on another disk",
                    folder=folder,
                )
            )
        report = outlasting(
            workspace, lambda progress: save_house(workspace, folder, progress), ProgressBar(), say_aside
        )
        return _told(of_backup(report, language()), report.trouble)


@click.command()
@click.argument("folder", type=FILE, metavar="DIR")
@click.option("--check", is_flag=True, help="Only read the backup against its hashes; write nothing.")
@command
def restore(*, data_dir: str | None, folder: Path, check: bool) -> Result:
    """Put the house saved in DIR into an empty place (--data NEW), all that still is as it was written."""
    from flycam.answers.keeping import of_check, of_restore
    from flycam.pipeline.upkeep.restore import check_backup, check_trouble, manifest_of
    from flycam.pipeline.upkeep.restore import restore as put_back

    if check:
        manifest = manifest_of(folder)
        bad = check_backup(folder, manifest, ProgressBar())
        return _told(of_check(folder, manifest, bad, language()), check_trouble(folder, bad))
    with opened(data_dir, begins=True) as (workspace, _):
        report = put_back(workspace, folder, ProgressBar())
        return _told(of_restore(report, language()), report.trouble)


@click.group()
def audit() -> None:
    """The audit log: who did what."""


@audit.command("verify")
@click.option("--head", metavar="NUMBER:DIGEST", help="A line noted before, which must still be the same.")
@click.option("--key", "keys", multiple=True, metavar="KEY", help="Key of another box that wrote here too.")
@command
def audit_verify(*, data_dir: str | None, head: str | None, keys: tuple[str, ...]) -> Result:
    """Prove that no line of the log was changed, written anew, taken out or, with --head, cut off."""
    from flycam.answers.keeping import of_audit
    from flycam.pipeline.upkeep.audit import audit_trouble, prove_audit

    kept = None if head is None else _head(head)
    known = [_key(key) for key in keys]
    with opened(data_dir) as (workspace, _):
        proof = prove_audit(workspace, kept, known)
        return _told(of_audit(proof, language()), audit_trouble(proof))


def _head(said: str) -> tuple[int, str]:
    number, __, digest = said.partition(":")
    if not number.isdigit() or int(number) < 1 or len(digest) < 8:
        raise OptionUnusable(
            _(
                "--head {said}: write a line's number and its digest (8 digits at least), as 17:9f86d081",
                said=said,
            )
        )
    return int(number), digest


def _key(said: str) -> str:
    from flycam.catalog.audit_key import is_public_key

    key = said.strip().lower()
    if not is_public_key(key):
        raise OptionUnusable(
            _("--key {said}: give the 64 digits that 'flycam audit verify' and packs print", said=said[:80])
        )
    return key


def _told(answered: Result, trouble: FlycamError | None) -> Result:
    if trouble is not None:
        raise AnsweredWithTrouble(*answered, trouble)
    return answered
