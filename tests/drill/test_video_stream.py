"""A filmed drill is sent as an aircraft sends it: real sockets, a real program that sends."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import write_drill
from flycam.drill.video_drill import (
    StreamReport,
    VideoDrillReport,
    parse_address,
    stream_drill,
    write_video_drill,
)
from flycam.drill.video_encoder import has_encoder
from flycam.errors import NotFound, OptionUnusable
from flycam.ingest.telemetry.mavlink import read_tlog

pytestmark = pytest.mark.skipif(not has_encoder(), reason="the encoder is not here")

_SECONDS = 5.0
_TS_SYNC = 0x47


class Receiver:
    """Takes what comes to a UDP port, with the moment it came."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(daemon=True, target=self._take)
        self.came: list[tuple[float, bytes]] = []

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self._socket.getsockname()[1])

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _take(self) -> None:
        """Until it is over and nothing waits any more."""
        while True:
            try:
                self.came.append((time.monotonic(), self._socket.recv(65_535)))
            except TimeoutError:
                if self._over.is_set():
                    return


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    return write_video_drill(
        tmp_path_factory.mktemp("sent") / "d",
        seed=3,
        plan=VideoPlan(seconds=_SECONDS, fps=10, strips=1, gsd_m=0.8),
        size_px=(320, 180),
        truth_rasters=False,
    )


def test_both_are_sent_whole_at_their_own_speed(film: VideoDrillReport, tmp_path: Path) -> None:
    ticks: list[tuple[int, int]] = []
    with Receiver() as video, Receiver() as link:
        report = stream_drill(
            film.truth.parent, video.address, link.address, progress=lambda n, m: ticks.append((n, m))
        )
    packets = [data for _, data in link.came]
    stamped = film.telemetry.read_bytes()
    assert report == StreamReport(packets=len(packets), video_s=_SECONDS, complete=True)
    assert len(stamped) == sum(8 + len(packet) for packet in packets)
    again, at = tmp_path / "received.tlog", 0
    with again.open("wb") as out:
        for packet in packets:
            out.write(stamped[at : at + 8] + packet)
            at += 8 + len(packet)
    assert again.read_bytes() == stamped and len(read_tlog(again).track.samples) > 10 * _SECONDS
    assert all(data[0] == _TS_SYNC and len(data) % 188 == 0 for _, data in video.came)
    # the telemetry begins before the first picture and goes on after the last, as on a flight
    assert link.came[0][0] < video.came[0][0] - 1.0 and link.came[-1][0] > video.came[-1][0] - 1.0
    assert video.came[-1][0] - video.came[0][0] > 0.6 * _SECONDS
    assert ticks[-1][0] == ticks[-1][1] >= _SECONDS


def test_a_stop_ends_it_and_one_stream_alone_can_be_asked_for(film: VideoDrillReport) -> None:
    until_s = time.monotonic() + 1.0
    with Receiver() as link:
        report = stream_drill(
            film.truth.parent, None, link.address, stopped=lambda: time.monotonic() > until_s
        )
    assert not report.complete and report.video_s == 0.0
    assert 0 < report.packets == len(link.came)


def test_what_is_no_filmed_drill_or_no_address_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="write a drill"):
        stream_drill(tmp_path, None, None)
    photos = tmp_path / "photos"
    write_drill(photos, photos=(1, 2), size_px=(96, 72), gsd_m=2.0, truth_rasters=False, workers=1)
    with pytest.raises(NotFound, match="--video"):
        stream_drill(photos, None, None)
    assert parse_address("--link", "udp://127.0.0.1:14550") == ("127.0.0.1", 14550)
    for wrong in ("14550", ":14550", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:x", "no host:5600"):
        with pytest.raises(OptionUnusable, match="HOST:PORT"):
            parse_address("--link", wrong)
