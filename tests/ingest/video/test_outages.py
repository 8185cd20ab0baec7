"""A stream that is lost and comes back, over real UDP: how old its last picture is, what is counted."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from flycam.ingest.video.video_source import OutageCounter, Outages, VideoFrame, VideoSource
from tests.ingest.video import streaming
from tests.ports import free_port
from tests.waiting import ENOUGH_S, until

_SECONDS, _FPS = 3.0, 30
SECOND = 10**9


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """Three seconds of MPEG-TS, and a minute of it: so long a receiver may take to hear that it is back."""
    folder = tmp_path_factory.mktemp("film")
    return transport_stream(folder, _SECONDS), transport_stream(folder, 20.0 * _SECONDS)


def transport_stream(folder: Path, seconds: float) -> bytes:
    film = streaming.write_film(folder / f"{seconds}.mp4", pictures=round(seconds * _FPS), fps=_FPS)
    return streaming.as_transport_stream(film, folder / f"{seconds}.ts").read_bytes()


class Aircraft:
    """Sends a film at its own speed, as soon as somebody listens."""

    def __init__(self, data: bytes, seconds: float, port: int) -> None:
        self._datagrams = [data[at : at + 1316] for at in range(0, len(data), 1316)]
        self._seconds, self._port, self.over = seconds, port, threading.Event()
        self.landed_ns = 0

    def fly(self) -> None:
        until(lambda: self.over.is_set() or streaming.is_listening(self._port, "udp"))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for datagram in self._datagrams:
                out.sendto(datagram, ("127.0.0.1", self._port))
                if self.over.wait(self._seconds / len(self._datagrams)):
                    return
        self.landed_ns = time.monotonic_ns()


def test_a_lost_stream_is_as_old_as_its_last_picture_and_its_loss_is_counted(
    sent: tuple[bytes, bytes],
) -> None:
    """MPEG-TS's last picture is given six seconds after it came, once the silence has lasted so long."""
    port = free_port(socket.SOCK_DGRAM)
    aircraft, back = Aircraft(sent[0], _SECONDS, port), Aircraft(sent[1], 20.0 * _SECONDS, port)
    first = threading.Thread(target=aircraft.fly, daemon=True)
    first.start()
    seen: list[VideoFrame] = []
    with VideoSource(f"udp://127.0.0.1:{port}") as source:
        taking = threading.Thread(target=lambda: [seen.append(p) for p in source.frames()], daemon=True)
        taking.start()
        first.join(ENOUGH_S)
        last = round(_SECONDS * _FPS) - 1
        until(lambda: seen and streaming.number_of(seen[-1].pixels) == last, "the held one did not come")
        landed_ns, came = aircraft.landed_ns, len(seen)
        # when it came, not when it was given; between the two a slow machine may rest
        assert seen[-1].arrived_ns < landed_ns + 5 * SECOND
        assert source.health.arrived_ns is not None and source.health.arrived_ns < landed_ns + 5 * SECOND
        assert source.outages == Outages() and not source.remarks
        then = threading.Thread(target=back.fly, daemon=True)
        then.start()
        until(lambda: len(seen) > came + 10)
        source.stop()
        taking.join(ENOUGH_S)
    back.over.set()
    then.join(ENOUGH_S)
    outages = source.outages
    assert outages is not None and outages.count == 1 and outages.seconds > 5.0
    english, vi = source.remarks[0].to_fields().values()
    assert "was lost once" in english and f"{outages.seconds:.0f} s without pictures" in english
    assert "mất hình 1 lần" in vi


def test_what_ends_a_stream_is_no_outage_and_is_said() -> None:
    count = OutageCounter()
    for second in (0, 1, 2, 30, 31, 43, 44):
        count.add(second * SECOND, fps=30.0)
    assert count.outages() == count.outages(stopped_ns=45 * SECOND) == Outages(2, 40.0)
    told = count.outages(stopped_ns=54 * SECOND)
    assert told == Outages(2, 40.0, 10.0)
    (lost, lost_vi), (last, last_vi) = (one.to_fields().values() for one in told.remarks("udp://@:5600"))
    assert "2 times, 40 s" in lost and "2 lần, tổng cộng 40 giây" in lost_vi
    assert "last 10 s" in last and "10 giây cuối" in last_vi
    assert Outages().remarks("udp://@:5600") == ()


def test_a_stream_of_few_pictures_is_not_lost_between_them() -> None:
    count = OutageCounter()
    for second in (0, 4, 8, 20):
        count.add(second * SECOND, fps=0.5)
    assert count.outages() == Outages(1, 12.0)
