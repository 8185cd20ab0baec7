"""Telemetry of a flight, and the clock offset of its video."""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from flycam.errors import PositionMissing, SourceUnreadable, TelemetryGap
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.pose import ExteriorOrientation
from flycam.ingest.photos.calibration import apply_digital_zoom
from flycam.ingest.telemetry.flight_log import Home
from flycam.ingest.telemetry.mavlink_link import MavlinkLink, SteadyClock
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
from flycam.ingest.video.video_poses import VideoLog, VideoPoses, resolve_video_poses, trim_unfinished
from flycam.ingest.video.video_source import VideoFrame
from flycam.messages import Message, _
from flycam.model.diagnosis import TerrainAt
from flycam.model.telemetry import TelemetrySample

# -- Clock offset of a video: given, shared with the log, or estimated -----------------------------
#
# Estimated from image motion, which is also compared with the log's turns. A known offset holds until another
# is known: a straight flight line, or a log that begins anew, carries no information, which is no reason to
# drop it. Its sigma grows with the drift of two quartz clocks.


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
        self._motions: deque[ImageMotion] = deque(maxlen=MAX_MOTIONS)
        self._began_s: float | None = None
        self._since_s: float | None = None
        self.breaks = 0
        self._known: ClockOffset | None = None
        self._is_since_jump = True
        self._looked_s = float("-inf")
        self._is_fixed = given_s is not None or is_shared
        # turns of the image are all that is compared with the log where the clock is known
        self._meter_interior = None if self._is_fixed else interior
        self._meter = ImageMotionEstimator(self._meter_interior)
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
        self._meter = ImageMotionEstimator(self._meter_interior)
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


# -- Telemetry of a flight: a whole recorded log, or a link's data so far --------------------------


_SETTLE_S, _FOLLOW_S = 2.0, 0.1
# The end of this span is as in the whole log: clocks settle within a second.
_RECENT_S = 8.0
_FIRST_POSITION_S = 30.0


STATED_FIELD_OF_VIEW = "telemetry:hfov"
"""Calibration id of an interior orientation by the fields of view that the log states."""
# Lens encoders and rounding move a stated field of view by less; a zoom is more.
_ZOOM_STEP = 0.01

