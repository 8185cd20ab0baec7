"""What is known of the ground: `dem` and `communes`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from flycam.commands.house import DATUM, FILE, Result, opened
from flycam.console import command, language
from flycam.errors import OptionUnusable
from flycam.messages import _

_MOST_SIGMA_M = 100.0


@click.group()
def dem() -> None:
    """Terrain."""


@dem.command("add")
@click.argument("file", type=FILE)
@click.option("--datum", type=DATUM, help="Height datum, if the file does not say.")
@click.option("--sigma", metavar="V[,H]", help="How true it is: 1-sigma of its heights and of its place, m.")
@command
def dem_add(*, data_dir: str | None, file: Path, datum: str | None, sigma: str | None) -> Result:
    """Register terrain: GeoTIFF, HGT or VRT."""
    from flycam.answers.ground import of_dem
    from flycam.pipeline.terrain import register_dem
    from flycam.pipeline.upkeep.audit import on_record

    with opened(data_dir, begins=True) as (workspace, _):
        record, info = register_dem(workspace, file, datum, _sigmas(sigma))
        said = f"{record.name}, {record.vertical_datum}, SHA-256 {record.sha256}"
        on_record(workspace, "dem add", record.dem_id, said)
        return of_dem(record, info, language())


def _sigmas(text: str | None) -> tuple[float, float | None] | None:
    """V or V,H in metres. Raises OptionUnusable."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or not all(0.0 < number <= _MOST_SIGMA_M for number in numbers):
        raise OptionUnusable(
            _(
                "--sigma {text}: give V or V,H: metres (1-sigma) of its heights and of its "
                "place, over 0 and up to {most_sigma_m:g}, e.g. 0.3,1",
                text=text,
                most_sigma_m=_MOST_SIGMA_M,
            )
        )
    return numbers[0], numbers[1] if len(numbers) == 2 else None


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
    from flycam.pipeline.upkeep.audit import on_record

    with opened(data_dir, begins=True) as (workspace, _):
        found = register_communes(workspace, file, valid_from.date() if valid_from else None)
        on_record(workspace, "communes add", file.name, f"{len(found.communes)} communes")
        return of_communes(found, language())
