"""Photos as they are read: metadata and layer, hash, and checks of their pixels."""

from __future__ import annotations

import hashlib
import math
import re
import struct
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from flycam.concurrency import count_workers, map_ordered
from flycam.errors import FrameUnreadable, SourceUnreadable
from flycam.ingest.photos.xmp import (
    Angles,
    Dewarp,
    Dialect,
    FieldOfView,
    Pix4dLens,
    Values,
    detect_dialect,
    map_fields,
    read_xmp,
    resolve_maker,
)
from flycam.media.photo import Directory, PhotoHead, TiffReader, open_photo, parse_head, read_head
from flycam.media.pixels import PixelChecks, check_photo, parse_photo, read_photo_bytes
from flycam.messages import Message, _
from flycam.model.text import to_visible
from flycam.workspace import Progress, ignore_progress

# -- One photo: what its file states, unchecked, and what was seen of its pixels -------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoMetadata:
    """A photo: raw metadata; units in the names; None where not stated.

    sha256           hex, of the file's bytes; "" where only its head was read
    checks           of its pixels, or why they do not decode; None: not decoded
    taken_text       EXIF DateTimeOriginal plus sub-seconds, "YYYY-MM-DDTHH:MM:SS.fff", no zone
    taken_offset     EXIF OffsetTimeOriginal ("+07:00") if present
    gps_time_text    EXIF GPSDateStamp + GPSTimeStamp, same form
    xmp_time_text    XMP UTCAtExposure or a creation date that carries a zone, ISO 8601
    exif_altitude_m  signed by GPSAltitudeRef
    rtk_flag         DJI RtkFlag: 0 none, 16 single, 34 float, 50 fixed
    rtk_std_m        (lon, lat, height) standard deviations
    horizontal_error_m  EXIF GPSHPositioningError: the receiver's own horizontal error
    calibrated_focal_px  focal length alone, in pixels of the image that the calibration describes: where no
                   centre is stated, of this photo
    calibrated_centre_px  optical centre from the corner of the image that the calibration describes: for DJI
                   its middle, for Skydio the principal point
    dewarped         True if the maker states that the pixels are already undistorted (DJI DewarpFlag)
    band             "colour", "infrared", "thermal" or "night", from tags and file name
    is_drill         the photo carries flycam's exercise mark
    remarks          remarks of the reader ("XMP holds an entity declaration: ignored")

    Angles as written, never judged. `gimbal` follows DJI's convention in every dialect that fills it: pitch
    -90 looks straight down, yaw clockwise from north, positive roll lowers the right side. `camera` holds the
    "Camera:" (Pix4D) vocabulary as written, whose pitch 0 looks straight down or at the horizon (the flight
    tells which), and nothing else. `aircraft` holds the body's yaw, pitch and roll; senseFly's fixed camera
    has only these.

    absolute_altitude_m   the maker's height above sea level; its datum is to be resolved
    relative_altitude_m   height above take-off
    direction_deg         EXIF GPSImgDirection; direction_reference "T" true north, "M" magnetic
    f_number              aperture
    focal_plane_px_per_mm EXIF FocalPlaneXResolution per millimetre, of the full-size image
    exif_size_px          image size by EXIF PixelXDimension, PixelYDimension (full size before editing)
    band_name             name of a multispectral band ("NIR", "Red") as written
    shutter_type          DJI ShutterType ("Mechanical", "Electronic") as written
    software              program that last wrote the file: a camera's firmware, or a viewer or editor (EXIF,
                   XMP)
    channels, bits        samples per pixel and bits per sample of the file
    """

    path: Path
    name: str
    size_bytes: int
    sha256: str = ""
    checks: PixelChecks | FrameUnreadable | None = None
    dialect: Dialect
    image_size_px: tuple[int, int]
    orientation: int = 1
    maker: str = ""
    model: str = ""
    serial: str = ""
    focal_mm: float | None = None
    focal35_mm: float | None = None
    digital_zoom: float | None = None
    iso: float | None = None
    exposure_s: float | None = None
    taken_text: str | None = None
    taken_offset: str | None = None
    gps_time_text: str | None = None
    xmp_time_text: str | None = None
    lon_deg: float | None = None
    lat_deg: float | None = None
    xmp_lon_deg: float | None = None
    xmp_lat_deg: float | None = None
    exif_altitude_m: float | None = None
    absolute_altitude_m: float | None = None
    relative_altitude_m: float | None = None
    gimbal: Angles = field(default_factory=Angles)
    aircraft: Angles = field(default_factory=Angles)
    camera: Angles = field(default_factory=Angles)
    speed_mps: tuple[float, float, float] | None = None
    rtk_flag: int | None = None
    rtk_std_m: tuple[float, float, float] | None = None
    horizontal_error_m: float | None = None
    calibrated_focal_px: float | None = None
    calibrated_centre_px: tuple[float, float] | None = None
    dewarp: Dewarp | None = None
    dewarped: bool | None = None
    pix4d_lens: Pix4dLens | None = None
    field_of_view_deg: FieldOfView | None = None
    band: str = "colour"
    is_drill: bool = False
    remarks: tuple[Message, ...] = ()
    direction_deg: float | None = None
    direction_reference: str | None = None
    f_number: float | None = None
    focal_plane_px_per_mm: float | None = None
    exif_size_px: tuple[int, int] | None = None
    band_name: str = ""
    shutter_type: str = ""
    software: str = ""
    channels: int = 3
    bits: int = 8

    @property
    def identity(self) -> str:
        """Hex SHA-256 that stands for the photo: of its bytes, else of its metadata.

        The latter is for a preflight check that must not read gigabytes; it is never stored.
        """
        facts = (self.name, self.size_bytes, self.taken_text, self.lon_deg, self.lat_deg, self.serial)
        return self.sha256 or hashlib.sha256(repr(facts).encode()).hexdigest()

    @property
    def camera_name(self) -> str:
        """Maker and model, without repeating the maker; "" if unknown.

        "Canon PowerShot", not "Canon Canon PowerShot".
        """
        named = self.model.lower().startswith(self.maker.lower())
        return self.model if named else f"{self.maker} {self.model}".strip()


