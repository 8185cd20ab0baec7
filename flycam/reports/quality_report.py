"""Quality report of a finished revision: figures and maps, in two languages.

    revision record, its frames, all photos of the flight -> figures
    base tiles, recorded ground, its support              -> maps
    figures + maps -> images -> HTML and PDF in each language -> store, under their content

Only the catalogue and the store are read, and no clock: the same revision has the same report.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.flights import parse_footprints
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.errors import InputUnusable, NotFound
from flycam.geodata.crs import fit_mercator_to_work, make_point_transform
from flycam.geodata.dem import compute_hillshade
from flycam.geometry.grid import (
    HALF_WORLD_M,
    TILE_SIZE_PX,
    PlanarMap,
    TileId,
    compute_grid_pixel_m,
    compute_ground_pixel_m,
    compute_pixel_centres,
    fit_planar_map,
    make_tile_range,
)
from flycam.geometry.terrain import (
    MAX_BEND_PX,
    WINDOW_PX,
    TerrainGrid,
    interpolate_heights_en,
    measure_bend_m,
)
from flycam.messages import LANGUAGES, Message, _, verbatim
from flycam.model.flight import Flight, Layer, is_flat_datum
from flycam.model.frame import FrameHeader, MosaicTile
from flycam.model.records import (
    FrameRecord,
    FrameStatus,
    MosaicInfo,
    RevisionFrame,
    RevisionRecord,
    RevisionState,
)
from flycam.model.revision_stats import list_photo_reasons
from flycam.model.text import format_shell_command
from flycam.mosaic.coverage import (
    get_flight_date,
    get_main_mosaic,
    list_boundary_warnings,
    list_flight_communes,
)
from flycam.mosaic.finish.finished_tiles import decode_error_m, is_dsm_ground
from flycam.mosaic.finish.report import (
    ERROR_BOUNDS_M,
    ErrorFigures,
    FrameResult,
    ReportFigures,
    WindowFigures,
)
from flycam.mosaic.orthorectify.rectification import project_frames
from flycam.mosaic.raster import (
    MERCATOR,
    OutputGrid,
    TileReader,
    find_data_bounds,
    make_output_grid,
    resample_colours,
)
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles.codec import read_tile
from flycam.reports.layout import MapPlanes, classify_values, to_html, to_pdf
from flycam.reports.quality_content import build_report_document, draw_report_pictures
from flycam.storage import keys
from flycam.storage.files import write_file_atomically
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Maps of a quality report: colour, error, bend, overlap, ground --------------------------------
#
# They lie on one small grid in the work CRS. Colours come from the zoom that suits it; the error, and the
# source photo whose position gives the bend of each window, from the base tiles at the grid's points.


_LONG_SIDE_PX = 900
_MIN_PIXEL_M = 0.01
_MIN_GAP_PX = 9
# Heights count as smooth where they differ by more than this from the measured ones.
_SPACING_M = 1.0
# of a window, along its side
_NODES = 8

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


def gather_maps(
    workspace: Workspace,
    mosaic: MosaicInfo,
    headers: Sequence[FrameHeader],
    terrain: TerrainGrid,
    support: TerrainGrid | None,
    measured: TerrainGrid | None,
    progress: Progress,
) -> MapPlanes:
    """Gather all planes of a revision.

    headers: its frames with adjusted poses and cameras; terrain: that they are orthorectified on; measured:
    the flight's own DSM. Raises NotFound for a mosaic without pixels, ObjectMissing, TileCorrupt.
    """
    grid = _grid_over(workspace, mosaic, terrain.work_crs)
    shape = (grid.rows, grid.cols)
    x, y = grid.centres(0, 0, shape)
    mercator = _mercator(grid, terrain.work_crs)
    reach = TILE_SIZE_PX * compute_grid_pixel_m(mosaic.base_zoom)
    low, high = mercator.min(axis=(0, 1)) - reach, mercator.max(axis=(0, 1)) + reach
    to_work = fit_mercator_to_work(terrain.work_crs, (low[0], low[1], high[0], high[1]))
    windows = _Windows(headers, terrain, to_work)
    error, bend = _tile_figures(workspace, mosaic, mercator, windows, progress)
    shown = np.isfinite(error)
    bounds = workspace.catalog.flights.flight(mosaic.flight_id).bounds_lonlat_deg
    latitude = (bounds[1] + bounds[3]) / 2 if bounds else 0.0
    exact = math.log2(compute_ground_pixel_m(0, latitude) / grid.step_x)
    zoom = min(max(math.ceil(exact - 0.01), mosaic.min_zoom), mosaic.base_zoom)
    reader = TileReader(workspace.store, workspace.catalog.tiles, mosaic, zoom)
    rgb, __ = resample_colours(reader, grid, terrain.work_crs, (0, 0), shape)
    east, north = np.meshgrid(x, y)
    own = np.zeros(shape, dtype=np.bool_)
    if support is not None:
        own = is_dsm_ground(support, east, north)
    smooth = np.zeros(shape, dtype=np.bool_)
    if measured is not None:
        with np.errstate(invalid="ignore"):
            difference_m = interpolate_heights_en(terrain, east, north) - interpolate_heights_en(
                measured, east, north
            )
            smooth = np.abs(difference_m) > _SPACING_M
    # outlines and areas of enclosed gaps, the largest first; gaps of a few pixels come from the grid, not
    # the flight
    pixel_m2 = grid.step_x * grid.step_y
    parts, labels, facts = cv2.connectedComponentsWithStats((~shown).astype(np.uint8), connectivity=4)[:3]
    found: list[tuple[int, int, Floats]] = []
    for part in range(1, parts):
        left, top, width, height, pixels = facts[part].tolist()
        at_edge = left == 0 or top == 0 or left + width == shown.shape[1] or top + height == shown.shape[0]
        if at_edge or pixels < _MIN_GAP_PX:
            continue
        window = (labels[top : top + height, left : left + width] == part).astype(np.uint8)
        outlines, __ = cv2.findContours(window, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        corner = np.array([left + 0.5, top + 0.5])
        found.append((-pixels, part, outlines[0].reshape(-1, 2) + corner))
    found.sort(key=lambda one: one[:2])
    gaps, gaps_m2 = tuple(one[2] for one in found), tuple(-one[0] * pixel_m2 for one in found)
    return MapPlanes(
        west=grid.west,
        north=grid.north,
        pixel_m=grid.step_x,
        rgb=rgb,
        shown=shown,
        error_m=error,
        overlap=_overlap(headers, terrain, grid),
        own=own & shown,
        bend_px=bend,
        smooth=smooth & shown,
        relief=_relief(terrain, grid),
        gaps=gaps,
        gaps_m2=gaps_m2,
    )


def _grid_over(workspace: Workspace, mosaic: MosaicInfo, work_crs: str) -> OutputGrid:
    """Return a grid over the mosaic's data, `_LONG_SIDE_PX` long."""
    extent = find_data_bounds(workspace.store, workspace.catalog.tiles, mosaic)
    rough = make_output_grid(extent, work_crs, (extent[2] - extent[0] + extent[3] - extent[1]) / 200.0, None)
    west, south, east, north = rough.bounds
    side_m = max(east - west, north - south)
    return make_output_grid(extent, work_crs, max(side_m / _LONG_SIDE_PX, _MIN_PIXEL_M), None)


