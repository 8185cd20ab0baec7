"""Telemetry of a flight: a whole recorded log, or a link's data so far."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from flycam.errors import PositionMissing, SourceUnreadable, TelemetryGap
from flycam.geometry.pose import ExteriorOrientation
from flycam.ingest.telemetry.flight_log import Home
from flycam.ingest.telemetry.mavlink_link import MavlinkLink, SteadyClock
from flycam.ingest.video.clock_offset import REACH_S, ClockOffset, LoggedPoses, make_unknown_offset
from flycam.ingest.video.video_log import VideoLog
from flycam.ingest.video.video_poses import VideoPoses, resolve_video_poses, trim_unfinished
from flycam.messages import Message, _
from flycam.model.diagnosis import TerrainAt
from flycam.model.telemetry import TelemetrySample

_SETTLE_S, _FOLLOW_S = 2.0, 0.1
# The end of this span is as in the whole log: clocks settle within a second.
_RECENT_S = 8.0
_FIRST_POSITION_S = 30.0


PoseAt = Callable[[int], ExteriorOrientation]
"""The pose at a time (PTS, ns) of a video; raises FrameRejected where the log has none."""


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


def interpolate_pose(telemetry: Telemetry, offset: ClockOffset, pts_ns: int) -> ExteriorOrientation:
    """Return a frame's pose by the log, with the sigma of its clock offset.

    Raises what `VideoPoses.exterior_at` does.
    """
    return telemetry.poses.exterior_at(compute_log_time(telemetry, offset, pts_ns), offset.sigma_s)
