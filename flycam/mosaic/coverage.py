"""Coverage of communes by a flight, and their clips.

Area, percent, GSD and times are recorded for each commune; its clip is made as GeoTIFF on demand. Covered
ground is counted on the masks of the base tiles and measured in the work CRS.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from threading import Lock

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import compute_footprint_bounds
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.concurrency import count_workers
from flycam.errors import FlightBusy, NotFound
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geodata.raster import CAPTURED_TAG, EXERCISE_TAG
from flycam.geometry.grid import (
    HALF_WORLD_M,
    TILE_SIZE_PX,
    Floats,
    PlanarMap,
    TileId,
    compute_grid_pixel_m,
    get_tile_bounds,
    lonlat_to_mercator,
    mercator_to_lonlat,
)
from flycam.messages import _
from flycam.model.flight import DRILL_MARK, Flight
from flycam.model.frame import TileRecord
from flycam.model.records import BoundsLonLat, CommuneRecord, Coverage, FrameRecord, FrameStatus, MosaicInfo
from flycam.model.time import VIETNAM, get_local_zone
from flycam.model.warning import (
    BOUNDARIES_LATER,
    NO_TERRAIN,
    describe_warning,
    describe_warning_briefly,
    encode_warning,
    parse_warning_code,
)
from flycam.mosaic.raster import PolygonMask, export_cog
from flycam.mosaic.tiles.codec import TileLog, decode_owners
from flycam.storage import keys
from flycam.storage.keys import ObjectStore
from flycam.workspace import Progress, Workspace

# -- Covered ground of an area ---------------------------------------------------------------------


_IN_FLIGHT = 64  # tiles read ahead: bounds memory


@dataclass(frozen=True, kw_only=True, slots=True)
class AreaCoverage:
    """Part of one area that a mosaic shows.

    covered_m2  ground with data inside the area, square metres in the work CRS
    pixels      base-zoom pixels counted
    frames      the frames those pixels come from
    """

    covered_m2: float
    pixels: int
    frames: frozenset[str]


def measure_area_coverage(
    store: ObjectStore,
    tile_log: TileLog,
    mosaic: MosaicInfo,
    areas: Mapping[str, BaseGeometry],
    work_crs: str,
    *,
    workers: int = 2,
) -> dict[str, AreaCoverage]:
    """Measure the covered ground of each area that the mosaic reaches.

    areas  name -> polygon in WGS 84 degrees

    A pixel belongs to the area that holds its centre, so areas without overlap never count a pixel twice.
    Each tile is read once whatever the number of areas. Areas without a pixel are left out. Raises
    ObjectMissing, TileCorrupt, CrsMissing.
    """
    heads = tile_log.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    if not heads or not areas:
        return {}
    plan = _Plan(areas, mosaic.base_zoom, _work_map(heads, work_crs))
    totals: dict[str, AreaCoverage] = {}
    remaining = iter(plan.reached(heads))
    # only reads run in threads: counting is short
    with ThreadPoolExecutor(workers, thread_name_prefix="clip") as pool:
        while chunk := list(islice(remaining, _IN_FLIGHT)):
            stored = pool.map(store.get, (head.key for head, __ in chunk))
            for (head, near), data in zip(chunk, stored, strict=True):
                for name, part in plan.count(head.tile_id, near, data):
                    totals[name] = _sum(totals[name], part) if name in totals else part
    return totals


class _Plan:
    """The areas, indexed for queries by tile from several threads."""

    def __init__(self, areas: Mapping[str, BaseGeometry], zoom: int, to_work: PlanarMap) -> None:
        self._names = list(areas)
        self._polygons = list(areas.values())
        self._tree = shapely.STRtree(self._polygons)
        self._outlines = [
            PolygonMask.from_polygon(polygon, make_mercator_projection(zoom)) for polygon in self._polygons
        ]
        self._to_work = to_work

    def reached(self, heads: Iterable[TileRecord]) -> Iterator[tuple[TileRecord, list[int]]]:
        """Yield the tiles that may show part of an area, with the numbers of those areas."""
        for head in heads:
            if near := sorted(self._tree.query(_box(head.tile_id))):
                yield head, near

    def count(self, tile_id: TileId, near: Iterable[int], data: bytes) -> Iterator[tuple[str, AreaCoverage]]:
        """Yield the covered ground of one stored tile in each of these areas."""
        source, frames = decode_owners(data, tile_id)
        pixel_m2 = _tile_area_m2(tile_id, self._to_work) / TILE_SIZE_PX**2
        for index in near:
            found = _count(tile_id, source, frames, self._outlines[index], pixel_m2)
            if found.pixels:
                yield self._names[index], found


def _count(
    tile_id: TileId, source: NDArray[np.uint16], frames: Sequence[str], outline: PolygonMask, pixel_m2: float
) -> AreaCoverage:
    row, col = tile_id.y * TILE_SIZE_PX, tile_id.x * TILE_SIZE_PX
    inside = outline.mask(row, col, source.shape)
    owned = np.bincount(source.ravel() if inside.all() else source[inside], minlength=len(frames) + 1)[1:]
    pixels = int(owned.sum())
    return AreaCoverage(
        covered_m2=pixels * pixel_m2,
        pixels=pixels,
        frames=frozenset(name for name, n in zip(frames, owned, strict=True) if n),
    )


def _sum(a: AreaCoverage, b: AreaCoverage) -> AreaCoverage:
    return AreaCoverage(
        covered_m2=a.covered_m2 + b.covered_m2, pixels=a.pixels + b.pixels, frames=a.frames | b.frames
    )


def make_mercator_projection(zoom: int) -> Callable[[Floats], Floats]:
    """Return a function from WGS 84 degrees (N×2) to global pixels of a zoom.

    Pixels are (column, row), counted at their corners.
    """

    def to_pixels(lonlat: Floats) -> Floats:
        mercator = lonlat_to_mercator(lonlat)
        shifted = np.stack([mercator[:, 0] + HALF_WORLD_M, HALF_WORLD_M - mercator[:, 1]], axis=-1)
        return np.asarray(shifted / compute_grid_pixel_m(zoom), dtype=np.float64)

    return to_pixels


def _work_map(heads: list[TileRecord], work_crs: str) -> PlanarMap:
    corners = np.array([get_tile_bounds(head.tile_id) for head in heads])
    west, south = corners[:, :2].min(axis=0)
    east, north = corners[:, 2:].max(axis=0)
    return fit_mercator_to_work(work_crs, (float(west), float(south), float(east), float(north)))


def _tile_area_m2(tile_id: TileId, to_work: PlanarMap) -> float:
    """Return the area of the tile's four corners in the work CRS.

    Within a tile the pixel's size varies by 1e-5.
    """
    west, south, east, north = get_tile_bounds(tile_id)
    x, y = to_work(np.array([[west, south], [east, south], [east, north], [west, north]])).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2.0)


def _box(tile_id: TileId) -> BaseGeometry:
    west, south, east, north = get_tile_bounds(tile_id)
    (w, s), (e, n) = mercator_to_lonlat(np.array([[west, south], [east, north]]))
    return shapely.box(w, s, e, n)


# -- Coverage of a flight by commune, and clips ----------------------------------------------------


def measure_coverage(
    workspace: Workspace,
    flight: Flight,
    progress: Progress,
    *,
    changed: bool,
    again: Collection[str] = (),
) -> list[Coverage]:
    """Measure and record the coverage of every commune of a flight.

    Largest area first. The communes are those of `list_flight_communes`. Areas are measured in the flight's
    work CRS. A flight with several layers counts its colour mosaic. Clips are made on demand (`make_clip`).
    changed=False keeps the clips of the published revision: only where no tile changed since, because a
    withdrawn frame must not stay; clips of the communes `again` are dropped all the same.
    """
    mosaic = get_main_mosaic(workspace, flight.flight_id)
    frames = {
        record.frame_id: record
        for record in workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    }
    communes = _communes_under(workspace, flight, frames.values())
    covered = measure_area_coverage(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        {commune.code: shapely.from_wkb(commune.wkb) for commune in communes},
        flight.work_crs,
        workers=count_workers(),
    )
    recorded = () if changed else workspace.catalog.boundaries.coverage(flight.flight_id)
    kept = {one.commune_code: one.clip_key for one in recorded if one.commune_code not in again}
    own = keys.format_product_prefix(mosaic.mosaic_id, mosaic.revision)
    measured = [
        replace(
            _covered(flight, commune, covered[commune.code], frames),
            clip_key=key if (key := kept.get(commune.code)) and key.startswith(own) else None,
        )
        for commune in communes
        if commune.code in covered
    ]
    workspace.catalog.boundaries.put_coverage(flight.flight_id, measured)
    progress("communes", len(measured), len(measured))
    return sorted(measured, key=lambda c: (-c.covered_m2, c.commune_code))


_cutting = Lock()
"""One clip at a time: each is made on all cores."""


def make_clip(workspace: Workspace, flight: Flight, mosaic: MosaicInfo, covered: Coverage) -> str:
    """Return the store key of a commune's clip, a COG.

    It is of the published revision, and made if needed. Raises NotFound where less than a pixel of it is
    shown, FlightBusy where tiles change while it is made, and what `export_cog` raises.
    """
    own = keys.format_product_prefix(mosaic.mosaic_id, mosaic.revision)
    with _cutting:
        # read under the lock: another request may have made this clip meanwhile
        rows = workspace.catalog.boundaries.coverage(flight.flight_id)
        now = next((one for one in rows if one.commune_code == covered.commune_code), covered)
        if now.clip_key is not None and now.clip_key.startswith(own):
            return now.clip_key
        seq = workspace.catalog.tiles.last_seq(mosaic.mosaic_id)
        commune = get_flight_commune(workspace.catalog, flight, covered.commune_code)
        key = _clip(workspace, flight, mosaic, commune)
        # the catalogue must not name a clip that a power cut could still destroy
        workspace.store.flush()
        if not workspace.catalog.boundaries.put_clip(now, key, mosaic.mosaic_id, seq):
            raise FlightBusy(
                _(
                    "{name}: its map changed while {commune_name} was cut out of it; ask again",
                    name=flight.name,
                    commune_name=commune.name,
                )
            )
        return key


def get_main_mosaic(workspace: Workspace, flight_id: str, revision: int | None = None) -> MosaicInfo:
    """Select a flight's main mosaic, as `select_main_mosaic`."""
    return select_main_mosaic(workspace.catalog, flight_id, revision)


