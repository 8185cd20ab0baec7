"""How a live flight comes to know its clock: told by the operator, shared with the log, or seen."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable

from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.video import VideoPicture
from flycam.ingest.video_clock import REACH_S, ClockOffset, estimate_offset, unknown_offset
from flycam.ingest.video_motion import Motion, MotionMeter, ToldPoses

TOLD_SIGMA_S, SHARED_SIGMA_S = 0.05, 0.02
FIRST_LOOK_S, LOOK_EVERY_S, _LOOK_SELDOM_S = 15.0, 5.0, 30.0
MOST_MOTIONS = 1500  # motions remembered: two and a half minutes
LONGEST_WAIT_S = 60.0
_JUMP_SIGMA_S = 0.1  # how well the least lateness of pictures tells where time goes on after a jump


class LiveClock:
    """Fed every picture; `offset` is what is known by now. Times are seconds of the video's and the log's
    clock, each since its own zero.

    told        what the log tells by now
    is_settled  whether pictures are to be laid by `offset`: it is known, or waiting any longer is no use
    """

    def __init__(
        self,
        told: Callable[[], ToldPoses],
        interior: InteriorOrientation,
        *,
        given_s: float | None = None,
        is_shared: bool = False,
        around_s: float = 0.0,
        reach_s: float = REACH_S,
    ) -> None:
        self._told, self._interior = told, interior
        self._around_s, self._reach_s = around_s, reach_s
        self._meter = MotionMeter()
        self._motions: deque[Motion] = deque(maxlen=MOST_MOTIONS)
        self._began_s: float | None = None
        self._since_s: float | None = None
        self._breaks = 0
        self._before_jump: ClockOffset | None = None
        self._looked_s = float("-inf")
        self._is_fixed = given_s is not None or is_shared
        self.offset = unknown_offset(around_s, reach_s)
        self.is_settled = self._is_fixed
        if given_s is not None:
            self.offset = ClockOffset(given_s, TOLD_SIGMA_S)
        elif is_shared:
            self.offset = ClockOffset(0.0, SHARED_SIGMA_S)

    def remember(self, motions: Iterable[Motion]) -> None:
        """What was seen of the video before any picture came here."""
        self._motions.extend(motions)
        if self._motions and not self._is_fixed:
            self._began_s = self._since_s = self._motions[0].first_s
            self._look_at(self._motions[-1].second_s)

    def add(self, picture: VideoPicture) -> None:
        """Measure a picture's motion and, now and then, what all of it says."""
        if self._is_fixed:
            return
        now_s = picture.pts_ns / 1e9
        if picture.breaks != self._breaks:
            self._breaks = picture.breaks
            self._forget(picture.pts_ns)
        self._began_s = now_s if self._began_s is None else self._began_s
        self._since_s = now_s if self._since_s is None else self._since_s
        motion = self._meter.add(now_s, picture.pixels)
        if motion is not None:
            self._motions.append(motion)
        is_seen = self.offset.is_known and self._before_jump is None
        every_s = _LOOK_SELDOM_S if is_seen else LOOK_EVERY_S
        sees_enough = now_s - self._since_s >= FIRST_LOOK_S or now_s - self._began_s >= LONGEST_WAIT_S
        if sees_enough and now_s - self._looked_s >= every_s:
            self._look_at(now_s)

    def settle(self) -> None:
        """Estimate from all that was seen, and stay with it."""
        if not self._is_fixed:
            self._look()
        self._is_fixed = self.is_settled = True

    def _forget(self, pts_ns: int) -> None:
        """The video's time has jumped, or is dated otherwise: what was seen before tells nothing of the clock
        from here on. Its offset stands until another is known, as well as anything is known of it."""
        self._motions.clear()
        self._meter = MotionMeter()
        self._since_s = None
        if self.offset.is_known:
            sigma_s = math.hypot(self.offset.sigma_s, _JUMP_SIGMA_S)
            self._before_jump = ClockOffset(self.log_s(pts_ns) - pts_ns / 1e9, sigma_s, pts_ns / 1e9)
            self.offset = self._before_jump

    def _look_at(self, now_s: float) -> None:
        """Estimate at a moment of the video; waiting longer than the longest wait is no use."""
        self._looked_s = now_s
        self._look()
        waited_s = now_s - (now_s if self._began_s is None else self._began_s)
        self.is_settled |= self.offset.is_known or waited_s >= LONGEST_WAIT_S

    def _look(self) -> None:
        """Estimate from the motions remembered."""
        motions = list(self._motions)
        found = estimate_offset(motions, self._told(), self._interior, self._around_s, self._reach_s)
        if found.is_known or self._before_jump is None:
            self.offset, self._before_jump = found, None

    def log_s(self, pts_ns: int) -> float:
        """A picture's time on the log's clock."""
        video_s = pts_ns / 1e9
        return video_s + self.offset.offset_s + self.offset.drift * (video_s - self.offset.at_s)
