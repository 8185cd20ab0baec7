"""Registered terrain: files, lookup by place, extraction for a flight.

The terrain that a flight, frame or revision used is recorded, and loaded again by its id.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon

from flycam.errors import DataDamaged, InputUnusable, NotFound, ObjectMissing, TerrainMissing, TileCorrupt
from flycam.geodata.crs import choose_work_crs, to_lonlat, to_work
from flycam.geodata.dem import DemInfo, is_in_feet, load_terrain, read_dem_info, sample_heights
from flycam.geodata.raster_source import is_mosaic
from flycam.geometry.terrain import TerrainGrid, interpolate_heights, make_flat_terrain
from flycam.messages import _
from flycam.model.flight import LOCAL_DATUM, Flight, is_flat_datum
from flycam.model.records import DemRecord
from flycam.mosaic.terrain_codec import assign_content_id, decode_terrain, encode_terrain
from flycam.originals import fetch_local_copy, store_original
from flycam.storage import keys
from flycam.workspace import Workspace

# -- Local files of registered terrain -------------------------------------------------------------


FAILURE_TTL_S = 300.0
"""A base map asks for a DEM at each of its tiles: a damaged file is fetched and hashed again only this often,
and a repaired one is found after this time.
"""

_LOG = logging.getLogger("flycam.terrain")
_DemKey = tuple[Path, str]

_clock_s = time.monotonic
_lock = threading.Lock()
_fetching: dict[_DemKey, Future[Path]] = {}
_failed: dict[_DemKey, tuple[float, DataDamaged]] = {}


def fetch_dem(workspace: Workspace, dem: DemRecord, failure_ttl_s: float = 0.0) -> Path:
    """Return a local file of registered terrain; concurrent callers share one fetch.

    failure_ttl_s  maximum age of a failure that is raised again without another look at the file

    Raises DataDamaged where its bytes are lost or damaged, and what the store raises. Thread-safe.
    """
    if dem.key is None:
        return Path(dem.path)
    which = workspace.cache_dir, dem.sha256
    with _lock:
        at_s, error = _failed.get(which, (0.0, None))
        if error is not None and _clock_s() - at_s < failure_ttl_s:
            # the traceback would grow each time it is raised
            raise error.with_traceback(None)
        running = _fetching.get(which)
        own_fetch = _fetching.setdefault(which, Future())
    if running is not None:
        return running.result()
    try:
        path = _fetched(workspace, dem)
    except BaseException as found:
        own_fetch.set_exception(found)
        if isinstance(found, DataDamaged):
            _failed[which] = _clock_s(), found
            _LOG.warning("no ground is made of %s: %s", dem.name, found)
        raise
    else:
        own_fetch.set_result(path)
        _failed.pop(which, None)
        return path
    finally:
        with _lock:
            del _fetching[which]


def _fetched(workspace: Workspace, dem: DemRecord) -> Path:
    try:
        return fetch_local_copy(workspace, dem.sha256, dem.name)
    except ObjectMissing as error:
        raise DataDamaged(
            _(
                "{name}: its bytes are no longer in the store; put them back with: flycam "
                "verify --from FOLDER, or take it off the list with: flycam dem remove "
                "{dem_id}",
                name=dem.name,
                dem_id=dem.dem_id,
            )
        ) from error


# -- Registration, lookup by place, and extraction for a flight ------------------------------------


Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]

_LOOKUP_MARGIN_M = 500.0
# of terrain kept for lookups at places apart: 64 MB
_MAX_LOOKUP_M, _MAX_LOOKUP_POSTS = 20_000.0, 16_000_000
_METRES_A_DEGREE = 111_000.0
_SHARE_STEPS = 120
_MIN_ID_LENGTH = 6
_REACH_PER_HEIGHT = 8.0
# limits of the reach for implausible flying heights
_MIN_REACH_M = 600.0
_MAX_REACH_M = 20_000.0
_HAIR_M = 1e-3


def register_dem(
    workspace: Workspace,
    path: Path,
    datum: str | None = None,
    sigma_m: tuple[float, float | None] | None = None,
) -> tuple[DemRecord, DemInfo]:
    """Inspect a terrain file, store its bytes, and register it in the catalogue.

    Registering it again changes only its sigmas (vertical, horizontal; see DemRecord), where they are given.
    A VRT only names other files, so it is used in place. Raises what `read_dem_info` raises.
    """
    info = read_dem_info(path, datum)
    info = _compared(info, [dem for dem in load_registered_dems(workspace) if dem.dem_id != info.dem_id])
    in_place = is_mosaic(path)
    sha256 = info.dem_id if in_place else store_original(workspace, path)
    record = DemRecord(
        dem_id=info.dem_id,
        name=path.name,
        path=str(info.path),
        key=None if in_place else keys.format_original_key(sha256),
        sha256=sha256,
        crs=info.crs,
        vertical_datum=info.datum,
        bounds_lonlat_deg=info.bounds_lonlat,
        post_spacing_m=(info.post_spacing_m, info.post_spacing_m),
        unit_m=info.unit_m,
        sigma_m=sigma_m,
        added_ns=workspace.clock_ns(),
    )
    workspace.catalog.terrain.put_dem(record)
    return workspace.catalog.terrain.dem(record.dem_id), info


def find_stated_sigma(
    workspace: Workspace, places_m: Floats, work_crs: str
) -> tuple[float, float | None] | None:
    """Return the stated sigmas of the finest terrain under a flight.

    None if unstated. See DemRecord.sigma_m. places_m: N×2 in the work CRS.
    """
    lonlat = to_lonlat(places_m, work_crs)
    here = []
    for dem in workspace.catalog.terrain.dems():
        west, south, east, north = dem.bounds_lonlat_deg
        inside = ((lonlat >= (west, south)) & (lonlat <= (east, north))).all(axis=1)
        if inside.any():
            here.append(dem)
    return min(here, key=lambda dem: dem.post_spacing_m[0]).sigma_m if here else None


def remove_dem(workspace: Workspace, ref: str) -> DemRecord:
    """Unregister terrain, with an audit entry.

    ref: id, the beginning of an id, or a file's name. Its bytes stay in the store, and flights stay on the
    terrain that was recorded for them. Raises NotFound, InputUnusable if the name is ambiguous.
    """
    dems = workspace.catalog.terrain.dems()
    found = [dem for dem in dems if dem.dem_id == ref] or [
        dem for dem in dems if dem.name == ref or (len(ref) >= _MIN_ID_LENGTH and dem.dem_id.startswith(ref))
    ]
    if not found:
        raise NotFound(_("{ref}: no such terrain; 'flycam dem list' names what is registered", ref=ref))
    if len(found) > 1:
        ids = ", ".join(f"{dem.dem_id} ({dem.name})" for dem in found)
        raise InputUnusable(_("{ref}: fits several; give the id of one: {ids}", ref=ref, ids=ids))
    dem = workspace.catalog.terrain.remove_dem(found[0].dem_id)
    details = f"{dem.name}, {dem.vertical_datum}, SHA-256 {dem.sha256}"
    who = workspace.operator or workspace.box
    workspace.catalog.audit.append(who, "dem remove", dem.dem_id, details, at_ns=workspace.clock_ns())
    return dem


def _compared(info: DemInfo, others: Sequence[DemInfo]) -> DemInfo:
    """Add to the terrain a warning for each other one that is in feet.

    Raises InputUnusable if it is itself in feet without saying so.
    """
    messages = list(info.warnings)
    for other in others:
        own_heights, other_heights = _both_heights(info, other)
        if is_in_feet(own_heights, other_heights):
            raise InputUnusable(
                _(
                    "{name}: its heights are 3.28 times those of {path_name}, so they are in "
                    "feet, but it does not say so; write the unit into it, e.g. with "
                    "gdal_edit.py -units ft, and add it again",
                    name=info.path.name,
                    path_name=other.path.name,
                )
            )
        if is_in_feet(other_heights, own_heights):
            messages.append(
                _(
                    "{name}: its heights are 3.28 times those of {other_name}, so they are in feet, but it "
                    "does not say so; take it off the list: flycam dem remove {dem_id}",
                    name=other.path.name,
                    other_name=info.path.name,
                    dem_id=other.dem_id,
                )
            )
    return replace(info, warnings=tuple(messages))


def _both_heights(one: DemInfo, other: DemInfo) -> tuple[Floats, Floats]:
    """Sample heights of both where they overlap, at up to 400 places.

    Empty if they do not overlap or cannot be compared.
    """
    nothing = np.empty(0), np.empty(0)
    boxes = np.array([one.bounds_lonlat, other.bounds_lonlat])
    (west, south), (east, north) = boxes[:, :2].max(axis=0), boxes[:, 2:].min(axis=0)
    if west >= east or south >= north:
        return nothing
    lon, lat = np.meshgrid(np.linspace(west, east, 22)[1:-1], np.linspace(south, north, 22)[1:-1])
    places = np.stack([lon.ravel(), lat.ravel()], axis=-1)
    try:
        return sample_heights([one], places)[0], sample_heights([other], places)[0]
    # otherwise nobody could register another file in place of a damaged one
    except (InputUnusable, DataDamaged):
        return nothing


def compute_unknown_share(terrain: TerrainGrid, outlines_m: Sequence[Floats]) -> float:
    """Compute the share (0..1) of ground whose height is unknown.

    outlines_m: K×2 each, work CRS; the ground is inside them. Ground beyond the loaded terrain is not
    counted: only distant corners of oblique photos are there.
    """
    seen = shapely.union_all([shapely.make_valid(Polygon(o)) for o in outlines_m if len(o) >= 3])
    west, south, east, north = terrain.bounds_m
    seen = seen & shapely.box(west, south, east, north)
    if seen.is_empty:
        return 1.0
    west, south, east, north = seen.bounds
    x, y = np.meshgrid(np.linspace(west, east, _SHARE_STEPS), np.linspace(south, north, _SHARE_STEPS))
    inside = shapely.contains_xy(seen, x, y)
    heights = interpolate_heights(terrain, np.stack([x[inside], y[inside]], axis=-1))
    return float(np.isnan(heights).mean()) if heights.size else 0.0


def format_dem_names(dems: Sequence[DemInfo], bounds_m: Bounds, work_crs: str) -> str:
    """Return file names of the terrain that touches a rectangle of the work CRS.

    "" if none does.
    """
    west, south, east, north = compute_lonlat_bounds(bounds_m, work_crs)
    here = [
        dem.path.name
        for dem in dems
        if dem.bounds_lonlat[0] < east
        and dem.bounds_lonlat[2] > west
        and dem.bounds_lonlat[1] < north
        and dem.bounds_lonlat[3] > south
    ]
    return ", ".join(sorted(set(here)))


def load_registered_dems(workspace: Workspace, failure_ttl_s: float = 0.0) -> list[DemInfo]:
    """Load every registered terrain, finest first, each readable from a local file.

    What makes one unreadable (`DemInfo.trouble`) is raised only where its heights are requested.
    failure_ttl_s: as of `fetch_dem`.
    """
    records = sorted(workspace.catalog.terrain.dems(), key=lambda d: (d.post_spacing_m[0], -d.added_ns))
    return [_info_of(workspace, record, failure_ttl_s) for record in records]


def _info_of(workspace: Workspace, record: DemRecord, failure_ttl_s: float) -> DemInfo:
    trouble = None
    try:
        path = fetch_dem(workspace, record, failure_ttl_s)
    except DataDamaged as error:
        path, trouble = Path(record.name), error
    return DemInfo(
        dem_id=record.dem_id,
        path=path,
        bounds_lonlat=record.bounds_lonlat_deg,
        crs=record.crs,
        datum=record.vertical_datum,
        datum_source="catalogue",
        unit_m=record.unit_m,
        post_spacing_m=record.post_spacing_m[0],
        hole_fraction=0.0,
        height_range_m=(float("nan"), float("nan")),
        trouble=trouble,
    )


class TerrainLookup:
    """Heights at any place; loads terrain once per area, together with what was loaded before beside it.

    Called with lon/lat degrees N×2; returns (heights N, NaN where unknown; their vertical datum). Where all
    files are elsewhere that datum is LOCAL, as without terrain; a file with a hole there keeps its own.
    """

    def __init__(self, dems: Sequence[DemInfo]) -> None:
        self._dems = dems
        self._loaded: TerrainGrid | None = None

    def __call__(self, lonlat_deg: Floats) -> tuple[Floats, str]:
        lonlat = np.asarray(lonlat_deg, dtype=np.float64).reshape(-1, 2)
        heights = np.full(len(lonlat), np.nan)
        usable = np.isfinite(lonlat).all(axis=1)
        terrain = self._terrain_over(lonlat[usable]) if usable.any() else None
        if terrain is None:
            near = [dem for dem in self._dems if _reaches(dem, lonlat[usable])]
            return heights, near[0].datum if near else LOCAL_DATUM
        heights[usable] = interpolate_heights(terrain, to_work(lonlat[usable], terrain.work_crs))
        return heights, terrain.vertical_datum

    def _terrain_over(self, lonlat: Floats) -> TerrainGrid | None:
        centre = np.median(lonlat, axis=0)
        crs = self._loaded.work_crs if self._loaded else choose_work_crs(float(centre[0]), float(centre[1]))
        near = np.abs(lonlat - centre).max(axis=1) < 1.0  # an outlier must not load a continent
        xy = to_work(lonlat[near], crs)
        bounds = expand_bounds((*xy.min(axis=0), *xy.max(axis=0)), _LOOKUP_MARGIN_M)
        if self._loaded is not None:
            if _inside(bounds, self._loaded.bounds_m):
                return self._loaded
            # kept, or places looked up in turn would each load the other's ground anew
            both = _join_bounds(bounds, self._loaded.bounds_m)
            bounds = bounds if _is_too_much(both, self._loaded.post_spacing_m) else both
        with suppress(TerrainMissing):
            self._loaded = load_terrain(self._dems, crs, bounds)
        return self._loaded


def _reaches(dem: DemInfo, lonlat: Floats) -> bool:
    """Return True if any place (N×2 degrees) is inside or near the file's bounds."""
    west, south, east, north = expand_bounds(dem.bounds_lonlat, _LOOKUP_MARGIN_M / _METRES_A_DEGREE)
    return bool(((lonlat >= (west, south)) & (lonlat <= (east, north))).all(axis=1).any())


