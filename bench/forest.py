"""Is forest in a finished map still what its photos show?

    python -m bench.forest FLIGHT… [--work FOLDER] [--windows N]

FLIGHT is a folder of photos, `toledo` and `brighton_beach` of the shared data when none is named. Each is
ingested and finished twice, with and without its own surface, and exported. Windows of 64 px whose centre
lies in canopy are looked for in the photos nearest above them: keypoints of the window's neighbourhood give a
similarity, the photo is resampled under it, and the best normalised correlation of the window within 6 px
counts. Nothing of flycam's geometry takes part. A window that melted, or whose neighbourhood has no keypoints
in common with any photo, has a low one. At most N windows are measured, evenly spread.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.features import rasterize
from rasterio.warp import transform_geom

from bench.processes import FLYCAM, run_process
from flycam.catalog.catalog import open_catalog

WINDOW_PX, AROUND_PX, SEARCH_PX = 64, 320, 6
LIKE, WANTED, WANTED_OF_PLAIN = 0.8, 0.75, 0.97
NEAREST = 5
_MIN_INLIERS = 6
_SEEDS_PER_PX = 1 / 400.0
FLIGHTS = Path(__file__).parents[2] / "shared" / "data" / "flights"
# Outlines of closed canopy, drawn by hand on the quick maps: longitude, latitude.
CANOPY: dict[str, list[list[tuple[float, float]]]] = {
    "toledo": [
        [
            (-83.697357, 41.550980),
            (-83.696670, 41.550957),
            (-83.696646, 41.549876),
            (-83.696573, 41.549788),
            (-83.696532, 41.548038),
            (-83.696631, 41.547958),
            (-83.696818, 41.547915),
            (-83.696848, 41.547644),
            (-83.697363, 41.547671),
            (-83.697399, 41.548198),
            (-83.697408, 41.549089),
            (-83.697419, 41.549832),
            (-83.697371, 41.550091),
            (-83.697382, 41.550935),
        ]
    ],
    "brighton_beach": [
        [
            (-91.994098, 46.843335),
            (-91.993792, 46.843142),
            (-91.993696, 46.843052),
            (-91.993811, 46.842969),
            (-91.993944, 46.842864),
            (-91.994142, 46.842742),
            (-91.994290, 46.842654),
            (-91.994488, 46.842533),
            (-91.994604, 46.842455),
            (-91.994974, 46.842710),
            (-91.994693, 46.842926),
            (-91.994411, 46.843148),
        ]
    ],
}


@dataclass(frozen=True, slots=True)
class Keypoints:
    """Places N×2 (x, y) px and descriptors N×128 of one picture, and its grey levels."""

    grey: np.ndarray
    at_px: np.ndarray
    descriptors: np.ndarray


def find_keypoints(grey: np.ndarray, mask: np.ndarray | None = None) -> Keypoints:
    """Find the strongest SIFT keypoints of an H×W uint8 picture."""
    sift = cv2.SIFT.create(nfeatures=int(grey.size * _SEEDS_PER_PX), contrastThreshold=0.02)
    points, descriptors = sift.detectAndCompute(grey, mask)
    at = np.array([p.pt for p in points], dtype=np.float32).reshape(-1, 2)
    return Keypoints(grey, at, np.zeros((0, 128), np.float32) if descriptors is None else descriptors)


def measure_likeness(map_: Keypoints, corner: tuple[int, int], photo: Keypoints) -> float:
    """Return the best correlation of the window at `corner` (row, column) with one photo, or 0."""
    row, column = corner
    margin = (AROUND_PX - WINDOW_PX) // 2
    near = np.all(np.abs(map_.at_px - (column + WINDOW_PX / 2, row + WINDOW_PX / 2)) < AROUND_PX / 2, axis=1)
    if near.sum() < _MIN_INLIERS or len(photo.at_px) < 2:
        return 0.0
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(map_.descriptors[near], photo.descriptors, k=2)
    good = [a for a, b in pairs if a.distance < 0.8 * b.distance]
    if len(good) < _MIN_INLIERS:
        return 0.0
    here = map_.at_px[near][[m.queryIdx for m in good]] - np.array(
        (column - margin, row - margin), np.float32
    )
    there = photo.at_px[[m.trainIdx for m in good]]
    similarity, inliers = cv2.estimateAffinePartial2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=4.0, maxIters=2000, confidence=0.999
    )
    if similarity is None or int(inliers.sum()) < _MIN_INLIERS:
        return 0.0
    seen = cv2.warpAffine(
        photo.grey, similarity, (AROUND_PX, AROUND_PX), flags=cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
    )
    window = map_.grey[row : row + WINDOW_PX, column : column + WINDOW_PX]
    reach = slice(margin - SEARCH_PX, margin + WINDOW_PX + SEARCH_PX)
    return float(cv2.matchTemplate(seen[reach, reach], window, cv2.TM_CCOEFF_NORMED).max())


def measure_map(
    geotiff: Path,
    canopy: list[list[tuple[float, float]]],
    photos: list[tuple[Path, float, float]],
    max_windows: int,
) -> np.ndarray:
    """Return rows of (row, column, likeness) of windows in canopy; photos have easting and northing."""
    with rasterio.open(geotiff) as raster:
        rgb, valid = raster.read([1, 2, 3]), raster.dataset_mask() > 0
        transform, crs = raster.transform, raster.crs
    shapes = [transform_geom("EPSG:4326", crs, {"type": "Polygon", "coordinates": [ring]}) for ring in canopy]
    wood = rasterize(shapes, valid.shape, transform=transform).astype(bool) if shapes else valid
    grey = cv2.cvtColor(np.moveaxis(rgb, 0, -1), cv2.COLOR_RGB2GRAY)
    near = cv2.dilate((wood & valid).astype(np.uint8), np.ones((AROUND_PX, AROUND_PX), np.uint8))
    map_ = find_keypoints(grey, near)
    corners = [
        (row, column)
        for row in range(0, grey.shape[0] - WINDOW_PX, WINDOW_PX)
        for column in range(0, grey.shape[1] - WINDOW_PX, WINDOW_PX)
        if valid[row : row + WINDOW_PX, column : column + WINDOW_PX].all()
        and wood[row + WINDOW_PX // 2, column + WINDOW_PX // 2]
    ]
    corners = corners[:: max(1, -(-len(corners) // max_windows))]
    likeness = np.zeros(len(corners))
    centres = np.array([transform @ (c + WINDOW_PX / 2, r + WINDOW_PX / 2) for r, c in corners]).reshape(
        -1, 2
    )
    places = np.array([(east, north) for __, east, north in photos])
    nearest = np.argsort(np.hypot(*np.moveaxis(centres[:, None] - places[None], -1, 0)), axis=1)[:, :NEAREST]
    for k, (path, __, __north) in enumerate(photos):
        mine = np.flatnonzero((nearest == k).any(axis=1))
        if not mine.size:
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
        assert picture is not None
        photo = find_keypoints(picture)
        for i in mine:
            likeness[i] = max(likeness[i], measure_likeness(map_, corners[i], photo))
    return np.column_stack([np.array(corners).reshape(-1, 2), likeness])


def make_maps(photos: Path, work: Path) -> Iterator[tuple[str, Path]]:
    """Ingest and finish a flight, with its surface and without; yield what was made and its GeoTIFF."""
    for name, option in (("surface", "--surface"), ("plain", "--no-surface")):
        data, out = work / f"{photos.name}-{name}", work / f"{photos.name}-{name}.tif"
        if not out.exists():
            run_process([*FLYCAM, "ingest", photos, "--name", photos.name, "--data", data])
            run_process([*FLYCAM, "finish", photos.name, option, "--no-report", "--data", data])
            run_process([*FLYCAM, "export", photos.name, out, "--data", data])
        yield name, out


def read_positions(data: Path, photos: Path) -> list[tuple[Path, float, float]]:
    """Read the photos on the map with their easting and northing."""
    with open_catalog(f"sqlite:///{data / 'catalog.sqlite'}") as catalog:
        (flight,) = catalog.flights.flights()
        return [
            (
                photos / frame.header.provenance.source_name,
                *frame.header.exterior_prior.projection_centre_m[:2],
            )
            for frame in catalog.frames.list_for_flight(flight.flight_id)
        ]


def main() -> None:
    """Print a row for each flight and kind of map."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "flights", nargs="*", type=Path, default=[FLIGHTS / "toledo", FLIGHTS / "brighton_beach"]
    )
    parser.add_argument("--work", type=Path, default=Path(".bench") / "forest")
    parser.add_argument("--windows", type=int, default=1000)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for photos in given.flights:
        shares = {}
        for name, geotiff in make_maps(photos, given.work):
            positions = read_positions(given.work / f"{photos.name}-{name}", photos)
            windows = measure_map(geotiff, CANOPY.get(photos.name, []), positions, given.windows)
            np.save(geotiff.with_suffix(".npy"), windows)
            shares[name] = float((windows[:, 2] >= LIKE).mean())
            print(
                f"{photos.name}, {name}: {shares[name]:.3f} of {len(windows)} windows correlate with a photo "
                f"by {LIKE} or more (median {np.median(windows[:, 2]):.2f})",
                flush=True,
            )
        print(json.dumps({"flight": photos.name, **shares, "of_plain": shares["surface"] / shares["plain"]}))


if __name__ == "__main__":
    main()
