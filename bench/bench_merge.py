"""What does one photo cost from its patch to the store: merge, parents, hash, encode, put, log?

    python bench/bench_merge.py [--cores N] [--json]

95 patches of 1320×990 pixels, in 8 strips with 75 % forward and 50 % side overlap, turned by 10° on the
map, written through `MosaicWriter` and an SQLite catalogue into memory (the work alone), into a local store
(with the file system's part), and there once more (a replay). Everything runs on `--cores` cores (1 unless
told). A bare linear `cv2.remap` of as many pixels as a photo has, measured between the passes, says how fast
the machine was at that moment.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from flycam.catalog.catalog import open_catalog
from flycam.geometry.grid import TileRange
from flycam.model.flight import Layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import MosaicInfo
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.storage.keys import ObjectStore
from flycam.storage.stores import LocalStore, MemoryStore

PHOTOS, STRIP = 95, 12
WIDTH, HEIGHT, TURN_DEG = 1320, 990, 10.0
FORWARD_PX, SIDE_PX = 330, 495
MOSAIC = MosaicInfo(mosaic_id="bench", flight_id="bench", layer=Layer.COLOUR, base_zoom=20, min_zoom=8)


def ground(rng: np.random.Generator) -> np.ndarray:
    """A texture with detail at every scale, like a photograph (about 4.5 bits a band after filtering)."""
    picture = np.full((HEIGHT, WIDTH, 3), 110.0, np.float32)
    for step, amplitude in ((256, 40), (64, 22), (16, 14), (4, 9), (1, 5)):
        shape = (-(-HEIGHT // step), -(-WIDTH // step), 1)
        grey = rng.normal(0, amplitude, shape).astype(np.float32) + rng.normal(
            0, amplitude / 5, (*shape[:2], 3)
        )
        picture += cv2.resize(grey.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture, 1, 255).astype(np.uint8)


def patch(number: int, photo: np.ndarray) -> OrthoPatch:
    """A photo laid on its tiles, turned, with a quality that falls off from its middle."""
    strip, place = divmod(number, STRIP)
    centre_x = 1000 + (place if strip % 2 == 0 else STRIP - 1 - place) * FORWARD_PX
    centre_y = 1000 + strip * SIDE_PX
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), TURN_DEG + 180 * (strip % 2), 1.0)
    corners = np.array([[0, 0, 1], [WIDTH, 0, 1], [0, HEIGHT, 1], [WIDTH, HEIGHT, 1]]) @ turn.T
    half = np.abs(corners - [WIDTH / 2, HEIGHT / 2]).max(axis=0)
    low = np.floor(np.array([centre_x, centre_y]) - half).astype(int) // 256
    high = np.ceil(np.array([centre_x, centre_y]) + half).astype(int) // 256 + 1
    cols, rows = (high - low) * 256
    turn[:, 2] += np.array([centre_x, centre_y]) - [WIDTH / 2, HEIGHT / 2] - low * 256
    rgb = cv2.warpAffine(photo, turn, (int(cols), int(rows)))
    inside = cv2.warpAffine(np.full((HEIGHT, WIDTH), 255, np.uint8), turn, (int(cols), int(rows))) == 255
    yy, xx = np.ogrid[:rows, :cols]
    distance = np.hypot(xx + low[0] * 256 - centre_x, yy + low[1] * 256 - centre_y)
    quality = np.where(inside, 60_000 * np.exp(-((distance / 900) ** 2)) + 1, 0).astype(np.uint16)
    rgb[~inside] = 0
    return OrthoPatch(
        tiles=TileRange(
            z=MOSAIC.base_zoom,
            x_start=830_000 + int(low[0]),
            y_start=465_000 + int(low[1]),
            x_stop=830_000 + int(high[0]),
            y_stop=465_000 + int(high[1]),
        ),
        rgb=rgb,
        quality=quality,
        frame_id=hashlib.sha256(str(number).encode()).hexdigest()[:32],
        exterior_version=0,
        dem_id="bench",
    )


def bare_remap_ms(photo: np.ndarray) -> float:
    """Median of a bare remap of the photo, turned."""
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 30, 1.0)
    yy, xx = np.mgrid[:HEIGHT, :WIDTH]
    x, y = (np.einsum("i,i...->...", row, np.stack([xx, yy, np.ones_like(xx)])) for row in turn)
    maps = x.astype(np.float32), y.astype(np.float32)
    times = []
    for _ in range(11):
        start = time.perf_counter()
        cv2.remap(photo, *maps, cv2.INTER_LINEAR)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def run(store: ObjectStore, database: str, patches: list[OrthoPatch], workers: int) -> dict[str, float]:
    """Milliseconds a photo for one pass over the flight."""
    with open_catalog(database) as catalog:
        catalog.tiles.put_mosaic(MOSAIC)
        start, cpu = time.perf_counter(), time.process_time()
        with MosaicWriter(
            store, catalog.tiles, MOSAIC, origin="bench", clock_ns=time.time_ns, workers=workers
        ) as writer:
            for one in patches:
                writer.add(one)
            merged = time.perf_counter()
        end = time.perf_counter()
        lines = catalog.tiles.last_seq(MOSAIC.mosaic_id)
    return {
        "add_ms": round((merged - start) / len(patches) * 1e3, 2),
        "last_flush_ms": round((end - merged) / len(patches) * 1e3, 2),
        "total_ms": round((end - start) / len(patches) * 1e3, 2),
        "cpu_ms": round((time.process_time() - cpu) / len(patches) * 1e3, 2),
        "lines_per_photo": round(lines / len(patches), 2),
    }


def main() -> None:
    """Print the two passes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[: arguments.cores]
    photo = ground(np.random.default_rng(1))
    patches = [patch(number, photo) for number in range(PHOTOS)]
    cv2.setNumThreads(1)
    os.sched_setaffinity(0, cores)
    speeds = [bare_remap_ms(photo)]
    passes = {}
    with tempfile.TemporaryDirectory() as folder:
        memory, local = MemoryStore(), LocalStore(Path(folder) / "store")
        for name, store, database in (
            ("memory", memory, "memory.db"),
            ("local", local, "local.db"),
            ("local_replay", local, "local.db"),
        ):
            passes[name] = run(store, f"sqlite:///{folder}/{database}", patches, len(cores))
            speeds.append(bare_remap_ms(photo))
        sizes = [local.size(key) for key in local.list("mosaics/")]
    result = {
        "machine": f"{platform.node()}, {os.cpu_count()} cores, {platform.machine()}",
        "cores_used": len(cores),
        "tiles_per_patch": round(sum(len(p.tiles) for p in patches) / PHOTOS, 1),
        "kb_per_tile": round(sum(sizes) / len(sizes) / 1e3, 1),
        "bare_remap_ms": [round(speed, 2) for speed in speeds],
        **passes,
    }
    print(json.dumps(result) if arguments.json else json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
