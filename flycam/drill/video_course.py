"""Course of an aircraft that records video: strips and turns in continuous time.

The course is a line of strips and cross legs flown at constant speed, then smoothed in time by a Gaussian
of `_SMOOTH_S`, which gives the aircraft finite accelerations and the turns their arcs. Gusts and the
gimbal's wobble are smooth noise of time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from flycam.drill.flight import SPEED_MPS, Exposure, compute_mean_ground, make_true_exposure, require_speed
from flycam.drill.spatial_noise import Floats, generate_temporal_noise
from flycam.drill.valley import WORK_CRS, Valley, build_valley_fields
from flycam.errors import OptionUnusable
from flycam.geodata.crs import to_lonlat
from flycam.geometry.interior import InteriorOrientation
from flycam.messages import _

MIN_DURATION_S, MAX_DURATION_S = 5.0, 3600.0
_SIDE_OVERLAP = 0.65
_STRIP_PER_SPACING = 4.0 / 3.0
_STEP_S = 0.02
_SMOOTH_S = 1.2
_PAD_S = 8.0
_GROUND_STEP_S = 0.5
_GROUND_PAD_M = 180.0
_BLOCK_MIDDLE_ACROSS_M = -15.0
_GUST_S, _GUST_M = 14.0, (0.6, 0.6, 0.35)
_WOBBLE_S, _WOBBLE_DEG = 5.0, (0.8, 0.5, 0.4)
# the gimbal's mean nod from nadir: its wobble never takes it past
_NOD_DEG = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoPlan:
    """Plan of a video.

    seconds           its length; fps: frames a second
    strips            None: as many as fit well
    gsd_m, speed_mps  as in FlightPlan
    is_steady         no gusts, no wobble: with one strip nothing in the frames tells one moment from another
    """

    seconds: float = 60.0
    fps: int = 30
    strips: int | None = None
    gsd_m: float = 0.2
    is_steady: bool = False
    speed_mps: float = SPEED_MPS

    def __post_init__(self) -> None:
        if not MIN_DURATION_S <= self.seconds <= MAX_DURATION_S:
            raise OptionUnusable(
                _(
                    "--seconds {seconds:g}: a drill films {shortest_s:g} to {longest_s:g} s: "
                    "choose a number in between",
                    seconds=self.seconds,
                    shortest_s=MIN_DURATION_S,
                    longest_s=MAX_DURATION_S,
                )
            )
        require_speed(self.speed_mps)

    @property
    def frames(self) -> int:
        """Number of frames in the video."""
        return round(self.seconds * self.fps)

    @property
    def frame_s(self) -> Floats:
        """Times of the frames, seconds since the first, shape (frames,)."""
        return np.arange(self.frames) / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoCourse:
    """Samples of a course, one every `_STEP_S`.

    From `_PAD_S` before the first frame to as long after the last one.

    centre_m    N×3 (work CRS)
    course_rad  N (unwrapped, from the valley's azimuth)
    camera_rad  N×3 (turn from the course, pitch, roll)
    strip       N (the strip flown, or turned from)
    """

    valley: Valley
    time_s: Floats
    centre_m: Floats
    course_rad: Floats
    camera_rad: Floats
    strip: NDArray[np.intp]

    def exposures(self, times_s: Floats) -> list[Exposure]:
        """Return true exposures at times (N, seconds since the first frame).

        The times are within the samples.

        Their `number` is the whole second: the camera's automatic exposure changes once a second.
        """
        columns = np.concatenate([self.centre_m, self.course_rad[:, None], self.camera_rad], axis=1)
        at = np.stack([np.interp(times_s, self.time_s, column) for column in columns.T], axis=1)
        strips = self.strip[np.clip(np.searchsorted(self.time_s, times_s), 0, len(self.strip) - 1)]
        lonlat = to_lonlat(at[:, :2], WORK_CRS)
        return [
            make_true_exposure(
                int(t + _PAD_S),
                row[:3],
                place,
                azimuth_rad=self.valley.azimuth_rad,
                course_rad=float(row[3]),
                camera_rad=(row[4], row[5], row[6]),
                seconds=float(t),
                strip=int(strip),
            )
            for t, row, place, strip in zip(times_s, at, lonlat, strips, strict=True)
        ]

    def velocity_mps(self, times_s: Floats) -> Floats:
        """Return east, north, up (work CRS metres a second) at times (N), N×3."""
        ahead, behind = times_s + _STEP_S, times_s - _STEP_S
        moved = [
            np.interp(ahead, self.time_s, column) - np.interp(behind, self.time_s, column)
            for column in self.centre_m.T
        ]
        return np.stack(moved, axis=1) / (2.0 * _STEP_S)


def make_video_course(
    valley: Valley, plan: VideoPlan, camera: InteriorOrientation, seed: int, after: bool
) -> VideoCourse:
    """Return the course over the valley.

    Raises OptionUnusable where so many strips do not fit into the time.
    """
    time_s = np.arange(-_PAD_S, plan.seconds + _PAD_S + _STEP_S, _STEP_S)
    along, across, course, strip = _flown(plan, camera, time_s)
    ground = _ground_below(valley, time_s, along, across)
    east, north = valley.to_work_crs(along, across)
    height = ground + plan.gsd_m * camera.focal_length_px[0]
    windy = 0.0 if plan.is_steady else 1.0
    number = 100 * seed + after
    gusts = windy * generate_temporal_noise(time_s, _GUST_S, _GUST_M, number, "video gusts")
    wobble = windy * np.radians(
        generate_temporal_noise(time_s, _WOBBLE_S, _WOBBLE_DEG, number, "video wobble")
    )
    nod = np.abs(wobble[:, 1] + math.radians(_NOD_DEG))
    return VideoCourse(
        valley=valley,
        time_s=time_s,
        centre_m=np.stack([east, north, height], axis=1) + gusts,
        course_rad=course,
        camera_rad=np.stack([wobble[:, 0], nod - math.pi / 2.0, wobble[:, 2]], axis=1),
        strip=strip,
    )


def _flown(
    plan: VideoPlan, camera: InteriorOrientation, time_s: Floats
) -> tuple[Floats, Floats, Floats, NDArray[np.intp]]:
    """Return along, across, course and strip number at times (N each).

    Along and across are valley coordinates, the course is from the azimuth.
    """
    speed = plan.speed_mps
    way_m, spacing = speed * plan.seconds, plan.gsd_m * camera.image_size_px[0] * (1.0 - _SIDE_OVERLAP)
    strips = plan.strips or _strips_that_fit_well(way_m, spacing, speed)
    length = (way_m - (strips - 1) * spacing) / strips
    if length < speed * _SMOOTH_S:
        raise OptionUnusable(
            _(
                "--strips {strips}: so many do not fit into {seconds:g} s: give fewer or more seconds",
                strips=strips,
                seconds=plan.seconds,
            )
        )
    # legs: strip, cross leg, strip back, cross leg, …; the first and the last go on beyond the video
    legs = 2 * strips - 1
    is_strip = np.arange(legs) % 2 == 0
    turned = -np.array([(0, 1, 2, 1)[leg % 4] for leg in range(legs)]) * (math.pi / 2.0)
    metres = np.where(is_strip, length, spacing)
    metres[0] += _PAD_S * speed
    metres[-1] += _PAD_S * speed
    corners = np.concatenate([[0.0], np.cumsum(metres)])
    steps = metres[:, None] * np.stack([np.cos(turned), -np.sin(turned)], axis=1)
    places = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    middle = (_PAD_S * speed + length / 2.0, (strips - 1) * spacing / 2.0 - _BLOCK_MIDDLE_ACROSS_M)
    places -= middle
    way = (time_s + _PAD_S) * speed
    along, across = (np.interp(way, corners, column) for column in places.T)
    leg = np.clip(np.searchsorted(corners, way, side="right") - 1, 0, legs - 1)
    smooth = [
        gaussian_filter1d(column, _SMOOTH_S / _STEP_S, mode="nearest")
        for column in (along, across, turned[leg])
    ]
    # beyond its samples the line is straight, which "nearest" is not: the pad is longer than the kernel
    return smooth[0], smooth[1], smooth[2], (leg // 2).astype(np.intp)


def _strips_that_fit_well(way_m: float, spacing_m: float, speed_mps: float) -> int:
    """Return the number of strips of length near `_STRIP_PER_SPACING` spacings.

    Fewer if they would be too short to be flown straight.
    """
    well = round((way_m + spacing_m) / (spacing_m * (1.0 + _STRIP_PER_SPACING)))
    at_most = int((way_m + spacing_m) / (speed_mps * _SMOOTH_S + spacing_m))
    return max(1, min(well, at_most))


def _ground_below(valley: Valley, time_s: Floats, along: Floats, across: Floats) -> Floats:
    """Return the smoothed ground height at times (N), above which the aircraft flies."""
    seldom = slice(None, None, round(_GROUND_STEP_S / _STEP_S))
    east, north = valley.to_work_crs(along, across)
    bounds = (
        float(east.min() - _GROUND_PAD_M),
        float(north.min() - _GROUND_PAD_M),
        float(east.max() + _GROUND_PAD_M),
        float(north.max() + _GROUND_PAD_M),
    )
    mean = compute_mean_ground(valley, build_valley_fields(valley, bounds), along[seldom], across[seldom])
    return np.asarray(
        gaussian_filter1d(np.interp(time_s, time_s[seldom], mean), _SMOOTH_S / _STEP_S, mode="nearest")
    )
