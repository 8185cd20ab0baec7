"""Confirmed changes for other programs: `changes`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.house import FILE, Result, opened
from flycam.console import command, language
from flycam.errors import OptionUnusable
from flycam.messages import _


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
    from flycam.pipeline.change.export import export_changes
    from flycam.pipeline.upkeep.audit import on_record

    with opened(data_dir, hands_out=True) as (workspace, _):
        count = export_changes(workspace, out, event, language=language())
        on_record(workspace, "export changes", workspace.catalog.flights.event(event).event_id, out.name)
        return of_exported_changes(out, count, language())


@changes.command("impact")
@click.argument("refs", metavar="[EVENT | BEFORE AFTER]", nargs=-1)
@click.option("--event", help="Of this event (name or id).")
@click.option("--distance", "distance_m", type=float, help="Metres within which things count as near.")
@click.option("--csv", "csv_out", type=FILE, help="The table by commune into this file too.")
@command
def changes_impact(
    *,
    data_dir: str | None,
    refs: tuple[str, ...],
    event: str | None,
    distance_m: float | None,
    csv_out: Path | None,
) -> Result:
    """Which roads changes cut, which houses, lines, masts, schools lie in them or near them, by commune.

    Of an event, or of the changes that were found between two flights. Without --distance each kind of thing
    has its own: roads 20 m, masts, schools and settlements 50 m, all others 30 m.
    """
    if (len(refs) not in (1, 2)) if event is None else refs:
        given = " ".join(refs) or "changes impact"
        raise OptionUnusable(
            _("{given}: give one event (--event), or two flights that were compared", given=given)
        )
    from flycam.answers.changes import of_impact
    from flycam.pipeline.change.impact_report import impact_report
    from flycam.pipeline.change.impact_words import commune_csv, impact_answer
    from flycam.pipeline.whole_file import write_file

    with opened(data_dir, hands_out=True) as (workspace, __):
        report = impact_report(workspace, refs if event is None else (event,), distance_m)
        if csv_out is not None:
            write_file(csv_out, commune_csv(report.communes))
        answer = impact_answer(report.impact, report.communes, report.names, report.at_ns)
        return of_impact(report, answer, csv_out, language())
