"""Maintenance of a node: `doctor`, `collect`."""

from __future__ import annotations

import click

from flycam.commands.workspace import CommandOutput, open_workspace
from flycam.console import ProgressBar, wrap_command


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
@wrap_command
def collect_command(
    *, data_dir: str | None, grace_days: float, dry_run: bool, wanted_gb: float | None
) -> CommandOutput:
    """Delete old tile states and old clips that nothing refers to; never photos or terrain."""
    from flycam.answers.node import format_collect, format_freed_space
    from flycam.pipeline.eviction import estimate_evictable, evict_derived
    from flycam.pipeline.garbage_collection import DAY_S, collect_garbage

    with open_workspace(data_dir) as (workspace, _):
        if wanted_gb is not None:
            freed = (
                estimate_evictable(workspace) if dry_run else evict_derived(workspace, round(wanted_gb * 1e9))
            )
            return format_freed_space(freed, workspace.list_disks(), dry_run=dry_run)
        report = collect_garbage(
            workspace, grace_s=grace_days * DAY_S, dry_run=dry_run, progress=ProgressBar()
        )
        return format_collect(report, dry_run=dry_run)


@click.command()
@wrap_command
def doctor_command(*, data_dir: str | None) -> CommandOutput:
    """Is this machine ready for a flight?"""
    from flycam.answers.node import format_checks
    from flycam.pipeline.operations.health import run_health_checks
    from flycam.store.store_url import parse_store_folder

    with open_workspace(data_dir, creates=True) as (workspace, settings):
        checks = run_health_checks(workspace, settings.data_dir, parse_store_folder(settings.store_url))
        return format_checks(checks)
