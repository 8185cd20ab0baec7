"""The surface refined from a flight with exact poses, and the orthomosaic on it, against the drill's truth.

Three drills: relief 60 and 180 m with a DEM of 10 m posts, 400 m with one of 30 m. Heights post by post in
the block's inside; places by patches of the mosaic of the best-placed photos against the true top view (phase
correlation), and stated beside them pixel by pixel: the pixel's place in the photo is followed by its ray to
the true top surface. The same on the DEM stands beside it: what exact poses are worth without a surface.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import rasterio

from bench.flights import ROOT
from bench.table import Row
from flycam.drill.photo_drill import DrillTruth, read_truth, write_drill
from flycam.geodata.crs import fit_mercator_to_work, to_lonlat
from flycam.geometry.camera import compute_image_rays
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import TileRange, find_range_for_bounds, get_range_bounds, lonlat_to_mercator
from flycam.geometry.orthorectification import compute_source_coordinates, orthorectify
from flycam.geometry.terrain import TerrainGrid, cast_rays, interpolate_heights_en
from flycam.mosaic.surface.plane_sweep import SurfaceView
from flycam.mosaic.surface.refinement import refine_surface
from flycam.mosaic.surface.surface import Surface

GSD_M, SPACING_M = 0.15, 0.5
DRILLS = ((1, 180.0, 10.0), (2, 60.0, 10.0), (3, 400.0, 30.0))
BOUNDS = {60.0: (0.12, 0.40), 180.0: (0.12, 0.40), 400.0: (0.35, 1.2)}
MOST_CPU_S, MOST_MEMORY_GB = 60.0, 1.0
_ZOOM, _HALF_M, _EVERY_PX = 20, 110.0, 4
_PATCH_PX, _LEAST_RESPONSE = 96, 0.08
_ABOVE_M = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Drill:
    """A drill on disk with its truth; top and bare: its surface raster as terrain."""

    folder: Path
    truth: DrillTruth
    dem: TerrainGrid
    top: TerrainGrid
    bare: TerrainGrid
    views: list[SurfaceView]


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Errors in metres of patches and of pixels of a mosaic; matched: share of the patches that match."""

    patches_m: np.ndarray
    pixels_m: np.ndarray
    matched: float


def measure(strips: int, per_strip: int) -> list[Row]:
    """Rows of all drills; rendered under .bench when they are not there."""
    rows: list[Row] = []
    for seed, relief, post in DRILLS:
        folder = ROOT / f"surface-{seed}-{strips}x{per_strip}"
        if not (folder / "truth" / "truth.json").is_file():
            print(f"rendering a drill flight into {folder} …", flush=True)
            write_drill(
                folder,
                seed=seed,
                relief_m=relief,
                gsd_m=GSD_M,
                photos=(strips, per_strip),
                dem_post_m=post,
                workers=1,
            )
        rows.extend(measure_drill(open_drill(folder), relief))
    return rows


def measure_drill(drill: Drill, relief_m: float) -> list[Row]:
    """Heights and places of one drill."""
    # in a process of its own: the truth's rasters are larger than all that the surface needs
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as apart:
        surface, cpu, memory = apart.submit(refined, drill.folder).result()
    heights = height_figures(drill, surface)
    ours = place_errors(drill, surface.rectification_terrain())
    on_dem = place_errors(drill, drill.dem)
    median, p95 = BOUNDS[relief_m]
    name = f"surface of relief {relief_m:.0f} m, {len(drill.views)} photos"
    notes = (
        "heights |dz| median/p95: " + ", ".join(f"{k} {v[0]:.2f}/{v[1]:.2f} m" for k, v in heights.items()),
        f"pixel by pixel, every roof's and crown's edge included: {_words(ours.pixels_m)}",
        f"on the DEM: patches {_words(on_dem.patches_m)}, {on_dem.matched:.0%} match; pixels "
        f"{_words(on_dem.pixels_m)}",
        f"{ours.matched:.0%} of the patches match; supported {surface.supported_pct:.0f} % of all posts",
    )
    figures = {"heights": heights, "cpu_s": round(cpu, 1), "memory_gb": round(memory, 2)}
    return [
        _row(f"{name}: places, median", np.median(ours.patches_m), "m", median, notes, figures),
        _row(f"{name}: places, p95", np.percentile(ours.patches_m, 95), "m", p95),
        _row(f"{name}: processor time", cpu, "s", MOST_CPU_S),
        _row(f"{name}: peak memory of the process", memory, "GB", MOST_MEMORY_GB),
    ]


