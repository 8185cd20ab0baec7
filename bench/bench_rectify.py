"""How long does rectifying a 1080p frame take, against a bare `cv2.remap` of as many output pixels?

    python bench/bench_rectify.py [--json]

One core on both sides, the same interpolation, everything included on flycam's side: ground heights on a
hilly DEM with 10 m posts, projection with distortion, occlusion, quality, masks, and the empty pixels
around the frame. The bare remap is given ready-made maps and makes only flycam's valid pixels: the same
samples of the picture in the same order.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time

import cv2
import numpy as np

from flycam.geometry.footprint import compute_footprint
from flycam.geometry.frame_view import FrameView, HorizonScan
from flycam.geometry.grid import choose_zoom
from flycam.geometry.orthorectification import SourceCoordinates, compute_source_coordinates, orthorectify
from tests.geometry.scenes import LAT, camera, hills, mercator_map, pose, tiles_around

REPEATS = 15
# name, gimbal pitch, relief over 2.4 km, spectrum of the ground (see `scenes.hills`)
SCENES = (
    ("nadir", -90.0, 180.0, 2.3),
    ("oblique 35°", -55.0, 180.0, 2.3),
    ("oblique 35°, relief 420 m", -55.0, 420.0, 2.3),
    ("nadir, ground six times rougher than real", -90.0, 180.0, 1.8),
    ("oblique 35°, ground six times rougher than real", -55.0, 180.0, 1.8),
)


def milliseconds(call) -> float:
    """Processor time of one call: other work on a shared machine is not counted."""
    start = time.thread_time()
    call()
    return (time.thread_time() - start) * 1e3


def bare_remap(pixels: np.ndarray, where: SourceCoordinates):
    """A remap of the very samples that flycam's valid pixels are, packed row after row into a rectangle."""
    columns = 2048
    rows = int(np.count_nonzero(where.valid)) // columns
    map_x, map_y = (
        np.ascontiguousarray(a[where.valid][: rows * columns].reshape(rows, columns))
        for a in (where.u, where.v)
    )
    return lambda: cv2.remap(pixels, map_x, map_y, cv2.INTER_LINEAR)


def measure(name: str, pitch_deg: float, relief_m: float, roughness: float) -> dict[str, object]:
    """One scene: medians of interleaved repeats, and their ratio."""
    terrain, interior, to_work = hills(relief_m=relief_m, roughness=roughness), camera(), mercator_map()
    exterior = pose(terrain, agl_m=120.0, pitch_deg=pitch_deg)
    print_ = compute_footprint(interior, exterior, terrain)
    z = choose_zoom(print_.gsd_m, LAT)
    tiles = tiles_around(print_.bounds_m, z, to_work)
    pixels = cv2.resize(
        np.random.default_rng(0).integers(0, 255, (270, 480, 3), dtype=np.uint8), (1920, 1080)
    )
    run = lambda: orthorectify(pixels, FrameView(interior, exterior, terrain, to_work), tiles)  # noqa: E731  shorter than what it times
    result = run()
    valid = int(np.count_nonzero(result.quality))
    bare = bare_remap(
        pixels, compute_source_coordinates(FrameView(interior, exterior, terrain, to_work), tiles)
    )
    pairs = [(milliseconds(run), milliseconds(bare)) for _ in range(REPEATS)]
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "scene": name,
        "output_px": valid,
        "range_px": int(result.quality.size),
        "gsd_m": round(print_.gsd_m, 4),
        "zoom": z,
        "lattice_step_px": result.lattice_step_px,
        "lattice_error_px": round(result.lattice_error_px, 3),
        "visible_fraction": round(result.visible_fraction, 4),
        "rectify_ms": round(ours, 2),
        "remap_ms": round(theirs, 2),
        "ratio_per_range_px": round(ours / theirs * valid / result.quality.size, 2),
        "ratio": round(statistics.median(a / b for a, b in pairs), 2),
    }


def main() -> None:
    """Print one line per scene."""
    cv2.setNumThreads(1)
    scans = []
    cover = HorizonScan._cover
    HorizonScan._cover = lambda self, *a: scans.append(1) or cover(self, *a)  # type: ignore[method-assign]
    results = []
    for name, pitch, relief, roughness in SCENES:
        scans.clear()
        results.append(measure(name, pitch, relief, roughness) | {"occlusion_scanned": bool(scans)})
    if "--json" in sys.argv:
        print(json.dumps({"machine": platform.processor() or platform.machine(), "scenes": results}))
        return
    for r in results:
        print(r)


if __name__ == "__main__":
    main()