def select_main_mosaic(catalog: Catalog, flight_id: str, revision: int | None = None) -> MosaicInfo:
    """Select the mosaic that a flight is shown by: colour if there is one.

    Of the given revision, or the published one. Raises NotFound.
    """
    mosaics = [
        mosaic
        for mosaic in catalog.tiles.mosaics(flight_id)
        if (mosaic.published if revision is None else mosaic.revision == revision)
    ]
    if not mosaics:
        raise NotFound(
            _(
                "{flight_id}: this flight has no mosaic yet; run 'flycam ingest' again to complete it",
                flight_id=flight_id,
            )
        )
    return min(mosaics, key=lambda mosaic: (mosaic.layer != "colour", mosaic.layer))


def _communes_under(
    workspace: Workspace, flight: Flight, frames: Iterable[FrameRecord]
) -> list[CommuneRecord]:
    bounds = compute_footprint_bounds(frames)
    return [] if bounds is None else list_flight_communes(workspace.catalog, flight, bounds)


def list_flight_communes(catalog: Catalog, flight: Flight, bounds: BoundsLonLat) -> list[CommuneRecord]:
    """List the communes in which a flight's ground counts, in force on its day.

    Where no boundaries are recorded there for that day, today's are taken, as on the map: a flight before the
    first known boundaries still has a commune to name. `list_boundary_warnings` states from when those hold.
    See `Boundaries.list_countable`.
    """
    is_drill = catalog.flights.event(flight.event_id).is_drill
    return catalog.boundaries.list_countable(
        is_drill=is_drill, on_date=get_flight_date(flight), bounds=bounds
    )


