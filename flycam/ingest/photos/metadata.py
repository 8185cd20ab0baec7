"""Metadata of one photo as stated in its file, and kinds and names of files.

Metadata are unchecked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from flycam.ingest.photos.photo_search import PHOTO_SUFFIXES
from flycam.messages import Message
from flycam.model.text import to_visible


class Dialect(StrEnum):
    """Conventions that the photo's metadata follow."""

    DJI = "dji"
    AUTEL = "autel"
    PARROT = "parrot"
    BEBOP = "bebop"
    SKYDIO = "skydio"
    TEAL = "teal"
    SENSEFLY = "sensefly"
    PIX4D = "pix4d"
    EXIF = "exif"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Angles:
    """Yaw, pitch, roll in degrees as written in the file; None where absent."""

    yaw_deg: float | None = None
    pitch_deg: float | None = None
    roll_deg: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dewarp:
    """DewarpData of DJI or Skydio: a unit's calibration, pixels.

    Offsets cx, cy are from `calibrated_centre_px`, else from the image centre.
    """

    calibrated_on: str
    fx_px: float
    fy_px: float
    cx_offset_px: float
    cy_offset_px: float
    k1: float
    k2: float
    p1: float
    p2: float
    k3: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pix4dLens:
    """Interior in Pix4D's tags: a perspective lens in millimetres, or a fisheye.

    centre_mm   principal point from the image's upper left corner
    distortion  R1, R2, R3, T1, T2; () none stated
    affine_px   C, D, E, F of the full-size image; () for a perspective lens
    polynomial  p0, p1, ... of the angle off the axis, which counts 1 at 90°
    """

    focal_mm: float | None = None
    centre_mm: tuple[float, ...] = ()
    distortion: tuple[float, ...] = ()
    affine_px: tuple[float, ...] = ()
    polynomial: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldOfView:
    """Field of view from edge to edge of the image, degrees; None where not stated."""

    horizontal_deg: float | None = None
    vertical_deg: float | None = None
    diagonal_deg: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoMetadata:
    """Raw metadata of a photo; units in the names; None where not stated.

    taken_text       EXIF DateTimeOriginal plus sub-seconds, "YYYY-MM-DDTHH:MM:SS.fff", no zone
    taken_offset     EXIF OffsetTimeOriginal ("+07:00") if present
    gps_time_text    EXIF GPSDateStamp + GPSTimeStamp, same form
    xmp_time_text    XMP UTCAtExposure or a creation date that carries a zone, ISO 8601
    exif_altitude_m  signed by GPSAltitudeRef
    rtk_flag         DJI RtkFlag: 0 none, 16 single, 34 float, 50 fixed
    rtk_std_m        (lon, lat, height) standard deviations
    horizontal_error_m  EXIF GPSHPositioningError: the receiver's own horizontal error
    calibrated_centre_px  optical centre from the corner of the image that the calibration describes: for DJI
                   its middle, for Skydio the principal point
    dewarped         True if the maker states that the pixels are already undistorted (DJI DewarpFlag)
    band             "colour", "infrared", "thermal" or "night", from tags and file name
    is_drill         the photo carries flycam's exercise mark
    remarks          remarks of the reader ("XMP holds an entity declaration: ignored")

    Angles as written, never judged. `gimbal` follows DJI's convention in every dialect that fills it (DJI,
    Autel "drone:", Parrot "drone-parrot:", Skydio, Teal): pitch -90 looks straight down, yaw clockwise from
    north. `camera` holds the "Camera:" (Pix4D) vocabulary as written, whose pitch 0 looks straight down.
    `aircraft` holds the body's yaw, pitch and roll; senseFly's fixed camera has only these.

    absolute_altitude_m   the maker's height above sea level; its datum is to be resolved
    ellipsoid_altitude_m  height above the ellipsoid where the maker states it (senseFly AltitudeWGS84)
    altitude_type         DJI AltitudeType ("RtkAlt", "GpsFusionAlt") as written
    direction_deg         EXIF GPSImgDirection; direction_reference "T" true north, "M" magnetic
    f_number              aperture
    focal_plane_px_per_mm EXIF FocalPlaneXResolution per millimetre, of the full-size image
    exif_size_px          image size by EXIF PixelXDimension, PixelYDimension (full size before editing)
    aircraft_model        model of the aircraft where it is not the camera's (DJI DroneModel)
    image_source          DJI ImageSource ("WideCamera", "ZoomCamera", "InfraredCamera") as written
    band_name             name of a multispectral band ("NIR", "Red") as written
    shutter_type          DJI ShutterType ("Mechanical", "Electronic") as written
    software              program that last wrote the file: a camera's firmware, or a viewer or editor (EXIF,
                   XMP)
    channels, bits        samples per pixel and bits per sample of the file
    """

    path: Path
    name: str
    size_bytes: int
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
    ellipsoid_altitude_m: float | None = None
    altitude_type: str | None = None
    direction_deg: float | None = None
    direction_reference: str | None = None
    f_number: float | None = None
    focal_plane_px_per_mm: float | None = None
    exif_size_px: tuple[int, int] | None = None
    aircraft_model: str = ""
    image_source: str = ""
    band_name: str = ""
    shutter_type: str = ""
    software: str = ""
    channels: int = 3
    bits: int = 8

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


# -- Kinds of files by name: photos, videos, flight logs -------------------------------------------


VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".ts"})
SUBTITLE_SUFFIX = ".srt"
LOG_SUFFIXES = frozenset({SUBTITLE_SUFFIX, ".tlog", ".bin", ".ulg", ".log", ".klv"})


class FileKind(StrEnum):
    """Kind of file.

    LOG: a flight log, or the subtitles that an aircraft writes beside its video.
    """

    PHOTO = "photo"
    FILM = "film"
    LOG = "log"


def detect_file_kind(path: str) -> FileKind | None:
    """Return the kind of a file by its name; None if it is not used."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in PHOTO_SUFFIXES:
        return FileKind.PHOTO
    if suffix in VIDEO_SUFFIXES:
        return FileKind.FILM
    return FileKind.LOG if suffix in LOG_SUFFIXES else None


def is_subtitles(path: str) -> bool:
    """Return True if a log, by its name, belongs to a single video."""
    return PurePosixPath(path).suffix.lower() == SUBTITLE_SUFFIX


def find_sidecar_logs(video: str, logs: Iterable[str]) -> list[str]:
    """Return the logs beside a video with its name ("DJI_0001.MP4": "DJI_0001.SRT")."""
    return [log for log in logs if _stem(log) == _stem(video)]


def _stem(path: str) -> str:
    return str(PurePosixPath(path).with_suffix("")).lower()