# -- Display names of photos: file names, with folders where a name occurs twice -------------------
#
# Cameras begin a new folder after 999 shots and many count from the start again, so a file name alone does
# not identify a photo of a memory card: 100MEDIA/DJI_0018.JPG and 101MEDIA/DJI_0018.JPG are two.


def make_display_names(photos: Sequence[PhotoMetadata]) -> tuple[str, ...]:
    """Return each photo's file name, after as many folders as make it unique."""
    by_name: dict[str, list[int]] = {}
    for row, photo in enumerate(photos):
        by_name.setdefault(photo.name, []).append(row)
    display_names = [photo.name for photo in photos]
    for name, rows in by_name.items():
        folders = [photos[row].path.parent.parts for row in rows]
        for depth in range(1, 1 + max(map(len, folders))):
            if len({display_names[row] for row in rows}) == len(rows):
                break
            for row, above in zip(rows, folders, strict=True):
                display_names[row] = "/".join([*map(to_visible, above[-depth:]), name])
    return tuple(display_names)


# -- Layer of a photo from its tags and name: colour, infrared, thermal or night -------------------
#
# Frames of different layers are never merged, so a wrong layer would blend thermal into colour. The evidence,
# strongest first: the maker's tags (ImageSource, BandName), the camera's model, the file name's suffix where
# the maker documents one, and for night the light that the exposure itself measures.


