"""What the pictures' own motion tells of the clock, and what becomes of it where the stream's time jumps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from flycam.ingest.video import VideoPicture
from flycam.ingest.video_clock import ClockOffset, unknown_offset
from flycam.ingest.video_motion import Motion
from flycam.pipeline import live_clock
from flycam.pipeline.live_clock import LiveClock

FPS = 10


class Meter:
    """Sees a motion between each picture and the one before."""

    def __init__(self) -> None:
        self._last_s: float | None = None

    def add(self, now_s: float, _pixels: object) -> Motion | None:
        last_s, self._last_s = self._last_s, now_s
        return None if last_s is None else Motion(last_s, now_s, (0.0, 0.0, 0.0))


def picture(at_s: float, breaks: int) -> VideoPicture:
    at_ns = round(at_s * 1e9)
    pixels = np.zeros((4, 4, 3), np.uint8)
    return VideoPicture(pts_ns=at_ns, t_utc_ns=at_ns, arrived_ns=at_ns, pixels=pixels, breaks=breaks)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[Motion]]:
    """The motions of every look; the clock is known where they are many and of one stretch of time."""
    looks: list[list[Motion]] = []

    def estimate(motions: Sequence[Motion], *_: object) -> ClockOffset:
        looks.append(list(motions))
        if len(motions) < 20 * FPS:
            return unknown_offset()
        return ClockOffset(1.0 if motions[0].first_s < 40.0 else 1.25, 0.02, drift=1e-4, motions=len(motions))

    monkeypatch.setattr(live_clock, "estimate_offset", estimate)
    monkeypatch.setattr(live_clock, "MotionMeter", Meter)
    return looks


def test_after_a_jump_older_motions_are_forgotten_and_the_offset_stands_until_another_is_known(
    asked: list[list[Motion]],
) -> None:
    clock = LiveClock(lambda: None, None)  # type: ignore[arg-type, return-value]  what `asked` does not look at
    for n in range(30 * FPS):
        clock.add(picture(n / FPS, 0))
    assert (clock.offset.offset_s, clock.offset.is_known, clock.is_settled) == (1.0, True, True)
    sigma_s = clock.offset.sigma_s
    before_s, looked = clock.log_s(45 * 10**9), len(asked)
    clock.add(picture(45.0, 1))
    assert (clock.offset.offset_s, clock.offset.drift) == (pytest.approx(1.0, abs=0.01), 0.0)
    assert clock.log_s(45 * 10**9) == pytest.approx(before_s)
    assert sigma_s < clock.offset.sigma_s and clock.offset.is_known
    for n in range(1, 18 * FPS):
        clock.add(picture(45.0 + n / FPS, 1))
    assert len(asked) > looked, "it looks again"
    assert clock.offset.offset_s == pytest.approx(1.0, abs=0.01), "fifteen seconds did not tell another"
    for n in range(18 * FPS, 60 * FPS):
        clock.add(picture(45.0 + n / FPS, 1))
    assert clock.offset.offset_s == 1.25
    assert min(one.first_s for look in asked[looked:] for one in look) == 45.0


def test_a_jump_before_the_clock_is_known_makes_nobody_wait_longer(
    asked: list[list[Motion]],
) -> None:
    clock = LiveClock(lambda: None, None)  # type: ignore[arg-type, return-value]  what `asked` does not look at
    for n in range(76 * FPS):
        clock.add(picture(n / FPS, n // (14 * FPS)))
        if clock.is_settled:
            break
    assert clock.is_settled and not clock.offset.is_known
