"""Does the memory of `flycam live` grow as it flies over new ground? Minute 60 of a flight against minute 5.

A plain film of an hour, 640×360, ground draped over the drill's valley (`draped_film.py`), read as fast as it
goes: with every minute of film the resident size of the process and its decoder is looked at. The log of the
whole film is in memory from the beginning.

    python -m bench.live_memory DATA FILM      the flight itself, in a process of its own
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import psutil

from bench.draped_film import draped_film
from bench.flights import ROOT
from bench.processes import run_process
from bench.table import Row
from flycam.drill.flight import VideoPlan
from flycam.drill.video_drill import VIDEO_NAME
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import orthorectify_video
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem

MINUTES, FPS, SIZE_PX = 60, 4, (640, 360)
SPEED_MPS, STRIP_APART_M = 20.0, 90.0
FROM_MINUTE, GROWTH = 5, 1.1


def measure(minutes: int = MINUTES) -> list[Row]:
    """The row; the film is made in `.bench/` once."""
    plan = VideoPlan(seconds=60.0 * minutes, fps=FPS, gsd_m=0.4, speed_mps=SPEED_MPS, strips=_strips(minutes))
    film = draped_film("memory", plan, SIZE_PX)
    with tempfile.TemporaryDirectory(dir=ROOT) as data:
        done = run_process([sys.executable, "-m", "bench.live_memory", data, film])
    told = json.loads(done.stdout.splitlines()[-1])
    sizes = np.array(told["bytes"], dtype=float)
    early, late = np.median(sizes[FROM_MINUTE - 1 : FROM_MINUTE + 2]), np.median(sizes[-3:])
    minute = np.arange(len(sizes))
    growth = np.polyfit(minute[FROM_MINUTE:], sizes[FROM_MINUTE:], 1)[0]
    return [
        Row(
            what=f"memory of live after {minutes} min over new ground against {FROM_MINUTE} min",
            measured=f"{late / 1e6:.0f} MB",
            peer=f"{early / 1e6:.0f} MB",
            ratio=late / early,
            required=GROWTH,
            sense="at most",
            notes=(
                f"{growth / 1e6:+.2f} MB a minute of film, {told['frames']} pictures laid, "
                f"{done.cpu_s:.0f} s of processor, {done.wall_s:.0f} s in all",
            ),
            figures=told,
        )
    ]


def _strips(minutes: int) -> int:
    """That make the block about as wide as long: as many as fit well by the drill's measure are short, and
    the ground around them larger than memory."""
    return max(1, round((minutes * 60.0 * SPEED_MPS / STRIP_APART_M) ** 0.5))


def _fly(data: Path, film: Path) -> None:
    """Fly the film; say the size at every minute, and how many pictures lie on the map."""
    from flycam.cli.output import open_workspace

    me, sizes = psutil.Process(), []

    def look(stage: str, done: int, _total: int) -> None:
        if stage == "live" and done % (60 * FPS) == 0:
            tree = (me, *me.children(recursive=True))
            sizes.append(sum(one.memory_info().rss for one in tree))
            print(f"minute {len(sizes)}: {sizes[-1] / 1e6:.1f} MB", file=sys.stderr, flush=True)

    video = film / VIDEO_NAME
    with open_workspace(str(data)) as (workspace, _):
        register_dem(workspace, film / "dem.tif", None)
        request = LiveRequest(
            video=str(video), telemetry=str(video.with_suffix(".srt")), camera=film / "camera.json"
        )
        report = orthorectify_video(workspace, request, FlightLabels(), look)
    print(json.dumps({"bytes": sizes, "frames": report.new}))


if __name__ == "__main__":
    _fly(*map(Path, sys.argv[1:3]))