_THERMAL_SOURCE = re.compile(r"infrared|thermal|\bIR\b|InfraredCamera", re.IGNORECASE)
_THERMAL_MODEL = re.compile(
    r"\b(XT[2RS]?|FLIR|BOSON|LEPTON|VUE|THERMO?MAP|THERMAL|ZXT\w*|ZTXT\w*)\b", re.IGNORECASE
)
_NIGHT_SOURCE = re.compile(r"night|low.?light|starlight", re.IGNORECASE)
_INFRARED_MODEL = re.compile(r"\b(NIR|NGB|RE|RED.?EDGE)\b", re.IGNORECASE)
_INFRARED_BAND = re.compile(r"\b(NIR|near.?infrared|red.?edge|rededge)\b", re.IGNORECASE)
_DJI_THERMAL_NAME = re.compile(r"^DJI_.*_T(_[A-Za-z0-9-]+)?\.(jpe?g|tiff?)$", re.IGNORECASE)
_AUTEL_THERMAL_NAME = re.compile(r"^(IRX?|MIX)_\d+\.(jpe?g|tiff?|irg)$", re.IGNORECASE)
_DETECTOR_SIZES = {(640, 512), (1280, 1024), (336, 256), (320, 256)}
"""Image sizes of microbolometers, which no colour camera of these makers writes.

Several cameras give their colour and their thermal photos the same model name, so the size decides.
"""
_MAX_THERMAL_PX = 1280

NIGHT_EV100 = 3.0
"""Exposure value at ISO 100 below which the scene is night.

Full daylight is 15, overcast 12, sunset 9, a lit street at night 4 or 5, ground under a full moon -3 (ISO
2720 light values): streets stay colour, unlit country is night.
"""


def compute_ev100(f_number: float | None, exposure_s: float | None, iso: float | None) -> float | None:
    """Return the exposure value at ISO 100, log2(N²/t) - log2(ISO/100).

    None if a part is missing.
    """
    if not f_number or not exposure_s or not iso:
        return None
    return math.log2(f_number * f_number / exposure_s) - math.log2(iso / 100.0)


def classify_band(
    *,
    name: str,
    maker: str,
    model: str,
    size_px: tuple[int, int],
    image_source: str,
    band_name: str,
    ev100: float | None,
) -> str:
    """Return one of "colour", "infrared", "thermal", "night"."""
    if _THERMAL_SOURCE.search(image_source) or band_name.upper() == "LWIR":
        return "thermal"
    if not image_source and _looks_thermal(name, maker, model, size_px):
        return "thermal"
    if _INFRARED_BAND.search(band_name) or (not band_name and _INFRARED_MODEL.search(model)):
        return "infrared"
    if _NIGHT_SOURCE.search(image_source) or (ev100 is not None and ev100 < NIGHT_EV100):
        return "night"
    return "colour"


def _looks_thermal(name: str, maker: str, model: str, size_px: tuple[int, int]) -> bool:
    """Return True if model, detector size or file name show a thermal camera.

    For photos whose maker's tags do not state it.
    """
    if max(size_px) > _MAX_THERMAL_PX:
        return False
    if _THERMAL_MODEL.search(model):
        return True
    brand = maker.upper()
    if brand.startswith(("DJI", "AUTEL", "PARROT")) and size_px in _DETECTOR_SIZES:
        return True
    by_name = _AUTEL_THERMAL_NAME if brand.startswith("AUTEL") else _DJI_THERMAL_NAME
    return brand.startswith(("DJI", "AUTEL")) and by_name.match(name) is not None


# -- EXIF of a photo: camera, time and position ----------------------------------------------------
#
# Tags by EXIF 2.32 (CIPA DC-008). A value that is absent, not finite or out of its range is None; faults are
# listed in `remarks`.


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


# -- DJI's maker note ------------------------------------------------------------------------------

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


# -- Reading of photos, whole (metadata, hash and checks of the pixels from one opening) or heads ----


_STITCHED = ("equirectangular", "cylindrical")  # GPano's projections
_DRILL_MARKS = ("DIỄN TẬP", "flycam drill")


