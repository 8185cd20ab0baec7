"""EXIF of a photo: camera, time, position, and DJI's maker note.

Tags by EXIF 2.32 (CIPA DC-008). A value that is absent, not finite or out of its range is None; faults are
listed in `remarks`.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from datetime import datetime

from flycam.ingest.photo.tiff import Directory, TiffReader
from flycam.messages import Message, _

_DESCRIPTION, _MAKE, _MODEL, _ORIENTATION = 0x010E, 0x010F, 0x0110, 0x0112
_SOFTWARE, _DATE_TIME = 0x0131, 0x0132
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_EXPOSURE, _F_NUMBER, _ISO, _DATE_TIME_ORIGINAL = 0x829A, 0x829D, 0x8827, 0x9003
_OFFSET_ORIGINAL, _OFFSET = 0x9011, 0x9010
_FOCAL, _MAKER_NOTE, _SUBSEC_ORIGINAL, _SUBSEC = 0x920A, 0x927C, 0x9291, 0x9290
_PIXEL_X, _PIXEL_Y, _PLANE_X, _PLANE_UNIT = 0xA002, 0xA003, 0xA20E, 0xA210
_ZOOM, _FOCAL35, _SERIAL, _LENS = 0xA404, 0xA405, 0xA431, 0xA434
_LAT_REF, _LAT, _LON_REF, _LON, _ALT_REF, _ALT, _GPS_TIME = range(1, 8)
_DIRECTION_REF, _DIRECTION, _GPS_DATE, _GPS_ERROR = 0x10, 0x11, 0x1D, 0x1F

_TIME = re.compile(r"(\d{4})[:/-](\d{2})[:/-](\d{2})[ T](\d{2}):(\d{2}):(\d{2})")
_DATE = re.compile(r"(\d{4})[:/-](\d{2})[:/-](\d{2})")
_ZONE = re.compile(r"[+-]\d{2}:\d{2}")
# A larger error means a position from a mobile network, or an invalid value.
_MAX_ERROR_M = 1000.0
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


@dataclass(kw_only=True, slots=True)
class ExifMetadata:
    """EXIF values in the units of their names; None or "" where not stated."""

    maker: str = ""
    model: str = ""
    lens: str = ""
    serial: str = ""
    description: str = ""
    software: str = ""
    orientation: int = 1
    taken_text: str | None = None
    taken_offset: str | None = None
    gps_time_text: str | None = None
    focal_mm: float | None = None
    focal35_mm: float | None = None
    focal_plane_px_per_mm: float | None = None
    exif_size_px: tuple[int, int] | None = None
    digital_zoom: float | None = None
    f_number: float | None = None
    iso: float | None = None
    exposure_s: float | None = None
    lon_deg: float | None = None
    lat_deg: float | None = None
    altitude_m: float | None = None
    direction_deg: float | None = None
    direction_reference: str | None = None
    horizontal_error_m: float | None = None
    dji_note: dict[str, float] = field(default_factory=dict)
    remarks: list[Message] = field(default_factory=list)


def read_exif(reader: TiffReader) -> ExifMetadata:
    """Read the values of an EXIF block; never raises on its contents."""
    facts = ExifMetadata()
    main = reader.directory(reader.first_directory)
    if not len(main):
        facts.remarks.append(_("the EXIF block is damaged: ignored"))
        return facts
    facts.maker, facts.model = main.text(_MAKE), main.text(_MODEL)
    facts.description, facts.software = main.text(_DESCRIPTION), main.text(_SOFTWARE)
    orientation = main.integer(_ORIENTATION)
    facts.orientation = orientation if orientation is not None and 1 <= orientation <= 8 else 1
    details = reader.directory(main.integer(_EXIF_IFD) or 0)
    _read_exposure(details, facts)
    _read_times(main, details, facts)
    _read_position(reader.directory(main.integer(_GPS_IFD) or 0), facts)
    if facts.maker.upper().startswith(("DJI", "HASSELBLAD")) or not facts.maker:
        facts.dji_note = read_dji_note(details.raw(_MAKER_NOTE))
    return facts


def _read_exposure(details: Directory, facts: ExifMetadata) -> None:
    facts.exposure_s = _positive(details.number(_EXPOSURE))
    facts.f_number = _positive(details.number(_F_NUMBER))
    facts.iso = _positive(details.number(_ISO))
    facts.focal_mm = _positive(details.number(_FOCAL))
    facts.focal35_mm = _positive(details.number(_FOCAL35))
    facts.digital_zoom = _positive(details.number(_ZOOM))
    facts.serial, facts.lens = details.text(_SERIAL), details.text(_LENS)
    width, height = details.integer(_PIXEL_X), details.integer(_PIXEL_Y)
    if width and height and width > 0 and height > 0:
        facts.exif_size_px = (width, height)
    density = _positive(details.number(_PLANE_X))
    unit = _MM_PER_UNIT.get(details.integer(_PLANE_UNIT) or 2)
    if density is not None and unit is not None:
        facts.focal_plane_px_per_mm = density / unit


def _read_times(main: Directory, details: Directory, facts: ExifMetadata) -> None:
    taken = details.text(_DATE_TIME_ORIGINAL)
    fraction = details.text(_SUBSEC_ORIGINAL)
    if not taken:
        taken, fraction = main.text(_DATE_TIME), details.text(_SUBSEC)
    facts.taken_text = format_exif_time(taken, fraction)
    zone = details.text(_OFFSET_ORIGINAL) or details.text(_OFFSET)
    facts.taken_offset = zone if _ZONE.fullmatch(zone) else None


def format_exif_time(stamp: str, fraction: str = "") -> str | None:
    """Convert "2026:09:08 07:05:03" and "25" to "2026-09-08T07:05:03.250".

    None if it is no time.
    """
    match = _TIME.match(stamp)
    if match is None:
        return None
    try:
        moment = datetime(*(int(part) for part in match.groups()))  # type: ignore[arg-type]
    except ValueError:
        return None
    digits = fraction.strip()
    digits = digits[:6] if digits.isascii() and digits.isdigit() else ""
    return f"{moment.isoformat()}.{digits.ljust(3, '0')}"


def _read_position(gps: Directory, facts: ExifMetadata) -> None:
    facts.lat_deg = _degrees(gps.numbers(_LAT), gps.text(_LAT_REF), 90.0, facts)
    facts.lon_deg = _degrees(gps.numbers(_LON), gps.text(_LON_REF), 180.0, facts)
    if facts.lat_deg is None or facts.lon_deg is None:
        facts.lat_deg = facts.lon_deg = None
    altitude = gps.number(_ALT)
    if altitude is not None and abs(altitude) < 20_000:
        below = gps.raw(_ALT_REF)[:1] in (b"\x01", b"1")
        facts.altitude_m = -altitude if below else altitude
    direction = gps.number(_DIRECTION)
    if direction is not None and 0.0 <= direction <= 360.0:
        facts.direction_deg = direction
        facts.direction_reference = gps.text(_DIRECTION_REF).upper()[:1] or None
    error_m = _positive(gps.number(_GPS_ERROR))
    if error_m is not None and error_m <= _MAX_ERROR_M:
        facts.horizontal_error_m = error_m
    day, clock = _DATE.match(gps.text(_GPS_DATE)), gps.numbers(_GPS_TIME)
    if day is not None and len(clock) == 3 and all(0 <= part < 60 for part in clock):
        second, micro = divmod(int(clock[2] * 1_000_000 + 0.001), 1_000_000)
        facts.gps_time_text = format_exif_time(
            f"{day[1]}:{day[2]}:{day[3]} {int(clock[0]):02d}:{int(clock[1]):02d}:{second:02d}",
            f"{micro:06d}".rstrip("0"),
        )


def _degrees(parts: tuple[float, ...], reference: str, limit: float, facts: ExifMetadata) -> float | None:
    """Convert degrees, minutes, seconds and hemisphere to signed degrees.

    None out of ±limit.
    """
    if not parts or len(parts) > 3:
        return None
    value = sum(part / 60.0**power for power, part in enumerate(parts))
    letter = reference.upper()[:1]
    if not letter:
        facts.remarks.append(_("EXIF position has no hemisphere letter: north and east are assumed"))
    if letter and letter in "SW":
        value = -value
    if abs(value) > limit:
        facts.remarks.append(_("EXIF position is out of range: ignored"))
        return None
    return value


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None


# -- DJI's maker note ---------------------------------------------------------------------------

_DJI_NOTE = {
    3: "speed_x",
    4: "speed_y",
    5: "speed_z",
    6: "pitch",
    7: "yaw",
    8: "roll",
    9: "camera_pitch",
    10: "camera_yaw",
    11: "camera_roll",
}
_TYPE_FLOAT = 11
# Below 256, so that a count is valid in one byte order only.
_MAX_NOTE_TAGS = 64


def read_dji_note(note: bytes) -> dict[str, float]:
    """Read speeds (m/s) and angles (degrees) of a DJI maker note; empty without any.

    The note is a bare TIFF directory whose tags 3 to 11 are single floats: speed x y z, aircraft pitch yaw
    roll, camera pitch yaw roll (tag numbers as listed by ExifTool for DJI). Its byte order is the aircraft's:
    a program that saves the photo again may write everything around it in the other one. Newer aircraft write
    debug text there instead, which is ignored.
    """
    if len(note) < 14 or note[:1] == b"[":
        return {}
    for order in "<>":
        count = struct.unpack_from(order + "H", note)[0]
        if 0 < count <= _MAX_NOTE_TAGS and len(note) >= 2 + 12 * count:
            return _note_floats(note[2 : 2 + 12 * count], order)
    return {}


def _note_floats(entries: bytes, order: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for tag, kind, amount, inline in struct.Struct(order + "HHI4s").iter_unpack(entries):
        if tag in _DJI_NOTE and kind == _TYPE_FLOAT and amount == 1:
            value = struct.unpack(order + "f", inline)[0]
            if math.isfinite(value) and abs(value) < 1e4:
                found[_DJI_NOTE[tag]] = round(value, 4)
    return found
