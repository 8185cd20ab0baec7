"""Films and streams for tests: a small film with numbered pictures, an RTSP server, a sender of MPEG-TS."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np

from flycam.drill.video_encoder import VideoEncoder
from flycam.frame.nal import Coding

SIZE_PX = (160, 96)
BEGUN_S = 1_788_574_380
_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer, GLib
Gst.init(None)
port, path = sys.argv[1:3]
server = GstRtspServer.RTSPServer(); server.set_address("127.0.0.1"); server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
film = f'filesrc location="{path}" ! qtdemux ! h264parse ! rtph264pay name=pay0 config-interval=1'
factory.set_launch(f'( {film} )')
server.get_mount_points().add_factory("/live", factory); server.attach(None)
played = lambda *_: print("played", flush=True)
server.connect("client-connected", lambda _, client: client.connect("play-request", played))
GLib.MainLoop().run()
"""


def bar_of(number: int) -> np.ndarray:
    """A picture that says its number: eight squares, white for a 1, above a ramp that tells red from blue."""
    width, height = SIZE_PX
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        picture[: height // 2, 20 * bit : 20 * bit + 20] = 230 if number >> bit & 1 else 20
    picture[height // 2 :, :, 0] = np.linspace(40, 220, width).astype(np.uint8)
    picture[height // 2 :, :, 2] = 40
    return picture


def number_of(pixels: np.ndarray) -> int:
    """The number that a picture says."""
    row = pixels[SIZE_PX[1] // 4].astype(int).sum(-1) > 3 * 125
    return sum(int(row[20 * bit + 10]) << bit for bit in range(8))


def write_film(path: Path, pictures: int = 60, fps: int = 30) -> Path:
    """A film of numbered pictures, dated BEGUN_S."""
    with VideoEncoder(path, SIZE_PX, fps, BEGUN_S) as encoder:
        for number in range(pictures):
            encoder.write(bar_of(number))
    return path


def write_h265_film(path: Path, pictures: int = 60, fps: int = 30) -> Path:
    """A film of numbered pictures in H.265, a key frame each second, with pictures that look ahead."""
    width, height = SIZE_PX
    command = [
        *("gst-launch-1.0", "-q", "fdsrc", "fd=0", "!", "rawvideoparse", "format=rgb"),
        *(f"width={width}", f"height={height}", f"framerate={fps}/1", "!", "videoconvert"),
        *("!", "video/x-raw,format=I420", "!", "x265enc", f"key-int-max={fps}", "qp=20"),
        *("!", "h265parse", "!", "mp4mux", "!", "filesink", f"location={path}"),
    ]
    raw = b"".join(bar_of(number).tobytes() for number in range(pictures))
    subprocess.run(command, input=raw, check=True, timeout=120, stdout=subprocess.DEVNULL)
    return path


def as_transport_stream(film: Path, path: Path) -> Path:
    """The film's pictures in an MPEG-TS file."""
    command = ["gst-launch-1.0", "-q", "filesrc", f"location={film}", "!", "qtdemux", "!", "h264parse"]
    command += ["config-interval=-1", "!", "mpegtsmux", "!", "filesink", f"location={path}"]
    subprocess.run(command, check=True, timeout=60)
    return path


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def rtsp_server(film: Path, port: int, played: threading.Event | None = None) -> Iterator[str]:
    """A real RTSP server that plays a film to every client; its address. `played` is set when the first
    begins to see it."""
    command = ["/usr/bin/python3", "-c", _SERVER, str(port), str(film)]
    with running(command, subprocess.PIPE) as server:
        if played is not None:
            threading.Thread(target=lambda: server.stdout.readline() and played.set(), daemon=True).start()
        until_s = time.monotonic() + 90.0
        while time.monotonic() < until_s:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"rtsp://127.0.0.1:{port}/live"


@contextmanager
def transport_stream(film: Path, port: int, coding: Coding = Coding.H264) -> Iterator[str]:
    """A film sent once as MPEG-TS over UDP at its own speed; the receiver's address."""
    command = [
        *("gst-launch-1.0", "-q", "filesrc", f"location={film}", "!", "qtdemux", "!", f"{coding.value}parse"),
        *("config-interval=-1", "!", "mpegtsmux", "alignment=7", "!"),
        *("udpsink", "host=127.0.0.1", f"port={port}", "sync=true"),
    ]
    with running(command):
        yield f"udp://127.0.0.1:{port}"


def replayed(
    tlog: Path,
    to: int | Callable[[bytes], object],
    film_at_s: float,
    start_s: float,
    over: threading.Event,
) -> None:
    """Send a tlog's packets to a UDP port, or to what takes them, those of `start_s` (the tlog's clock) at
    `film_at_s` (monotonic); those of before at once."""
    data, at = tlog.read_bytes(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        while at < len(data) and not over.is_set():
            (stamp,) = struct.unpack_from(">Q", data, at)
            length = 12 + data[at + 9]
            time.sleep(max(0.0, film_at_s + stamp / 1e6 - start_s - time.monotonic()))
            packet = data[at + 8 : at + 8 + length]
            if isinstance(to, int):
                out.sendto(packet, ("127.0.0.1", to))
            else:
                to(packet)
            at += 8 + length


def start_s_of(facts: dict) -> float:
    """What the clock of a filmed drill's tlog shows at film time 0."""
    return datetime.fromisoformat(facts["video"]["start_utc"]).timestamp() + facts["clock_offset_s"]


@contextmanager
def running(command: list[str], stdout: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended, by its own number, on the way out."""
    process = subprocess.Popen(command, stdout=stdout, stderr=sys.stderr.fileno())
    try:
        yield process
    finally:
        process.kill()
        process.wait()
