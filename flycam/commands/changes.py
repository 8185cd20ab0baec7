"""Export of confirmed changes to other programs: `changes`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.workspace import FILE_PATH, CommandOutput, open_workspace
from flycam.console import get_terminal_language, wrap_command
from flycam.errors import OptionUnusable
from flycam.messages import _


@click.group()
def changes_group() -> None:
    """What changed, as analysts confirmed it; it is decided on the map."""


@changes_group.command("export")
@click.argument("out", type=FILE_PATH)
@click.option("--event", required=True, help="Of this event (name or id).")
@wrap_command
def export_changes_command(*, data_dir: str | None, out: Path, event: str) -> CommandOutput:
    """Write confirmed changes to OUT: .gpkg, .geojson, .kmz, .csv, or .xml (CAP 1.2, a draft)."""
    from flycam.answers.changes import format_exported_changes
    from flycam.pipeline.change.change_export import export_changes
    from flycam.pipeline.operations.audit_check import record_audit_entry

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        count = export_changes(workspace, out, event, language=get_terminal_language())
        record_audit_entry(
            workspace, "export changes", workspace.catalog.flights.event(event).event_id, out.name
        )
        return format_exported_changes(out, count)


@changes_group.command("impact")
@click.argument("refs", metavar="[EVENT | BEFORE AFTER]", nargs=-1)
@click.option("--event", help="Of this event (name or id).")
@click.option("--distance", "distance_m", type=float, help="Metres within which things count as near.")
@click.option("--csv", "csv_out", type=FILE_PATH, help="The table by commune into this file too.")
@wrap_command
def show_changes_impact_command(
    *,
    data_dir: str | None,
    refs: tuple[str, ...],
    event: str | None,
    distance_m: float | None,
    csv_out: Path | None,
) -> CommandOutput:
    """Which roads changes cut, which houses, lines, masts, schools lie in them or near them, by commune.

    Of an event, or of the changes that were found between two flights. Without --distance each kind of thing
    has its own: roads 20 m, masts, schools and settlements 50 m, all others 30 m.
    """
    if (len(refs) not in (1, 2)) if event is None else refs:
        given = " ".join(refs) or "changes impact"
        raise OptionUnusable(
            _("{given}: give one event (--event), or two flights that were compared", given=given)
        )
    from flycam.answers.changes import format_impact
    from flycam.pipeline.atomic_file import write_file_atomically
    from flycam.pipeline.change.impact_report import build_impact_report
    from flycam.pipeline.change.impact_tables import format_commune_csv, serialize_impact

    with open_workspace(data_dir, serves_originals=True) as (workspace, __):
        report = build_impact_report(workspace, refs if event is None else (event,), distance_m)
        if csv_out is not None:
            write_file_atomically(csv_out, format_commune_csv(report.communes))
        answer = serialize_impact(report.impact, report.communes, report.names, report.at_ns)
        return format_impact(report, answer, csv_out)