def get_flight_commune(catalog: Catalog, flight: Flight, code: str) -> CommuneRecord:
    """Return the commune of this code among those of the flight.

    See `list_flight_communes`. Raises NotFound for another one if its boundaries of the flight's day are
    unknown while those around are known.
    """
    day, bounds = get_flight_date(flight), flight.bounds_lonlat_deg
    here = [] if bounds is None else list_flight_communes(catalog, flight, bounds)
    found = next((one for one in here if one.code == code), None)
    if found is not None:
        return found
    is_recorded = bounds is None or any(one.valid_from <= day for one in here)
    return catalog.boundaries.commune(code, day if is_recorded else None)


def list_boundary_warnings(catalog: Catalog, flight: Flight) -> tuple[str, ...]:
    """List the warning of a flight whose boundaries are of a later day."""
    day, bounds = get_flight_date(flight), flight.bounds_lonlat_deg
    communes = [] if bounds is None else list_flight_communes(catalog, flight, bounds)
    since = sorted({one.valid_from for one in communes if one.valid_from > day})
    if not since:
        return ()
    warning = encode_warning(
        BOUNDARIES_LATER,
        day=day.isoformat(),
        day_vi=f"{day:%d/%m/%Y}",
        since=", ".join(one.isoformat() for one in since),
        since_vi=", ".join(f"{one:%d/%m/%Y}" for one in since),
    )
    return (warning,)


