"""Export of a flight, one commune of it, or its terrain, as a GeoTIFF.

GeoTIFFs are Cloud-Optimized; contour lines of a finished revision's terrain are exported too. The reference
map of `finish --reference` is resolved here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.access.policy import UNRESTRICTED, load_export_policy
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.concurrency import count_workers
from flycam.errors import CrsMissing, InputUnusable, NotFound, OptionUnusable
from flycam.geodata.crs import (
    WEB_MERCATOR,
    describe_crs,
    estimate_accuracy_m,
    get_valid_area,
    make_point_transform,
    to_compound_crs,
)
from flycam.geodata.feature_file import Numbers, write_lines
from flycam.geodata.raster import RASTER_SUFFIXES, BandDescription, write_cog
from flycam.geometry.grid import TileId, lonlat_to_mercator
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.model.flight import Flight
from flycam.model.records import MosaicInfo, RevisionState
from flycam.model.revision_stats import get_shift_error_m
from flycam.model.text import format_shell_command
from flycam.model.time import format_iso
from flycam.model.warning import CRS_ACCURACY, CRS_OUTSIDE, MASKS_COVERED, encode_warning
from flycam.mosaic.coverage import (
    build_geotiff_tags,
    get_flight_commune,
    get_main_mosaic,
    list_boundary_warnings,
)
from flycam.mosaic.finish.finished_tiles import compute_pixel_attributes
from flycam.mosaic.orthorectify.flight_session import check_gsd, find_flight
from flycam.mosaic.raster import (
    COLOURS,
    ExportedCog,
    PixelsWithMask,
    PolygonMask,
    TileDecoding,
    export_cog,
    trace_mosaic_footprint,
)
from flycam.mosaic.redaction import MaskOverlay
from flycam.mosaic.surface.surface import Surface, extract_contours
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.terrain_codec import decode_terrain
from flycam.mosaic.tiles.codec import decode_tile
from flycam.workspace import Workspace

MAX_EXPORT_GSD_M = 1000.0


def export_flight(
    workspace: Workspace,
    ref: str,
    out: Path,
    *,
    revision: str | None = None,
    commune: str | None = None,
    crs: str | None = None,
    gsd_m: float | None = None,
    with_figures: bool = False,
    for_release: bool = True,
) -> ExportedCog:
    """Write a flight's mosaic to `out`, a Cloud-Optimized GeoTIFF.

    Defaults: the published revision, work CRS and GSD of the flight.

    revision      "live" or "final"
    commune       code; clips to its boundary on the day of the flight, or today's where none is recorded for
                  it
    with_figures  instead of colours two float32 bands: expected error (metres, 1 sigma, horizontal) and age
                  (hours, to now) of each pixel; NaN where unknown
    for_release   no data under redactions; a file that stays on the node is whole

    Raises NotFound (flight, commune, revision, or nothing imaged there), OptionUnusable, InputUnusable,
    DiskFull. A CRS that is not meant for this place is used all the same; the notes state that, and
    boundaries of another day.
    """
    flight = workspace.catalog.flights.flight(ref)
    mosaic = get_main_mosaic(workspace, flight.flight_id, _revision(workspace, flight, revision))
    notes: tuple[str, ...] = ()
    if crs is not None:
        _require_crs(crs)
        notes = _list_crs_notes(crs, flight)
    if gsd_m is not None:
        check_gsd(gsd_m, flight.gsd_m, MAX_EXPORT_GSD_M)
    require_output_path(out)
    _require_geotiff(out)
    polygon = None
    if commune is not None:
        polygon = shapely.from_wkb(get_flight_commune(workspace.catalog, flight, commune).wkb)
        notes = (*notes, *list_boundary_warnings(workspace.catalog, flight))
    look = _figures(workspace, mosaic) if with_figures else COLOURS
    cover = MaskOverlay(load_export_policy(workspace.catalog) if for_release else UNRESTRICTED)
    within = None if polygon is None else shapely.transform(polygon, lonlat_to_mercator)
    exported = export_cog(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        out,
        crs=crs or flight.work_crs,
        gsd_m=gsd_m or flight.gsd_m,
        polygon=polygon,
        tags=build_geotiff_tags(workspace, flight, mosaic),
        decoding=cover.wrap_reader(look, within),
        workers=count_workers(),
    )
    if cover.has_covered:
        notes = (*notes, encode_warning(MASKS_COVERED))
    return replace(exported, notes=notes)


def _figures(workspace: Workspace, mosaic: MosaicInfo) -> TileDecoding:
    """Decode tiles to expected error and age of each pixel instead of colour."""
    now_ns = workspace.clock_ns()
    finished = mosaic.revision != LIVE_REVISION
    frame_of = lru_cache(maxsize=None)(workspace.catalog.frames.get)

    def figures(data: bytes, tile_id: TileId) -> PixelsWithMask:
        tile = decode_tile(data, tile_id)
        return compute_pixel_attributes(tile, frame_of, finished=finished, now_ns=now_ns), tile.quality > 0

    bands = (
        BandDescription(holds="expected error, m, 1 sigma, horizontal", unit="metre"),
        BandDescription(holds=f"age, hours before {format_iso(now_ns)}", unit="hour"),
    )
    return TileDecoding(decode=figures, bands=bands, dtype="float32", mixed=False)


def export_surface(workspace: Workspace, ref: str, out: Path, *, revision: str | None = None) -> ExportedCog:
    """Write the terrain of a finished revision as a GeoTIFF.

    It holds heights, and where they are the flight's own DSM. Two float32 bands on the posts of the surface,
    in the flight's work CRS with the heights of its datum: height in metres, and 1 where it is the flight's
    own DSM, 0 where it was extrapolated from that or is the terrain (or the plane in its stead) as the flight
    corrected it. No data where the revision shows no ground. A post is the centre of a pixel. Raises NotFound
    (no finished revision, or none with a surface), InputUnusable, DiskFull, ObjectMissing, TileCorrupt.
    """
    flight = workspace.catalog.flights.flight(ref)
    require_output_path(out)
    _require_geotiff(out)
    terrain, support, mosaic = _surface_of(workspace, flight, revision)
    heights = terrain.heights_m
    own = np.isfinite(support.heights_m)
    known = np.isfinite(heights) & (own | _find_imaged_posts(workspace, mosaic, terrain))
    bands = np.stack([np.where(known, heights, np.float32(0)), own.astype(np.float32)], axis=-1)
    (west, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    crs = to_compound_crs(terrain.work_crs, terrain.vertical_datum)
    write_cog(
        out,
        bands,
        known,
        (step_e, 0.0, west - step_e / 2.0, 0.0, -step_s, north + step_s / 2.0),
        crs,
        tags=build_geotiff_tags(workspace, flight, mosaic),
        bands=(
            BandDescription(holds=f"height, m, {terrain.vertical_datum}", unit="metre"),
            BandDescription(holds="1 = own surface, 0 = carried on or corrected from the flight", unit="1"),
        ),
    )
    rows, cols = heights.shape
    left, top = west - step_e / 2.0, north + step_s / 2.0
    return ExportedCog(
        path=out,
        crs=crs,
        gsd_m=step_e,
        bounds=(left, top - rows * step_s, left + cols * step_e, top),
        shape_px=(rows, cols),
    )


def export_contours(
    workspace: Workspace, ref: str, out: Path, interval_m: float, *, revision: str | None = None
) -> int:
    """Write contour lines of a finished revision's terrain; return their number.

    GeoPackage in the flight's work CRS or GeoJSON, by the file's suffix; layer "contours", attributes
    "height_m" (the flight's datum) and "own", 1 along the flight's own DSM and 0 where it was extrapolated or
    corrected. Raises as `export_surface`, OptionUnusable, StorageFailed.
    """
    flight = workspace.catalog.flights.flight(ref)
    require_output_path(out)
    if not 0.0 < interval_m <= 1000.0:
        raise OptionUnusable(
            _("--contour-interval {interval_m:g}: give metres, above 0 and up to 1000", interval_m=interval_m)
        )
    terrain, support, mosaic = _surface_of(workspace, flight, revision)
    sigma = support.heights_m
    own = np.isfinite(sigma)
    within = own | _find_imaged_posts(workspace, mosaic, terrain)
    pieces = extract_contours(Surface(terrain=terrain, support=own, sigma_m=sigma), interval_m, within=within)
    fields: dict[str, Numbers] = {
        "height_m": np.array([line.height_m for line, _ in pieces], dtype=np.float64),
        "own": np.array([is_own for _, is_own in pieces], dtype=np.int32),
    }
    write_lines(out, [line.points_m for line, _ in pieces], fields, crs=terrain.work_crs, layer="contours")
    return len(pieces)


def _find_imaged_posts(workspace: Workspace, mosaic: MosaicInfo, terrain: TerrainGrid) -> NDArray[np.bool_]:
    """Find the posts at which the revision shows ground, rows×cols."""
    ground, _ = trace_mosaic_footprint(workspace.store, workspace.catalog.tiles, mosaic)
    to_work = make_point_transform(WEB_MERCATOR, terrain.work_crs)
    (west, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m

    def to_pixels(mercator: NDArray[np.float64]) -> NDArray[np.float64]:
        east_m, north_m = np.moveaxis(to_work(mercator), -1, 0)
        return np.stack([(east_m - west) / step_e + 0.5, (north - north_m) / step_s + 0.5], axis=-1)

    rows, cols = terrain.heights_m.shape
    return PolygonMask.from_polygon(ground, to_pixels).mask(0, 0, (rows, cols))


def _surface_of(
    workspace: Workspace, flight: Flight, revision: str | None
) -> tuple[TerrainGrid, TerrainGrid, MosaicInfo]:
    """Load terrain and support of the newest finished revision, and its mosaic."""
    number = _revision(workspace, flight, revision or "final")
    mosaic = get_main_mosaic(workspace, flight.flight_id, number)
    if mosaic.revision == LIVE_REVISION:
        raise NotFound(
            _(
                "{name}: it is not finished, and is on the terrain model as registered; run 'flycam "
                "finish' for a surface of its own",
                name=flight.name,
            )
        )
    record = workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision)
    measured = record.stats.get("surface")
    if record.support_key is None or measured is None:
        raise NotFound(
            _(
                "{name}: its revision {revision} has no surface of its own; run 'flycam "
                "finish --surface' (where the poses could not be adjusted there is none)",
                name=flight.name,
                revision=mosaic.revision,
            )
        )
    support = decode_terrain(workspace.store.get(record.support_key))
    return load_recorded_terrain(workspace, measured["terrain_id"]), support, mosaic


def _require_crs(text: str) -> None:
    try:
        describe_crs(text)
    except CrsMissing as error:
        raise OptionUnusable(
            _(
                "--crs {text}: not a coordinate reference system that is known here: give one as EPSG:number",
                text=text,
            )
        ) from error


def _list_crs_notes(crs: str, flight: Flight) -> tuple[str, ...]:
    """List warnings if a CRS is not meant for the flight's place, or inexact there."""
    area, bounds = get_valid_area(crs), flight.bounds_lonlat_deg
    if bounds is None:
        return ()
    if area is None or area.contains(bounds):
        accuracy_m = estimate_accuracy_m(crs, np.array(bounds).reshape(2, 2).mean(axis=0))
        return (encode_warning(CRS_ACCURACY, crs=crs, accuracy=f"{accuracy_m:.0f}"),) if accuracy_m else ()
    west, south, east, north = area.bounds_deg
    warning = encode_warning(
        CRS_OUTSIDE,
        crs=crs,
        zone=f"{_degrees(west, 'W', 'E')}-{_degrees(east, 'W', 'E')}, "
        f"{_degrees(south, 'S', 'N')}-{_degrees(north, 'S', 'N')}",
        place=f"{_degrees((bounds[0] + bounds[2]) / 2, 'W', 'E')}, "
        f"{_degrees((bounds[1] + bounds[3]) / 2, 'S', 'N')}",
        fitting=flight.work_crs,
    )
    return (warning,)


def _degrees(value: float, negative: str, positive: str) -> str:
    return f"{abs(value):.2f}".rstrip("0").rstrip(".") + f"°{negative if value < 0 else positive}"


def require_output_path(out: Path) -> None:
    """Raise InputUnusable if `out` is a folder, or its folder does not exist."""
    if out.is_dir():
        raise InputUnusable(
            _("{out}: is a folder; add a file's name, such as {example}", out=out, example=out / "map.tif")
        )
    if not out.resolve().parent.is_dir():
        raise InputUnusable(_("{out}: its folder does not exist; create it or choose another place", out=out))


def _require_geotiff(out: Path) -> None:
    """Raise OptionUnusable unless the suffix is that of a GeoTIFF.

    Programs open a file by its suffix.
    """
    if out.suffix.lower() not in (".tif", ".tiff"):
        raise OptionUnusable(
            _("{out}: the map is written as GeoTIFF; give a file's name that ends in .tif", out=out)
        )


def _revision(workspace: Workspace, flight: Flight, wanted: str | None) -> int | None:
    """Resolve "live", "final" or None (the published one) to a revision.

    The published one counts as "final" if it is finished, else the newest complete one. Raises NotFound.
    """
    if wanted is None:
        return None
    if wanted == "live":
        return LIVE_REVISION
    shown = get_main_mosaic(workspace, flight.flight_id)
    if shown.revision > LIVE_REVISION:
        return shown.revision
    complete = [
        record.revision
        for record in workspace.catalog.revisions.list_for_mosaic(shown.mosaic_id)
        if record.state is RevisionState.PUBLISHED
    ]
    if not complete:
        raise NotFound(
            _(
                "{name}: this flight has no finished revision; run 'flycam finish', or give --revision live",
                name=flight.name,
            )
        )
    return max(complete)


# -- Reference map of `finish`: a file, or an earlier finished flight ------------------------------
#
# So the flight after a storm is adjusted to the one before it, photo by photo, and need not be warped onto it
# when the two are compared.


_FOLDER = "references"


def read_reference_sigma(workspace: Workspace, source: str) -> float | None:
    """Return the stated position error of an earlier flight's finished map.

    Radial 1-sigma, metres; None: not known, or `source` is a file.
    """
    flight = find_flight(workspace, source)
    if flight is None or Path(source).is_file():
        return None
    mosaic = get_main_mosaic(workspace, flight.flight_id)
    if mosaic.revision == LIVE_REVISION:
        return None
    return get_shift_error_m(workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).stats)


