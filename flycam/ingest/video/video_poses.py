"""Camera pose at any moment of a video, and its flight log: clock, inspection.

Heights: relative height above the ground at home (else at the log's first position, if that is near the
ground), from the terrain; without either the absolute height, converted to the terrain's datum; without
terrain a plane at home.

Angles: the gimbal's; else the aircraft's, for a camera that looks straight down.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.errors import PoseRejected, PositionMissing, SourceUnreadable, TelemetryGap, TerrainMissing
from flycam.geodata.crs import choose_work_crs, compute_convergence_and_scale, to_lonlat, to_work
from flycam.geodata.geoid import convert_height
from flycam.geometry.pose import ExteriorOrientation, PoseSource, to_mat3
from flycam.ingest.preflight.altitude import SIGMA_BARO_M, SIGMA_BARO_SCALE
from flycam.ingest.preflight.attitude import SIGMA_BODY_DEG, SIGMA_BODY_YAW_DEG, SIGMA_GIMBAL_DEG, Attitude
from flycam.ingest.preflight.frame_headers import SIGMA_GNSS_M, SIGMA_RTK_FIXED_M
from flycam.ingest.preflight.takeoff import SIGMA_GNSS_HEIGHT_M, SIGMA_TERRAIN_M
from flycam.ingest.telemetry.flight_log import FlightLog
from flycam.ingest.telemetry.log_files import read_flight_log
from flycam.ingest.telemetry.subtitles import Subtitles, is_subtitle_file, read_subtitles
from flycam.ingest.video.clock_offset import (
    MIN_ABOVE_M,
    REACH_S,
    ClockOffset,
    LoggedPoses,
    make_unknown_offset,
)
from flycam.ingest.video.video_source import VideoSource
from flycam.messages import Message, _, pgettext
from flycam.model.diagnosis import TerrainAt
from flycam.model.flight import LOCAL_DATUM, is_flat_datum
from flycam.model.rejection_reasons import format_rejection_counts
from flycam.model.telemetry import TelemetrySample, TelemetryTrack

Floats = NDArray[np.float64]

SIGMA_GIMBAL_YAW_DEG = 1.5
_MAX_SPEED_MPS = 90.0
# So that one late sample makes no gap in a log of one sample a second.
_GAP_STEPS, _MAX_GAP_S = 1.5, 2.0
_FROZEN_S, _MOVING_MPS = 1.5, 3.0
_GIMBAL_LATE_S = 1.0
# Subtitles repeat a position in several cues.
_SPEED_OVER_NS = 1_000_000_000
_NEAR_GROUND_M = 15.0
# Of the terrain on which aircraft look up frame centres: DTED level 1, 30 m at 90 % (MIL-PRF-89020B).
_SIGMA_FRAME_CENTRE_M = 18.0
_BEYOND_M = 500.0
_NO_FIX = ("none", "no_fix")
# Directions across a usual view, in focal lengths; rays less steep than this meet the ground nearer.
_VIEW, _MIN_STEEPNESS = (-0.3, 0.0, 0.3), 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPoses:
    """Flight log prepared for a video by `resolve_video_poses`.

    track        believable samples, on the log's clock
    work_crs, vertical_datum  of the poses; home_m the height that relative heights count from, NaN: absolute
                   heights are used
    sigma_home_m  of that height; ground_m of the ground in view of each sample, NaN unknown
    rejected_samples  reason by time of each rejected sample: "no_fix", "jump", "frozen"; `rejected` counts
                      them
    """

    track: TelemetryTrack
    work_crs: str
    vertical_datum: str
    home_m: float
    sigma_home_m: float
    ground_m: Floats
    rejected_samples: Mapping[int, str]

    @property
    def hfov_deg(self) -> float:
        """Horizontal field of view that the log states, its median over time; NaN if none."""
        stated = [s.hfov_deg for s in self.track.samples if isfinite(s.hfov_deg)]
        return float(np.median(stated)) if stated else float("nan")

    def hfov_at(self, t_ns: int, sigma_t_s: float) -> float:
        """Return the field of view at a time of the log's clock, known to sigma_t_s seconds; NaN unknown."""
        try:
            return self.track.pose_at(self._within(t_ns, sigma_t_s)).hfov_deg
        except TelemetryGap:
            return float("nan")

    @property
    def rejected(self) -> Counter[str]:
        """Number of rejected samples by reason."""
        return Counter(self.rejected_samples.values())

    @property
    def tells_camera(self) -> bool:
        """True if most samples with angles have the camera's own.

        The others have only the aircraft's.
        """
        own = [_has_gimbal(s) for s in self.track.samples if _has_angles(s)]
        return sum(own) > len(own) / 2

    def remarks(self, name: str) -> tuple[Message, ...]:
        """Return remarks on the log of this name."""
        if any(_has_gimbal(sample) for sample in self.track.samples):
            return ()
        return (
            _(
                "{name}: says nothing of a gimbal: the camera is taken to look straight down out of the "
                "aircraft, and its places are worth less",
                name=name,
            ),
        )

    def exterior_at(self, t_ns: int, sigma_t_s: float) -> ExteriorOrientation:
        """Return the pose at a time of the log's clock, known to sigma_t_s seconds.

        Raises TelemetryGap where the log is silent, PoseRejected where it has no attitude.
        """
        sample = self.track.pose_at(self._within(t_ns, sigma_t_s))
        angles, sigma_deg, is_fixed = _angles_of(sample)
        convergence, scale = compute_convergence_and_scale(self.work_crs, sample.lon_deg, sample.lat_deg)
        attitude = Attitude(
            angles_deg=angles[None],
            sigma_deg=np.array([sigma_deg]),
            fixed_mount=np.array([is_fixed]),
            course_only=np.array([False]),
        )
        rotations = attitude.rotations(np.array([convergence]))
        east, north = to_work(np.array([[sample.lon_deg, sample.lat_deg]]), self.work_crs)[0]
        height, sigma_height = self._height_of(sample)
        if not isfinite(height):
            raise PoseRejected(_("the log has no height above the ground here"))
        speed = sample.speed_mps if isfinite(sample.speed_mps) else self._speed_at(sample.t_utc_ns)
        is_rtk = sample.fix == "rtk_fixed"
        sigma_xy = float(np.hypot(SIGMA_RTK_FIXED_M if is_rtk else SIGMA_GNSS_M, speed * sigma_t_s))
        sigma_rad = attitude.sigma_camera_rad(rotations)[0]
        return ExteriorOrientation(
            projection_centre_m=(float(east), float(north), height),
            rotation=to_mat3(rotations[0]),
            work_crs=self.work_crs,
            vertical_datum=self.vertical_datum,
            grid_scale=scale,
            sigma_position_m=(sigma_xy, sigma_xy, sigma_height),
            sigma_attitude_rad=(float(sigma_rad[0]), float(sigma_rad[1]), float(sigma_rad[2])),
            source=PoseSource.RTK if is_rtk else PoseSource.GNSS,
        )

    def logged_poses(self, zero_ns: int) -> LoggedPoses:
        """Return poses for predicting image motion.

        Times in seconds since zero_ns of the log's clock.
        """
        samples = [s for s in self.track.samples if _has_angles(s)]
        if not samples:
            return LoggedPoses(
                time_s=np.empty(0),
                centre_m=np.empty((0, 3)),
                rotation=np.empty((0, 3, 3)),
                above_m=np.empty(0),
                max_gap_s=self.track.max_gap_s,
            )
        ground = np.interp(
            [s.t_utc_ns for s in samples], [s.t_utc_ns for s in self.track.samples], self.ground_m
        )
        centre, rotation = self._compute_poses(samples)
        above = centre[:, 2] - ground
        relative = np.array([self._relative_height_of(s) for s in samples])
        return LoggedPoses(
            time_s=np.array([(s.t_utc_ns - zero_ns) / 1e9 for s in samples]),
            centre_m=centre,
            rotation=rotation,
            above_m=np.where(np.isfinite(above), above, relative),
            max_gap_s=self.track.max_gap_s,
        )

    def extended_with(self, samples: Sequence[TelemetrySample], terrain_at: TerrainAt | None) -> VideoPoses:
        """Extend by newer samples of the last seconds that an aircraft can have reached.

        Samples rejected here are not counted: a longer stretch of the log may yet show them to be right.
        """
        kept, __ = filter_believable(samples)
        newer: list[TelemetrySample] = []
        last = self.track.samples[-1]
        for sample in kept:
            if sample.t_utc_ns > last.t_utc_ns and _follows(last, sample):
                newer.append(sample)
                last = sample
        if not newer:
            return self
        track = TelemetryTrack(samples=(*self.track.samples, *newer), max_gap_s=self.track.max_gap_s)
        below = terrain_at(_places(newer))[0] if terrain_at else np.full(len(newer), np.nan)
        ground = self._compute_ground_in_view(newer, below, terrain_at)
        return replace(self, track=track, ground_m=np.concatenate([self.ground_m, ground]))

    def _compute_poses(self, samples: Sequence[TelemetrySample]) -> tuple[Floats, Floats]:
        """Return centres N×3 and rotations N×3×3 (world to camera) of samples with angles."""
        settled = [_angles_of(s) for s in samples]
        lonlat = _places(samples)
        middle = lonlat[len(lonlat) // 2]
        convergence, __ = compute_convergence_and_scale(self.work_crs, float(middle[0]), float(middle[1]))
        attitude = Attitude(
            angles_deg=np.array([angles for angles, *__ in settled]),
            sigma_deg=np.array([sigma for __, sigma, _fixed in settled]),
            fixed_mount=np.array([fixed for *__, fixed in settled]),
            course_only=np.zeros(len(settled), dtype=bool),
        )
        heights = np.array([self._height_of(s)[0] for s in samples])
        centre = np.column_stack([to_work(lonlat, self.work_crs), heights])
        return centre, attitude.rotations(np.full(len(samples), convergence))

    def _compute_ground_in_view(
        self, samples: Sequence[TelemetrySample], below: Floats, terrain_at: TerrainAt | None
    ) -> Floats:
        """Return heights N of the ground in view, or those of the ground below where no more is known.

        Image motion is the mean over the view, and ground at half the distance moves twice as fast.
        """
        aimed = np.flatnonzero([_has_angles(s) for s in samples])
        if terrain_at is None or not len(aimed):
            return below
        centre, rotation = self._compute_poses([samples[int(k)] for k in aimed])
        height = centre[:, 2]
        # V rays × N samples, looked up at once
        ray = np.einsum("nji,vj->vni", rotation, [(x, y, 1.0) for x in _VIEW for y in _VIEW])
        reach = (height - below[aimed]) / np.maximum(-ray[..., 2], _MIN_STEEPNESS)
        there = centre[:, :2] + reach[..., None] * ray[..., :2]
        ground_m = terrain_at(to_lonlat(there.reshape(-1, 2), self.work_crs))[0].reshape(reach.shape)
        nearness = 1.0 / np.maximum(height - ground_m, MIN_ABOVE_M)
        in_view = height - 1.0 / np.mean(nearness, axis=0)
        ground = below.copy()
        ground[aimed] = np.where(np.isfinite(in_view), in_view, below[aimed])
        return ground

    def after(self, t_ns: int) -> VideoPoses:
        """Return the poses after a time of the log's clock."""
        first = bisect_right(self.track.samples, t_ns, key=lambda one: one.t_utc_ns)
        track = TelemetryTrack(samples=self.track.samples[first:], max_gap_s=self.track.max_gap_s)
        return replace(self, track=track, ground_m=self.ground_m[first:])

    def _within(self, t_ns: int, sigma_t_s: float) -> int:
        """Return a time, moved to the track's end if within sigma_t_s of it.

        For a video whose own log begins with its first frame.
        """
        samples, sigma_ns = self.track.samples, round(sigma_t_s * 1e9)
        nearest_ns = min(max(t_ns, samples[0].t_utc_ns), samples[-1].t_utc_ns) if samples else t_ns
        return nearest_ns if abs(nearest_ns - t_ns) <= sigma_ns else t_ns

    def _speed_at(self, t_ns: int) -> float:
        """Return the speed from positions a second before and after, m/s.

        For a log that has no speed.
        """
        samples = self.track.samples
        first, last = (
            min(bisect_right(samples, t_ns + by_ns, key=lambda one: one.t_utc_ns), len(samples) - 1)
            for by_ns in (-_SPEED_OVER_NS, _SPEED_OVER_NS)
        )
        first = max(first - 1, 0)
        elapsed_s = (samples[last].t_utc_ns - samples[first].t_utc_ns) / 1e9
        way_m = float(np.linalg.norm(np.diff(_metres((samples[first], samples[last])), axis=0)))
        return way_m / elapsed_s if elapsed_s > 0.0 else 0.0

    def _relative_height_of(self, sample: TelemetrySample) -> float:
        """Return the height above take-off, metres.

        Without terrain and where the log has none: above the ground in the frame's centre.
        """
        if is_flat_datum(self.vertical_datum) and not isfinite(sample.relative_height_m):
            return sample.height_m - sample.centre_height_m
        return sample.relative_height_m

    def _height_of(self, sample: TelemetrySample) -> tuple[float, float]:
        """Return height in vertical_datum and its sigma, metres."""
        if np.isfinite(self.home_m):
            relative = self._relative_height_of(sample)
            sigma = np.sqrt(self.sigma_home_m**2 + SIGMA_BARO_M**2 + (SIGMA_BARO_SCALE * relative) ** 2)
            return self.home_m + relative, float(sigma)
        place = np.array([[sample.lon_deg, sample.lat_deg]])
        height = np.array([sample.height_m])
        return (
            float(convert_height(height, place, sample.height_datum, self.vertical_datum)[0]),
            SIGMA_GNSS_HEIGHT_M,
        )


def resolve_video_poses(log: FlightLog, terrain_at: TerrainAt | None) -> VideoPoses:
    """Resolve the poses of a log on the known terrain.

    Raises PositionMissing without a believable position or a height; TerrainMissing where heights are above
    sea and no terrain is known.
    """
    kept, not_believed = filter_believable(log.track.samples)
    if len(kept) < 2:
        left_out = Counter(not_believed.values())
        raise PositionMissing(
            _(
                "{name}: no two of its {count} positions can be trusted ({left_out}): give "
                "the log of this flight, with a GNSS fix",
                name=log.name,
                count=len(log.track.samples),
                left_out=format_rejection_counts(left_out) or pgettext("samples", "there are none"),
            )
        )
    lonlat = _places(kept)
    middle = np.median(lonlat, axis=0)
    ground, datum = terrain_at(lonlat) if terrain_at else (np.full(len(kept), np.nan), LOCAL_DATUM)
    home_m, sigma_m = _home(log, kept, terrain_at, datum)
    if not np.isfinite(home_m):
        if not all(s.height_datum in ("EGM96", "ELLIPSOID") for s in kept):
            raise PositionMissing(
                _(
                    "{name}: says no height above take-off, and its heights above sea have no "
                    "datum: give another log of this flight",
                    name=log.name,
                )
            )
        if is_flat_datum(datum):
            raise TerrainMissing(
                _(
                    "{name}: its heights are above sea, and without terrain nothing says how far below "
                    "the ground is: give terrain of that place with --dem",
                    name=log.name,
                )
            )
    step_s = float(np.median(np.diff([s.t_utc_ns for s in kept]))) / 1e9
    gap_s = max(log.track.max_gap_s, min(_GAP_STEPS * step_s, _MAX_GAP_S))
    poses = VideoPoses(
        track=TelemetryTrack(samples=tuple(kept), max_gap_s=gap_s),
        work_crs=choose_work_crs(float(middle[0]), float(middle[1])),
        vertical_datum=datum,
        home_m=home_m,
        sigma_home_m=sigma_m,
        ground_m=ground,
        rejected_samples=not_believed,
    )
    return replace(poses, ground_m=poses._compute_ground_in_view(kept, ground, terrain_at))


def trim_unfinished(samples: Sequence[TelemetrySample]) -> Sequence[TelemetrySample]:
    """Drop the newest samples of a live log whose gimbal message has yet to come.

    They would be taken for a camera that is fixed to the aircraft. A gimbal silent for longer has stopped
    sending.
    """
    for back in range(len(samples), 0, -1):
        if _has_gimbal(samples[back - 1]):
            waited_s = (samples[-1].t_utc_ns - samples[back - 1].t_utc_ns) / 1e9
            return samples[:back] if waited_s <= _GIMBAL_LATE_S else samples
    return samples


def filter_believable(samples: Iterable[TelemetrySample]) -> tuple[list[TelemetrySample], dict[int, str]]:
    """Return the believable samples, and the reason for each other one by its time.

    Believable are samples with a fix that neither jump nor stand still while reporting motion. Of two
    positions between which no aircraft could fly in time, the one nearer to most of the flight is kept.
    """
    why: dict[int, str] = {}
    fixed = []
    for sample in samples:
        if sample.fix in _NO_FIX or not (isfinite(sample.lon_deg) and isfinite(sample.lat_deg)):
            why[sample.t_utc_ns] = "no_fix"
        else:
            fixed.append(sample)
    if not fixed:
        return [], why
    metres, times = _metres(fixed), np.array([s.t_utc_ns for s in fixed]) / 1e9
    jumps = _jumps(metres, times)
    frozen = _frozen(metres, times, np.array([s.speed_mps for s in fixed])) & ~jumps
    for reason, out in (("jump", jumps), ("frozen", frozen)):
        why.update((fixed[k].t_utc_ns, reason) for k in np.flatnonzero(out))
    return [s for s, out in zip(fixed, jumps | frozen, strict=True) if not out], why


def _follows(first: TelemetrySample, second: TelemetrySample) -> bool:
    """Return True if an aircraft can fly from one position to the other in time."""
    metres = _metres((first, second))
    seconds = max((second.t_utc_ns - first.t_utc_ns) / 1e9, 1e-3)
    return float(np.linalg.norm(metres[1] - metres[0])) <= _MAX_SPEED_MPS * seconds


def _jumps(metres: Floats, times: Floats) -> NDArray[np.bool_]:
    """Return which of N positions lie far from the longest run.

    Runs end where no aircraft could follow.
    """
    speed = np.linalg.norm(np.diff(metres, axis=0), axis=1) / np.maximum(np.diff(times), 1e-3)
    run = np.concatenate([[0], np.cumsum(speed > _MAX_SPEED_MPS)])
    if run[-1] == 0:
        return np.zeros(len(metres), dtype=bool)
    longest = metres[run == np.bincount(run).argmax()]
    centre = np.median(longest, axis=0)
    reach = float(np.linalg.norm(longest - centre, axis=1).max())
    # other runs of the same flight lie within its extent; jumps lie beyond
    return np.asarray(np.linalg.norm(metres - centre, axis=1) > 2.0 * reach + _BEYOND_M, bool)


def _frozen(metres: Floats, times: Floats, speed_mps: Floats) -> NDArray[np.bool_]:
    """Return which of N positions repeat the one before despite a reported speed.

    Only repeats for longer than any receiver makes.
    """
    same = np.concatenate([[False], (np.diff(metres, axis=0) == 0.0).all(axis=1)])
    run = np.cumsum(~same)
    first, last = np.searchsorted(run, run), np.searchsorted(run, run, side="right") - 1
    too_long = times[last] - times[first] > _FROZEN_S
    return np.asarray(same & too_long & (np.nan_to_num(speed_mps) > _MOVING_MPS), bool)


def _home(
    log: FlightLog, kept: Sequence[TelemetrySample], terrain_at: TerrainAt | None, datum: str
) -> tuple[float, float]:
    """Return the height in `datum` from which relative heights count, and its sigma.

    NaN where relative heights cannot be used.
    """
    has_relative = all(np.isfinite(s.relative_height_m) for s in kept)
    if terrain_at is None or is_flat_datum(datum):
        if has_relative:
            return 0.0, SIGMA_BARO_M
        over_centre = np.array([s.height_m - s.centre_height_m for s in kept])
        if np.isfinite(over_centre).mean() > 0.5:
            return 0.0, float(np.hypot(SIGMA_GNSS_HEIGHT_M, _SIGMA_FRAME_CENTRE_M))
        return float("nan"), float("nan")
    if not has_relative:
        return float("nan"), float("nan")
    if log.home is not None:
        place = (log.home.lon_deg, log.home.lat_deg)
    elif kept[0].relative_height_m < _NEAR_GROUND_M:
        place = (kept[0].lon_deg, kept[0].lat_deg)
    else:
        return float("nan"), float("nan")
    ground, __ = terrain_at(np.array([place]))
    return float(ground[0]), SIGMA_TERRAIN_M


def _has_gimbal(sample: TelemetrySample) -> bool:
    return all(map(isfinite, (sample.gimbal_yaw_deg, sample.gimbal_pitch_deg, sample.gimbal_roll_deg)))


def _has_angles(sample: TelemetrySample) -> bool:
    return bool(_has_gimbal(sample) or np.isfinite((sample.yaw_deg, sample.pitch_deg, sample.roll_deg)).all())


def _angles_of(sample: TelemetrySample) -> tuple[Floats, tuple[float, float], bool]:
    """Return (yaw, pitch, roll) and sigmas (heading, tilt), degrees.

    And whether they are the aircraft's.
    """
    gimbal = np.array([sample.gimbal_yaw_deg, sample.gimbal_pitch_deg, sample.gimbal_roll_deg])
    if np.isfinite(gimbal).all():
        least = float(np.nan_to_num(sample.sigma_gimbal_deg))
        return gimbal, (max(SIGMA_GIMBAL_YAW_DEG, least), max(SIGMA_GIMBAL_DEG, least)), False
    body = np.array([sample.yaw_deg, sample.pitch_deg, sample.roll_deg])
    if np.isfinite(body).all():
        return body, (SIGMA_BODY_YAW_DEG, SIGMA_BODY_DEG), True
    raise PoseRejected(_("the log has neither gimbal nor aircraft angles here"))


def _places(samples: Sequence[TelemetrySample]) -> Floats:
    return np.array([(s.lon_deg, s.lat_deg) for s in samples], dtype=np.float64)


def _metres(samples: Sequence[TelemetrySample]) -> Floats:
    """Return positions on a sphere's tangent plane, N×2 metres.

    Good enough to detect a jump.
    """
    lonlat = _places(samples)
    scale = 6_371_008.8 * np.radians(1.0) * np.array([np.cos(np.radians(np.median(lonlat[:, 1]))), 1.0])
    metres: Floats = (lonlat - np.median(lonlat, axis=0)) * scale
    return metres


# -- Flight log of a video: shared clock, search range of the offset, inspection -------------------
#
# `flycam inspect` reads a video or a log here without processing it.


_HEAD_BYTES = 4096
# Tolerance for one cue a second, the last one cut off.
_LENGTH_S, _LENGTH_SHARE = 3.0, 0.05
# Between the easternmost and the westernmost time zone.
_ZONES_S = 26 * 3600.0
# Time zones differ by whole quarter hours.
_QUARTER_S, _SAME_S = 900.0, 30.0
# For a video's embedded telemetry against its frames.
_SHARED_SIGMA_S, _MAX_SIGMAS = 0.05, 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLog:
    """Flight log of a video, and the zero from which its times are counted.

    zero_ns    the log's stamp that would belong to PTS 0 if the clocks agreed: the video's time of creation;
               for a video that states none the log's first stamp; 0 for subtitles, which run on the video's
               own time
    is_shared  the log is timed by the video itself
    utc_base_ns  UTC ns of the log's zero: 0 where its stamps are UTC; for subtitles the aircraft's clock at
                 PTS 0, which may be local time; None where they name no date
    base_s     added to an offset against zero_ns to report it against the video's time
    is_own     read out of the video itself
    reach_s    how far zero_ns may be off; None: the video may have been filmed at any time of the log
    """

    log: FlightLog
    zero_ns: int
    is_shared: bool
    base_s: float
    utc_base_ns: int | None = 0
    is_own: bool = False
    reach_s: float | None = REACH_S

    def utc_ns(self, t_ns: int) -> int:
        """Return the UTC of a time of the log's clock.

        Where the log names no date, as if the video began in 1970.
        """
        return t_ns + (self.utc_base_ns or 0)

    def describe_dating(self, video: str) -> Message:
        """Return a remark on the dating of a video without creation time."""
        if self.utc_base_ns is None:
            return _(
                "{video}: neither it nor {log} says on what day it was filmed: its pictures bear no date; "
                "give the flight log",
                video=video,
                log=self.log.name,
            )
        if self.is_shared:
            return _(
                "{video}: states no time of creation that can be: its pictures are dated by the aircraft's "
                "clock in {log}, which may be local time",
                video=video,
                log=self.log.name,
            )
        return _(
            "{video}: states no time of creation that can be: its pictures are dated by {log}",
            video=video,
            log=self.log.name,
        )

    def find_doubts(self, video_s: float, created_ns: int | None) -> tuple[Message, ...]:
        """Return reasons to doubt that these subtitles are this video's.

        None for a log whose clock is searched for: the search reports its own doubts.

        video_s     length of the video, 0: not known
        created_ns  time of creation that the video states
        """
        if not self.is_shared or self.is_own or not self.log.track.samples:
            return ()
        doubts = []
        told_s = self.log.track.samples[-1].t_utc_ns / 1e9
        if video_s > 0.0 and abs(told_s - video_s) > _LENGTH_S + _LENGTH_SHARE * video_s:
            doubts.append(
                _(
                    "its cues reach to {cues_s:.0f} s, the video to {video_s:.0f} s",
                    cues_s=told_s,
                    video_s=video_s,
                )
            )
        began_ns = self.utc_base_ns
        if began_ns is None or created_ns is None or _can_be_one((created_ns - began_ns) / 1e9, video_s):
            return tuple(doubts)
        shown, stated = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in (began_ns, created_ns))
        doubts.append(
            _(
                "its clock showed {shown:%Y-%m-%d %H:%M:%S} as the video began, the video "
                "says {stated:%Y-%m-%d %H:%M:%S} UTC, which no time zone explains",
                shown=shown,
                stated=stated,
            )
        )
        return tuple(doubts)

    def initial_search(self, video_s: float) -> tuple[ClockOffset, float]:
        """Return the offset known before any motion is measured, and how far to search.

        video_s  length of the video, 0: not known
        """
        if self.is_own and math.isfinite(self.log.video_zero_sigma_s):
            return ClockOffset(0.0, self.log.video_zero_sigma_s), self.reach_s or REACH_S
        if self.reach_s is not None:
            return make_unknown_offset(0.0, self.reach_s), self.reach_s
        samples = self.log.track.samples
        spare = max((samples[-1].t_utc_ns - samples[0].t_utc_ns) / 1e9 - video_s, 0.0) if samples else 0.0
        reach_s = spare / 2.0 + REACH_S
        return make_unknown_offset(spare / 2.0, reach_s), reach_s

    def to_reported(self, offset: ClockOffset) -> ClockOffset:
        """Convert to telemetry stamp minus video time.

        Video time is creation + PTS; without creation, since the first frame.
        """
        return replace(offset, offset_s=offset.offset_s + self.base_s)

    def from_reported(self, offset_s: float) -> float:
        """Convert a reported offset to one against zero_ns."""
        return offset_s - self.base_s


