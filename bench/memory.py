"""Row 4: does the memory of an ingest grow with the number of photos?

The same long flight over new ground, its first tenth and all of it. Memory is the highest resident size of
the process tree, looked at 50 times a second, and the kernel's own high-water mark of the process.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from bench.flights import drill_flight, first_photos, long_flight
from bench.processes import FLYCAM, Finished, run_process
from bench.table import Row

GROWTH, MOST_GB = 1.1, 1.5


def measure(strips: int, per_strip: int, photos: int) -> list[Row]:
    """Peak of 1,000 photos against 100 (or what `photos` says against a tenth of it)."""
    few = max(photos // 10, 1)
    flight = long_flight(drill_flight(strips, per_strip), photos, max(round(photos**0.5 * 0.8), 1))
    small = _ingested(flight.dem, first_photos(flight, few), few)
    large = _ingested(flight.dem, flight.photos, photos)
    figures = {"peak_bytes": {few: small.peak_bytes, photos: large.peak_bytes}, "wall_s": large.wall_s}
    return [
        Row(
            what=f"peak memory, {photos:,} photos against {few:,}",
            measured=f"{large.peak_bytes / 1e6:.0f} MB",
            peer=f"{small.peak_bytes / 1e6:.0f} MB",
            ratio=large.peak_bytes / small.peak_bytes,
            required=GROWTH,
            sense="at most",
            notes=(
                f"{photos:,} photos in {large.wall_s:.1f} s, {large.wall_s / photos * 1e3:.0f} ms a photo",
            ),
            figures=figures,
        ),
        Row(
            what=f"peak memory of {photos:,} photos, GB",
            measured=f"{large.peak_bytes / 1e9:.2f} GB",
            peer="-",
            ratio=large.peak_bytes / 1e9,
            required=MOST_GB,
            sense="at most",
        ),
    ]


def _ingested(dem: Path, photos: Path, count: int) -> Finished:
    with tempfile.TemporaryDirectory(dir=dem.parent) as data:
        run_process([*FLYCAM, "dem", "add", dem, "--data", data])
        done = run_process([*FLYCAM, "ingest", photos, "--data", data, "--json"], watch_memory=True)
    frames = json.loads(done.stdout.splitlines()[-1])["frames"]
    if frames["used"] != count:
        raise RuntimeError(f"of {count} photos only {frames['used']} were used: {frames['rejected']}")
    return done
