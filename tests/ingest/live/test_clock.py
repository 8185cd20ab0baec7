"""What the pictures' motion and a link that forgets tell of the clock and the place, also after a jump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from flycam.ingest.live import telemetry as live_clock
from flycam.ingest.live.telemetry import LinkedTelemetry, LiveClock
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.mavlink_link import LinkHealth
from flycam.ingest.video.clock_offset import (
    ClockOffset,
    ImageMotion,
    LoggedPoses,
    estimate_offset,
    make_unknown_offset,
)
from flycam.ingest.video.video_source import VideoFrame
from flycam.messages import Message
from flycam.model.telemetry import TelemetryTrack
from tests.ingest.video.test_clock_offset import CAMERA, flight, motions_between
from tests.ingest.video.test_video_poses import GROUND_M, samples, terrain

FPS = 10


def silent() -> LoggedPoses:
    return since(flight(1, turns=False), float("inf"))


def since(poses: LoggedPoses, from_s: float) -> LoggedPoses:
    """A log that begins then."""
    is_later = poses.time_s >= from_s
    names = ("time_s", "centre_m", "rotation", "above_m")
    return replace(poses, **{name: getattr(poses, name)[is_later] for name in names})


class Meter:
    """Sees a motion between each picture and the one before."""

    def __init__(self, interior: object) -> None:
        self._last_s: float | None = None

    def add(self, now_s: float, _pixels: object) -> ImageMotion | None:
        last_s, self._last_s = self._last_s, now_s
        return None if last_s is None else ImageMotion(last_s, now_s, (0.0, 0.0, 0.0))


def picture(at_s: float, breaks: int) -> VideoFrame:
    at_ns = round(at_s * 1e9)
    pixels = np.zeros((4, 4, 3), np.uint8)
    return VideoFrame(pts_ns=at_ns, t_utc_ns=at_ns, arrived_ns=at_ns, pixels=pixels, breaks=breaks)


@pytest.fixture
def looks_at(monkeypatch: pytest.MonkeyPatch) -> list[list[ImageMotion]]:
    """The motions of every look; the clock is known where they are many and of one stretch of time."""
    looks: list[list[ImageMotion]] = []

    def estimate(motions: Sequence[ImageMotion], *_: object) -> ClockOffset:
        looks.append(list(motions))
        if len(motions) < 20 * FPS:
            return make_unknown_offset()
        return ClockOffset(1.0 if motions[0].first_s < 40.0 else 1.25, 0.02, drift=1e-4, motions=len(motions))

    monkeypatch.setattr(live_clock, "estimate_offset", estimate)
    monkeypatch.setattr(live_clock, "ImageMotionEstimator", Meter)
    return looks


def test_after_a_jump_older_motions_are_forgotten_and_the_offset_stands_until_another_is_known(
    looks_at: list[list[ImageMotion]],
) -> None:
    clock = LiveClock(silent, None)  # type: ignore[arg-type]  what `looks_at` does not look at
    for n in range(30 * FPS):
        clock.add(picture(n / FPS, 0))
    assert (clock.offset.offset_s, clock.offset.is_known, clock.is_settled) == (1.0, True, True)
    sigma_s = clock.offset.sigma_s
    before_s, looked = clock.to_log_s(45 * 10**9), len(looks_at)
    clock.add(picture(45.0, 1))
    assert (clock.offset.offset_s, clock.offset.drift) == (pytest.approx(1.0, abs=0.01), 0.0)
    assert clock.to_log_s(45 * 10**9) == pytest.approx(before_s)
    assert sigma_s < clock.offset.sigma_s and clock.offset.is_known
    for n in range(1, 18 * FPS):
        clock.add(picture(45.0 + n / FPS, 1))
    assert len(looks_at) > looked, "it looks again"
    assert clock.offset.offset_s == pytest.approx(1.0, abs=0.01), "fifteen seconds did not tell another"
    for n in range(18 * FPS, 60 * FPS):
        clock.add(picture(45.0 + n / FPS, 1))
    assert clock.offset.offset_s == 1.25
    assert min(one.first_s for look in looks_at[looked:] for one in look) == 45.0


class Replayed:
    """Sees the motions given, each as its second picture comes."""

    def __init__(self, motions: Sequence[ImageMotion]) -> None:
        self._by_time = {round(one.second_s * FPS): one for one in motions}

    def add(self, now_s: float, _pixels: object) -> ImageMotion | None:
        return self._by_time.get(round(now_s * FPS))


def test_a_log_that_begins_anew_leaves_the_clock_known_and_the_old_motions_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    poses, battery_s = flight(5, turns=True, seconds=110.0), 50.0
    seen = motions_between(poses, 0.0, 100.0, offset_s=1.5, noise=0.1)
    looks: list[tuple[float, ClockOffset]] = []

    def looked(motions: Sequence[ImageMotion], *given: object) -> ClockOffset:
        found = estimate_offset(motions, *given)  # type: ignore[arg-type]
        looks.append((motions[0].second_s, found))
        return found

    monkeypatch.setattr(live_clock, "estimate_offset", looked)
    monkeypatch.setattr(live_clock, "ImageMotionEstimator", lambda interior: Replayed(seen))
    logs = [poses]
    clock = LiveClock(lambda: logs[0], CAMERA)
    found = []
    for n in range(100 * FPS):
        if n == round(battery_s * FPS):
            logs[0] = since(poses, battery_s)
        clock.add(picture(n / FPS, 0))
        found.append(clock.offset)
    first = next(n for n, one in enumerate(found) if one.is_known)
    assert first < 40 * FPS
    assert all(one.is_known and abs(one.offset_s - 1.5) <= 3.0 * one.sigma_s for one in found[first:])
    began_s, last = looks[-1]
    assert began_s >= battery_s - 5.0, "at no offset is anything told of what was seen before"
    assert last.is_known and last.at_s > battery_s, "found again, by what was seen since"


@pytest.mark.parametrize(
    ("later_s", "sigma_s", "known_s"), [(1.03, 0.15, 1.0), (1.03, 0.01, 1.03), (1.9, 0.15, 1.9)]
)
def test_a_worse_offset_replaces_a_better_one_only_where_they_cannot_both_be_true(
    monkeypatch: pytest.MonkeyPatch, later_s: float, sigma_s: float, known_s: float
) -> None:
    def estimate(motions: Sequence[ImageMotion], *_: object) -> ClockOffset:
        is_later = motions[-1].second_s > 30.0
        return ClockOffset(later_s, sigma_s) if is_later else ClockOffset(1.0, 0.02)

    monkeypatch.setattr(live_clock, "estimate_offset", estimate)
    monkeypatch.setattr(live_clock, "ImageMotionEstimator", Meter)
    clock = LiveClock(silent, None)  # type: ignore[arg-type]  `estimate` does not look at it
    for n in range(80 * FPS):
        clock.add(picture(n / FPS, 0))
    assert clock.offset.is_known and clock.offset.offset_s == known_s


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