def resolve_reference_map(workspace: Workspace, flight: str, source: str) -> Path:
    """Return the file that a flight (id or name) is to be tied to.

    source  a file's path; or a flight's id or name: then its finished map in its own work CRS and GSD, cached
       by what it is made of, so that a finish that is run again finds the same bytes

    Raises NotFound where it is neither; OptionUnusable where it is the flight itself; InputUnusable where
    that flight was not finished; what `export_flight` raises.
    """
    path = Path(source)
    if path.is_file() or path.suffix.lower() in RASTER_SUFFIXES:
        # `check_request` reports a missing file.
        return path
    try:
        reference = workspace.catalog.flights.flight(source)
    except NotFound as error:
        raise NotFound(
            _(
                "--reference {given}: neither a file nor a flight ({error}); name one or the other",
                given=source,
                error=error,
            )
        ) from error
    if reference.flight_id == workspace.catalog.flights.flight(flight).flight_id:
        raise OptionUnusable(
            _(
                "--reference {given}: this is the flight itself, which ties to nothing; name an earlier one",
                given=source,
            )
        )
    mosaic = get_main_mosaic(workspace, reference.flight_id)
    if mosaic.revision == LIVE_REVISION:
        first = format_shell_command("finish", reference.name)
        raise InputUnusable(
            _(
                "--reference {given}: this flight is not finished, its photos lie metres off "
                "each other; run this first: {first}",
                given=source,
                first=first,
            )
        )
    lines = workspace.catalog.tiles.last_seq(mosaic.mosaic_id)
    cached = workspace.cache_dir / _FOLDER / f"{reference.flight_id}-{mosaic.revision}-{lines}.tif"
    if not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        export_flight(workspace, reference.flight_id, cached, for_release=False)
    return cached