OrientationAt = Callable[[int], tuple[ExteriorOrientation, InteriorOrientation]]
"""The orientation at a time (PTS, ns) of a video; raises FrameRejected where the log has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkStatus:
    """Newest state of the telemetry.

    sample       the newest plausible position, None: none yet; age_s: seconds since
    silent_s     seconds since the last packet of this log, None: none yet
    connections  times that its link was opened
    """

    sample: TelemetrySample | None
    age_s: float
    silent_s: float | None
    connections: int


class RecordedTelemetry:
    """A whole log; of its clock as `VideoLog`.

    Raises PositionMissing, or SourceUnreadable if it has no attitude at all.
    """

    def __init__(self, log: VideoLog, terrain_at: TerrainAt | None) -> None:
        self.poses = resolve_video_poses(log.log, terrain_at)
        self.log_poses = self.poses.logged_poses(log.zero_ns)
        if not len(self.log_poses.time_s):
            raise SourceUnreadable(
                _(
                    "{name}: has the position of the aircraft, not the direction of its camera (no "
                    "angles of a gimbal or of the aircraft): give the flight log (.tlog, .bin, "
                    ".ulg), or subtitles with them",
                    name=log.log.name,
                )
            )
        self._remarks = (*log.log.remarks, *self.poses.remarks(log.log.name))
        self.zero_ns, self.is_shared = log.zero_ns, log.is_shared
        self.utc_ns, self.describe_dating, self.doubts = log.utc_ns, log.describe_dating, log.find_doubts
        self.estimate_initial_offset, self.to_reported, self.from_reported = (
            log.initial_search,
            log.to_reported,
            log.from_reported,
        )

    def refresh(self) -> None:
        """Do nothing: no more data comes."""

    def covers(self, log_s: float) -> bool:
        """Return True: what is missing will not come."""
        return True

    def status_at(self, log_s: float | None) -> LinkStatus:
        """Return the state as if live: the position then, else the last sample before it."""
        if log_s is None:
            return LinkStatus(sample=None, age_s=0.0, silent_s=None, connections=1)
        t_ns, track = self.zero_ns + round(log_s * 1e9), self.poses.track
        before = bisect_right(track.samples, t_ns, key=lambda one: one.t_utc_ns)
        if before == 0:
            return LinkStatus(sample=None, age_s=0.0, silent_s=None, connections=1)
        age_s = (t_ns - track.samples[before - 1].t_utc_ns) / 1e9
        try:
            sample = track.pose_at(t_ns)
        except TelemetryGap:
            return LinkStatus(sample=track.samples[before - 1], age_s=age_s, silent_s=age_s, connections=1)
        return LinkStatus(sample=sample, age_s=0.0, silent_s=age_s, connections=1)

    def remarks(self) -> tuple[Message, ...]:
        """Return the remarks of the reader and of its poses."""
        return self._remarks

    def count_rejected_samples(self) -> Counter[str]:
        """Count over the whole log."""
        return self.poses.rejected


class LinkedTelemetry:
    """The last minutes of a link. Call `wait` first: no pose exists before.

    All that is remembered is resolved every `_SETTLE_S`, which decides what is plausible; in between new
    samples are appended at once, or frames would wait for their pose.
    """

    is_shared = False

    def __init__(
        self,
        link: MavlinkLink,
        terrain_at: TerrainAt | None,
        zero_ns: int,
        clock: SteadyClock | None = None,
    ) -> None:
        self._link, self._terrain_at, self.zero_ns = link, terrain_at, zero_ns
        self._clock = clock or SteadyClock()
        self._settled_s = self._followed_s = float("-inf")
        self._settling = threading.Lock()
        self._not_believed: Mapping[int, str] = {}
        # rejected samples that the link has dropped since
        self._forgotten: Counter[str] = Counter()
        # by text: remarks that differ in values alone are of one kind
        self._noticed: dict[str, Message] = {}
        self._home: Home | None = None
        self._of_poses: tuple[Message, ...] = ()
        self.poses: VideoPoses
        self.log_poses: LoggedPoses

    def wait(self, stopped: Callable[[], bool]) -> None:
        """Wait until there are poses. Raises PositionMissing if there are none in time."""
        until_s = time.monotonic() + _FIRST_POSITION_S
        while not self._settled():
            if stopped() or time.monotonic() > until_s:
                refused = ", ".join(f"{n} {why}" for why, n in sorted(self._link.health.refused.items()))
                packets = f"{self._link.health.messages} packets came, {refused or 'none'} were refused"
                raise PositionMissing(
                    _(
                        "the MAVLink link gave no position in {first_position_s:.0f} s ({heard}): "
                        "check the link, its key, and that the aircraft has a fix",
                        first_position_s=_FIRST_POSITION_S,
                        heard=packets,
                    )
                )
            time.sleep(_FOLLOW_S)

    def refresh(self) -> None:
        """Read what came since, unless another thread does."""
        now_s = time.monotonic()
        if now_s - self._followed_s < _FOLLOW_S or not self._settling.acquire(blocking=False):
            return
        try:
            if now_s - self._settled_s >= _SETTLE_S:
                self._settled()
            else:
                self._follow()
        finally:
            self._settling.release()

    def covers(self, log_s: float) -> bool:
        """Return True if a later sample has come."""
        return bool(len(self.log_poses.time_s) and log_s <= self.log_poses.time_s[-1])

    def status_at(self, _log_s: float | None) -> LinkStatus:
        """Return the state by now: samples bear this machine's time."""
        sample = self.poses.track.samples[-1]
        silent_s = self._link.silent_s
        return LinkStatus(
            sample=sample,
            age_s=max(0.0, (self._clock.now_ns() - sample.t_utc_ns) / 1e9),
            silent_s=silent_s if np.isfinite(silent_s) else None,
            connections=self._link.health.connections,
        )

    def estimate_initial_offset(self, video_s: float) -> tuple[ClockOffset, float]:
        """Return an unknown offset: both clocks are the receiver's.

        The difference is the latency of the video.
        """
        return make_unknown_offset(), REACH_S

    def to_reported(self, offset: ClockOffset) -> ClockOffset:
        """Return the offset unchanged: the video's time is the receiver's."""
        return offset

    def from_reported(self, offset_s: float) -> float:
        """Return the offset unchanged."""
        return offset_s

    def doubts(self, _video_s: float, _created_ns: int | None) -> tuple[Message, ...]:
        """Return none: telemetry and video are both live."""
        return ()

    def utc_ns(self, t_ns: int) -> int:
        """Return the time unchanged: the receiver's clock is UTC."""
        return t_ns

    def describe_dating(self, video: str) -> Message:
        """Describe dating by the receiver's clock."""
        return _("{video}: dated by this machine's clock", video=video)

    def remarks(self) -> tuple[Message, ...]:
        """Return all remarks so far, of each kind the newest."""
        clock = self._clock.remarks()
        return (*dict(self._noticed).values(), *self._of_poses, *self._link.health.remarks, *clock)

    def count_rejected_samples(self) -> Counter[str]:
        """Count refused or unwritten packets and rejected samples, dropped ones included."""
        # Copies first, in one step: their own threads go on counting.
        forgotten, health = dict(self._forgotten), self._link.health
        refused = Counter(dict(health.refused)) + Counter(unwritten=health.unwritten)
        return refused + Counter(forgotten) + self.poses.rejected

    def _follow(self) -> None:
        self._followed_s = time.monotonic()
        log = self._link.log(last_s=_RECENT_S)
        if log is None:
            return
        last_ns = self.poses.track.samples[-1].t_utc_ns
        poses = self.poses.extended_with(trim_unfinished(log.track.samples), self._terrain_at)
        if poses is not self.poses:
            extended = self.log_poses.extended_with(poses.after(last_ns).logged_poses(self.zero_ns))
            self.poses, self.log_poses = poses, extended

    def _settled(self) -> bool:
        self._settled_s = self._followed_s = time.monotonic()
        log = self._link.log()
        if log is None:
            return False
        samples = tuple(trim_unfinished(log.track.samples))
        if len(samples) < 2:
            return False
        log = replace(log, track=replace(log.track, samples=samples), home=log.home or self._home)
        try:
            poses = resolve_video_poses(log, self._terrain_at)
        except PositionMissing:
            return False
        logged = poses.logged_poses(self.zero_ns)
        if not np.isfinite(logged.centre_m).any():
            return False
        # Home is the take-off point, which the link will drop.
        if log.home is None and np.isfinite(poses.home_m):
            first = poses.track.samples[0]
            self._home = Home(lon_deg=first.lon_deg, lat_deg=first.lat_deg, height_m=float("nan"))
        first_ns = samples[0].t_utc_ns
        self._forgotten.update(why for t_ns, why in self._not_believed.items() if t_ns < first_ns)
        self._not_believed = poses.rejected_samples
        self._noticed.update((one.text, one) for one in log.remarks)
        self.poses, self.log_poses, self._of_poses = poses, logged, poses.remarks(log.name)
        return True