def read_video_log(path: Path, created_ns: int | None, video: Path | None = None) -> VideoLog:
    """Read the log of a video that states creation at created_ns, UTC.

    `path` may be the video itself, whose embedded telemetry then states the time better. Raises
    SourceUnreadable.
    """
    if _is_subtitles(path):
        table = read_subtitles(path)
        log = FlightLog(
            name=path.name,
            track=table.video_track(),
            clock="time of the video",
            home=table.home,
            remarks=table.remarks(),
        )
        return VideoLog(log=log, zero_ns=0, is_shared=True, base_s=0.0, utc_base_ns=_began_ns(table))
    log = read_flight_log(path)
    if log.video_zero_ns is not None and video is not None and path.samefile(video):
        sigma_s = log.video_zero_sigma_s
        return VideoLog(
            log=log,
            zero_ns=log.video_zero_ns,
            is_shared=sigma_s <= _SHARED_SIGMA_S,
            base_s=0.0,
            is_own=True,
            reach_s=_MAX_SIGMAS * sigma_s,
        )
    if created_ns is not None:
        return VideoLog(log=log, zero_ns=created_ns, is_shared=False, base_s=0.0)
    first_ns = log.track.samples[0].t_utc_ns if log.track.samples else 0
    return VideoLog(log=log, zero_ns=first_ns, is_shared=False, base_s=first_ns / 1e9, reach_s=None)


