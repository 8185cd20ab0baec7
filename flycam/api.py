"""Python API: flights in a workspace, from their photos to exports, as the commands of the same names.

`from flycam import …` offers these names, with `Orthorectifier` for single photos; docs/api.md shows them at
work. Files are named by str or Path, flights by id or name; settings are those of the commands
(docs/settings.md). Whatever fails raises a `FlycamError`, whose message names the file and the cure. Each
function imports what it needs when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.config import read_settings
from flycam.workspace import Progress, Workspace, ignore_progress

if TYPE_CHECKING:
    from flycam.change.comparison import ComparisonReport
    from flycam.ingest.batch import IngestReport
    from flycam.mosaic.finish.report import FinishReport
    from flycam.mosaic.finish.workflow import FinishRequest
    from flycam.mosaic.raster import ExportedCog

PathLike = str | Path


@contextmanager
def open_workspace(data_dir: PathLike | None = None, *, create: bool = True) -> Iterator[Workspace]:
    """Open the workspace in a data folder, with its store and catalogue, for a `with` block.

    data_dir  None: FLYCAM_DATA, else ./flycam-data
    create    make it where there is none; False: raise NotFound

    In the block the process's umask keeps from others what the data folder keeps from them, so files that
    you write meanwhile are private too. Raises NotFound, StorageFailed.
    """
    from flycam.operations.node import open_node

    settings = read_settings(os.environ, None if data_dir is None else str(data_dir))
    with open_node(settings, creates=create) as workspace:
        yield workspace


def ingest_photos(
    workspace: Workspace,
    photos: PathLike | Sequence[PathLike],
    *,
    dem: PathLike | None = None,
    datum: str | None = None,
    name: str | None = None,
    event: str | None = None,
    telemetry: PathLike | None = None,
    camera: PathLike | None = None,
    height_mode: str = "auto",
    takeoff: float | tuple[float, float] | None = None,
    clock_offset_s: float | None = None,
    layer: str | None = None,
    gsd_m: float | None = None,
    into: str | None = None,
    reprocess: bool = False,
    progress: Progress = ignore_progress,
) -> IngestReport:
    """Ingest a flight's photos (files or folders) into a mosaic, as `flycam ingest`. Idempotent.

    dem, datum      terrain to register first; its vertical datum where the file does not state it: "EGM96",
                    "EGM2008" or "ELLIPSOID". None: what is registered, else a plane
    name, event     labels; None: the folder's name, and no event
    telemetry       flight log, pose table, control points or map; camera: camera file that beats the photos
    height_mode     "auto", "relative", "absolute" or "exif"
    takeoff         height of the take-off point (m, datum of the terrain) or its (lon, lat), degrees
    clock_offset_s  log's time minus photo's
    layer           "colour", "infrared", "thermal" or "night", where tags are silent or wrong
    gsd_m           ground sample distance, m; None: the flight's
    into            flight that the photos join, or "auto"
    reprocess       orthorectify again what is on the map
    progress        gets (stage, done, total)

    The report holds the flight (`report.flight.name`), counts, rejected photos with reasons, and communes.
    Raises InputUnusable (nothing usable; also terrain elsewhere), FlightBusy, StorageFailed (run it again).
    """
    from flycam.ingest.batch import ingest
    from flycam.ingest.preflight_check import PreflightRequest
    from flycam.mosaic.orthorectify.flight_session import FlightLabels
    from flycam.mosaic.terrain import register_dem

    if dem is not None:
        register_dem(workspace, Path(dem), datum)
    request = PreflightRequest(
        paths=_to_paths(photos),
        telemetry=_to_path(telemetry),
        camera=_to_path(camera),
        height_mode=height_mode,
        takeoff=takeoff,
        clock_offset_s=clock_offset_s,
        layer=layer,
        own_dem=_to_path(dem),
    )
    labels = FlightLabels(name=name, event=event, gsd_m=gsd_m)
    return ingest(workspace, request, labels, progress, reprocess=reprocess, into=into)


def finish(
    workspace: Workspace,
    flight: str,
    request: FinishRequest | None = None,
    *,
    reference: PathLike | None = None,
    progress: Progress = ignore_progress,
) -> FinishReport:
    """Finish a flight to a revision to measure on, as `flycam finish`. Idempotent and resumable.

    request    its options (`FinishRequest(gcp=…, surface=False)`); None: the usual ones
    reference  a GeoTIFF of the same ground, or an earlier finished flight, that it is tied to
    progress   gets (stage, percent, 100)

    `report.layers` holds the record of each layer's revision with its statistics, or why it has none. Raises
    NotFound, InputUnusable (nothing to finish, or invalid options), FlightBusy, StorageFailed (run it again).
    """
    from flycam.mosaic.export import read_reference_sigma, resolve_reference_map
    from flycam.mosaic.finish.workflow import DEFAULTS, finish_flight
    from flycam.reports.quality_report import make_reports

    request = DEFAULTS if request is None else request
    if reference is not None:
        sigma_m = request.reference_sigma_m
        request = replace(
            request,
            reference=resolve_reference_map(workspace, flight, str(reference)),
            reference_sigma_m=read_reference_sigma(workspace, str(reference)) if sigma_m is None else sigma_m,
        )
    return finish_flight(workspace, flight, request, progress, make_reports=make_reports)


def compare(
    workspace: Workspace,
    before: PathLike,
    after: PathLike,
    out: PathLike,
    *,
    dem: PathLike | None = None,
    aoi: PathLike | None = None,
    event: str | None = None,
    for_review: bool = True,
    progress: Progress = ignore_progress,
) -> ComparisonReport:
    """Find what changed between two flights or GeoTIFFs, as `flycam compare`.

    out         .gpkg (layers changes, communes, registration) or .geojson
    dem         terrain to judge slopes by; None: a flight's, else what is registered
    aoi         file of polygons to stay inside
    event       whose analyst decides; for_review: put the candidates up for review on the map

    Candidates are `report.changes` (kind, probability, area), proposals that a person confirms;
    `report.remarks` says what to know of them. Raises NotFound, InputUnusable, CoregistrationFailed (no
    change can be told), StorageFailed.
    """
    from flycam.change.comparison import compare_sources
    from flycam.change.detection import prepare_detection

    return compare_sources(
        workspace,
        str(before),
        str(after),
        Path(out),
        prepare_detection,
        dem=_to_path(dem),
        aoi=_to_path(aoi),
        event=event,
        for_review=for_review,
        progress=progress,
    )


def export_geotiff(
    workspace: Workspace,
    flight: str,
    out: PathLike,
    *,
    revision: str | None = None,
    commune: str | None = None,
    crs: str | None = None,
    gsd_m: float | None = None,
    with_figures: bool = False,
) -> ExportedCog:
    """Write a flight's mosaic as a Cloud-Optimized GeoTIFF with mask, as `flycam export`.

    revision      "live" or "final"; None: final if there is one
    commune       code of a commune to clip to
    crs, gsd_m    "EPSG:n" and metres; None: the flight's UTM zone and ground sample distance
    with_figures  instead of colours expected error (m, 1 sigma) and age (h) of each pixel, float32

    Raises NotFound, InputUnusable, StorageFailed.
    """
    from flycam.access.audit import record_audit_entry
    from flycam.mosaic.export import export_flight

    exported = export_flight(
        workspace,
        flight,
        Path(out),
        revision=revision,
        commune=commune,
        crs=crs,
        gsd_m=gsd_m,
        with_figures=with_figures,
    )
    record_audit_entry(
        workspace, "export", workspace.catalog.flights.flight(flight).flight_id, Path(out).name
    )
    return exported


def _to_path(path: PathLike | None) -> Path | None:
    return None if path is None else Path(path)


def _to_paths(paths: PathLike | Sequence[PathLike]) -> tuple[Path, ...]:
    return (Path(paths),) if isinstance(paths, str | Path) else tuple(Path(one) for one in paths)
