"""Clock offset of a video: given, shared with the log, or estimated.

Estimated from image motion, which is also compared with the log's turns. A known offset holds until another
is known: a straight flight line, or a log that begins anew, carries no information, which is no reason to
drop it. Its sigma grows with the drift of two quartz clocks.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

from flycam.geometry.camera import InteriorOrientation
from flycam.ingest.video.clock_offset import (
    REACH_S,
    ClockOffset,
    ImageMotion,
    ImageMotionEstimator,
    LoggedPoses,
    TurnComparison,
    compare_turns,
    estimate_offset,
    make_unknown_offset,
)
from flycam.ingest.video.video_source import VideoFrame

STATED_SIGMA_S, SHARED_SIGMA_S = 0.05, 0.02
FIRST_ESTIMATE_S, ESTIMATE_INTERVAL_S, _RARE_ESTIMATE_INTERVAL_S = 15.0, 5.0, 30.0
# motions kept: two and a half minutes
MAX_MOTIONS = 1500
MAX_WAIT_S = 60.0
DRIFT_SIGMA = 1e-4
"""Drift of two quartz clocks, seconds a second, where the motions do not tell it better."""

IMPROVEMENT_FACTOR = 2.0
"""Factor by which an offset's sigma must improve before frames in doubt are reprocessed."""

_SAME_S = 1.5
"""Largest error of a clock known beforehand: subtitles come late by up to a second."""

# Accuracy with which the least latency of frames gives the time after a jump.
_JUMP_SIGMA_S = 0.1


