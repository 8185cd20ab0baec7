"""Answers about terrain and communes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.messages import Message, _, join, ngettext

# for annotations only: output needs no processing libraries
if TYPE_CHECKING:
    from flycam.catalog.records import DemRecord
    from flycam.geodata.communes import CommuneImport
    from flycam.geodata.dem_info import DemInfo


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
        "{name} is off the list; what was laid on it stays as it is, and 'flycam dem add' registers it again",
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