def refined(folder: Path) -> tuple[Surface, float, float]:
    """The surface of a drill, processor seconds, and gigabytes of this process at its largest."""
    dem, views = _flown(folder)
    started = time.process_time()
    surface = refine_surface(views, partial(_pixels, folder), dem, spacing_m=SPACING_M)
    cpu = time.process_time() - started
    return surface, cpu, _largest_gb()


def _largest_gb() -> float:
    """High-water mark of this process alone: getrusage's is inherited from the parent through exec."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1e6


def _words(errors_m: np.ndarray) -> str:
    return f"median {np.median(errors_m):.3f} m, p95 {np.percentile(errors_m, 95):.3f} m"


def _row(
    what: str, value: float, unit: str, bound: float, notes: tuple[str, ...] = (), figures: dict | None = None
) -> Row:
    return Row(
        what=what,
        measured=f"{value:.3f} {unit}",
        peer="truth, exact poses",
        ratio=round(float(value), 3),
        required=bound,
        sense="at most",
        notes=notes,
        figures=figures or {},
    )


def open_drill(folder: Path) -> Drill:
    """A drill with its rasters read."""
    truth = read_truth(folder)
    dem, views = _flown(folder)
    with rasterio.open(truth.surface) as source:
        top, bare = (_terrain(band, source.transform, truth) for band in source.read())
    return Drill(folder=folder, truth=truth, dem=dem, top=top, bare=bare, views=views)


def _flown(folder: Path) -> tuple[TerrainGrid, list[SurfaceView]]:
    """The DEM, and the views with exact poses."""
    truth = read_truth(folder)
    with rasterio.open(folder / "dem.tif") as source:
        dem = _terrain(source.read(1), source.transform, truth)
    views = [
        SurfaceView(frame_id=name, interior=truth.camera, exterior=exterior)
        for name, exterior in sorted(truth.exteriors.items())
    ]
    return dem, views


def _pixels(folder: Path, name: str) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(folder / "photos" / name)), cv2.COLOR_BGR2RGB)


def _terrain(heights: np.ndarray, transform: rasterio.Affine, truth: DrillTruth) -> TerrainGrid:
    return TerrainGrid(
        heights_m=heights.astype(np.float32),
        origin_m=(transform.c + transform.a / 2, transform.f + transform.e / 2),
        post_spacing_m=(transform.a, -transform.e),
        work_crs=truth.facts["work_crs"],
        vertical_datum=truth.facts["vertical_datum"],
        dem_id="bench",
    )


def height_figures(drill: Drill, surface: Surface) -> dict[str, tuple[float, float]]:
    """Median and p95 of |dz| on bare ground and on what stands there, and sigma's coverage in percent."""
    grid = surface.terrain
    rows, cols = grid.heights_m.shape
    east = grid.origin_m[0] + grid.post_spacing_m[0] * np.arange(cols)
    north = grid.origin_m[1] - grid.post_spacing_m[1] * np.arange(rows)
    mesh = np.meshgrid(east, north)
    top, bare = (interpolate_heights_en(t, *mesh) for t in (drill.top, drill.bare))
    inside = _inside_block(drill, *mesh, grid.heights_m) & np.isfinite(top)
    off = np.abs(grid.heights_m - top)
    above = top - bare > _ABOVE_M
    supported = inside & surface.support
    share = off[supported & ~above] / surface.sigma_m[supported & ~above]

    def figures(where: np.ndarray) -> tuple[float, float]:
        return round(float(np.median(off[where])), 3), round(float(np.percentile(off[where], 95)), 3)

    return {
        "bare ground": figures(inside & ~above),
        "roofs and crowns": figures(inside & above),
        "supported": figures(supported),
        "share of bare posts within 1 and 2 sigma": (
            round(float((share < 1.0).mean()), 3),
            round(float((share < 2.0).mean()), 3),
        ),
    }


