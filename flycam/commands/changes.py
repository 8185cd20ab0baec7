"""Confirmed changes for other programs: `changes`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.house import FILE, Result, opened
from flycam.console import command, language


@click.group()
def changes() -> None:
    """What changed, as analysts confirmed it; it is decided on the map."""


@changes.command("export")
@click.argument("out", type=FILE)
@click.option("--event", required=True, help="Of this event (name or id).")
@command
def changes_export(*, data_dir: str | None, out: Path, event: str) -> Result:
    """Write confirmed changes to OUT: .gpkg, .geojson, .kmz, .csv, or .xml (CAP 1.2, a draft)."""
    from flycam.answers.changes import of_exported_changes
    from flycam.pipeline.change_export import export_changes

    with opened(data_dir) as (workspace, _):
        return of_exported_changes(out, export_changes(workspace, out, event), language())