class LiveClock:
    """Clock offset of a video, estimated as frames are added.

    Times are seconds of the video's and the log's clock, each since its own zero.

    offset      the current estimate
    told        poses of the log so far
    before      offset known before any motion is seen; reach_s: how far from it to look
    breaks      how often the video's time had jumped in the frames that `offset` belongs to
    is_settled  whether `offset` is known, or looking any longer is no use; until then frames are
       orthorectified in doubt
    """

    def __init__(
        self,
        get_log_poses: Callable[[], LoggedPoses],
        interior: InteriorOrientation,
        *,
        given_s: float | None = None,
        is_shared: bool = False,
        before: ClockOffset | None = None,
        reach_s: float = REACH_S,
    ) -> None:
        self._told, self._interior = get_log_poses, interior
        self._before = before or make_unknown_offset(reach_s=reach_s)
        self._reach_s = reach_s
        self._meter = ImageMotionEstimator()
        self._motions: deque[ImageMotion] = deque(maxlen=MAX_MOTIONS)
        self._began_s: float | None = None
        self._since_s: float | None = None
        self.breaks = 0
        self._known: ClockOffset | None = None
        self._is_since_jump = True
        self._looked_s = float("-inf")
        self._is_fixed = given_s is not None or is_shared
        self._is_over = False
        self._turns: TurnComparison | None = None
        self.offset = self._before
        self.is_settled = self._is_fixed
        if given_s is not None:
            self.offset = ClockOffset(given_s, STATED_SIGMA_S)
        elif is_shared:
            self.offset = ClockOffset(0.0, SHARED_SIGMA_S)

    def remember(self, motions: Iterable[ImageMotion]) -> None:
        """Add motions that were measured before the first frame came here."""
        self._motions.extend(motions)
        if self._motions:
            self._began_s = self._since_s = self._motions[0].first_s
            self._look_at(self._motions[-1].second_s)

    def add(self, picture: VideoFrame) -> None:
        """Measure a frame's motion and, now and then, estimate from all of them.

        Where the clock is known beforehand, no longer than until the log is judged.
        """
        if self._is_over or (self._is_fixed and self.is_judged):
            return
        now_s = picture.pts_ns / 1e9
        if picture.breaks != self.breaks:
            self.breaks = picture.breaks
            self._forget(picture.pts_ns)
        self._began_s = now_s if self._began_s is None else self._began_s
        self._since_s = now_s if self._since_s is None else self._since_s
        motion = self._meter.add(now_s, picture.pixels)
        if motion is not None:
            self._motions.append(motion)
        is_seen = self.offset.is_known and self._is_since_jump and not self._is_fixed
        every_s = _RARE_ESTIMATE_INTERVAL_S if is_seen else ESTIMATE_INTERVAL_S
        sees_enough = now_s - self._since_s >= FIRST_ESTIMATE_S or now_s - self._began_s >= MAX_WAIT_S
        if sees_enough and now_s - self._looked_s >= every_s:
            self._look_at(now_s)

    def settle(self) -> None:
        """Estimate from all motions, and keep the result."""
        self._is_over = self.is_settled = True
        self._look(max(self._looked_s, self._motions[-1].second_s if self._motions else -math.inf))

    @property
    def turns(self) -> TurnComparison:
        """Turns of the remembered frames beside the log's; recomputed at every estimate.

        An estimated clock is searched for once more: it may be wrong, which is no fault of the log.
        """
        if self._turns is None:
            around_s, reach_s = self._before.offset_s, self._reach_s
            if self._is_fixed:
                around_s, reach_s = self.offset.offset_s, _SAME_S
            motions = list(self._motions)
            self._turns = compare_turns(motions, self._told(), self._interior, around_s, reach_s)
        return self._turns

    @property
    def is_judged(self) -> bool:
        """True if later motions cannot change whether the log belongs to the video.

        Its turns are enough and agree with the log, or as many motions are remembered as ever are.
        """
        turns = self.turns
        return (turns.is_enough and not turns.is_contradiction) or len(self._motions) >= MAX_MOTIONS

    def _forget(self, pts_ns: int) -> None:
        """Drop motions after a jump of the video's time, or a change of its dating.

        They carry no information on the clock from here on. The offset holds until another is known, with a
        sigma that includes the jump.
        """
        self._motions.clear()
        self._meter = ImageMotionEstimator()
        self._since_s = None
        if self._known is not None:
            sigma_s = math.hypot(self._grown(self._known, pts_ns / 1e9).sigma_s, _JUMP_SIGMA_S)
            self._known = ClockOffset(self.to_log_s(pts_ns) - pts_ns / 1e9, sigma_s, pts_ns / 1e9)
            self.offset, self._is_since_jump = self._known, False
        else:
            self.offset = self._before

    def _look_at(self, now_s: float) -> None:
        """Estimate at a moment of the video; settle after the longest wait."""
        self._looked_s = now_s
        self._look(now_s)
        waited_s = now_s - (now_s if self._began_s is None else self._began_s)
        self.is_settled |= self.offset.is_known or waited_s >= MAX_WAIT_S

    def _look(self, now_s: float) -> None:
        """Estimate from the remembered motions; without a result, keep the known offset."""
        self._turns = None
        if self._is_fixed:
            return
        logged = self._told()
        self._forget_before(logged)
        motions = list(self._motions)
        found = estimate_offset(motions, logged, self._interior, self._before, self._reach_s)
        stands = None if self._known is None else self._grown(self._known, now_s)
        if found.is_known and found is not self._before:
            self._is_since_jump = True
            if stands is None or _tells_more(found, stands, now_s):
                self._known = stands = found
        # Frames placed by one offset fit each other, even in doubt: keep it until a clearly better one is
        # found.
        better = 1.0 if self._is_over else IMPROVEMENT_FACTOR
        if stands is not None:
            self.offset = stands
        elif better * found.sigma_s < self.offset.sigma_s:
            self.offset = found

    def _forget_before(self, log_poses: LoggedPoses) -> None:
        """Drop motions from before the log begins, by any offset.

        They carry no information and would outvote those that do: an aircraft's log begins anew with its
        battery, a link is remembered for minutes.
        """
        if not len(log_poses.time_s):
            return
        latest_s = self._before.offset_s + self._reach_s
        while self._motions and self._motions[0].second_s + latest_s < log_poses.time_s[0]:
            self._motions.popleft()

    def _grown(self, known: ClockOffset, now_s: float) -> ClockOffset:
        """Return a known offset with its sigma grown by drift, at most the initial sigma."""
        drifted_s = min(known.drift_sigma, DRIFT_SIGMA) * abs(now_s - known.at_s)
        return replace(known, sigma_s=min(math.hypot(known.sigma_s, drifted_s), self._before.sigma_s))

    def to_log_s(self, pts_ns: int) -> float:
        """Convert a frame's time to the log's clock, seconds."""
        return self.offset.to_log_s(pts_ns / 1e9)


def _tells_more(found: ClockOffset, stands: ClockOffset, now_s: float) -> bool:
    """Return True if a new offset should replace the one in use.

    It is known as well, or the two contradict each other.
    """
    both_s = math.hypot(found.sigma_s, stands.sigma_s)
    return (
        found.sigma_s <= stands.sigma_s or abs(found.to_log_s(now_s) - stands.to_log_s(now_s)) > 3.0 * both_s
    )
