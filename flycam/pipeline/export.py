"""A flight, or one commune of it, as a Cloud-Optimized GeoTIFF."""

from __future__ import annotations

from pathlib import Path

import shapely

from flycam.errors import InputUnusable, NotFound
from flycam.mosaic.export import Exported, export_cog
from flycam.pipeline.coverage import flown_on, main_mosaic, tags_of
from flycam.pipeline.opening import check_gsd
from flycam.pipeline.workspace import Workspace

LIVE_REVISION = 0
COARSEST_EXPORT_M = 1000.0


def export_flight(
    workspace: Workspace,
    ref: str,
    out: Path,
    *,
    revision: str | None = None,
    commune: str | None = None,
    crs: str | None = None,
    gsd_m: float | None = None,
) -> Exported:
    """Write a flight's mosaic to `out`. Defaults: the published revision, work CRS and GSD of the flight.

    revision "live" or "final"; commune a code, clips to its boundary on the day of the flight. Raises
    NotFound (flight, commune, revision, or nothing imaged there), CrsMissing, InputUnusable, DiskFull.
    """
    flight = workspace.catalog.flights.flight(ref)
    mosaic = main_mosaic(workspace, flight.flight_id, _revision(workspace, flight.flight_id, revision))
    if gsd_m is not None:
        check_gsd(gsd_m, flight.gsd_m, COARSEST_EXPORT_M)
    if out.is_dir():
        raise InputUnusable(f"{out}: is a folder; add a file's name, such as {out / 'map.tif'}")
    if not out.resolve().parent.is_dir():
        raise InputUnusable(f"{out}: its folder does not exist; create it or choose another place")
    polygon = None
    if commune is not None:
        boundary = workspace.catalog.boundaries.commune(commune, flown_on(flight))
        polygon = shapely.from_wkb(boundary.wkb)
    return export_cog(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        out,
        crs=crs or flight.work_crs,
        gsd_m=gsd_m or flight.gsd_m,
        polygon=polygon,
        tags=tags_of(workspace, flight, mosaic),
    )


def _revision(workspace: Workspace, flight_id: str, wanted: str | None) -> int | None:
    if wanted is None:
        return None
    if wanted == "live":
        return LIVE_REVISION
    finals = [m.revision for m in workspace.catalog.tiles.mosaics(flight_id) if m.revision > LIVE_REVISION]
    if not finals:
        raise NotFound(f"{flight_id}: this flight has no final revision; export --revision live")
    return max(finals)
