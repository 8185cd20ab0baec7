"""A flight in the air over a thin line: how far the province is behind with what was laid.

Real processes: `flycam live` of a film at its own speed on a box, `flycam serve` as the province, `flycam
sync` (which goes on) between them through a relay at 64 kbit/s and 900 ms. Each second it is looked how many
pictures either side has on record; the province is as far behind as it is since the box had more than it has
now. Records come there with views of the ground, so that it is seen. Until the first step is there nothing
counts.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from bench.flights import ROOT
from bench.kept import key_of, made_once
from bench.processes import FLYCAM, BenchBroken, run_process, serving
from bench.sync import read_beside
from bench.table import Row
from flycam.drill.flight import VideoPlan
from flycam.drill.video_drill import write_video_drill
from tests.lines import ThinLine

SECONDS, FPS, SIZE_PX = 300, 5, (640, 360)
BEHIND_S = 120.0
"""What a command room may be behind with a flight in the air: as long as a step of what is looked at."""


def measure() -> list[Row]:
    """One row: the most that the province was behind while the film was laid."""
    plan = VideoPlan(seconds=SECONDS, fps=FPS)
    name = f"film-air-{key_of(plan=plan, size=SIZE_PX)}"
    film = made_once(
        ROOT / name,
        lambda out: write_video_drill(
            out, plan=plan, size_px=SIZE_PX, plain=True, truth_rasters=False, seed=3
        ),
    )
    with tempfile.TemporaryDirectory(dir=ROOT) as temporary:
        box, province = Path(temporary, "box"), Path(temporary, "province")
        for data in (box, province):
            run_process((*FLYCAM, "dem", "add", film / "dem.tif", "--data", data))
        with serving(province, {"FLYCAM_BOX": "province"}) as (_, port), ThinLine(port) as line:
            behind_s, laid = _behind(film, box, province, line)
            sent = sum(line.passed.values())
    shares = [round(one) for one in statistics.quantiles(behind_s, n=10)]
    return [
        Row(
            what=f"a flight in the air ({SECONDS} s, {laid} pictures) over 64 kbit/s, 900 ms: behind at most",
            measured=f"{max(behind_s):.0f} s",
            peer=f"{BEHIND_S:.0f} s",
            ratio=max(behind_s) / BEHIND_S,
            required=1.0,
            sense="at most",
            notes=(f"tenths of the time at most {shares} s behind; {sent / 1e6:.2f} MB both ways",),
        )
    ]


def _behind(film: Path, box: Path, province: Path, line: ThinLine) -> tuple[list[float], int]:
    """Seconds that the province was behind, each second from its first picture to the flight's end; pictures
    laid."""
    telemetry = ("--telemetry", film / "flight.srt", "--camera", film / "camera.json")
    sender = _begun("sync", line.url, data=box)
    flight = _begun("live", "--video", film / "flight.mp4", *telemetry, "--realtime", data=box)
    known: list[tuple[float, int]] = []
    behind_s: list[float] = []
    try:
        while flight.poll() is None:
            now_s = time.monotonic()
            here, there = pictures(box), pictures(province)
            known.append((now_s, here))
            if there:
                behind_s.append(now_s - next((at_s for at_s, count in known if count > there), now_s))
            time.sleep(1.0)
    finally:
        sender.terminate()  # begun in the background, it may not hear Ctrl-C
        sender.wait()
    if flight.returncode or not behind_s:
        raise BenchBroken(f"live ended with {flight.returncode}, nothing came to the province")
    return behind_s, pictures(box)


def _begun(*command: str | Path, data: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(part) for part in (*FLYCAM, *command, "--data", data)],
        env={**os.environ, "FLYCAM_BOX": "box"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def pictures(data: Path) -> int:
    """Frames on record now."""
    return sum(count for (count,) in read_beside(data, "SELECT count(*) FROM frames"))