def load_terrain_around(
    workspace: Workspace | None,
    dems: Sequence[DemInfo],
    centres_m: Floats,
    work_crs: str,
    *,
    datum: str,
    plane_height_m: float,
) -> TerrainGrid:
    """Load a flight's terrain as far as its cameras can see.

    centres_m: N×3, work CRS and `datum`. See `load_flight_terrain`.
    """
    below, _ = TerrainLookup(dems)(to_lonlat(centres_m[:, :2], work_crs))
    ground = np.where(np.isfinite(below), below, plane_height_m)
    height = float(np.median(centres_m[:, 2] - ground))
    reach = float(np.clip(_REACH_PER_HEIGHT * height, _MIN_REACH_M, _MAX_REACH_M))
    low, high = centres_m[:, :2].min(axis=0) - reach, centres_m[:, :2].max(axis=0) + reach
    return load_flight_terrain(
        workspace,
        dems,
        work_crs,
        (float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        datum=datum,
        plane_height_m=plane_height_m,
    )


def load_flight_terrain(
    workspace: Workspace | None,
    dems: Sequence[DemInfo],
    work_crs: str,
    bounds_m: Bounds,
    *,
    datum: str,
    plane_height_m: float,
) -> TerrainGrid:
    """Load the terrain on which a flight is orthorectified.

    Record it under its content-derived id. Without a DEM: a plane at `plane_height_m` in the datum LOCAL.
    `workspace` None records nothing.
    """
    if is_flat_datum(datum):
        terrain = make_flat_terrain(plane_height_m, work_crs, LOCAL_DATUM, bounds_m)
    else:
        terrain = load_terrain(dems, work_crs, bounds_m, datum)
    terrain = assign_content_id(terrain)
    if workspace is not None and not _is_recorded(workspace, terrain):
        workspace.store.put(keys.format_terrain_key(terrain.dem_id), encode_terrain(terrain), durable=True)
    return terrain


def extend_terrain(
    workspace: Workspace, dems: Sequence[DemInfo], terrain: TerrainGrid, flight: Flight | None
) -> TerrainGrid:
    """Return terrain for frames that join a flight; recorded.

    It covers their ground and the flight's. So `finish` finds one terrain under all of it. flight None: there
    is no flight yet.
    """
    if flight is None or flight.dem_id is None or flight.work_crs != terrain.work_crs:
        return terrain
    try:
        own = load_recorded_terrain(workspace, flight.dem_id)
    except (ObjectMissing, TileCorrupt):
        # reported where the flight's own frames are made again
        return terrain
    if own.vertical_datum != terrain.vertical_datum or _inside(own.bounds_m, terrain.bounds_m):
        return terrain
    plane_m = float(terrain.heights_m[0, 0])
    # planes of two heights cannot be joined into one terrain
    if is_flat_datum(terrain.vertical_datum) and plane_m != float(own.heights_m[0, 0]):
        return terrain
    both = _join_bounds(own.bounds_m, terrain.bounds_m)
    if not is_flat_datum(terrain.vertical_datum):
        # slightly inside its outermost posts, so that the grid ends on them again
        both = expand_bounds(both, -_HAIR_M)
    return load_flight_terrain(
        workspace, dems, terrain.work_crs, both, datum=terrain.vertical_datum, plane_height_m=plane_m
    )


def _is_recorded(workspace: Workspace, terrain: TerrainGrid) -> bool:
    """Return True if the store holds these very posts.

    Frames made on them need them for ever.
    """
    try:
        recorded = load_recorded_terrain(workspace, terrain.dem_id)
    except (ObjectMissing, TileCorrupt):
        return False
    return np.array_equal(recorded.heights_m, terrain.heights_m, equal_nan=True)


def store_terrain(workspace: Workspace, terrain: TerrainGrid) -> str:
    """Record the terrain of a revision; return its id."""
    key = keys.format_terrain_key(terrain.dem_id)
    if workspace.store.exists(key):
        workspace.store.ensure_durable(key, durable=True)
    else:
        workspace.store.put(key, encode_terrain(terrain), durable=True)
    return terrain.dem_id


def store_frame_terrain(workspace: Workspace, terrain: TerrainGrid) -> None:
    """Record the terrain of one frame; the caller must call `store.flush`."""
    workspace.store.put(keys.format_terrain_key(terrain.dem_id), encode_terrain(terrain), durable=False)


def load_recorded_terrain(workspace: Workspace, dem_id: str) -> TerrainGrid:
    """Load the terrain that was recorded under an id.

    Raises ObjectMissing, TileCorrupt.
    """
    return decode_terrain(workspace.store.get(keys.format_terrain_key(dem_id)))


def compute_lonlat_bounds(bounds_m: Bounds, work_crs: str) -> Bounds:
    """Return (west, south, east, north) degrees around a rectangle of the work CRS."""
    west, south, east, north = bounds_m
    # points along the edges: straight edges of the work CRS are curved in degrees
    edge = np.linspace(0.0, 1.0, 9)
    x, y = west + edge * (east - west), south + edge * (north - south)
    ring = np.concatenate([np.stack([x, np.full(9, v)], 1) for v in (south, north)])
    sides = np.concatenate([np.stack([np.full(9, v), y], 1) for v in (west, east)])
    lonlat = to_lonlat(np.concatenate([ring, sides]), work_crs)
    low, high = lonlat.min(axis=0), lonlat.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def expand_bounds(bounds: Bounds, margin: float) -> Bounds:
    """Return bounds with a margin on every side; a negative one shrinks them."""
    return bounds[0] - margin, bounds[1] - margin, bounds[2] + margin, bounds[3] + margin


def _join_bounds(one: Bounds, other: Bounds) -> Bounds:
    """Return the bounds around both."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _is_too_much(bounds: Bounds, post_spacing_m: tuple[float, float]) -> bool:
    """Return True if terrain over the bounds is more than a lookup keeps."""
    wide, high = bounds[2] - bounds[0], bounds[3] - bounds[1]
    posts = wide * high / (post_spacing_m[0] * post_spacing_m[1])
    return max(wide, high) > _MAX_LOOKUP_M or posts > _MAX_LOOKUP_POSTS


def _inside(inner: Bounds, outer: Bounds) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


# -- Terrain under an aircraft: all of a recorded flight's, or around a live one -------------------


_AROUND_M, _LEAVES_M = 5000.0, 2500.0


class FixedTerrain:
    """One terrain under all of a flight."""

    def __init__(self, terrain: TerrainGrid, names: str) -> None:
        self.terrain, self.names = terrain, names

    def terrain_at(self, _centre_m: tuple[float, float, float]) -> TerrainGrid:
        """Return the same terrain everywhere."""
        return self.terrain


class MovingTerrain:
    """Terrain around a live aircraft, loaded as it moves; thread-safe.

    names: of the terrain files under the first position.
    """

    def __init__(
        self,
        workspace: Workspace,
        dems: Sequence[DemInfo],
        work_crs: str,
        *,
        datum: str,
        plane_height_m: float,
    ) -> None:
        self._workspace, self._dems, self._work_crs = workspace, dems, work_crs
        self._datum, self._plane_height_m = datum, plane_height_m
        self._terrain: TerrainGrid | None = None
        self._loaded_at = (0.0, 0.0)
        self._loading = threading.Lock()
        self.names = ""

    def terrain_at(self, centre_m: tuple[float, float, float]) -> TerrainGrid:
        """Return the terrain for a camera at (east, north, height)."""
        with self._loading:
            return self._under(*centre_m[:2])

    def _under(self, east: float, north: float) -> TerrainGrid:
        if self._terrain is None or math.dist(self._loaded_at, (east, north)) > _LEAVES_M:
            self._terrain = load_flight_terrain(
                self._workspace,
                self._dems,
                self._work_crs,
                (east - _AROUND_M, north - _AROUND_M, east + _AROUND_M, north + _AROUND_M),
                datum=self._datum,
                plane_height_m=self._plane_height_m,
            )
            # Set only on success, so that the next frame tries again.
            self._loaded_at = (east, north)
            self.names = self.names or format_dem_names(self._dems, self._terrain.bounds_m, self._work_crs)
        return self._terrain


TerrainSource = FixedTerrain | MovingTerrain
