"""A stream that is lost and comes back, over real UDP: how old its last picture is, what is counted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flycam.ingest.outages import OutageCount, Outages
from flycam.ingest.video import VideoPicture, VideoSource
from tests.ingest import streaming

_SECONDS, _FPS = 3.0, 30
SECOND = 10**9


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Three seconds of MPEG-TS."""
    folder = tmp_path_factory.mktemp("film")
    film = streaming.write_film(folder / "film.mp4", pictures=round(_SECONDS * _FPS), fps=_FPS)
    return streaming.as_transport_stream(film, folder / "film.ts").read_bytes()


class Aircraft:
    """Sends the film once, at its own speed, each time it is told to fly, as soon as somebody listens."""

    def __init__(self, data: bytes, port: int) -> None:
        self._datagrams = [data[at : at + 1316] for at in range(0, len(data), 1316)]
        self._port, self.over = port, threading.Event()
        self.landed_ns = 0

    def fly(self) -> None:
        while not any(one.laddr.port == self._port for one in psutil.net_connections("udp")):
            if self.over.wait(0.05):
                return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for datagram in self._datagrams:
                out.sendto(datagram, ("127.0.0.1", self._port))
                if self.over.wait(_SECONDS / len(self._datagrams)):
                    return
        self.landed_ns = time.monotonic_ns()


def until(so: Callable[[], object], seconds: float = 90.0) -> None:
    end_s = time.monotonic() + seconds
    while not so() and time.monotonic() < end_s:
        time.sleep(0.1)


def test_a_lost_stream_is_as_old_as_its_last_picture_and_its_loss_is_counted(sent: bytes) -> None:
    """MPEG-TS's last picture is given six seconds after it came, once the silence has lasted so long."""
    port = streaming.free_port(socket.SOCK_DGRAM)
    aircraft = Aircraft(sent, port)
    first = threading.Thread(target=aircraft.fly, daemon=True)
    first.start()
    seen: list[VideoPicture] = []
    with VideoSource(f"udp://127.0.0.1:{port}") as source:
        taking = threading.Thread(target=lambda: [seen.append(p) for p in source.pictures()], daemon=True)
        taking.start()
        first.join(60.0)
        until(lambda: seen and streaming.number_of(seen[-1].pixels) == round(_SECONDS * _FPS) - 1)
        assert streaming.number_of(seen[-1].pixels) == round(_SECONDS * _FPS) - 1, "the held one came"
        landed_ns, came = aircraft.landed_ns, len(seen)
        assert seen[-1].arrived_ns < landed_ns + 3 * SECOND
        assert source.health.arrived_ns is not None and source.health.arrived_ns < landed_ns + 3 * SECOND
        assert source.outages == Outages() and not source.remarks
        aircraft.fly()  # it is back
        until(lambda: len(seen) > came + 10)
        assert len(seen) > came + 10
        source.stop()
        taking.join(10.0)
    aircraft.over.set()
    outages = source.outages
    assert outages is not None and outages.count == 1 and outages.seconds > 5.0
    (english, vi), *_ = source.remarks
    assert "was lost once" in english and f"{outages.seconds:.0f} s without pictures" in english
    assert "mất hình 1 lần" in vi


def test_what_ends_a_stream_is_no_outage_and_is_said() -> None:
    count = OutageCount()
    for second in (0, 1, 2, 30, 31, 43, 44):
        count.add(second * SECOND, fps=30.0)
    assert count.told() == count.told(stopped_ns=45 * SECOND) == Outages(2, 40.0)
    told = count.told(stopped_ns=54 * SECOND)
    assert told == Outages(2, 40.0, 10.0)
    (lost, lost_vi), (last, last_vi) = told.said("udp://@:5600")
    assert "2 times, 40 s" in lost and "2 lần, tổng cộng 40 giây" in lost_vi
    assert "last 10 s" in last and "10 giây cuối" in last_vi
    assert Outages().said("udp://@:5600") == ()


def test_a_stream_of_few_pictures_is_not_lost_between_them() -> None:
    count = OutageCount()
    for second in (0, 4, 8, 20):
        count.add(second * SECOND, fps=0.5)
    assert count.told() == Outages(1, 12.0)


def test_a_film_has_no_outages(tmp_path: Path) -> None:
    film = streaming.write_film(tmp_path / "film.mp4", pictures=10)
    with VideoSource(str(film)) as source:
        assert len(list(source.pictures())) == 10
    assert source.outages is None and source.remarks == ()
