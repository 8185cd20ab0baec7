"""Export and review of settlements that are cut off: `settlements`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.workspace import FILE_PATH, CommandOutput, get_operator_name, open_workspace
from flycam.console import wrap_command
from flycam.frame.settlement import Access

_ACCESS = click.Choice([one.value for one in Access])
_REACH = click.option("--reach", type=float, help="Metres within which a road reaches one. Default: 200.")


@click.group()
def settlements_group() -> None:
    """Which settlements are reachable, isolated or unknown: proposed by cut roads, said by people."""


@settlements_group.command("list")
@click.argument("event")
@_REACH
@wrap_command
def list_settlements_command(*, data_dir: str | None, event: str, reach: float | None) -> CommandOutput:
    """How settlements stand in EVENT (name or id): those that roads propose to be isolated first."""
    from flycam.answers.settlements import format_settlements
    from flycam.pipeline.settlement_export import serialize_settlement
    from flycam.pipeline.settlements import REACH_M, list_event_settlements

    with open_workspace(data_dir) as (workspace, _):
        metres = REACH_M if reach is None else reach
        found = list_event_settlements(workspace, workspace.catalog.flights.event(event), metres)
        return format_settlements([serialize_settlement(one) for one in found], metres)


@settlements_group.command("set")
@click.argument("event")
@click.argument("settlement")
@click.argument("access", type=_ACCESS)
@click.option("--note", default="", help="How it is known.")
@click.option("--by", help="Who says so. Default: FLYCAM_OPERATOR, else who is logged in.")
@wrap_command
def set_settlement_command(
    *, data_dir: str | None, event: str, settlement: str, access: str, note: str, by: str | None
) -> CommandOutput:
    """Say whether SETTLEMENT (id, or a name that only one has) can be reached."""
    from flycam.answers.settlements import format_settlement_access
    from flycam.pipeline.settlements import AccessReport, report_access

    with open_workspace(data_dir) as (workspace, settings):
        asked = AccessReport(event=event, settlement=settlement, access=Access(access), note=note)
        line = report_access(workspace, asked, by or get_operator_name(settings))
        return format_settlement_access(line)


@settlements_group.command("export")
@click.argument("out", type=FILE_PATH)
@click.option("--event", required=True, help="Of this event (name or id).")
@_REACH
@wrap_command
def export_settlements_command(
    *, data_dir: str | None, out: Path, event: str, reach: float | None
) -> CommandOutput:
    """Write settlements to OUT: .csv, .geojson or .gpkg, WGS 84."""
    from flycam.answers.settlements import format_exported_settlements
    from flycam.pipeline.settlement_export import export_settlements
    from flycam.pipeline.settlements import REACH_M

    with open_workspace(data_dir, serves_originals=True) as (workspace, _):
        count = export_settlements(workspace, out, event, REACH_M if reach is None else reach)
        return format_exported_settlements(out, count)