def _mercator(grid: OutputGrid, work_crs: str) -> Floats:
    """Return Mercator metres of the grid's pixel centres, rows×cols×2."""
    x, y = grid.centres(0, 0, (grid.rows, grid.cols))
    return fit_planar_map(make_point_transform(work_crs, MERCATOR), grid.bounds).grid(x, y)


class _Windows:
    """Bend of the windows of base tiles."""

    def __init__(self, headers: Sequence[FrameHeader], terrain: TerrainGrid, to_work: PlanarMap) -> None:
        self._centre_m = {one.frame_id: one.exterior_prior.projection_centre_m for one in headers}
        self._terrain, self._to_work = terrain, to_work
        steps = (np.arange(_NODES) + 0.5) * (WINDOW_PX / _NODES) - 0.5
        first = np.arange(0, TILE_SIZE_PX, WINDOW_PX)
        rows, cols, down, across = np.meshgrid(first, first, steps, steps, indexing="ij")
        self._rows, self._cols = ((a + b).reshape(-1, _NODES**2) for a, b in ((rows, down), (cols, across)))

    def bends_px(self, tile: MosaicTile) -> NDArray[np.float32]:
        """Return the bend of a tile's windows, pixels RMS, rows×cols of windows.

        Of the photo shown in each window's centre.
        """
        middle = slice(WINDOW_PX // 2, None, WINDOW_PX)
        unknown = (np.nan,) * 3
        centres = np.array([unknown, *(self._centre_m.get(one, unknown) for one in tile.frames)])
        shown = centres[tile.source[middle, middle].ravel()]
        place = self._to_work(compute_pixel_centres(make_tile_range(tile.tile_id), self._rows, self._cols))
        east, north = place[..., 0], place[..., 1]
        bends = measure_bend_m(east, north, interpolate_heights_en(self._terrain, east, north), shown)
        step = WINDOW_PX / _NODES
        pixel_m = np.hypot(east[:, 1] - east[:, 0], north[:, 1] - north[:, 0]) / step
        side = TILE_SIZE_PX // WINDOW_PX
        return (bends / pixel_m).astype(np.float32).reshape(side, side)


def _tile_figures(
    workspace: Workspace, mosaic: MosaicInfo, mercator: Floats, windows: _Windows, progress: Progress
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return expected error, and bend of the window, at the points on base tiles.

    NaN where the map shows nothing. Read tile by tile.
    """
    size = compute_grid_pixel_m(mosaic.base_zoom)
    col = np.floor((mercator[..., 0].ravel() + HALF_WORLD_M) / size).astype(np.int64)
    row = np.floor((HALF_WORLD_M - mercator[..., 1].ravel()) / size).astype(np.int64)
    tile_x, tile_y = col // TILE_SIZE_PX, row // TILE_SIZE_PX
    order = np.lexsort((tile_x, tile_y))
    ends = np.flatnonzero(np.diff(tile_x[order]) | np.diff(tile_y[order])) + 1
    groups = np.split(order, ends)
    tiles = workspace.catalog.tiles
    # Base tiles: an overview tile keeps the best of its four children, which would flatter the map.
    heads = {
        head.tile_id: head for head in tiles.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    }
    error, bend = (np.full(col.size, np.nan, dtype=np.float32) for __ in range(2))
    for done, members in enumerate(groups, 1):
        first = members[0]
        head = heads.get(TileId(z=mosaic.base_zoom, x=int(tile_x[first]), y=int(tile_y[first])))
        if head is not None:
            tile = read_tile(workspace.store, head)
            at = row[members] % TILE_SIZE_PX, col[members] % TILE_SIZE_PX
            error[members] = decode_error_m(tile.quality[at])
            bend[members] = windows.bends_px(tile)[at[0] // WINDOW_PX, at[1] // WINDOW_PX]
        progress("report", done, len(groups))
    error[~np.isfinite(error)] = np.nan
    bend[np.isnan(error)] = np.nan
    return error.reshape(mercator.shape[:2]), bend.reshape(mercator.shape[:2])


def _overlap(headers: Sequence[FrameHeader], terrain: TerrainGrid, grid: OutputGrid) -> NDArray[np.int32]:
    count = np.zeros((grid.rows, grid.cols), dtype=np.int32)
    for frame in project_frames(headers, terrain)[0]:
        seen = np.zeros(count.shape, dtype=np.uint8)
        cv2.fillPoly(seen, [np.rint(grid.to_pixels(frame.footprint.polygon_m) - 0.5).astype(np.int32)], 1)
        count += seen
    return count


def _relief(terrain: TerrainGrid, grid: OutputGrid) -> Floats:
    """Shade the terrain at the grid's pixels.

    Heights reach one pixel beyond the grid, for the slopes at its edge.
    """
    x = grid.west + (np.arange(-1, grid.cols + 1) + 0.5) * grid.step_x
    y = grid.north - (np.arange(-1, grid.rows + 1) + 0.5) * grid.step_y
    heights = interpolate_heights_en(terrain, *np.meshgrid(x, y)).astype(np.float32)
    return compute_hillshade(heights, grid.step_x)


# -- Figures, and stored reports in each language and format ---------------------------------------


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
    included = workspace.catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision)
    records = [
        one
        for one in workspace.catalog.frames.list_for_flight(flight.flight_id)
        if one.header.layer is mosaic.layer
    ]
    planes = _planes(workspace, mosaic, record, records, included, progress)
    figures = gather_figures(workspace, flight, mosaic, record, records, included, planes)
    drawn = draw_report_pictures(figures, planes)
    made = {}
    for language in LANGUAGES:
        document = build_report_document(figures, planes, drawn, language)
        for kind, write in REPORT_WRITERS.items():
            data = write(document)
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
    included: Sequence[RevisionFrame],
    planes: MapPlanes,
) -> ReportFigures:
    """Gather all figures of the report, without texts."""
    catalog = workspace.catalog
    event = catalog.flights.event(flight.event_id)
    terrain = None if record.dem_id is None else load_recorded_terrain(workspace, record.dem_id)
    is_bare_plane = is_flat_datum(flight.vertical_datum) and record.support_key is None
    ids = {one.frame_id for one in included}
    gsds = [one.gsd_m for one in records if one.frame_id in ids and one.gsd_m is not None] or [flight.gsd_m]
    shown = planes.shown
    views = planes.overlap[shown]
    classes = np.bincount(
        classify_values(planes.error_m[shown], ERROR_BOUNDS_M), minlength=len(ERROR_BOUNDS_M) + 1
    )
    error = _error_over(planes, shown)
    used = {one.frame_id: one for one in included}
    reasons = list_photo_reasons(record.stats)
    lines = [_frame_line(one, used.get(one.frame_id), reasons) for one in records]
    # the recorded DSM share: report, command and map state one number
    recorded = (record.stats.get("surface") or {}).get("supported_pct")
    bounds = flight.bounds_lonlat_deg
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
        frames=tuple(sorted(lines, key=lambda line: (line.name, line.state))),
        communes=_communes(workspace, flight, [one for one in records if one.frame_id in ids]),
        boundaries=list_boundary_warnings(workspace.catalog, flight),
        frame_gsd_m=(min(gsds), float(np.median(gsds)), max(gsds)),
        pixel_m=compute_ground_pixel_m(
            mosaic.base_zoom, 0.0 if bounds is None else (bounds[1] + bounds[3]) / 2.0
        ),
        post_m=None if terrain is None or is_bare_plane else terrain.post_spacing_m[0],
        own_pct=100.0 * float(planes.own[planes.shown].mean()) if recorded is None else float(recorded),
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
    included: Sequence[RevisionFrame],
    progress: Progress,
) -> MapPlanes:
    if record.dem_id is None:
        raise NotFound(
            _(
                "{mosaic_id} revision {revision}: the ground under it is not on record; run 'flycam "
                "finish --redo'",
                mosaic_id=mosaic.mosaic_id,
                revision=mosaic.revision,
            )
        )
    by_id = {one.frame_id: one.header for one in records}
    headers = [
        replace(by_id[one.frame_id], interior=one.interior, exterior_prior=one.exterior) for one in included
    ]
    support = None
    if record.support_key is not None:
        support = decode_terrain(workspace.store.get(record.support_key))
    terrain = load_recorded_terrain(workspace, record.dem_id)
    measured_id = (record.stats.get("surface") or {}).get("terrain_id")
    measured = None if measured_id is None else load_recorded_terrain(workspace, measured_id)
    return gather_maps(workspace, mosaic, headers, terrain, support, measured, progress)


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
    intact, smooth = planes.bend_px[known] <= MAX_BEND_PX, planes.smooth[known]
    return WindowFigures(
        intact_pct=100.0 * float(intact.mean()),
        smooth_pct=100.0 * float(smooth.mean()),
        smooth_intact_pct=100.0 * float(intact[smooth].mean()) if smooth.any() else None,
    )


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
