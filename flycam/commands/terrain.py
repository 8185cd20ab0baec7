"""Terrain and communes: `dem` and `communes`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from flycam.commands.workspace import DATUM_CHOICE, FILE_PATH, CommandOutput, open_workspace
from flycam.console import wrap_command
from flycam.errors import OptionUnusable
from flycam.messages import _

_MAX_SIGMA_M = 100.0


@click.group()
def dem_group() -> None:
    """Terrain."""


@dem_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--datum", type=DATUM_CHOICE, help="Height datum, if the file does not say.")
@click.option("--sigma", metavar="V[,H]", help="How true it is: 1-sigma of its heights and of its place, m.")
@wrap_command
def add_dem_command(
    *, data_dir: str | None, file: Path, datum: str | None, sigma: str | None
) -> CommandOutput:
    """Register terrain: GeoTIFF, HGT or VRT."""
    from flycam.answers.terrain import format_dem
    from flycam.pipeline.operations.audit_check import record_audit_entry
    from flycam.pipeline.terrain import register_dem

    with open_workspace(data_dir, creates=True) as (workspace, _):
        record, info = register_dem(workspace, file, datum, _parse_sigmas(sigma))
        said = f"{record.name}, {record.vertical_datum}, SHA-256 {record.sha256}"
        record_audit_entry(workspace, "dem add", record.dem_id, said)
        return format_dem(record, info)


def _parse_sigmas(text: str | None) -> tuple[float, float | None] | None:
    """Return (vertical, horizontal) sigmas from V or V,H in metres.

    Raises OptionUnusable.
    """
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0.0 < number <= _MAX_SIGMA_M for number in numbers):
        raise OptionUnusable(
            _(
                "--sigma {text}: give V or V,H: metres (1-sigma) of its heights and of its "
                "place, over 0 and up to {most_sigma_m:g}, e.g. 0.3,1",
                text=text,
                most_sigma_m=_MAX_SIGMA_M,
            )
        )
    return numbers[0], numbers[1] if len(numbers) == 2 else None


@dem_group.command("list")
@wrap_command
def list_dem_command(*, data_dir: str | None) -> CommandOutput:
    """What terrain is registered."""
    from flycam.answers.terrain import format_dems

    with open_workspace(data_dir) as (workspace, _):
        return format_dems(workspace.catalog.terrain.dems())


@dem_group.command("remove")
@click.argument("ref", metavar="DEM")
@wrap_command
def remove_dem_command(*, data_dir: str | None, ref: str) -> CommandOutput:
    """Take terrain (id or file name) off the list; flights stay on what was recorded for them."""
    from flycam.answers.terrain import format_removed_dem
    from flycam.pipeline.terrain import remove_dem

    with open_workspace(data_dir) as (workspace, _):
        return format_removed_dem(remove_dem(workspace, ref))


@click.group()
def communes_group() -> None:
    """Commune boundaries."""


@communes_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d", "%d/%m/%Y"]), help="Default: 2025-07-01.")
@wrap_command
def add_communes_command(*, data_dir: str | None, file: Path, valid_from: datetime | None) -> CommandOutput:
    """Register commune boundaries: GeoJSON, GeoPackage, Shapefile or KML, in any CRS."""
    from flycam.answers.terrain import format_communes
    from flycam.pipeline.commune_boundaries import register_communes
    from flycam.pipeline.operations.audit_check import record_audit_entry

    with open_workspace(data_dir, creates=True) as (workspace, _):
        found = register_communes(workspace, file, valid_from.date() if valid_from else None)
        record_audit_entry(workspace, "communes add", file.name, f"{len(found.communes)} communes")
        return format_communes(found)
