"""The synthetic aircraft: camera, strips, true poses, and measured metadata.

Strips over the valley are flown for photos, or in continuous time for video. Photos carry DJI's EXIF and XMP.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from scipy.ndimage import gaussian_filter1d

from flycam.drill.land import (
    VERTICAL_DATUM,
    WORK_CRS,
    Bounds,
    Floats,
    Valley,
    ValleyFields,
    build_valley_fields,
    generate_temporal_noise,
)
from flycam.errors import OptionUnusable
from flycam.geodata.crs import compute_convergence_and_scale, to_lonlat
from flycam.geometry.camera import InteriorOrientation, LensModel, compute_image_rays
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource, rotation_from_gimbal, to_mat3
from flycam.messages import _
from flycam.model.flight import DRILL_MARK
from flycam.model.time import VIETNAM

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


# -- Metadata of the synthetic photos: DJI's EXIF and XMP ------------------------------------------
#
# The errors are those of a consumer drone.


DRILL_NAMESPACE = "urn:flycam:drill:1"
MAKER, MODEL = "DJI", "FLYCAM DRILL"
_SENSOR_WIDTH_MM = 6.3
_TAKEOFF_BEFORE = datetime(2026, 9, 5, 9, 12, 0, tzinfo=VIETNAM)
_TAKEOFF_AFTER = datetime(2026, 9, 9, 8, 40, 0, tzinfo=VIETNAM)

# 1-sigma at noise 1 of a consumer drone: metres, degrees
_GNSS_BIAS_M = (0.8, 0.8, 0.8)
_GNSS_FRAME_M = (0.5, 0.5, 0.5)
_ABSOLUTE_BIAS_M = 6.0
_ATTITUDE_FRAME_DEG = (0.6, 0.4, 0.4)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredPose:
    """Measured pose of one exposure; degrees and metres, as in the file."""

    lon_deg: float
    lat_deg: float
    absolute_m: float
    relative_m: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    flight_yaw_deg: float
    taken: datetime


def simulate_measurements(
    exposures: list[Exposure],
    takeoff_height_m: float,
    seed: int,
    after: bool,
    noise: float,
    yaw_step_deg: float = 0.0,
    days: int = 0,
) -> list[MeasuredPose]:
    """Return the measurements of true exposures; `noise` 0 returns the truth.

    yaw_step_deg  1-sigma of the gimbal's yaw error per strip (`simulate_yaw_steps`); the aircraft's yaw
                  lacks it
    days          after the usual day: another flight, with errors of its own
    """
    steps = simulate_yaw_steps(exposures, seed, after, yaw_step_deg)
    random = np.random.default_rng([seed, 23, int(after), *([days] if days else [])])
    bias = random.normal(size=3) * _GNSS_BIAS_M * noise
    absolute_bias = random.normal() * _ABSOLUTE_BIAS_M * noise
    shift = bias + random.normal(size=(len(exposures), 3)) * _GNSS_FRAME_M * noise
    turn = random.normal(size=(len(exposures), 3)) * _ATTITUDE_FRAME_DEG * noise
    centres = np.array([e.exterior.projection_centre_m for e in exposures]) + shift
    lonlat = to_lonlat(centres[:, :2], WORK_CRS)
    takeoff = make_takeoff_time(after) + timedelta(days=days)
    measured = []
    for k, exposure in enumerate(exposures):
        yaw, pitch, roll = (math.degrees(a) for a in exposure.gimbal_rad)
        measured.append(
            MeasuredPose(
                lon_deg=float(lonlat[k, 0]),
                lat_deg=float(lonlat[k, 1]),
                absolute_m=float(centres[k, 2] + absolute_bias),
                relative_m=float(centres[k, 2] - takeoff_height_m),
                yaw_deg=_half_turn(yaw + turn[k, 0] + steps[exposure.strip]),
                pitch_deg=pitch + turn[k, 1],
                roll_deg=roll + turn[k, 2],
                flight_yaw_deg=_half_turn(yaw + turn[k, 0]),
                taken=takeoff + timedelta(seconds=exposure.seconds),
            )
        )
    return measured


def make_takeoff_time(after: bool) -> datetime:
    """Return the take-off time of the drill's aircraft, before or after the storm."""
    return _TAKEOFF_AFTER if after else _TAKEOFF_BEFORE


