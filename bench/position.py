"""Row 3: where the mosaic says the ground is, with exact poses and DEM, against the drill's truth.

Twice, in output pixels of the flight's GSD:

- pixel by pixel: the mosaic's own table says which photo gave each pixel; the place in that photo that it
  was sampled at is followed to the ground that this very place of the photo truly shows (forward ray casting
  of the drill, which knows nothing of rectification);
- image patches of the exported GeoTIFF against the true top view, by phase correlation.

The DEM is bare ground at 10 m posts: between them it is wrong by up to metres, and what stands above it
(roofs, canopy) leans. So the pixels of the number are those of ground that the DEM knows, the patches' are
all ground, and everything else is stated beside them.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio

from bench.flights import BenchFlight, drill_flight, true_coordinates
from bench.processes import FLYCAM, run_process
from bench.table import Row
from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillTruth, read_truth
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.camera import compute_image_rays
from flycam.geometry.frame_view import FrameView
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileRange,
    compute_pixel_centres,
    get_range_bounds,
    make_tile_range,
)
from flycam.geometry.orthorectification import compute_source_coordinates
from flycam.geometry.terrain import cast_rays, interpolate_heights
from flycam.model.frame import FrameHeader, MosaicTile
from flycam.model.records import FrameStatus
from flycam.mosaic.coverage import get_main_mosaic
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage.stores import LocalStore
from flycam.workspace import Workspace

MEDIAN_PX, P95_PX = 0.5, 1.5
FRAMES_CAST = 12
ABOVE_GROUND_M = 0.3
PATCH_PX, LEAST_RESPONSE = 96, 0.08
RAY_EVERY = 97


@dataclass(frozen=True, slots=True)
class Errors:
    """Distances in metres.

    known_m   of ground whose height the DEM knows (empty where not asked)
    ground_m  of all ground
    all_m     of everything, roofs and canopy too
    own_m     against an exact ray on the DEM that was used (empty where not asked)
    """

    known_m: np.ndarray
    ground_m: np.ndarray
    all_m: np.ndarray
    own_m: np.ndarray


def measure(strips: int, per_strip: int) -> list[Row]:
    """Ingest with exact metadata, then both comparisons."""
    flight = drill_flight(strips, per_strip)
    truth = read_truth(flight.folder)
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        answer = ingest_exactly(flight, data)
        exported = Path(temporary) / "mosaic.tif"
        run_process([*FLYCAM, "export", answer["flight_id"], exported, "--data", data])
        pixels = pixel_errors(flight, truth, data, answer["flight_id"])
        patches, matched = patch_errors(exported, truth)
    gsd = float(answer["gsd_m"])
    return [
        *_rows("pixel by pixel where the DEM is right", pixels, gsd, f"{len(pixels.known_m):,} pixels"),
        *_rows(
            "image patches of all ground", patches, gsd, f"{matched:.0%} of patches of {PATCH_PX} px match"
        ),
    ]


def ingest_exactly(flight: BenchFlight, data: Path) -> dict:
    """Register the DEM and ingest into a fresh data folder; the command's JSON."""
    run_process([*FLYCAM, "dem", "add", flight.dem, "--data", data])
    done = run_process([*FLYCAM, "ingest", flight.photos, "--data", data, "--json"])
    return json.loads(done.stdout.splitlines()[-1])


def pixel_errors(flight: BenchFlight, truth: DrillTruth, data: Path, flight_id: str) -> Errors:
    """Errors of the mosaic's pixels that came from some frames spread over the flight."""
    names = sorted(truth.exteriors)
    numbers = sorted({int(n) for n in np.linspace(0, len(names) - 1, FRAMES_CAST)})
    casts = true_coordinates(flight, numbers)
    known, ground, everything, own = [], [], [], []
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog:
        workspace = Workspace(
            store=LocalStore(data / "store"), catalog=catalog, box="bench", cache_dir=data / "cache"
        )
        mosaic = get_main_mosaic(workspace, flight_id)
        records = {
            r.header.provenance.source_name: r
            for r in catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
        }
        heights = _Heights(truth)
        for number in numbers:
            record = records[names[number]]
            heads = catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, mosaic.base_zoom, record.tiles)
            tiles = [read_tile(workspace.store, head) for head in heads]
            terrain = load_recorded_terrain(workspace, record.dem_id)
            found = _frame_errors(record.header, record.exterior, record.tiles, terrain, tiles, casts[number])
            for true, distance, against_ray in found:
                bare = heights.above_ground(true) < ABOVE_GROUND_M
                off = np.abs(interpolate_heights(terrain, true[:, :2]) - true[:, 2])
                known.append(distance[bare & (off < ABOVE_GROUND_M)])
                ground.append(distance[bare])
                everything.append(distance)
                own.append(against_ray)
    return Errors(*(np.concatenate(values) for values in (known, ground, everything, own)))


def _frame_errors(header: FrameHeader, exterior, frame_tiles: TileRange, terrain, tiles, cast):
    """Tile by tile, of the pixels that one frame gave: true (east, north, height) N×3, error N in metres,
    and error M against exact rays. The rays go the other way than rectification: from some of the places in
    the photo to the same DEM.
    """
    to_work = fit_mercator_to_work(exterior.work_crs, get_range_bounds(frame_tiles))
    sampled = compute_source_coordinates(FrameView(header.interior, exterior, terrain, to_work), frame_tiles)
    for tile in tiles:
        rows, cols = frame_tiles.window_px(tile.tile_id)
        # at the picture's border the map's fit to another cell may decide otherwise about a pixel
        own = _pixels_of(tile, header.frame_id) & sampled.valid[rows, cols]
        u, v = sampled.u[rows, cols][own], sampled.v[rows, cols][own]
        if not len(u):
            continue
        said = to_work(compute_pixel_centres(make_tile_range(tile.tile_id), *np.nonzero(own)))
        true = _sample(cast, u, v)
        known = np.isfinite(true).all(axis=1)
        some = slice(None, None, RAY_EVERY)
        rays = compute_image_rays(header.interior, exterior, np.stack([u, v], -1)[some].astype(np.float64))
        hits = cast_rays(terrain, np.array(exterior.projection_centre_m), rays)[:, :2]
        met = np.isfinite(hits).all(axis=1)
        yield (
            true[known],
            np.linalg.norm(said[known] - true[known, :2], axis=1),
            np.linalg.norm(said[some][met] - hits[met], axis=1),
        )


