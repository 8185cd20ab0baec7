"""Films and streams for tests: a small film with numbered pictures, an RTSP server, a sender of MPEG-TS."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.drill.photo_drill import read_truth
from flycam.drill.video_drill import VideoDrillReport
from flycam.drill.video_encoder import VideoEncoder
from flycam.media.mp4 import VideoCodec
from tests.ports import free_port
from tests.waiting import ENOUGH_S, START_S, until

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


@contextmanager
def rtsp_server(film: Path, port: int, played: threading.Event | None = None) -> Iterator[str]:
    """A real RTSP server that plays a film to every client; its address. `played` is set when the first
    begins to see it."""
    command = ["/usr/bin/python3", "-c", _SERVER, str(port), str(film)]
    with running(command, subprocess.PIPE) as server:
        if played is not None:
            threading.Thread(target=lambda: server.stdout.readline() and played.set(), daemon=True).start()
        until(lambda: is_listening(port), "the RTSP server did not start")
        yield f"rtsp://127.0.0.1:{port}/live"


def is_listening(port: int, kind: str = "tcp") -> bool:
    """Whether somebody listens at a port of this machine; kind: "tcp" or "udp"."""
    return any(
        one.laddr and one.laddr.port == port and (kind == "udp" or one.status == psutil.CONN_LISTEN)
        for one in psutil.net_connections(kind)
    )


@dataclass
class OnAir:
    """A film that a server plays, and its telemetry that is sent beside it.

    cut    ends the server
    quiet  ends the telemetry
    """

    url: str
    cut: Callable[[], None]
    quiet: threading.Event = field(default_factory=threading.Event)
    began_s: float | None = None

    @property
    def seconds(self) -> float:
        """Since the first client began to see the film; 0 before. How long that took is the machine's affair,
        and none of what is tested."""
        return 0.0 if self.began_s is None else time.monotonic() - self.began_s


@contextmanager
def on_air(
    film: VideoDrillReport, to: int | Callable[[bytes], object], *, after_s: float = 0.0
) -> Iterator[OnAir]:
    """A server plays the film, and `replayed` sends its telemetry to a UDP port, or to what takes it, from so
    much after somebody begins to see it; then the link is heard still, as the server plays the film again."""
    start_s, played = start_s_of(read_truth(film.truth.parent).facts), threading.Event()
    with ExitStack() as server:
        air = OnAir(server.enter_context(rtsp_server(film.video, free_port(), played)), server.close)

        def send() -> None:
            if played.wait(ENOUGH_S):
                air.began_s = time.monotonic()
                replayed(film.telemetry, to, air.began_s + after_s, start_s, air.quiet)
                still_there(to, air.quiet)

        sender = threading.Thread(daemon=True, target=send)
        sender.start()
        try:
            yield air
        finally:
            air.quiet.set()
            played.set()
            sender.join(ENOUGH_S)


@contextmanager
def transport_stream(film: Path, port: int, coding: VideoCodec = VideoCodec.H264) -> Iterator[str]:
    """A film sent once as MPEG-TS over UDP, at its own speed, once somebody listens; its address."""
    command = [
        *("gst-launch-1.0", "-q", "filesrc", f"location={film}", "!", "qtdemux", "!", f"{coding.value}parse"),
        *("config-interval=-1", "!", "mpegtsmux", "alignment=7", "!"),
        *("udpsink", "host=127.0.0.1", f"port={port}", "sync=true"),
    ]
    is_over = threading.Event()

    def send() -> None:
        until(lambda: is_over.is_set() or is_listening(port, "udp"), within_s=START_S, every_s=0.1)
        with running(command):
            is_over.wait()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        yield f"udp://127.0.0.1:{port}"
    finally:
        is_over.set()
        sender.join(ENOUGH_S)


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


def still_there(to: int | Callable[[bytes], object], over: threading.Event) -> None:
    """What an autopilot that has landed goes on saying."""
    link = mavlink.MAVLink(None, srcSystem=1, srcComponent=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        while not over.wait(0.3):
            packet = bytes(mavlink.MAVLink_heartbeat_message(2, 3, 0, 0, 4, 3).pack(link))
            if isinstance(to, int):
                out.sendto(packet, ("127.0.0.1", to))
            else:
                to(packet)


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
