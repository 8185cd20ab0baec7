"""What is known of the ground: `dem` and `communes`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from flycam.commands.house import DATUM, FILE, Result, opened
from flycam.console import command, language


@click.group()
def dem() -> None:
    """Terrain."""


@dem.command("add")
@click.argument("file", type=FILE)
@click.option("--datum", type=DATUM, help="Height datum, if the file does not say.")
@command
def dem_add(*, data_dir: str | None, file: Path, datum: str | None) -> Result:
    """Register terrain: GeoTIFF, HGT or VRT."""
    from flycam.answers.ground import of_dem
    from flycam.pipeline.terrain import register_dem

    with opened(data_dir) as (workspace, _):
        record, info = register_dem(workspace, file, datum)
        return of_dem(record, info, language())


@dem.command("list")
@command
def dem_list(*, data_dir: str | None) -> Result:
    """What terrain is registered."""
    from flycam.answers.ground import of_dems

    with opened(data_dir) as (workspace, _):
        return of_dems(workspace.catalog.terrain.dems(), language())


@dem.command("remove")
@click.argument("ref", metavar="DEM")
@command
def dem_remove(*, data_dir: str | None, ref: str) -> Result:
    """Take terrain (id or file name) off the list; flights stay on what was recorded for them."""
    from flycam.answers.ground import of_removed_dem
    from flycam.pipeline.terrain import remove_dem

    with opened(data_dir) as (workspace, _):
        return of_removed_dem(remove_dem(workspace, ref), language())


@click.group()
def communes() -> None:
    """Commune boundaries."""


@communes.command("add")
@click.argument("file", type=FILE)
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d", "%d/%m/%Y"]), help="Default: 2025-07-01.")
@command
def communes_add(*, data_dir: str | None, file: Path, valid_from: datetime | None) -> Result:
    """Register commune boundaries: GeoJSON, GeoPackage, Shapefile or KML, in any CRS."""
    from flycam.answers.ground import of_communes
    from flycam.pipeline.boundaries import register_communes

    with opened(data_dir) as (workspace, _):
        found = register_communes(workspace, file, valid_from.date() if valid_from else None)
        return of_communes(found, language())