def _can_be_one(difference_s: float, video_s: float) -> bool:
    """Return True if two clocks that differ by this much can have been one.

    difference_s  a video's time of creation minus its subtitles' clock at its beginning

    They can in time zones of whole quarter hours, with the creation written as the video began or as it
    ended.
    """
    if abs(difference_s) > _ZONES_S + video_s:
        return False
    return bool((difference_s + _SAME_S) % _QUARTER_S <= video_s + 2.0 * _SAME_S)


def _began_ns(table: Subtitles) -> int | None:
    """Return the aircraft's clock at PTS 0, or None.

    Cues come late or early by a frame or two; their median does not.
    """
    dated = table.wall_ns > 0
    if not dated.any():
        return None
    return int(np.median(table.wall_ns[dated] - table.video_ms[dated] * 1_000_000))


def _is_subtitles(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_subtitle_file(file.read(_HEAD_BYTES))
    except OSError:
        return False  # `read_flight_log` reports the reason


# -- `flycam inspect` of videos and flight logs: properties and telemetry --------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightLogSummary:
    """Summary of a flight log.

    log None: it cannot be read, for the reason in `error`.
    """

    name: str
    log: FlightLog | None
    error: SourceUnreadable | None
    seconds: float

    @property
    def samples(self) -> tuple[TelemetrySample, ...]:
        """Samples of the log."""
        return self.log.track.samples if self.log is not None else ()

    @property
    def remarks(self) -> tuple[Message, ...]:
        """Remarks of the log."""
        return self.log.remarks if self.log is not None else ()

    def median(self, of: str) -> float:
        """Return the median of a field of the samples; NaN if none has it."""
        values = [value for one in self.samples if np.isfinite(value := getattr(one, of))]
        return float(np.median(values)) if values else float("nan")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoSummary(FlightLogSummary):
    """Summary of a video and its telemetry.

    fps, duration_s  0 where the container does not state them
    began_ns         UTC of the first frame, by its telemetry, else by the container; None: unknown
    video_log        timing of its positions; None: there are none, for the reason in `error`
    """

    size_px: tuple[int, int]
    fps: float
    duration_s: float
    began_ns: int | None
    video_log: VideoLog | None


def inspect_log(path: Path) -> FlightLogSummary:
    """Read a flight log without processing anything."""
    started = time.monotonic()
    log, failure = None, None
    try:
        log = read_flight_log(path)
    except SourceUnreadable as error:
        failure = error
    return FlightLogSummary(name=path.name, log=log, error=failure, seconds=time.monotonic() - started)


def inspect_video(video: Path, telemetry: Path | None) -> VideoSummary:
    """Read a video without processing anything; telemetry None: the video's own.

    Raises SourceUnreadable for a video that cannot be decoded, or a given log.
    """
    started = time.monotonic()
    log, failure = None, None
    source = VideoSource(str(video))
    with source:
        try:
            log = read_video_log(telemetry or video, source.created_ns, video)
        except SourceUnreadable as error:
            if telemetry is not None:
                raise
            failure = error
    return VideoSummary(
        name=video.name,
        size_px=source.size_px,
        fps=source.fps,
        duration_s=source.duration_s,
        began_ns=log.zero_ns if log is not None and log.is_own else source.created_ns,
        log=None if log is None else log.log,
        video_log=log,
        error=failure,
        seconds=time.monotonic() - started,
    )