Telemetry = RecordedTelemetry | LinkedTelemetry
"""Telemetry of a video.

poses, log_poses: so far; times of `log_poses` in seconds since zero_ns of the log's clock.
"""


def compute_log_time(telemetry: Telemetry, offset: ClockOffset, pts_ns: int) -> int:
    """Return a frame's time on the log's clock, nanoseconds."""
    return telemetry.zero_ns + round(offset.to_log_s(pts_ns / 1e9) * 1e9)


def interpolate_orientation(
    telemetry: Telemetry, offset: ClockOffset, interior: InteriorOrientation, pts_ns: int
) -> tuple[ExteriorOrientation, InteriorOrientation]:
    """Return a frame's pose by the log, with the sigma of its clock offset, and its interior orientation.

    Raises what `VideoPoses.exterior_at` does.
    """
    pose = telemetry.poses.exterior_at(compute_log_time(telemetry, offset, pts_ns), offset.sigma_s)
    return pose, interpolate_interior(telemetry, offset, interior, pts_ns)


def interpolate_interior(
    telemetry: Telemetry, offset: ClockOffset, interior: InteriorOrientation, pts_ns: int
) -> InteriorOrientation:
    """Return a frame's interior orientation: its video's, zoomed to the field of view stated at that time.

    In steps of 1 %, so that frames of one zoom have one camera. The video's where that is not from the log.
    """
    if interior.calibration_id != STATED_FIELD_OF_VIEW:
        return interior
    hfov_deg = telemetry.poses.hfov_at(compute_log_time(telemetry, offset, pts_ns), offset.sigma_s)
    focal_px = interior.image_size_px[0] / (2.0 * np.tan(np.radians(hfov_deg) / 2.0))
    steps = np.round(np.log(focal_px / interior.focal_length_px[0]) / _ZOOM_STEP)
    if not np.isfinite(steps) or steps == 0.0:
        return interior
    return apply_digital_zoom(interior, float(np.exp(steps * _ZOOM_STEP)))
