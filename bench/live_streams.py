"""`flycam live` on a stream of 1080p30 H.264 and a MAVLink link on this machine: how soon, how late, what is
lost.

The film of `live-speed` is sent as an aircraft sends it, over UDP as MPEG-TS and by a real RTSP server, its
telemetry over UDP. The clocks' difference is given: how long it takes to be found
is another matter (15 s of motion at the least).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.flights import ROOT
from bench.live_speed import (
    FPS,
    LOADED,
    PLAN,
    SECONDS,
    SIZE_PX,
    first_tile_row,
    lateness_rows,
    plain_film,
)
from bench.processes import FLYCAM, BenchBroken
from bench.table import Row
from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import TELEMETRY_NAME, VIDEO_NAME
from tests.ingest.video.streaming import replayed, rtsp_server, running, start_s_of
from tests.ports import free_port

_BEFORE_S = 4.0  # the receiver is started, as in a command room, before the aircraft is


def measure() -> list[Row]:
    """Rows of both ways; the film is rendered into `.bench/` once."""
    film = plain_film("speed", PLAN, SIZE_PX)
    return [row for how in ("udp", "rtsp") for row in _rows(how, film)]


def _rows(how: str, film: Path) -> list[Row]:
    load = os.getloadavg()[0]
    told = _flown(how, film)
    lost = ", ".join(f"{n} {why}" for why, n in told["dropped"].items()) or "none"
    notes = (f"left out: {lost}", f"load {load:.1f} as it began", LOADED)
    what, many = f"1080p30 over {how.upper()}", SECONDS * FPS
    return [
        first_tile_row(what, told, notes),
        Row(
            what=f"{what}, pictures of the film that came to be chosen from",
            measured=f"{told['decoded']} of {many:.0f}, {told['new']} laid",
            peer="-",
            ratio=told["decoded"] / many,
            required=0.9,
            sense="at least",
            notes=notes,
        ),
        *lateness_rows(what, told, notes),
    ]


def _flown(how: str, film: Path) -> dict:
    """The command's answer; it is stopped as an operator stops it, once all was sent."""
    link, video = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    with tempfile.TemporaryDirectory(dir=ROOT) as data, tempfile.TemporaryFile("w+") as said:
        with _sent(how, film, video, link) as (url, wait_until_sent):
            command = [*FLYCAM, "live", "--data", data, "--video", url, "--json", "--drill"]
            command += ["--telemetry", f"udp://127.0.0.1:{link}", "--clock-offset", "0"]
            command += ["--camera", film / "camera.json", "--dem", film / "dem.tif"]
            live = subprocess.Popen([str(part) for part in command], stdout=said)
            try:
                wait_until_sent()
                live.send_signal(signal.SIGINT)
                live.wait(120.0)
            finally:
                live.kill()
                live.wait()
        said.seek(0)
        lines = said.read().splitlines()
    if live.returncode != 0 or not lines:
        raise BenchBroken(f"live over {how} ended with {live.returncode}")
    return json.loads(lines[-1])


@contextmanager
def _sent(how: str, film: Path, video: int, link: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """The address of the film, and what waits until all was sent."""
    if how == "udp":
        resend = [*FLYCAM, "drill", "--video", "--out", str(film), "--resend", "--link", f"127.0.0.1:{link}"]
        resend += ["--stream", f"127.0.0.1:{video}"]
        with running(["sh", "-c", f'sleep {_BEFORE_S}; exec "$@"', "sh", *resend]) as sender:
            yield f"udp://127.0.0.1:{video}", lambda: sender.wait(SECONDS + 60.0)
        return
    played, over = threading.Event(), threading.Event()

    def told() -> None:
        if played.wait(60.0):
            start_s = start_s_of(read_truth(film).facts)
            replayed(film / TELEMETRY_NAME, link, time.monotonic(), start_s, over)

    sending = threading.Thread(target=told, daemon=True)
    # a server plays the film to whoever connects; its telemetry is of the same moments
    with rtsp_server(film / VIDEO_NAME, free_port(), played) as url:
        sending.start()
        yield url, lambda: sending.join(SECONDS + 60.0)
        over.set()
