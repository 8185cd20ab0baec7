"""How long does rectifying a 1080p frame take, against a bare `cv2.remap` of as many output pixels?

    python tests/bench/bench_rectify.py [--json]

One core on both sides, the same interpolation, everything included on flycam's side: ground heights on a
rugged DEM with 10 m posts, projection with distortion, occlusion, quality, masks. The bare remap is given
ready-made maps (the cheapest of OpenCV's two float notations) and makes as many output pixels as flycam
writes valid ones, all inside the picture.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time

import cv2
import numpy as np

from flycam.geometry.footprint import footprint
from flycam.geometry.grid import zoom_for_gsd
from flycam.geometry.occlusion import HorizonScan
from flycam.geometry.rectify import rectify
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


def bare_remap(pixels: np.ndarray, count: int):
    """A remap of `count` pixels, turned by 30° as a frame lies on the map, inside the picture."""
    height, width = pixels.shape[:2]
    side = int(np.sqrt(count / (width * height)) * height)
    rows, cols = side, round(count / side)
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float32)
    x, y = (x / cols - 0.5) * (width * 0.75), (y / rows - 0.5) * (height * 0.6)
    map_x = (0.966 * x - 0.259 * y + width / 2).astype(np.float32)
    map_y = (0.259 * x + 0.966 * y + height / 2).astype(np.float32)
    return lambda: cv2.remap(pixels, map_x, map_y, cv2.INTER_LINEAR)


def measure(name: str, pitch_deg: float, relief_m: float, roughness: float) -> dict[str, object]:
    """One scene: medians of interleaved repeats, and their ratio."""
    terrain, interior, to_work = hills(relief_m=relief_m, roughness=roughness), camera(), mercator_map()
    exterior = pose(terrain, agl_m=120.0, pitch_deg=pitch_deg)
    print_ = footprint(interior, exterior, terrain)
    z = zoom_for_gsd(print_.gsd_m, LAT)
    tiles = tiles_around(print_.bounds_m, z, to_work)
    pixels = cv2.resize(
        np.random.default_rng(0).integers(0, 255, (270, 480, 3), dtype=np.uint8), (1920, 1080)
    )
    run = lambda: rectify(pixels, interior, exterior, terrain, tiles, to_work)  # noqa: E731
    result = run()
    valid = int(np.count_nonzero(result.quality))
    bare = bare_remap(pixels, valid)
    bare_all = bare_remap(pixels, result.quality.size)
    pairs = [(milliseconds(run), milliseconds(bare), milliseconds(bare_all)) for _ in range(REPEATS)]
    ours, theirs, theirs_all = (statistics.median(column) for column in zip(*pairs, strict=True))
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
        "ratio": round(statistics.median(a / b for a, b, _ in pairs), 2),
        "ratio_to_whole_range": round(ours / theirs_all, 2),
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
