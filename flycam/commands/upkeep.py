"""The house itself: `doctor`, `collect`."""

from __future__ import annotations

import click

from flycam.commands.house import Result, opened
from flycam.console import ProgressBar, command, language


@click.command()
@click.option("--grace-days", type=float, default=7.0, show_default=True, help="Keep what is younger.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option(
    "--until-free",
    "wanted_gb",
    type=click.FloatRange(min=0.0, max=1e9),
    metavar="GB",
    help="As flights do where room is low: until so much is free, young ones too.",
)
@command
def collect(*, data_dir: str | None, grace_days: float, dry_run: bool, wanted_gb: float | None) -> Result:
    """Delete old tile states and old clips that nothing refers to; never photos or terrain."""
    from flycam.answers.house import of_collect, of_room_made
    from flycam.pipeline.collect import DAY_S
    from flycam.pipeline.collect import collect as collect_old
    from flycam.pipeline.freeing import could_free, free_derived

    with opened(data_dir) as (workspace, _):
        if wanted_gb is not None:
            freed = could_free(workspace) if dry_run else free_derived(workspace, round(wanted_gb * 1e9))
            return of_room_made(freed, workspace.places(), language(), dry_run=dry_run)
        report = collect_old(workspace, grace_s=grace_days * DAY_S, dry_run=dry_run, progress=ProgressBar())
        return of_collect(report, dry_run=dry_run, language=language())


@click.command()
@command
def doctor(*, data_dir: str | None) -> Result:
    """Is this machine ready for a flight?"""
    from flycam.answers.house import of_checks
    from flycam.pipeline.upkeep.doctor import examine
    from flycam.store.opening import folder_of

    with opened(data_dir, begins=True) as (workspace, settings):
        checks = examine(workspace, settings.data_dir, folder_of(settings.store_url))
        return of_checks(checks, language())
