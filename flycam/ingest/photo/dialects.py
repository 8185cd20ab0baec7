"""What each maker means by its XMP words: one vocabulary in, PhotoMetadata fields out.

DJI      drone-dji:   angles and altitudes in degrees and metres, DewarpData, RTK (DJI's published notes
                      on image metadata; names as listed by ExifTool, misspelt GpsLongtitude included)
Autel    drone:       the same names as DJI; older firmware writes Camera: only
Parrot   drone-parrot:  CameraYawDegree ... in DJI's sense, DroneYawDegree ... of the body
senseFly sensefly:, Camera:  body attitude; heights both above the ellipsoid and above sea level
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from flycam.ingest.photo.metadata import Angles, Dewarp, Dialect

Values = Mapping[str, str]

_NUMBER = re.compile(
    r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(?:/\s*([+-]?\d+\.?\d*)\s*)?(?:m|deg)?\s*$"
)
_DMS = re.compile(r"\s*(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEW])\s*$", re.IGNORECASE)


def number(values: Values, *names: str) -> float | None:
    """First of `names` that holds a finite number ("+39.80", "1/2"), None if none does."""
    for name in names:
        text = values.get(name)
        match = _NUMBER.match(text) if text is not None else None
        if match is None:
            continue
        top, bottom = float(match[1]), float(match[2]) if match[2] else 1.0
        if bottom != 0.0 and math.isfinite(top / bottom):
            return top / bottom
    return None


def coordinate(values: Values, limit: float, *names: str) -> float | None:
    """A latitude or longitude in decimal degrees, or in XMP's "46,50.5N" form; None out of ±limit."""
    for name in names:
        degrees = number(values, name)
        match = _DMS.match(values.get(name, ""))
        if degrees is None and match is not None:
            degrees = float(match[1]) + float(match[2]) / 60.0 + float(match[3] or 0.0) / 3600.0
            degrees = -degrees if match[4].upper() in "SW" else degrees
        if degrees is not None and abs(degrees) <= limit:
            return degrees
    return None


def dialect_of(values: Values, maker: str) -> Dialect:
    """Whose vocabulary the packet speaks; EXIF or NONE is decided by the caller."""
    prefixes = {name.partition(":")[0] for name in values}
    upper = maker.upper()
    if "drone-dji" in prefixes:
        return Dialect.DJI
    if "drone-parrot" in prefixes or (upper.startswith("PARROT") and "Camera" in prefixes):
        return Dialect.PARROT
    if "drone" in prefixes or (upper.startswith("AUTEL") and prefixes & {"Camera", "*"}):
        return Dialect.AUTEL
    if "sensefly" in prefixes or "Camera:Yaw" in values or "Camera:Pitch" in values:
        return Dialect.SENSEFLY
    return Dialect.NONE


def fields_of(dialect: Dialect, values: Values) -> dict[str, Any]:
    """PhotoMetadata fields that the packet fills, values that are not said left out."""
    reader = _READERS.get(dialect)
    fields = reader(values) if reader is not None else {}
    fields.update(_shared(values))
    return {name: value for name, value in fields.items() if value is not None}


def _angles(values: Values, yaw: tuple[str, ...], pitch: tuple[str, ...], roll: tuple[str, ...]) -> Angles:
    return Angles(
        yaw_deg=number(values, *yaw), pitch_deg=number(values, *pitch), roll_deg=number(values, *roll)
    )


def _pix4d_angles(values: Values) -> Angles:
    return _angles(values, ("Camera:Yaw",), ("Camera:Pitch",), ("Camera:Roll",))


def _shared(values: Values) -> dict[str, Any]:
    """Words that several makers borrow from Pix4D and from standard XMP."""
    return {
        "camera": _pix4d_angles(values),
        "band_name": values.get("Camera:BandName") or None,
        "is_drill": True if values.get("flycam:Drill") else None,
    }


def _dji_like(values: Values, prefix: str) -> dict[str, Any]:
    """Fields spelt as DJI spells them, under `prefix`."""

    def names(*words: str) -> tuple[str, ...]:
        return tuple(f"{prefix}:{word}" for word in words)

    speeds = tuple(number(values, *names(f"Flight{axis}Speed")) for axis in "XYZ")
    return {
        "absolute_altitude_m": number(values, *names("AbsoluteAltitude")),
        "relative_altitude_m": number(values, *names("RelativeAltitude")),
        "xmp_lat_deg": coordinate(values, 90.0, *names("GpsLatitude", "GPSLatitude", "Latitude")),
        "xmp_lon_deg": coordinate(
            values,
            180.0,
            *names("GpsLongitude", "GpsLongtitude", "GPSLongitude", "GPSLongtitude", "Longitude"),
        ),
        "gimbal": _angles(
            values, names("GimbalYawDegree"), names("GimbalPitchDegree"), names("GimbalRollDegree")
        ),
        "aircraft": _angles(
            values, names("FlightYawDegree"), names("FlightPitchDegree"), names("FlightRollDegree")
        ),
        "speed_mps": speeds if None not in speeds else None,
    }


