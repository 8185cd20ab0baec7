"""The quality report of a finished revision: figures and maps, in two languages.

 revision record, its frames, all photos of the flight -> figures
 base tiles, recorded ground, its support              -> maps
 figures + maps -> pictures -> HTML and PDF in each language -> store, under their content

Only the catalogue and the store are read, and no clock: the same revision has the same report.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely

from flycam.catalog.footprints import parse_footprints
from flycam.catalog.records import (
    FrameRecord,
    FrameStatus,
    MosaicInfo,
    RevisionFrame,
    RevisionRecord,
    RevisionState,
)
from flycam.catalog.revision_stats import list_photo_reasons
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import InputUnusable, NotFound
from flycam.frame.flight import Flight, is_flat_datum
from flycam.frame.frame import Layer
from flycam.frame.terrain_codec import decode_terrain
from flycam.frame.text_normalization import format_shell_command
from flycam.geometry.grid import compute_ground_pixel_m
from flycam.geometry.relief_displacement import MAX_BEND_PX
from flycam.messages import LANGUAGES, Message, _, verbatim
from flycam.pipeline.atomic_file import write_file_atomically
from flycam.pipeline.coverage import (
    get_flight_date,
    get_main_mosaic,
    list_boundary_warnings,
    list_flight_communes,
)
from flycam.pipeline.finish.quality_maps import gather_maps
from flycam.pipeline.terrain import load_recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress
from flycam.report.html import to_html
from flycam.report.map_images import classify_values
from flycam.report.map_planes import MapPlanes
from flycam.report.pdf import to_pdf
from flycam.report.report_content import build_report_document
from flycam.report.report_figures import (
    ERROR_BOUNDS_M,
    ErrorFigures,
    FrameResult,
    ReportFigures,
    WindowFigures,
)
from flycam.report.report_pictures import draw_report_pictures
from flycam.store import keys

REPORT_WRITERS = {"html": to_html, "pdf": to_pdf}
_THIN_VIEWS = 3
_HASH_DIGITS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFile:
    """A report written to a file."""

    path: Path
    flight: Flight
    revision: int
    language: str
    bytes: int


def get_report(
    workspace: Workspace,
    ref: str,
    language: str,
    kind: str,
    revision: int | None = None,
    layer: Layer | None = None,
) -> bytes:
    """Return a stored report, in "vi" or "en", "html" or "pdf".

    revision  None: the published one
    layer     None: the one that the flight is shown by

    Raises NotFound for a flight that is not finished, a revision that is not published or has no report.
    """
    flight = workspace.catalog.flights.flight(ref)
    record, __ = _finished(workspace, flight, revision, layer)
    key = record.reports.get(f"{language}.{kind}")
    if key is None:
        made_by = format_shell_command("report", flight.name, "OUT.pdf")
        raise NotFound(
            _(
                "{name}: revision {revision} has no report yet; make it with: {made_by}",
                name=flight.name,
                revision=record.revision,
                made_by=made_by,
            )
        )
    return workspace.store.get(key)


def write_report(
    workspace: Workspace,
    ref: str,
    out: Path,
    language: str = "vi",
    revision: int | None = None,
    layer: Layer | None = None,
) -> ReportFile:
    """Make a report anew, replace the stored one and write it to a file.

    The suffix decides the kind. Made anew so that it has boundaries that were imported since, and corrected
    texts.

    Raises InputUnusable for another suffix, NotFound as `get_report`, and StorageFailed.
    """
    kind = out.suffix.lower().removeprefix(".")
    if kind not in REPORT_WRITERS:
        raise InputUnusable(_("{name}: a report is a .pdf or an .html file; name it so", name=out.name))
    flight = workspace.catalog.flights.flight(ref)
    record, mosaic = _finished(workspace, flight, revision, layer)
    reports, __ = make_reports(workspace, flight, mosaic, record)
    workspace.catalog.revisions.put_reports(mosaic.mosaic_id, mosaic.revision, reports)
    # Deleted only now: until here the catalogue named these objects.
    for key in set(record.reports.values()) - set(reports.values()):
        workspace.store.delete(key)
    data = get_report(workspace, ref, language, kind, record.revision, mosaic.layer)
    write_file_atomically(out, data)
    return ReportFile(path=out, flight=flight, revision=record.revision, language=language, bytes=len(data))


def make_reports(
    workspace: Workspace,
    flight: Flight,
    mosaic: MosaicInfo,
    record: RevisionRecord,
    progress: Progress = ignore_progress,
) -> tuple[dict[str, str], ReportFigures]:
    """Make and store all reports of a revision.

    Returns store keys by language and kind ("vi.html"), and the figures.
    """
    kept = workspace.catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision)
    records = [
        one
        for one in workspace.catalog.frames.list_for_flight(flight.flight_id)
        if one.header.layer is mosaic.layer
    ]
    planes = _planes(workspace, mosaic, record, records, kept, progress)
    figures = gather_figures(workspace, flight, mosaic, record, records, kept, planes)
    drawn = draw_report_pictures(figures, planes)
    made = {}
    for language in LANGUAGES:
        said = build_report_document(figures, planes, drawn, language)
        for kind, write in REPORT_WRITERS.items():
            data = write(said)
            digest = hashlib.sha256(data).hexdigest()[:_HASH_DIGITS]
            key = keys.format_product_key(
                mosaic.mosaic_id, mosaic.revision, f"report-{language}.{kind}", digest
            )
            if workspace.store.exists(key):
                workspace.store.ensure_durable(key, durable=True)
            else:
                workspace.store.put(key, data, durable=True)
            made[f"{language}.{kind}"] = key
    return made, figures


def gather_figures(
    workspace: Workspace,
    flight: Flight,
    mosaic: MosaicInfo,
    record: RevisionRecord,
    records: Sequence[FrameRecord],
    kept: Sequence[RevisionFrame],
    planes: MapPlanes,
) -> ReportFigures:
    """Gather all figures of the report, without texts."""
    catalog = workspace.catalog
    event = catalog.flights.event(flight.event_id)
    terrain = None if record.dem_id is None else load_recorded_terrain(workspace, record.dem_id)
    is_bare_plane = is_flat_datum(flight.vertical_datum) and record.support_key is None
    held = {one.frame_id for one in kept}
    gsds = [one.gsd_m for one in records if one.frame_id in held and one.gsd_m is not None] or [flight.gsd_m]
    shown = planes.shown
    views = planes.overlap[shown]
    classes = np.bincount(
        classify_values(planes.error_m[shown], ERROR_BOUNDS_M), minlength=len(ERROR_BOUNDS_M) + 1
    )
    error = _error_over(planes, shown)
    return ReportFigures(
        flight=flight.name,
        event=event.name,
        is_drill=event.is_drill,
        layer=mosaic.layer.value,
        revision=record.revision,
        made_ns=record.made_ns,
        first_ns=flight.first_ns,
        last_ns=flight.last_ns,
        operator=flight.operator,
        inputs_hash=record.inputs_hash,
        work_crs=flight.work_crs,
        vertical_datum=flight.vertical_datum,
        options=record.options,
        stats=record.stats,
        frames=_frame_lines(record, records, kept),
        communes=_communes(workspace, flight, [one for one in records if one.frame_id in held]),
        boundaries=list_boundary_warnings(workspace.catalog, flight),
        frame_gsd_m=(min(gsds), float(np.median(gsds)), max(gsds)),
        pixel_m=compute_ground_pixel_m(mosaic.base_zoom, _latitude(flight)),
        post_m=None if terrain is None or is_bare_plane else terrain.post_spacing_m[0],
        own_pct=_own_pct(record, planes),
        error=error or ErrorFigures(median_m=float("nan"), p95_m=float("nan")),
        error_own=_error_over(planes, planes.own),
        error_dem=_error_over(planes, shown & ~planes.own),
        error_pct=tuple((100.0 * classes / max(classes.sum(), 1)).tolist()),
        overlap=int(np.median(views)),
        thin_pct=100.0 * float((views < _THIN_VIEWS).mean()),
        windows=_windows_over(planes),
        imaged_m2=float(shown.sum()) * planes.pixel_m**2,
        gaps_m2=planes.gaps_m2,
    )


def _planes(
    workspace: Workspace,
    mosaic: MosaicInfo,
    record: RevisionRecord,
    records: Sequence[FrameRecord],
    kept: Sequence[RevisionFrame],
    progress: Progress,
) -> MapPlanes:
    if record.dem_id is None:
        raise NotFound(
            _(
                "{mosaic_id} revision {revision}: the ground that it lies on is not on "
                "record; run 'flycam finish --redo'",
                mosaic_id=mosaic.mosaic_id,
                revision=mosaic.revision,
            )
        )
    by_id = {one.frame_id: one.header for one in records}
    headers = [
        replace(by_id[one.frame_id], interior=one.interior, exterior_prior=one.exterior) for one in kept
    ]
    support = None
    if record.support_key is not None:
        support = decode_terrain(workspace.store.get(record.support_key))
    terrain = load_recorded_terrain(workspace, record.dem_id)
    measured_id = (record.stats.get("surface") or {}).get("terrain_id")
    measured = None if measured_id is None else load_recorded_terrain(workspace, measured_id)
    return gather_maps(workspace, mosaic, headers, terrain, support, measured, progress)


def _frame_lines(
    record: RevisionRecord, records: Sequence[FrameRecord], kept: Sequence[RevisionFrame]
) -> tuple[FrameResult, ...]:
    """Return every photo of the layer by name: how it was used, or why not."""
    used = {one.frame_id: one for one in kept}
    reasons = list_photo_reasons(record.stats)
    lines = [_frame_line(one, used.get(one.frame_id), reasons) for one in records]
    return tuple(sorted(lines, key=lambda line: (line.name, line.state)))


def _frame_line(one: FrameRecord, used: RevisionFrame | None, reasons: dict[str, Message]) -> FrameResult:
    name = one.header.provenance.source_name
    prior = one.exterior
    if used is not None:
        centre = used.exterior.projection_centre_m
        shift = None
        if prior is not None:
            east, north, up = (np.array(centre) - np.array(prior.projection_centre_m)).tolist()
            shift = (east, north, up)
        return FrameResult(
            name=name,
            state=used.state,
            sentence=reasons.get(name),
            centre=centre,
            shift_m=shift,
            ties=used.ties,
            rms_px=used.rms_px if np.isfinite(used.rms_px) else None,
            cells_pct=used.cells_pct,
        )
    pose = prior or one.header.exterior_prior
    centre = pose.projection_centre_m
    if one.status is FrameStatus.USED:
        return FrameResult(name=name, state="left_out", sentence=reasons.get(name), centre=centre)
    state = "withdrawn" if one.status is FrameStatus.WITHDRAWN else "rejected"
    reason = "withdrawn" if state == "withdrawn" else one.reason
    sentence = verbatim(one.message) if one.message else None
    return FrameResult(name=name, state=state, reason=reason, sentence=sentence, centre=centre)


def _error_over(planes: MapPlanes, ground: np.ndarray) -> ErrorFigures | None:
    errors = planes.error_m[ground]
    errors = errors[np.isfinite(errors)]
    if not errors.size:
        return None
    median, p95 = np.percentile(errors, [50.0, 95.0])
    return ErrorFigures(median_m=float(median), p95_m=float(p95))


def _windows_over(planes: MapPlanes) -> WindowFigures | None:
    known = np.isfinite(planes.bend_px)
    if not known.any():
        return None
    whole, smooth = planes.bend_px[known] <= MAX_BEND_PX, planes.smooth[known]
    return WindowFigures(
        intact_pct=100.0 * float(whole.mean()),
        smooth_pct=100.0 * float(smooth.mean()),
        smooth_intact_pct=100.0 * float(whole[smooth].mean()) if smooth.any() else None,
    )


def _own_pct(record: RevisionRecord, planes: MapPlanes) -> float:
    """Return the recorded DSM share: report, command and map state one number."""
    recorded = (record.stats.get("surface") or {}).get("supported_pct")
    return 100.0 * float(planes.own[planes.shown].mean()) if recorded is None else float(recorded)


def _communes(workspace: Workspace, flight: Flight, records: Sequence[FrameRecord]) -> tuple[str, ...]:
    """Return commune names, the largest share first.

    Where boundaries were imported after the flight, those that its photos see.
    """
    boundaries = workspace.catalog.boundaries
    rows = sorted(boundaries.coverage(flight.flight_id), key=lambda row: (-row.covered_m2, row.commune_code))
    if rows:
        names = {**boundaries.names(), **boundaries.names(get_flight_date(flight))}
        return tuple(names.get(row.commune_code, row.commune_code) for row in rows)
    footprints = parse_footprints(records)
    if not len(footprints) or flight.bounds_lonlat_deg is None:
        return ()
    ground = shapely.union_all(footprints)
    flown = list_flight_communes(workspace.catalog, flight, flight.bounds_lonlat_deg)
    shares = [(-shapely.from_wkb(one.wkb).intersection(ground).area, one.name) for one in flown]
    return tuple(name for less, name in sorted(shares) if less < 0.0)


def _latitude(flight: Flight) -> float:
    bounds = flight.bounds_lonlat_deg
    return 0.0 if bounds is None else (bounds[1] + bounds[3]) / 2.0


def _finished(
    workspace: Workspace, flight: Flight, revision: int | None, layer: Layer | None = None
) -> tuple[RevisionRecord, MosaicInfo]:
    mosaic = get_main_mosaic(workspace, flight.flight_id)
    if layer is not None and layer is not mosaic.layer:
        shown = workspace.catalog.tiles.mosaics(flight.flight_id)
        others = [one for one in shown if one.published and one.layer is layer]
        if not others:
            raise NotFound(
                _("{name}: it has no {layer} layer; leave the layer out", name=flight.name, layer=layer)
            )
        mosaic = others[0]
    number = mosaic.revision if revision is None else revision
    if number == LIVE_REVISION:
        raise NotFound(
            _(
                "{name}: only a finished revision has a quality report; run 'flycam finish' first",
                name=flight.name,
            )
        )
    record = workspace.catalog.revisions.get(mosaic.mosaic_id, number)
    if record.state is not RevisionState.PUBLISHED:
        raise NotFound(
            _(
                "{name}: revision {number} is {value} and has no report; take another",
                name=flight.name,
                number=number,
                value=record.state.value,
            )
        )
    return record, replace(mosaic, revision=number)
