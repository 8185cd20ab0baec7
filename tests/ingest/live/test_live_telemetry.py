"""A link's poses: there as soon as the packets are, settled anew now and then."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from pymavlink.dialects.v20 import ardupilotmega as mavlink

from flycam.errors import PositionMissing
from flycam.ingest.live import telemetry as live_telemetry
from flycam.ingest.live.telemetry import LinkedTelemetry
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.mavlink_link import LinkHealth, MavlinkLink
from flycam.messages import Message
from flycam.model.telemetry import TelemetryTrack
from tests.ingest.video.test_video_poses import GROUND_M, samples, terrain
from tests.ports import free_port
from tests.waiting import until


def _never() -> bool:
    return False


class Sender:
    """An aircraft that flies north at 10 m/s and looks down, on UDP."""

    def __init__(self, port: int) -> None:
        self._mavlink = mavlink.MAVLink(None, srcSystem=1, srcComponent=1)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._to = ("127.0.0.1", port)

    def send(self, k: int, north_m: float = 0.0) -> None:
        """The k-th tenth of a second."""
        lat = 219_000_000 + k * 90 + round(north_m * 90)
        boot_ms, down = 60_000 + 100 * k, -np.pi / 2.0
        quaternion = (np.cos(down / 2.0), 0.0, np.sin(down / 2.0), 0.0)
        for message in (
            mavlink.MAVLink_global_position_int_message(
                boot_ms, lat, 1_048_000_000, 700_000, 80_000, 1000, 0, 0, 0
            ),
            mavlink.MAVLink_attitude_message(boot_ms, 0.0, -0.1, 0.0, 0.0, 0.0, 0.0),
            mavlink.MAVLink_gimbal_device_attitude_status_message(
                0, 0, boot_ms, 32, quaternion, 0.0, 0.0, 0.0, 0
            ),
        ):
            self._socket.sendto(bytes(message.pack(self._mavlink)), self._to)


@pytest.fixture
def linked(monkeypatch: pytest.MonkeyPatch) -> tuple[LinkedTelemetry, Sender]:
    monkeypatch.setattr(live_telemetry, "_SETTLE_S", 1e9)  # only what follows on
    port = free_port(socket.SOCK_DGRAM)
    sender = Sender(port)
    with MavlinkLink(f"udp://127.0.0.1:{port}") as link:
        began_ns = time.time_ns()
        for k in range(20):
            sender.send(k)
            time.sleep(0.1)
        until(lambda: link.health.messages == 3 * 20)
        telemetry = LinkedTelemetry(link, None, began_ns)
        telemetry.wait(_never)
        yield telemetry, sender


def test_a_pose_is_there_as_soon_as_its_packets_are(linked: tuple[LinkedTelemetry, Sender]) -> None:
    telemetry, sender = linked
    waited = []
    for k in range(20, 35):
        sent_s = time.monotonic()
        last_s = telemetry.log_poses.time_s[-1]
        assert not telemetry.covers(last_s + 0.05)
        sender.send(k)
        until(lambda last_s=last_s: refreshed(telemetry).covers(last_s + 0.05), every_s=0.005)
        waited.append(time.monotonic() - sent_s)
        time.sleep(max(0.0, 0.1 - waited[-1]))
    pose = telemetry.poses.exterior_at(telemetry.poses.track.samples[-1].t_utc_ns, 0.0)
    assert pose.rotation[2][2] == pytest.approx(-1.0, abs=1e-3)  # the gimbal's, not the aircraft's
    assert len(telemetry.log_poses.time_s) == len(telemetry.poses.track.samples)
    print(f"a pose waited {1e3 * float(np.median(waited)):.0f} ms (median) for its packets to be read")


def refreshed(telemetry: LinkedTelemetry) -> LinkedTelemetry:
    telemetry.refresh()
    return telemetry


def test_what_the_link_forgets_still_counts() -> None:
    """The ground it took off from, and samples not believed: of a link that remembers ten seconds."""
    every = [
        replace(sample, relative_height_m=min(80.0, k / 2.0), fix="none" if 30 <= k < 40 else "3d")
        for k, sample in enumerate(samples(400))
    ]
    at = 0

    def log(last_s: float = 10.0) -> FlightLog:
        track = TelemetryTrack(samples=tuple(every[max(0, at - round(10 * min(last_s, 10.0))) : at]))
        said = (Message("{count} packets late", {"count": at}),)
        return FlightLog(name="udp", track=track, clock="test", remarks=said)

    link = SimpleNamespace(log=log, health=LinkHealth(), silent_s=0.0)
    telemetry = LinkedTelemetry(link, terrain, 0)
    for at in range(50, 401, 50):  # noqa: B007  what the link has heard by then
        assert telemetry._settled()
    assert telemetry.poses.track.samples[0].relative_height_m == 80.0
    assert telemetry.poses.home_m == pytest.approx(GROUND_M)
    assert telemetry.count_rejected_samples() == {"no_fix": 10}
    assert [str(one) for one in telemetry.remarks()] == ["400 packets late"]  # of a kind the newest


def test_a_link_that_says_nothing_is_given_up_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_telemetry, "_FIRST_POSITION_S", 0.3)
    with (
        MavlinkLink(f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}") as link,
        pytest.raises(PositionMissing, match="told no position"),
    ):
        LinkedTelemetry(link, None, 0).wait(_never)
