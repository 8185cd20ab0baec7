"""The synthetic aircraft: camera, strips over the valley, and true poses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flycam.drill.cell_window import Bounds
from flycam.drill.spatial_noise import Floats
from flycam.drill.valley import VERTICAL_DATUM, WORK_CRS, Valley, ValleyFields, build_valley_fields
from flycam.errors import OptionUnusable
from flycam.geodata.crs import compute_convergence_and_scale, to_lonlat
from flycam.geometry.camera import compute_image_rays
from flycam.geometry.exterior import CameraMotion, ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.rotation import rotation_from_gimbal, to_mat3
from flycam.messages import _

Follow = Literal["ground", "strip", "constant"]

NADIR_DEG, MAX_PITCH_DEG = -90.0, -50.0
_MAX_PHOTOS = 1000
_MAX_GSD_M = 10.0
SIDE_OVERLAP = 0.65
FORWARD_OVERLAP = 0.75
SPEED_MPS = 9.0
_SLOWEST_MPS, _MAX_SPEED_MPS = 1.0, 40.0
_FOCAL_PER_WIDTH = 800.0 / 1320.0
_BLOCK_MIDDLE_ACROSS_M = -15.0
_SMOOTHING_M = 60.0
_STEP_M = 4.0
_TURN_S = 14.0
# 1-sigma of the true position from the plan (east, north, up), and of yaw, pitch, roll
_STRAY_M = (0.9, 0.9, 0.5)
_WOBBLE_DEG = (1.2, 0.9, 0.6)
# Motion during a rolling shutter's readout that neighbouring exposures do not reveal: gusts, and the turn
# rate of the gimbal
_GUST_MPS = (0.4, 0.4, 0.2)
_TURN_DEG_S = (0.5, 0.5, 1.0)
_MARGIN_M = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposure:
    """Truth of one photo.

    exterior    of the middle row; with its motion if the shutter rolls
    gimbal_rad  yaw, pitch, roll from true north
    seconds     since take-off
    """

    number: int
    exterior: ExteriorOrientation
    gimbal_rad: tuple[float, float, float]
    lonlat_deg: tuple[float, float]
    seconds: float
    strip: int


def require_speed(speed_mps: float) -> None:
    """Raise OptionUnusable for a speed outside the drill's limits."""
    if not _SLOWEST_MPS <= speed_mps <= _MAX_SPEED_MPS:
        raise OptionUnusable(
            _(
                "speed {speed_mps:g}: a drill flies at {slowest_mps:g} to {fastest_mps:g} "
                "m/s: choose a speed in between",
                speed_mps=speed_mps,
                slowest_mps=_SLOWEST_MPS,
                fastest_mps=_MAX_SPEED_MPS,
            )
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightPlan:
    """Strips along the valley.

    strips, per_strip  their number, and photos in each
    gsd_m              on ground at the flying height that the plan keeps
    follow             "ground": constant height above smoothed ground; "strip": one altitude per strip;
                       "constant": one altitude for all
    pitch_deg          of the gimbal: -90 looks straight down; -50 is the flattest whose rays all meet ground
    speed_mps          over the ground along the strips
    """

    strips: int
    per_strip: int
    gsd_m: float
    follow: Follow = "ground"
    pitch_deg: float = NADIR_DEG
    speed_mps: float = SPEED_MPS

    def __post_init__(self) -> None:
        if not NADIR_DEG <= self.pitch_deg <= MAX_PITCH_DEG:
            raise OptionUnusable(
                _(
                    "pitch {pitch_deg:g}: a drill looks down by {nadir_deg:g} (nadir) to "
                    "{flattest_deg:g} degrees: choose a pitch in between",
                    pitch_deg=self.pitch_deg,
                    nadir_deg=NADIR_DEG,
                    flattest_deg=MAX_PITCH_DEG,
                )
            )
        require_speed(self.speed_mps)
        if not (1 <= self.strips <= _MAX_PHOTOS and 1 <= self.per_strip <= _MAX_PHOTOS):
            raise OptionUnusable(
                _(
                    "photos {strips} {per_strip}: a drill has 1 to {most_photos} strips of 1 "
                    "to {most_photos} photos: choose numbers in between",
                    strips=self.strips,
                    per_strip=self.per_strip,
                    most_photos=_MAX_PHOTOS,
                )
            )
        if not 0.0 < self.gsd_m <= _MAX_GSD_M:
            raise OptionUnusable(
                _(
                    "gsd {gsd_m:g}: a drill resolves the ground to {coarsest_m:g} m or finer: "
                    "give metres above 0",
                    gsd_m=self.gsd_m,
                    coarsest_m=_MAX_GSD_M,
                )
            )


def make_drill_camera(image_size_px: tuple[int, int], readout_s: float = 0.0) -> InteriorOrientation:
    """Return the drill's camera: Brown-Conrady, principal point off the centre.

    readout_s  0: global shutter
    """
    width, height = image_size_px
    focal = _FOCAL_PER_WIDTH * width
    return InteriorOrientation(
        model=LensModel.BROWN,
        image_size_px=image_size_px,
        focal_length_px=(focal, focal),
        principal_point_px=((width - 1) / 2 + 0.0045 * width, (height - 1) / 2 - 0.0032 * width),
        distortion=(-0.021, 0.0135, 0.00042, -0.00031, -0.0021),
        readout_s=readout_s,
        calibration_id="drill:truth",
        sigma_focal_rel=0.0,
    )


def simulate_flight(
    valley: Valley, plan: FlightPlan, camera: InteriorOrientation, seed: int, after: bool
) -> list[Exposure]:
    """Return true exposures in the order flown; only wind differs with `after`."""
    along, across, strip = _waypoints(plan, camera)
    ground = _flying_ground(valley, plan, along, across, strip)
    east, north = valley.to_work_crs(along, across)
    wind = np.random.default_rng([seed, 11, int(after)])
    count = len(along)
    stray = wind.normal(size=(count, 3)) * _STRAY_M
    wobble = np.radians(wind.normal(size=(count, 3)) * _WOBBLE_DEG)
    height = ground + plan.gsd_m * camera.focal_length_px[0]
    centres = np.stack([east, north, height], -1) + stray
    lonlat = to_lonlat(centres[:, :2], WORK_CRS)
    seconds = 60.0 + np.cumsum(np.r_[0.0, np.hypot(np.diff(along), np.diff(across)) / plan.speed_mps])
    seconds += strip * _TURN_S
    motions = _motions(valley, plan, strip, ground, seconds, [seed, 41, int(after)])
    pitch = math.radians(plan.pitch_deg)
    # a gimbal does not look past nadir
    nod = np.abs(wobble[:, 1]) if plan.pitch_deg == NADIR_DEG else wobble[:, 1]
    return [
        make_true_exposure(
            k + 1,
            centres[k],
            lonlat[k],
            azimuth_rad=valley.azimuth_rad,
            course_rad=math.pi if strip[k] % 2 else 0.0,
            camera_rad=(wobble[k, 0], pitch + nod[k], wobble[k, 2]),
            seconds=round(float(seconds[k]), 3),
            strip=int(strip[k]),
            motion=motions[k] if camera.readout_s else None,
        )
        for k in range(count)
    ]


def make_true_exposure(
    number: int,
    centre_m: Floats,
    lonlat_deg: Floats,
    *,
    azimuth_rad: float,
    course_rad: float,
    camera_rad: tuple[float, float, float],
    seconds: float,
    strip: int,
    motion: CameraMotion | None = None,
) -> Exposure:
    """Return the truth of one exposure.

    centre_m     (3,) in the work CRS; lonlat_deg (2,) of the same place
    azimuth_rad  of the strips, from grid north; course_rad: the aircraft's turn from it
    camera_rad   the camera's turn from the course, pitch, roll
    """
    turn, pitch, roll = (float(angle) for angle in camera_rad)
    convergence, scale = compute_convergence_and_scale(WORK_CRS, *lonlat_deg)
    yaw = (azimuth_rad + convergence + course_rad + turn + math.pi) % (2.0 * math.pi) - math.pi
    exterior = ExteriorOrientation(
        projection_centre_m=(float(centre_m[0]), float(centre_m[1]), float(centre_m[2])),
        rotation=to_mat3(rotation_from_gimbal(yaw, pitch, roll, convergence)),
        work_crs=WORK_CRS,
        vertical_datum=VERTICAL_DATUM,
        grid_scale=scale,
        sigma_position_m=(0.0, 0.0, 0.0),
        sigma_attitude_rad=(0.0, 0.0, 0.0),
        source=PoseSource.ADJUSTED,
        motion=motion,
    )
    return Exposure(
        number=number,
        exterior=exterior,
        gimbal_rad=(yaw, pitch, roll),
        lonlat_deg=(float(lonlat_deg[0]), float(lonlat_deg[1])),
        seconds=seconds,
        strip=strip,
    )


def _motions(
    valley: Valley,
    plan: FlightPlan,
    strip: NDArray[np.intp],
    ground: Floats,
    seconds: Floats,
    seed: list[int],
) -> list[CameraMotion]:
    """Return the motion of aircraft and camera at each exposure.

    Along its strip, climbing with the ground it follows, with gusts and turns that differ by exposure.
    """
    random = np.random.default_rng(seed)
    gusts = random.normal(size=(len(strip), 3)) * _GUST_MPS
    turns = np.radians(random.normal(size=(len(strip), 3)) * _TURN_DEG_S)
    from_e, from_n = valley.to_work_crs(np.zeros(2), np.zeros(2))
    to_e, to_n = valley.to_work_crs(np.ones(2), np.zeros(2))
    ahead = np.array([to_e[0] - from_e[0], to_n[0] - from_n[0]]) * plan.speed_mps
    climb = np.zeros(len(strip))
    for number in range(plan.strips if plan.per_strip > 1 else 0):
        own = strip == number
        climb[own] = np.gradient(ground[own], seconds[own])
    sign = np.where(strip % 2, -1.0, 1.0)
    velocity = np.column_stack([sign * ahead[0], sign * ahead[1], climb]) + gusts
    return [
        CameraMotion(
            velocity_mps=(float(v[0]), float(v[1]), float(v[2])),
            turn_radps=(float(w[0]), float(w[1]), float(w[2])),
        )
        for v, w in zip(velocity, turns, strict=True)
    ]


def compute_block_bounds(valley: Valley, exposures: list[Exposure], camera: InteriorOrientation) -> Bounds:
    """Return bounds (work CRS) of all ground the exposures see, with a margin.

    The frames' border rays are followed down to the smooth ground; nothing is imaged outside.
    """
    width, height = camera.image_size_px
    u, v = np.meshgrid(np.linspace(0, width - 1, 5), np.linspace(0, height - 1, 5))
    uv = np.stack([u.ravel(), v.ravel()], -1)
    centres = np.array([e.exterior.projection_centre_m for e in exposures])
    rays = np.stack([compute_image_rays(camera, e.exterior, uv) for e in exposures])
    highest = float(centres[:, 2].max() - 100.0) + 400.0
    reach = 1.5 * highest
    west, south = centres[:, :2].min(0) - reach
    east, north = centres[:, :2].max(0) + reach
    fields = build_valley_fields(valley, (west, south, east, north))
    drops = np.linspace(1.0, 0.98 * reach, 600)[:, None, None]
    slope = rays[..., :2] / -rays[..., 2:]
    points = centres[None, :, None, :2] + slope[None] * drops[..., None]
    below = centres[None, :, None, 2] - drops < fields.sample("height", points[..., 0], points[..., 1])
    first = below.argmax(0)
    ends = np.take_along_axis(points, first[None, ..., None], 0)[0].reshape(-1, 2)
    low, high = ends.min(0) - _MARGIN_M, ends.max(0) + _MARGIN_M
    return (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _waypoints(plan: FlightPlan, camera: InteriorOrientation) -> tuple[Floats, Floats, NDArray[np.intp]]:
    width, height = camera.image_size_px
    base = plan.gsd_m * height * (1.0 - FORWARD_OVERLAP)
    spacing = plan.gsd_m * width * (1.0 - SIDE_OVERLAP)
    along_strip = (np.arange(plan.per_strip) - (plan.per_strip - 1) / 2) * base
    across_all = _BLOCK_MIDDLE_ACROSS_M + (np.arange(plan.strips) - (plan.strips - 1) / 2) * spacing
    along = np.concatenate([along_strip if s % 2 == 0 else along_strip[::-1] for s in range(plan.strips)])
    strip = np.repeat(np.arange(plan.strips), plan.per_strip)
    return along, across_all[strip], strip


def _flying_ground(
    valley: Valley, plan: FlightPlan, along: Floats, across: Floats, strip: NDArray[np.intp]
) -> Floats:
    """Return the ground heights above which the exposures keep their flying height."""
    east, north = valley.to_work_crs(along, across)
    pad = 3.0 * _SMOOTHING_M
    bounds = (east.min() - pad, north.min() - pad, east.max() + pad, north.max() + pad)
    fields = build_valley_fields(
        valley, (float(bounds[0]), float(bounds[1]), float(bounds[2]), float(bounds[3]))
    )
    smooth = compute_mean_ground(valley, fields, along, across)
    if plan.follow == "ground":
        return smooth
    if plan.follow == "constant":
        return np.full_like(smooth, smooth.mean())
    means = np.array([smooth[strip == s].mean() for s in range(plan.strips)])
    return np.asarray(means[strip])


def compute_mean_ground(valley: Valley, fields: ValleyFields, along: Floats, across: Floats) -> Floats:
    """Return the mean ground height within a square around each point.

    So the aircraft does not hop over every knoll.
    """
    reach = np.arange(-_SMOOTHING_M, _SMOOTHING_M + 1.0, _STEP_M)
    da, db = np.meshgrid(reach, reach)
    east, north = valley.to_work_crs(along[:, None] + da.ravel(), across[:, None] + db.ravel())
    return np.asarray(fields.sample("height", east, north).mean(1))