def _dji(values: Values) -> dict[str, Any]:
    fields = _dji_like(values, "drone-dji")
    focal = number(values, "drone-dji:CalibratedFocalLength")
    centre = (
        number(values, "drone-dji:CalibratedOpticalCenterX"),
        number(values, "drone-dji:CalibratedOpticalCenterY"),
    )
    flag = number(values, "drone-dji:DewarpFlag")
    fix = number(values, "drone-dji:RtkFlag")
    spread = tuple(number(values, f"drone-dji:RtkStd{axis}") for axis in ("Lon", "Lat", "Hgt"))
    fields.update(
        calibrated_focal_px=focal if focal is not None and focal > 0 else None,
        calibrated_centre_px=centre if None not in centre else None,
        dewarp=dewarp_of(values.get("drone-dji:DewarpData", "")),
        dewarped=None if flag is None else flag == 1,
        rtk_flag=None if fix is None else int(fix),
        rtk_std_m=spread if None not in spread else None,
        xmp_time_text=zoned_time(values, "drone-dji:UTCAtExposure", "xmp:CreateDate", assume_utc=True),
        serial=values.get("drone-dji:CameraSerialNumber") or None,
        aircraft_model=values.get("drone-dji:DroneModel") or values.get("drone-dji:ProductName") or None,
        altitude_type=values.get("drone-dji:AltitudeType") or None,
        image_source=values.get("drone-dji:ImageSource") or None,
        shutter_type=values.get("drone-dji:ShutterType") or None,
    )
    return fields


def dewarp_of(text: str) -> Dewarp | None:
    """DewarpData "date;fx,fy,cx,cy,k1,k2,p1,p2,k3" (DJI's image processing guides); None if it is not that.

    A row of zeros, which some aircraft write when nothing was calibrated, is None too.
    """
    day, semicolon, row = text.partition(";")
    parts = (row if semicolon else text).split(",")
    if len(parts) < 9:
        return None
    try:
        fx, fy, cx, cy, k1, k2, p1, p2, k3 = (float(part) for part in parts[:9])
    except ValueError:
        return None
    if not all(map(math.isfinite, (fx, fy, cx, cy, k1, k2, p1, p2, k3))) or fx <= 0 or fy <= 0:
        return None
    return Dewarp(
        calibrated_on=day.strip() if semicolon else "",
        fx_px=fx,
        fy_px=fy,
        cx_offset_px=cx,
        cy_offset_px=cy,
        k1=k1,
        k2=k2,
        p1=p1,
        p2=p2,
        k3=k3,
    )


_ISO = re.compile(
    r"(\d{4})[-:](\d{2})[-:](\d{2})[T ](\d{2}):(\d{2}):(\d{2})(\.\d{1,9})?\s*(Z|[+-]\d{2}:?\d{2})?$",
    re.IGNORECASE,
)


def zoned_time(values: Values, utc_name: str, *zoned_names: str, assume_utc: bool = False) -> str | None:
    """ISO 8601 with a zone: `utc_name` (UTC by definition) first, else a date that carries its zone."""
    for name in (utc_name, *zoned_names):
        match = _ISO.match(values.get(name, "").strip())
        if match is None:
            continue
        zone = (match[8] or ("Z" if name == utc_name and assume_utc else "")).upper()
        if not zone:
            continue
        if zone != "Z" and ":" not in zone:
            zone = f"{zone[:3]}:{zone[3:]}"
        return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}:{match[5]}:{match[6]}{match[7] or ''}{zone}"
    return None


def _autel(values: Values) -> dict[str, Any]:
    plain = {
        **{f"drone:{name[2:]}": text for name, text in values.items() if name.startswith("*:")},
        **values,
    }
    fields = _dji_like(plain, "drone")
    fix = number(plain, "drone:RtkFlag")
    fields.update(
        rtk_flag=None if fix is None else int(fix),
        relative_altitude_m=number(plain, "drone:RelativeAltitude", "Camera:AboveGroundAltitude"),
        xmp_time_text=zoned_time(plain, "drone:UTCAtExposure", "xmp:CreateDate", assume_utc=True),
    )
    return fields


def _parrot(values: Values) -> dict[str, Any]:
    return {
        "gimbal": _angles(
            values,
            ("drone-parrot:CameraYawDegree",),
            ("drone-parrot:CameraPitchDegree",),
            ("drone-parrot:CameraRollDegree",),
        ),
        "aircraft": _angles(
            values,
            ("drone-parrot:DroneYawDegree",),
            ("drone-parrot:DronePitchDegree",),
            ("drone-parrot:DroneRollDegree",),
        ),
        "relative_altitude_m": number(
            values, "Camera:AboveGroundAltitude", "drone-parrot:AboveGroundAltitude"
        ),
        "serial": values.get("drone-parrot:SerialNumber") or values.get("Camera:SerialNumber") or None,
        "xmp_time_text": zoned_time(values, "", "exif:DateTimeOriginal", "xmp:CreateDate"),
    }


def _sensefly(values: Values) -> dict[str, Any]:
    return {
        "aircraft": _angles(
            values,
            ("sensefly:Heading", "sensefly:Yaw"),
            ("sensefly:PitchAngle", "sensefly:Pitch"),
            ("sensefly:RollAngle", "sensefly:Roll"),
        ),
        "absolute_altitude_m": number(values, "sensefly:AltitudeAMSL"),
        "ellipsoid_altitude_m": number(values, "sensefly:AltitudeWGS84"),
        "relative_altitude_m": number(values, "sensefly:Height"),
        "xmp_lat_deg": coordinate(values, 90.0, "sensefly:Latitude"),
        "xmp_lon_deg": coordinate(values, 180.0, "sensefly:Longitude"),
        "xmp_time_text": zoned_time(values, "sensefly:UTCTime", assume_utc=True),
        "serial": values.get("sensefly:AutopilotSN") or None,
    }


_READERS: dict[Dialect, Callable[[Values], dict[str, Any]]] = {
    Dialect.DJI: _dji,
    Dialect.AUTEL: _autel,
    Dialect.PARROT: _parrot,
    Dialect.SENSEFLY: _sensefly,
}
