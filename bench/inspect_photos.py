"""Row 5: `flycam inspect`: metadata alone, and the pixel checks of 9 MP JPEGs.

Metadata: the whole command without pixels (reading, the doctor, gaps), start-up taken off, on all cores.
Pixel checks: processor time of one thread over 9 MP JPEGs of ground-like texture, so other work on the
machine is not counted; and over the real `brighton_beach` where the data lie beside the project.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np

from bench.flights import ROOT, drill_flight, long_flight
from bench.processes import FLYCAM, run_process, startup
from bench.table import Row
from flycam.ingest.photos.photo_reader import read_photos
from flycam.media.pixels import read_pixel_checks

METADATA_PER_S, CHECKS_PER_S = 1000.0, 20.0
SIZE_PX = (3456, 2592)
REAL = Path(__file__).parents[2] / "shared" / "data" / "flights" / "brighton_beach"


def measure(strips: int, per_strip: int, photos: int, pictures: int) -> list[Row]:
    """Photos a second, as ratios of what is required."""
    flight = long_flight(drill_flight(strips, per_strip), photos, max(round(photos**0.5 * 0.8), 1))
    paths = sorted(flight.photos.iterdir())
    read_photos(paths)  # into the page cache
    whole = _inspect_s(flight.photos, flight.dem, photos)
    empty = startup([*FLYCAM, "--version"]).wall_s
    started = time.perf_counter()
    read_photos(paths)
    reading = time.perf_counter() - started
    per_s = photos / (whole - empty)
    made = _nine_megapixels(pictures)
    checks_per_s = _checks_per_s(made)
    notes = [f"{SIZE_PX[0]}×{SIZE_PX[1]}, {made[0].stat().st_size / 1e6:.1f} MB a JPEG, one core"]
    real = [path for path in sorted(REAL.rglob("*")) if path.suffix.lower() in {".jpg", ".jpeg"}]
    if real:
        notes.append(f"real brighton_beach, {len(real)} photos: {_checks_per_s(real):.1f} a second")
    else:
        notes.append("real photos are not beside the project")
    return [
        Row(
            what=f"flycam inspect, metadata of {photos:,} photos",
            measured=f"{per_s:,.0f} photos/s",
            peer=f"{METADATA_PER_S:,.0f} photos/s",
            ratio=per_s / METADATA_PER_S,
            required=1.0,
            sense="at least",
            notes=(
                f"whole command {whole:.2f} s, start-up {empty:.2f} s of it (with it {photos / whole:,.0f} "
                f"photos/s); reading the headers alone {photos / reading:,.0f} photos/s",
            ),
            figures={"whole_s": whole, "startup_s": empty, "reading_s": reading},
        ),
        Row(
            what="flycam inspect, pixel checks of 9 MP JPEGs, one core",
            measured=f"{checks_per_s:.1f} photos/s",
            peer=f"{CHECKS_PER_S:.0f} photos/s",
            ratio=checks_per_s / CHECKS_PER_S,
            required=1.0,
            sense="at least",
            notes=tuple(notes),
        ),
    ]


def _inspect_s(photos: Path, dem: Path, count: int) -> float:
    command = [*FLYCAM, "inspect", photos, "--no-pixels", "--dem", dem, "--json", "--data", ROOT / "none"]
    runs = []
    for _ in range(3):
        done = run_process(command)
        frames = json.loads(done.stdout.splitlines()[-1])["frames"]
        if frames != count:
            raise RuntimeError(f"inspect saw {frames} of {count} photos")
        runs.append(done.wall_s)
    return sorted(runs)[1]


def _checks_per_s(paths: list[Path]) -> float:
    """Photos a second of processor time, one thread, from the page cache."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    for path in paths:
        path.read_bytes()
    started = time.thread_time()
    for path in paths:
        read_pixel_checks(path)
    spent = time.thread_time() - started
    cv2.setNumThreads(threads)
    return len(paths) / spent


def _nine_megapixels(count: int) -> list[Path]:
    """JPEGs with detail at every scale, about as many bytes as a drone writes."""
    folder = ROOT / "nine-megapixels"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            written = cv2.imencode(".jpg", _texture(number), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
            part = path.with_suffix(".part")
            part.write_bytes(written.tobytes())
            part.rename(path)
    return paths


def _texture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = np.full((SIZE_PX[1], SIZE_PX[0], 3), 110.0, np.float32)
    for step, amplitude in ((512, 34), (128, 22), (32, 14), (8, 9), (2, 7)):
        shape = (-(-SIZE_PX[1] // step), -(-SIZE_PX[0] // step), 3)
        coarse = rng.standard_normal(shape, dtype=np.float32) * (amplitude / 4)
        coarse += rng.standard_normal((*shape[:2], 1), dtype=np.float32) * amplitude
        picture += cv2.resize(coarse, SIZE_PX, interpolation=cv2.INTER_LINEAR)
    return np.clip(picture, 0, 255).astype(np.uint8)
