"""Settlements that are cut off: `settlements`."""

from __future__ import annotations

from pathlib import Path

import click

from flycam.commands.house import FILE, Result, opened, who_asks
from flycam.console import command, language
from flycam.frame.settlement import Access

_ACCESS = click.Choice([one.value for one in Access])
_REACH = click.option("--reach", type=float, help="Metres within which a road reaches one. Default: 200.")


@click.group()
def settlements() -> None:
    """Which settlements are reachable, isolated or unknown: proposed by cut roads, said by people."""


@settlements.command("list")
@click.argument("event")
@_REACH
@command
def settlements_list(*, data_dir: str | None, event: str, reach: float | None) -> Result:
    """How settlements stand in EVENT (name or id): those that roads propose to be isolated first."""
    from flycam.answers.settlements import of_settlements
    from flycam.pipeline.settlement_export import settlement_said
    from flycam.pipeline.settlements import REACH_M, settlements_of

    with opened(data_dir) as (workspace, _):
        metres = REACH_M if reach is None else reach
        found = settlements_of(workspace, workspace.catalog.flights.event(event), metres)
        return of_settlements([settlement_said(one) for one in found], metres, language())


@settlements.command("set")
@click.argument("event")
@click.argument("settlement")
@click.argument("access", type=_ACCESS)
@click.option("--note", default="", help="How it is known.")
@click.option("--by", help="Who says so. Default: FLYCAM_OPERATOR, else who is logged in.")
@command
def settlements_set(
    *, data_dir: str | None, event: str, settlement: str, access: str, note: str, by: str | None
) -> Result:
    """Say whether SETTLEMENT (id, or a name that only one has) can be reached."""
    from flycam.answers.settlements import of_said
    from flycam.pipeline.settlements import SettlementAsked, say_access

    with opened(data_dir) as (workspace, settings):
        asked = SettlementAsked(event=event, settlement=settlement, access=Access(access), note=note)
        line = say_access(workspace, asked, by or who_asks(settings))
        return of_said(line, language())


@settlements.command("export")
@click.argument("out", type=FILE)
@click.option("--event", required=True, help="Of this event (name or id).")
@_REACH
@command
def settlements_export(*, data_dir: str | None, out: Path, event: str, reach: float | None) -> Result:
    """Write settlements to OUT: .csv, .geojson or .gpkg, WGS 84."""
    from flycam.answers.settlements import of_exported_settlements
    from flycam.pipeline.settlement_export import export_settlements
    from flycam.pipeline.settlements import REACH_M

    with opened(data_dir, hands_out=True) as (workspace, _):
        count = export_settlements(workspace, out, event, REACH_M if reach is None else reach)
        return of_exported_settlements(out, count, language())
