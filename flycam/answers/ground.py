"""What is known of the ground: terrain and communes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flycam.answers.answered import Answered

if TYPE_CHECKING:  # what a recipe reports is handed in; saying it needs none of its libraries
    from flycam.catalog.records import DemRecord
    from flycam.geodata.communes import CommuneImport
    from flycam.geodata.dem_info import DemInfo


def of_dem(record: DemRecord, info: DemInfo) -> Answered:
    """dem_id, bounds, datum."""
    answer = {
        "dem_id": record.dem_id,
        "bounds": list(record.bounds_lonlat_deg),
        "datum": record.vertical_datum,
        "datum_source": info.datum_source,
        "hole_pct": round(100 * info.hole_fraction, 3),
        "warnings": list(info.warnings),
    }
    low, high = info.height_range_m
    line = (
        f"{record.name}: {low:.0f} to {high:.0f} m, {record.vertical_datum} ({info.datum_source}), "
        f"posts every {info.post_spacing_m:.1f} m"
    )
    return answer, [line, *(f"  ! {warning}" for warning in info.warnings)]


def of_dems(dems: Sequence[DemRecord]) -> Answered:
    """dems[]: what is registered, the latest first."""
    answer = {
        "dems": [
            {
                "dem_id": dem.dem_id,
                "name": dem.name,
                "bounds": list(dem.bounds_lonlat_deg),
                "datum": dem.vertical_datum,
                "post_spacing_m": round(dem.post_spacing_m[0], 3),
                "added_ns": dem.added_ns,
            }
            for dem in dems
        ]
    }
    lines = [
        f"{dem.dem_id}  {dem.name}: {dem.vertical_datum}, posts every {dem.post_spacing_m[0]:.1f} m"
        for dem in dems
    ]
    return answer, lines or ["no terrain is registered; add it with 'flycam dem add FILE'"]


def of_removed_dem(dem: DemRecord) -> Answered:
    """dem_id, name."""
    line = (
        f"{dem.name} is off the list; what was laid on it stays as it is, and 'flycam dem add' registers it "
        "again"
    )
    return {"dem_id": dem.dem_id, "name": dem.name}, [line]


def of_communes(found: CommuneImport) -> Answered:
    """added, repaired, overlaps_km2."""
    answer = {
        "added": len(found.communes),
        "repaired": len(found.repaired),
        "repairs": list(found.repaired),
        "removed": list(found.removed),
        "remarks": list(found.remarks),
        "overlaps_km2": round(found.overlaps_km2, 4),
        "overlaps_left_km2": round(found.overlaps_left_km2, 6),
    }
    lines = [
        f"{len(found.communes)} communes, {len(found.repaired)} repaired, "
        f"{found.overlaps_km2:.2f} km² claimed twice and settled"
    ]
    lines += [f"  {sentence}" for sentence in (*found.repaired, *found.removed, *found.remarks)]
    return answer, lines
