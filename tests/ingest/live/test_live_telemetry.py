"""A link's poses: there as soon as the packets are, settled anew now and then."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from flycam.ingest.live.telemetry import LinkedTelemetry
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.mavlink_link import LinkHealth
from flycam.messages import Message
from flycam.model.telemetry import TelemetryTrack
from tests.ingest.video.test_video_poses import GROUND_M, samples, terrain


def _never() -> bool:
    return False


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