def _inside_block(drill: Drill, east: np.ndarray, north: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Posts that some photo sees within 20° of its plumb line."""
    inside = np.zeros(east.shape, bool)
    for view in drill.views:
        ce, cn, ch = view.exterior.projection_centre_m
        inside |= np.hypot(east - ce, north - cn) < 0.36 * (ch - height)
    return inside


def place_errors(drill: Drill, terrain: TerrainGrid) -> Places:
    """Where a mosaic of the middle of the block lies, by quality alone, against where it should."""
    tiles = _middle_tiles(drill)
    to_work = fit_mercator_to_work(terrain.work_crs, get_range_bounds(tiles))
    near = [v for v in drill.views if _near_middle(drill, v)]
    best = np.zeros(tiles.shape_px, np.uint16)
    mosaic = np.zeros((*tiles.shape_px, 3), np.uint8)
    source = np.full(tiles.shape_px, -1, np.int16)
    for number, view in enumerate(near):
        pixels = _pixels(drill.folder, view.frame_id)
        made = orthorectify(pixels, FrameView(view.interior, view.exterior, terrain, to_work), tiles)
        wins = made.quality > best
        source[wins], mosaic[wins] = number, made.rgb[wins]
        best = np.maximum(best, made.quality)
    east, north = _ground(tiles, to_work)
    asked = np.zeros(tiles.shape_px, bool)
    asked[::_EVERY_PX, ::_EVERY_PX] = True
    errors = []
    for number, view in enumerate(near):
        where = compute_source_coordinates(FrameView(view.interior, view.exterior, terrain, to_work), tiles)
        mine = asked & (source == number) & where.valid
        uv = np.stack([where.u[mine], where.v[mine]], axis=-1).astype(np.float64)
        rays = compute_image_rays(view.interior, view.exterior, uv)
        hits = cast_rays(drill.top, np.array(view.exterior.projection_centre_m), rays)
        errors.append(np.hypot(hits[:, 0] - east[mine], hits[:, 1] - north[mine]))
    pixels_m = np.concatenate(errors)
    patches_m, matched = _patch_errors(
        mosaic, best > 0, _true_view(drill, east, north), _pixel_m(east, north)
    )
    return Places(patches_m=patches_m, pixels_m=pixels_m[np.isfinite(pixels_m)], matched=matched)


def _patch_errors(
    mosaic: np.ndarray, known: np.ndarray, truth: np.ndarray, pixel_m: float
) -> tuple[np.ndarray, float]:
    """Shifts of patches in metres, and the share of them that matches."""
    ours, theirs = (cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (mosaic, truth))
    window = cv2.createHanningWindow((_PATCH_PX, _PATCH_PX), cv2.CV_32F)
    found, tried = [], 0
    for row in range(0, ours.shape[0] - _PATCH_PX + 1, _PATCH_PX):
        for col in range(0, ours.shape[1] - _PATCH_PX + 1, _PATCH_PX):
            cut = (slice(row, row + _PATCH_PX), slice(col, col + _PATCH_PX))
            if not known[cut].all():
                continue
            tried += 1
            # copies: with a window, phaseCorrelate writes into views of suitable size
            shift, response = cv2.phaseCorrelate(ours[cut].copy(), theirs[cut].copy(), window)
            if response >= _LEAST_RESPONSE:
                found.append(float(np.hypot(*shift)) * pixel_m)
    return np.array(found), len(found) / max(tried, 1)


def _true_view(drill: Drill, east: np.ndarray, north: np.ndarray) -> np.ndarray:
    """The drill's true top view at these places, RGB."""
    with rasterio.open(drill.truth.ortho) as source:
        picture, transform = np.moveaxis(source.read(), 0, -1), source.transform
    col = (east - transform.c) / transform.a - 0.5
    row = (north - transform.f) / transform.e - 0.5
    return cv2.remap(picture, col.astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)


def _pixel_m(east: np.ndarray, north: np.ndarray) -> float:
    return 0.5 * float(
        np.hypot(east[0, 1] - east[0, 0], north[0, 1] - north[0, 0]) + abs(north[1, 0] - north[0, 0])
    )


def _middle(drill: Drill) -> np.ndarray:
    return np.array([v.exterior.projection_centre_m[:2] for v in drill.views]).mean(axis=0)


def _near_middle(drill: Drill, view: SurfaceView) -> bool:
    away = np.abs(np.array(view.exterior.projection_centre_m[:2]) - _middle(drill))
    return bool(away.max() < 2.0 * _HALF_M)


def _middle_tiles(drill: Drill) -> TileRange:
    corners = _middle(drill) + _HALF_M * np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]])
    mercator = lonlat_to_mercator(to_lonlat(corners, drill.dem.work_crs))
    low, high = mercator.min(axis=0), mercator.max(axis=0)
    return find_range_for_bounds(_ZOOM, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))


def _ground(tiles: TileRange, to_work) -> tuple[np.ndarray, np.ndarray]:
    west, south, east, north = get_range_bounds(tiles)
    rows, cols = tiles.shape_px
    x = west + (np.arange(cols) + 0.5) * (east - west) / cols
    y = north - (np.arange(rows) + 0.5) * (north - south) / rows
    meshed = to_work.mesh(x[None, :], y[:, None])
    return tuple(np.broadcast_to(a, tiles.shape_px) for a in meshed)
