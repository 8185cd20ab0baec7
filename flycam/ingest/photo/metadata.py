"""Metadata of one photo as stated in its file, unchecked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from flycam.messages import Message


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