def _pixels_of(tile: MosaicTile, frame_id: str) -> np.ndarray:
    if frame_id not in tile.frames:
        return np.zeros((TILE_SIZE_PX, TILE_SIZE_PX), bool)
    return tile.source == tile.frames.index(frame_id) + 1


def _sample(cast: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear in an H×W×3 float64 array that float32 would spoil."""
    height, width = cast.shape[:2]
    i, j = np.clip(v.astype(int), 0, height - 2), np.clip(u.astype(int), 0, width - 2)
    t, s = (v - i)[:, None], (u - j)[:, None]
    return (cast[i, j] * (1 - s) + cast[i, j + 1] * s) * (1 - t) + (
        cast[i + 1, j] * (1 - s) + cast[i + 1, j + 1] * s
    ) * t


class _Heights:
    """How high the surface stands above bare ground, anywhere."""

    def __init__(self, truth: DrillTruth) -> None:
        with rasterio.open(truth.surface) as source:
            surface, ground = source.read()
            self._inverse = ~source.transform
        self.above_m = surface - ground

    def above_ground(self, points: np.ndarray) -> np.ndarray:
        cols, rows = self._inverse * (points[:, 0], points[:, 1])
        height, width = self.above_m.shape
        return self.above_m[np.clip(rows.astype(int), 0, height - 1), np.clip(cols.astype(int), 0, width - 1)]


def patch_errors(path: Path, truth: DrillTruth) -> tuple[Errors, float]:
    """Shifts of patches of a GeoTIFF in the work CRS against the true top view; the share that matches."""
    with rasterio.open(path) as source:
        ours, mask, transform = source.read([1, 2, 3]), source.dataset_mask(), source.transform
    with rasterio.open(truth.ortho) as source:
        true, back = source.read([1, 2, 3]), ~source.transform * transform
    affine = np.array([[back.a, back.b, back.c], [back.d, back.e, back.f]])
    affine[:, 2] += affine[:, :2] @ [0.5, 0.5] - 0.5  # pixel centres at integers
    size = (ours.shape[2], ours.shape[1])
    there = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
    reference = cv2.warpAffine(_grey(true), affine, size, flags=there, borderValue=-1.0)
    heights = cv2.warpAffine(_Heights(truth).above_m, affine, size, flags=there, borderValue=0.0)
    picture = _grey(ours)
    window = cv2.createHanningWindow((PATCH_PX, PATCH_PX), cv2.CV_32F)
    ground, everything, tried = [], [], 0
    for row in range(0, size[1] - PATCH_PX + 1, PATCH_PX):
        for col in range(0, size[0] - PATCH_PX + 1, PATCH_PX):
            cut = (slice(row, row + PATCH_PX), slice(col, col + PATCH_PX))
            if mask[cut].min() == 0 or reference[cut].min() < 0:
                continue
            tried += 1
            # copies: with a window, phaseCorrelate writes into views of suitable size
            shift, response = cv2.phaseCorrelate(picture[cut].copy(), reference[cut].copy(), window)
            if response < LEAST_RESPONSE:
                continue
            distance = float(np.hypot(*shift)) * abs(transform.a)
            everything.append(distance)
            if np.mean(heights[cut] < ABOVE_GROUND_M) > 0.95:
                ground.append(distance)
    none = np.array([])
    return Errors(none, np.array(ground), np.array(everything), none), len(everything) / max(tried, 1)


def _grey(bands: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(np.moveaxis(bands, 0, -1)), cv2.COLOR_RGB2GRAY).astype(
        np.float32
    )


def _rows(how: str, errors: Errors, gsd_m: float, note: str) -> list[Row]:
    figures = {
        name: [round(float(np.percentile(values, p)) / gsd_m, 3) for p in (50, 95, 99)]
        for name, values in asdict(errors).items()
        if len(values)
    }
    shown = "known_m" if "known_m" in figures else "ground_m"
    words = {
        "known_m": f"ground where the DEM is within {ABOVE_GROUND_M} m of it",
        "ground_m": f"all ground (within {ABOVE_GROUND_M} m of the bare surface)",
        "all_m": "everything, roofs and canopy above the DEM too",
        "own_m": "against an exact ray on the DEM that was used",
    }
    said = "median {:.3f}, p95 {:.3f}, p99 {:.3f} px"
    return [
        Row(
            what=f"ground position, {how}: {which}",
            measured=f"{value:.2f} px ({value * gsd_m:.3f} m)",
            peer="truth",
            ratio=value,
            required=bound,
            sense="at most",
            notes=(
                f"{note}; output pixel {gsd_m:.4f} m; the row is {words[shown]}",
                *(f"{words[name]}: {said.format(*values)}" for name, values in figures.items()),
            )
            if which == "median"
            else (),
            figures=figures,
        )
        for which, value, bound in (
            ("median", figures[shown][0], MEDIAN_PX),
            ("p95", figures[shown][1], P95_PX),
        )
    ]