def read_photo(path: Path) -> PhotoMetadata:
    """Read one photo whole: its metadata, the hash of its bytes, the checks of its pixels.

    Raises SourceUnreadable as `read_metadata`.
    """
    with open_photo(path) as file:
        try:
            data = read_photo_bytes(file, path)
        except FrameUnreadable as error:
            photo = _parse(read_head(file, path), path)
            file.seek(0)
            return replace(photo, sha256=hashlib.file_digest(file, "sha256").hexdigest(), checks=error)
    head = parse_head(data, path)
    photo = _parse(head, path)
    try:
        checks: PixelChecks | FrameUnreadable = check_photo(parse_photo(data, path, head))
    except FrameUnreadable as error:
        # a new one: the traceback of this would hold the bytes
        checks = FrameUnreadable.from_error(error)
    return replace(photo, sha256=hashlib.sha256(data).hexdigest(), checks=checks)


def read_photos(
    paths: Sequence[Path],
    *,
    is_whole: bool = False,
    progress: Progress = ignore_progress,
    prefetch: PhotoPrefetch | None = None,
) -> tuple[list[PhotoMetadata], list[tuple[Path, SourceUnreadable]]]:
    """Read photos in the order given; also return the errors of unreadable ones.

    is_whole  read each whole, once, in threads; otherwise its head alone
    """
    read = read_metadata if not is_whole else prefetch.wait_for if prefetch else read_photo

    def attempt(path: Path) -> PhotoMetadata | SourceUnreadable:
        try:
            return read(path)
        except SourceUnreadable as error:
            return error

    workers = count_workers()
    readings = map_ordered(attempt, paths, workers, 2 * workers) if is_whole else map(attempt, paths)
    photos: list[PhotoMetadata] = []
    failed: list[tuple[Path, SourceUnreadable]] = []
    for done, (path, one) in enumerate(zip(paths, readings, strict=True), start=1):
        if isinstance(one, SourceUnreadable):
            failed.append((path, one))
        else:
            photos.append(one)
        if is_whole:
            progress("look", done, len(paths))
    return photos, failed


class PhotoPrefetch:
    """Photos that are being read, by path."""

    def __init__(self, futures: dict[Path, Future[PhotoMetadata]]) -> None:
        self._futures = futures

    def wait_for(self, path: Path) -> PhotoMetadata:
        """Return a photo as it was read; read it now if it was not prefetched."""
        future = self._futures.pop(path, None)
        return future.result() if future is not None else read_photo(path)


# Threads that decode ask for the interpreter some thirty times a photo; by default each would wait 5 ms for a
# thread that loads modules.
_SWITCH_S = 0.0002


@contextmanager
def prefetch_photos(paths: Iterable[Path]) -> Iterator[PhotoPrefetch]:
    """Start reading photos whole in threads, while libraries load."""
    interval = sys.getswitchinterval()
    pool = ThreadPoolExecutor(count_workers(), thread_name_prefix="look")
    try:
        sys.setswitchinterval(_SWITCH_S)
        yield PhotoPrefetch({path: pool.submit(read_photo, path) for path in paths})
    finally:
        pool.shutdown(cancel_futures=True)
        sys.setswitchinterval(interval)


def read_metadata(path: Path) -> PhotoMetadata:
    """Read the metadata of one photo from the file's head.

    Raises SourceUnreadable (0 bytes, no photo, cut off inside the header, a decompression bomb by its
    declared size, a raw file, one visible band of a multispectral set, a stitched panorama).
    """
    with open_photo(path) as file:
        return _parse(read_head(file, path), path)