def get_flight_date(flight: Flight) -> date:
    """Return the day of the flight in the node's time zone.

    It decides which boundaries hold.
    """
    return datetime.fromtimestamp(flight.first_ns / 1e9, get_local_zone()).date()


def _covered(
    flight: Flight,
    commune: CommuneRecord,
    ground: AreaCoverage,
    frames: dict[str, FrameRecord],
) -> Coverage:
    seen = [frames[frame_id] for frame_id in ground.frames if frame_id in frames]
    times = [record.header.captured_ns for record in seen] or [flight.first_ns, flight.last_ns]
    gsds = sorted(record.gsd_m for record in seen if record.gsd_m is not None)
    return Coverage(
        flight_id=flight.flight_id,
        commune_code=commune.code,
        covered_m2=ground.covered_m2,
        covered_pct=min(100.0 * ground.covered_m2 / commune.area_m2, 100.0),
        gsd_m=gsds[len(gsds) // 2] if gsds else flight.gsd_m,
        first_ns=min(times),
        last_ns=max(times),
    )


def _clip(workspace: Workspace, flight: Flight, mosaic: MosaicInfo, commune: CommuneRecord) -> str:
    """Store the commune's part of the mosaic as a COG.

    Its key holds the hash of its bytes.
    """
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=workspace.cache_dir) as folder:
        path = Path(folder) / "clip.tif"
        export_cog(
            workspace.store,
            workspace.catalog.tiles,
            mosaic,
            path,
            crs=flight.work_crs,
            gsd_m=flight.gsd_m,
            polygon=shapely.from_wkb(commune.wkb),
            tags=build_geotiff_tags(workspace, flight, mosaic),
            workers=count_workers(),
        )
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        key = keys.format_product_key(
            mosaic.mosaic_id, mosaic.revision, f"commune-{commune.code}.tif", digest
        )
        workspace.store.put_file(key, path)
    return key


def build_geotiff_tags(workspace: Workspace, flight: Flight, mosaic: MosaicInfo) -> dict[str, str]:
    """Build the tags of a flight's GeoTIFFs; an exercise is marked as one."""
    event = workspace.catalog.flights.event(flight.event_id)
    first, last = (datetime.fromtimestamp(ns / 1e9, VIETNAM) for ns in (flight.first_ns, flight.last_ns))
    is_live = mosaic.revision == LIVE_REVISION
    # a finished mosaic may have been made on other terrain
    dem_id = (
        flight.dem_id
        if is_live
        else workspace.catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).dem_id
    )
    tags = {
        "FLYCAM_FLIGHT": flight.flight_id,
        "FLYCAM_FLIGHT_NAME": flight.name,
        "FLYCAM_REVISION": "live" if is_live else f"final {mosaic.revision}",
        "FLYCAM_EVENT": event.name,
        CAPTURED_TAG: f"{first:%d/%m/%Y %H:%M:%S} - {last:%d/%m/%Y %H:%M:%S} UTC+7",
        "FLYCAM_TERRAIN": f"{dem_id or flight.dem_id} ({flight.vertical_datum})",
    }
    if event.is_drill:
        tags[EXERCISE_TAG] = DRILL_MARK
    if flight.warnings:
        shown = (
            flight.warnings
            if is_live
            else [one for one in flight.warnings if parse_warning_code(one) != NO_TERRAIN]
        )
        finished = [
            str(describe_warning_briefly(one, finished=True)) for one in flight.warnings if one not in shown
        ]
        tags["FLYCAM_WARNINGS"] = " ".join([*(str(describe_warning(one)) for one in shown), *finished])
    return tags