def simulate_yaw_steps(exposures: list[Exposure], seed: int, after: bool, sigma_deg: float) -> list[float]:
    """Return the gimbal's yaw error per strip, degrees.

    A consumer gimbal steps at every turn.
    """
    random = np.random.default_rng([seed, 37, int(after)])
    return [float(step) for step in random.normal(size=exposures[-1].strip + 1) * sigma_deg]


def make_exif(name: str, measured: MeasuredPose, camera: InteriorOrientation) -> Image.Exif:
    """Return EXIF with positions to 1e-7 of an arc second, and the drill's mark.

    Times are local, with their offset.
    """
    local = measured.taken
    utc = local.astimezone(UTC)
    focal_mm = camera.focal_length_px[0] / camera.image_size_px[0] * _SENSOR_WIDTH_MM
    focal_35 = camera.focal_length_px[0] * 43.2666 / math.hypot(*camera.image_size_px)
    clock = local.strftime("%Y:%m:%d %H:%M:%S")
    exif = Image.Exif()
    exif[0x010E] = f"DIEN TAP - flycam drill, not a real event: {name}"
    exif[0x010F], exif[0x0110] = MAKER, MODEL
    exif[0x0112] = 1
    exif[0x0131] = "flycam drill"
    exif[0x0132] = clock
    exif.get_ifd(0x8769).update(
        {
            0x829A: IFDRational(1, 800),
            0x829D: IFDRational(28, 10),
            0x8827: 100,
            0x9000: b"0230",
            0x9003: clock,
            0x9004: clock,
            0x9011: "+07:00",
            0x9291: f"{local.microsecond // 1000:03d}",
            0x920A: IFDRational(round(focal_mm * 1e4), 10_000),
            0xA002: camera.image_size_px[0],
            0xA003: camera.image_size_px[1],
            0xA405: round(focal_35),
            0xA431: "DRILL0000001",
        }
    )
    exif.get_ifd(0x8825).update(
        {
            0: b"\x02\x03\x00\x00",
            1: "N" if measured.lat_deg >= 0 else "S",
            2: _sexagesimal(measured.lat_deg),
            3: "E" if measured.lon_deg >= 0 else "W",
            4: _sexagesimal(measured.lon_deg),
            5: b"\x00" if measured.absolute_m >= 0 else b"\x01",
            6: IFDRational(round(abs(measured.absolute_m) * 1000), 1000),
            7: (
                IFDRational(utc.hour),
                IFDRational(utc.minute),
                IFDRational(utc.second * 1000 + utc.microsecond // 1000, 1000),
            ),
            0x12: "WGS-84",
            0x1D: utc.strftime("%Y:%m:%d"),
        }
    )
    return exif


def make_xmp(measured: MeasuredPose, camera: InteriorOrientation) -> bytes:
    """Return the XMP packet of a DJI aircraft.

    Enough decimals that at noise 0 nothing is lost.
    """
    width, height = camera.image_size_px
    (fx, fy), (cx, cy) = camera.focal_length_px, camera.principal_point_px
    k1, k2, p1, p2, k3 = camera.distortion
    dewarp = ",".join(
        f"{number:.9f}"
        for number in (fx, fy, cx - (width - 1) / 2, cy - (height - 1) / 2, k1, k2, p1, p2, k3)
    )
    utc = measured.taken.astimezone(UTC)
    attributes = {
        "tiff:Make": MAKER,
        "tiff:Model": MODEL,
        "xmp:CreateDate": measured.taken.isoformat(timespec="seconds"),
        "dc:format": "image/jpeg",
        "drone-dji:GpsStatus": "Normal",
        "drone-dji:AltitudeType": "GpsFusionAlt",
        "drone-dji:GpsLatitude": f"{measured.lat_deg:+.10f}",
        "drone-dji:GpsLongitude": f"{measured.lon_deg:+.10f}",
        "drone-dji:AbsoluteAltitude": f"{measured.absolute_m:+.4f}",
        "drone-dji:RelativeAltitude": f"{measured.relative_m:+.4f}",
        "drone-dji:GimbalRollDegree": f"{measured.roll_deg:+.6f}",
        "drone-dji:GimbalYawDegree": f"{measured.yaw_deg:+.6f}",
        "drone-dji:GimbalPitchDegree": f"{measured.pitch_deg:+.6f}",
        "drone-dji:FlightRollDegree": f"{1.5 * measured.roll_deg:+.2f}",
        "drone-dji:FlightYawDegree": f"{measured.flight_yaw_deg:+.2f}",
        "drone-dji:FlightPitchDegree": "-8.00",
        "drone-dji:CamReverse": "0",
        "drone-dji:GimbalReverse": "0",
        "drone-dji:RtkFlag": "0",
        "drone-dji:CalibratedFocalLength": f"{fx:.6f}",
        "drone-dji:CalibratedOpticalCenterX": f"{(width - 1) / 2:.6f}",
        "drone-dji:CalibratedOpticalCenterY": f"{(height - 1) / 2:.6f}",
        "drone-dji:DewarpFlag": "0",
        "drone-dji:DewarpData": f"2026-01-01;{dewarp}",
        "drone-dji:UTCAtExposure": utc.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "drone-dji:ShutterType": "Electronic" if camera.readout_s else "Mechanical",
        "drone-dji:CameraSerialNumber": "DRILL0000001",
        "drone-dji:DroneModel": MODEL,
        "flycam:Drill": DRILL_MARK,
    }
    body = "\n   ".join(f'{key}="{value}"' for key, value in attributes.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '  <rdf:Description rdf:about="DJI Meta Data"\n   xmlns:tiff="http://ns.adobe.com/tiff/1.0/"\n'
        '   xmlns:xmp="http://ns.adobe.com/xap/1.0/"\n   xmlns:dc="http://purl.org/dc/elements/1.1/"\n'
        '   xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"\n'
        f'   xmlns:flycam="{DRILL_NAMESPACE}"\n   {body}/>\n </rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def _half_turn(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0


def _sexagesimal(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Return degrees, minutes, and seconds in 1e-7 arc seconds."""
    parts = round(abs(degrees) * 3600.0 * 10**7)
    minutes, seconds = divmod(parts, 60 * 10**7)
    return IFDRational(minutes // 60), IFDRational(minutes % 60), IFDRational(seconds, 10**7)


# -- Course of a video flight: strips and turns in continuous time ---------------------------------
#
# The course is a line of strips and cross legs flown at constant speed, then smoothed in time by a Gaussian
# of `_SMOOTH_S`, which gives the aircraft finite accelerations and the turns their arcs. Gusts and the
# gimbal's wobble are smooth noise of time.


MIN_DURATION_S, MAX_DURATION_S = 5.0, 3600.0
_SIDE_OVERLAP = 0.65
_STRIP_PER_SPACING = 4.0 / 3.0
_STEP_S = 0.02
_SMOOTH_S = 1.2
_PAD_S = 8.0
_GROUND_STEP_S = 0.5
_GROUND_PAD_M = 180.0
_GUST_S, _GUST_M = 14.0, (0.6, 0.6, 0.35)
_VIDEO_WOBBLE_S, _VIDEO_WOBBLE_DEG = 5.0, (0.8, 0.5, 0.4)
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
                    "--seconds {seconds:g}: a drill video is {shortest_s:g} to {longest_s:g} "
                    "s long: choose a number in between",
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
        generate_temporal_noise(time_s, _VIDEO_WOBBLE_S, _VIDEO_WOBBLE_DEG, number, "video wobble")
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
