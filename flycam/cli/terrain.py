"""Terrain and communes, and their results: `dem`, `communes`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flycam.cli.output import Output, wrap_command
from flycam.cli.workspace import DATUM_CHOICE, FILE_PATH, open_workspace
from flycam.errors import OptionUnusable
from flycam.messages import Message, _, join, ngettext

if TYPE_CHECKING:
    from flycam.geodata.communes import CommuneImport
    from flycam.geodata.dem import DemInfo
    from flycam.model.records import DemRecord


def format_dem(record: DemRecord, info: DemInfo) -> Output:
    """Return dem_id, bounds and datum of a DEM."""
    answer = {
        "dem_id": record.dem_id,
        "bounds": list(record.bounds_lonlat_deg),
        "datum": record.vertical_datum,
        "datum_source": info.datum_source,
        "sigma_m": None if record.sigma_m is None else list(record.sigma_m),
        "hole_pct": round(100 * info.hole_fraction, 3),
        "warnings": [one.in_language("en") for one in info.warnings],
        "warnings_vi": [one.in_language("vi") for one in info.warnings],
    }
    low_m, high_m = info.height_range_m
    line = _(
        "{name}: {low_m:.0f} to {high_m:.0f} m, {datum} ({datum_source}), posts every {spacing_m:.1f} m",
        name=record.name,
        low_m=low_m,
        high_m=high_m,
        datum=record.vertical_datum,
        datum_source=info.datum_source,
        spacing_m=info.post_spacing_m,
    )
    return answer, [_append_sigma(line, record), *(join(("  !", one)) for one in info.warnings)]


def format_dems(dems: Sequence[DemRecord]) -> Output:
    """Return dems[]: the registered ones, latest first."""
    answer = {
        "dems": [
            {
                "dem_id": dem.dem_id,
                "name": dem.name,
                "bounds": list(dem.bounds_lonlat_deg),
                "datum": dem.vertical_datum,
                "post_spacing_m": round(dem.post_spacing_m[0], 3),
                "sigma_m": None if dem.sigma_m is None else list(dem.sigma_m),
                "added_ns": dem.added_ns,
            }
            for dem in dems
        ]
    }
    lines = [
        _append_sigma(
            _(
                "{dem_id}  {name}: {datum}, posts every {spacing_m:,.1f} m",
                dem_id=dem.dem_id,
                name=dem.name,
                datum=dem.vertical_datum,
                spacing_m=dem.post_spacing_m[0],
            ),
            dem,
        )
        for dem in dems
    ]
    return answer, lines or [_("no terrain is registered; add it with 'flycam dem add FILE'")]


def _append_sigma(line: Message, dem: DemRecord) -> Message:
    """Append the accuracy that the operator stated, if any."""
    if dem.sigma_m is None:
        return line
    vertical_m, horizontal_m = dem.sigma_m
    sigmas = [_("± {sigma_m:.2f} m in height", sigma_m=vertical_m)]
    if horizontal_m is not None:
        sigmas.append(_("± {sigma_m:.2f} m in plan", sigma_m=horizontal_m))
    return join((line, join(sigmas, ", ")), "; ")


def format_removed_dem(dem: DemRecord) -> Output:
    """Return dem_id and name of a removed DEM."""
    line = _(
        "{name} is off the list; what was placed on it stays as it is, and 'flycam dem "
        "add' registers it again",
        name=dem.name,
    )
    return {"dem_id": dem.dem_id, "name": dem.name}, [line]


def format_communes(found: CommuneImport) -> Output:
    """Return added, repaired, overlaps_km2 and valid_from.

    valid_from  first day on which these boundaries hold
    """
    since = found.communes[0].valid_from if found.communes else None
    answer = {
        "added": len(found.communes),
        "repaired": len(found.repaired),
        "repairs": list(found.repaired),
        "removed": list(found.removed),
        "remarks": list(found.remarks),
        "overlaps_km2": round(found.overlaps_km2, 4),
        "valid_from": since.isoformat() if since else None,
        "overlaps_left_km2": round(found.overlaps_left_km2, 6),
    }
    line = ngettext(
        "{count} commune, {repaired} repaired, {contested_km2:.2f} km² claimed twice and settled",
        "{count} communes, {repaired} repaired, {contested_km2:.2f} km² claimed twice and settled",
        len(found.communes),
        repaired=len(found.repaired),
        contested_km2=found.overlaps_km2,
    )
    if since:
        line = _("{line}; in force from {since}", line=line, since=since)
    return answer, [
        line,
        *(join(("", one), "  ") for one in (*found.repaired, *found.removed, *found.remarks)),
    ]


# -- Commands `dem` and `communes` -----------------------------------------------------------------


_MAX_SIGMA_M = 100.0


@click.group()
def dem_group() -> None:
    """Terrain."""


@dem_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--datum", type=DATUM_CHOICE, help="Height datum, if the file does not say.")
@click.option("--sigma", metavar="V[,H]", help="How true it is: 1-sigma of its heights and of its place, m.")
@wrap_command
def add_dem_command(*, data_dir: str | None, file: Path, datum: str | None, sigma: str | None) -> Output:
    """Register terrain: GeoTIFF, HGT or VRT."""
    from flycam.access.audit import record_audit_entry
    from flycam.mosaic.terrain import register_dem

    with open_workspace(data_dir, creates=True) as (workspace, _):
        record, info = register_dem(workspace, file, datum, _parse_sigmas(sigma))
        detail = f"{record.name}, {record.vertical_datum}, SHA-256 {record.sha256}"
        record_audit_entry(workspace, "dem add", record.dem_id, detail)
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
def list_dem_command(*, data_dir: str | None) -> Output:
    """List the registered terrain."""

    with open_workspace(data_dir) as (workspace, _):
        return format_dems(workspace.catalog.terrain.dems())


@dem_group.command("remove")
@click.argument("ref", metavar="DEM")
@wrap_command
def remove_dem_command(*, data_dir: str | None, ref: str) -> Output:
    """Take terrain (id or file name) off the list; flights stay on what was recorded for them."""
    from flycam.mosaic.terrain import remove_dem

    with open_workspace(data_dir) as (workspace, _):
        return format_removed_dem(remove_dem(workspace, ref))


@click.group()
def communes_group() -> None:
    """Commune boundaries."""


@communes_group.command("add")
@click.argument("file", type=FILE_PATH)
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d", "%d/%m/%Y"]), help="Default: 2025-07-01.")
@wrap_command
def add_communes_command(*, data_dir: str | None, file: Path, valid_from: datetime | None) -> Output:
    """Register commune boundaries: GeoJSON, GeoPackage, Shapefile or KML, in any CRS."""
    from flycam.access.audit import record_audit_entry
    from flycam.board.layers import register_communes

    with open_workspace(data_dir, creates=True) as (workspace, _):
        found = register_communes(workspace, file, valid_from.date() if valid_from else None)
        record_audit_entry(workspace, "communes add", file.name, f"{len(found.communes)} communes")
        return format_communes(found)
