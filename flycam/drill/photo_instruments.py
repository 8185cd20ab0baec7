"""Metadata of the synthetic photos: DJI's EXIF and XMP.

The errors are those of a consumer drone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from flycam.drill.flight import Exposure
from flycam.drill.valley import WORK_CRS
from flycam.frame.flight import DRILL_MARK
from flycam.frame.timestamp import VIETNAM
from flycam.geodata.crs import to_lonlat
from flycam.geometry.interior import InteriorOrientation

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