def _parse(head: PhotoHead, path: Path) -> PhotoMetadata:
    if head.is_map:
        raise SourceUnreadable(
            _(
                "{path}: is a georeferenced raster, not a photo; register terrain with 'flycam dem add'",
                path=path,
            )
        )
    exif = read_exif(head.exif) if head.exif is not None else ExifMetadata()
    values, remarks = read_xmp(head.xmp)
    if values.get("GPano:ProjectionType", "").lower() in _STITCHED:
        raise SourceUnreadable(
            _(
                "{path}: is a panorama stitched of many photos, which has no one lens; give "
                "the photos that it was made of",
                path=path,
            )
        )
    photo = _compose(path, head, exif, values, (*head.remarks, *exif.remarks, *remarks))
    # one visible band over another would make no colour mosaic
    if photo.channels == 1 and photo.band_name and photo.band == "colour":
        raise SourceUnreadable(
            _(
                "{path}: is the single band {band_name} of a multispectral set; give flycam "
                "the colour photos or the near-infrared band of that flight",
                path=path,
                band_name=photo.band_name,
            )
        )
    return photo


def _compose(
    path: Path, head: PhotoHead, exif: ExifMetadata, values: Values, remarks: tuple[Message, ...]
) -> PhotoMetadata:
    maker = resolve_maker(exif.maker, values)
    model = exif.model or values.get("tiff:Model", "")
    dialect = detect_dialect(values, maker)
    fields = map_fields(dialect, values)
    if dialect is Dialect.NONE:
        if exif.dji_note:
            dialect = Dialect.DJI
            fields.update(_from_dji_note(exif.dji_note))
            remarks = (*remarks, _("angles come from the maker note, because the photo has no XMP"))
        elif exif.lat_deg is not None or exif.maker or exif.taken_text:
            dialect = Dialect.EXIF
    if any(mark in unicodedata.normalize("NFC", exif.description) for mark in _DRILL_MARKS):
        fields["is_drill"] = True
    fields["band"] = classify_band(
        name=path.name,
        maker=maker,
        model=model,
        size_px=head.size_px,
        image_source=fields.pop("image_source", ""),
        band_name=fields.get("band_name", ""),
        ev100=compute_ev100(exif.f_number, exif.exposure_s, exif.iso),
    )
    stated_in_exif = PhotoMetadata(
        path=path,
        name=to_visible(path.name),
        size_bytes=head.size_bytes,
        dialect=dialect,
        image_size_px=head.size_px,
        channels=head.channels,
        bits=head.bits,
        orientation=exif.orientation,
        maker=maker,
        model=model,
        serial=exif.serial,
        focal_mm=exif.focal_mm,
        focal35_mm=exif.focal35_mm,
        focal_plane_px_per_mm=exif.focal_plane_px_per_mm,
        exif_size_px=exif.exif_size_px,
        digital_zoom=exif.digital_zoom,
        f_number=exif.f_number,
        iso=exif.iso,
        exposure_s=exif.exposure_s,
        taken_text=exif.taken_text,
        taken_offset=exif.taken_offset,
        gps_time_text=exif.gps_time_text,
        lon_deg=exif.lon_deg,
        lat_deg=exif.lat_deg,
        exif_altitude_m=exif.altitude_m,
        horizontal_error_m=exif.horizontal_error_m,
        direction_deg=exif.direction_deg,
        direction_reference=exif.direction_reference,
        software=exif.software or values.get("xmp:CreatorTool", ""),
        remarks=remarks,
    )
    return replace(stated_in_exif, **fields)


def _from_dji_note(note: dict[str, float]) -> dict[str, Any]:
    speeds = tuple(note[name] for name in ("speed_x", "speed_y", "speed_z") if name in note)
    fields: dict[str, Any] = {
        "gimbal": Angles(
            yaw_deg=note.get("camera_yaw"),
            pitch_deg=note.get("camera_pitch"),
            roll_deg=note.get("camera_roll"),
        ),
        "aircraft": Angles(yaw_deg=note.get("yaw"), pitch_deg=note.get("pitch"), roll_deg=note.get("roll")),
    }
    if len(speeds) == 3:
        fields["speed_mps"] = speeds
    return fields
