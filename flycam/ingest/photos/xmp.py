"""XMP of photos: packets as a flat dictionary, and the makers' vocabularies.

Packets become "prefix:Name" -> text; the fields of `PhotoMetadata` and the interior orientation follow from
them.

Parts of a structure are prefixed with its name, as ExifTool does: Pitch in CameraOrientationNED is
"drone-skydio:CameraOrientationNEDPitch".

Prefixes are chosen by namespace address, not by the prefix in the file. A packet that declares a document
type or an entity is ignored with a remark: no photo needs one, and entity bombs are made with them. A packet
that is not well-formed XML (some firmwares write raw ampersands or cut the packet off) is read by pattern,
attribute by attribute, with a remark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any
from xml.etree.ElementTree import Element, ParseError  # types only; parsing is defusedxml's

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from flycam.messages import Message, _
from flycam.model.text import is_printable, strip_unprintable

# -- Values as a photo's file states them -----------------------------------------------------------


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


# -- Packets ----------------------------------------------------------------------------------------


MAX_PACKET_BYTES = 1024 * 1024
MAX_VALUE_CHARACTERS = 4096
_MAX_NAMESPACE_CHARACTERS = 200  # longer than any known one

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_PREFIXES = {
    "www.dji.com/drone-dji/1.0": "drone-dji",
    "www.autelrobotics.com/drone/1.0": "drone",
    "www.parrot.com/drone-parrot/1.0": "drone-parrot",
    "www.skydio.com/drone-skydio/1.0": "drone-skydio",
    "camera": "bebop",  # Parrot's Bebops and Disco give no address
    "ns.google.com/photos/1.0/panorama": "GPano",
    "pix4d.com/camera/1.0": "Camera",
    "ns.sensefly.com/camera/1.0": "Camera",
    "ns.sensefly.com/sensefly/1.0": "sensefly",
    "ns.adobe.com/xap/1.0": "xmp",
    "ns.adobe.com/tiff/1.0": "tiff",
    "ns.adobe.com/exif/1.0": "exif",
    "ns.adobe.com/photoshop/1.0": "photoshop",
    "purl.org/dc/elements/1.1": "dc",
    "urn:flycam:drill:1": "flycam",
}
_UNKNOWN = "*"
_PATTERN = re.compile(
    r"""([A-Za-z][\w.-]{0,40}:[A-Za-z]\w{0,60})\s{0,4}(?:=\s{0,4}(?:"([^"<]{0,512})"|'([^'<]{0,512})')|>([^<]{0,512})</)"""
)
_DECLARATION = re.compile(r"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_EMPTY = _("the XMP packet is empty")
_DECLARES = _("the XMP packet declares an entity or a document type: ignored; copy the photo again")


def read_xmp(packets: list[bytes]) -> tuple[dict[str, str], list[Message]]:
    """Return (values by "prefix:Name", remarks) of all packets; the first value wins."""
    values: dict[str, str] = {}
    remarks: list[Message] = []
    for packet in packets:
        found, remark = _read_packet(packet)
        for name, text in found.items():
            values.setdefault(name, text if is_printable(text) else strip_unprintable(text))
        if remark:
            remarks.append(remark)
    return values, remarks


def _read_packet(packet: bytes) -> tuple[dict[str, str], Message | None]:
    if len(packet) > MAX_PACKET_BYTES:
        return {}, _("the XMP packet is larger than 1 MB: ignored")
    body = packet[max(packet.find(b"<"), 0) :].strip(b"\x00 \t\r\n")  # GDAL writes "xml:XMP=" before it
    if not body:
        return {}, _EMPTY
    try:
        values = _from_tree(fromstring(body, forbid_dtd=True))
        return values, None if values else _EMPTY
    except DefusedXmlException:
        return {}, _DECLARES
    except (ParseError, ValueError, LookupError):
        text = body.decode("utf-8", "replace")
        if _DECLARATION.search(text):
            return {}, _DECLARES
        return _by_pattern(text), _("the XMP packet is damaged: read by pattern")


def _from_tree(root: Element) -> dict[str, str]:
    values: dict[str, str] = {}
    for description in root.iter(f"{_RDF}Description"):
        for name, text in description.attrib.items():
            _keep(values, name, text)
        for child in description:
            _keep(values, child.tag, _text_of(child))
            for name, text in _parts_of(child):
                _keep(values, child.tag + name.partition("}")[2], text)
    return values


def _parts_of(element: Element) -> list[tuple[str, str]]:
    """Return the named parts of a structure.

    Elements or attributes of its own, or of a Description in it.
    """
    inner = element.find(f"{_RDF}Description")
    holder = element if inner is None else inner
    parts = [*holder.attrib.items(), *((child.tag, child.text or "") for child in holder)]
    return [(name, text) for name, text in parts if name.startswith("{") and not name.startswith(_RDF)]


def _text_of(element: Element) -> str:
    items = [item.text or "" for container in element for item in container if item.tag == f"{_RDF}li"]
    return ", ".join(items) if items else (element.text or "")


def _keep(values: dict[str, str], tag: str, text: str) -> None:
    address, closing, local = tag[1:].partition("}") if tag.startswith("{") else ("", "", tag)
    prefix = _prefix_of(address) if closing else _UNKNOWN
    if prefix and len(text) <= MAX_VALUE_CHARACTERS:
        values.setdefault(f"{prefix}:{local}", text.strip())


def _prefix_of(address: str) -> str:
    return _known_prefix(address) if len(address) <= _MAX_NAMESPACE_CHARACTERS else _UNKNOWN


@lru_cache(maxsize=256)
def _known_prefix(address: str) -> str:
    if address == _RDF[1:-1]:
        return ""
    plain = address.lower().removeprefix("http://").removeprefix("https://").rstrip("/")
    return _PREFIXES.get(plain, _UNKNOWN)


def _by_pattern(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for match in _PATTERN.finditer(text):
        value = match[2] if match[2] is not None else match[3] if match[3] is not None else match[4]
        if not match[1].startswith(("xmlns:", "rdf:", "x:")):
            values.setdefault(match[1], value.strip())
    return values


# -- Vocabularies of the makers, mapped to fields of `PhotoMetadata` -------------------------------
#
# `_FIELD_NAMES` is the one table: a row a maker, a column a field. A new maker is a new row, its `Dialect`,
# its branch in `detect_dialect`, and the prefix of its namespace in `_PREFIXES` (the address in lower case,
# without "http://" and the last slash). Names, senses and units of the fields are those of
# `photo_reader.PhotoMetadata`, and go before what EXIF states; what a maker means otherwise (another zero
# of its pitch, feet) is converted in `map_fields`. The preflight check knows two dialects by name: BEBOP's
# nose camera (`preflight/attitude.py`) and SENSEFLY's ellipsoidal EXIF altitude (`preflight/altitude.py`).
# Sources are in docs/formats, a page for each maker.


Values = Mapping[str, str]

_NUMBER = re.compile(
    r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*(?:/\s*([+-]?\d+\.?\d*)\s*)?(?:m|deg)?\s*$"
)
_DMS = re.compile(r"\s*(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?\s*([NSEW])\s*$", re.IGNORECASE)
_FIELD_OF_VIEW = re.compile(
    r"(?:Camera|drone[\w-]*|\*):\w{0,30}?(Horizontal|Vertical|Diagonal|H|V|D)(?:FOV|Fov|FieldOfView)"
    r"(?:Deg|Degrees?)?$"
)
_ISO = re.compile(
    r"(\d{4})[-:](\d{2})[-:](\d{2})[T ](\d{2}):(\d{2}):(\d{2})(\.\d{1,9})?\s*(Z|[+-]\d{2}:?\d{2})?$",
    re.IGNORECASE,
)
# EXIF values of cameras whose maker is named in XMP only (Autel XL715).
_NO_MAKER = ("", "CAMERA")


def _dji_like(prefix: str) -> dict[str, str]:
    """Return the fields with DJI's tag names, under `prefix`."""
    words = {
        "gimbal": "Gimbal{}Degree",
        "aircraft": "Flight{}Degree",
        "absolute_altitude_m": "AbsoluteAltitude",
        "relative_altitude_m": "RelativeAltitude",
        "xmp_lat_deg": "GpsLatitude GPSLatitude Latitude",
        "xmp_lon_deg": "GpsLongitude GpsLongtitude GPSLongitude GPSLongtitude Longitude",
        "speed_mps": "FlightXSpeed,FlightYSpeed,FlightZSpeed",
        "calibrated_focal_px": "CalibratedFocalLength",
        "calibrated_centre_px": "CalibratedOpticalCenterX,CalibratedOpticalCenterY",
        "rtk_flag": "RtkFlag",
        "rtk_std_m": "RtkStdLon,RtkStdLat,RtkStdHgt",
        "utc_text": "UTCAtExposure",
        "serial": "CameraSerialNumber",
        "image_source": "ImageSource",
        "shutter_type": "ShutterType",
    }
    return {
        **{field: re.sub(r"(^|[ ,])", rf"\1{prefix}:", names) for field, names in words.items()},
        "zoned_text": "xmp:CreateDate",
    }


_SHARED: Mapping[str, str] = {"camera": "Camera:{}", "band_name": "Camera:BandName"}
"""Tags that several makers borrow from Pix4D."""

_FIELD_NAMES: Mapping[Dialect, Mapping[str, str]] = {
    Dialect.DJI: {**_dji_like("drone-dji"), "dewarped": "drone-dji:DewarpFlag"},
    Dialect.AUTEL: {
        **_dji_like("drone"),
        "relative_altitude_m": "drone:RelativeAltitude Camera:AboveGroundAltitude",
    },
    Dialect.PARROT: {
        "gimbal": "drone-parrot:Camera{}Degree",
        "aircraft": "drone-parrot:Drone{}Degree",
        "relative_altitude_m": "Camera:AboveGroundAltitude drone-parrot:AboveGroundAltitude",
        "serial": "drone-parrot:SerialNumber Camera:SerialNumber",
        "zoned_text": "exif:DateTimeOriginal xmp:CreateDate",
    },
    # its AboveGroundAltitude is 1.000 at any height
    Dialect.BEBOP: {"aircraft": "bebop:{}"},
    Dialect.SKYDIO: {
        "gimbal": "drone-skydio:CameraOrientationNED{}",
        "aircraft": "drone-skydio:VehicleOrientationNED{}",
        "absolute_altitude_m": "drone-skydio:AbsoluteAltitude",
        "relative_altitude_m": "drone-skydio:CameraPositionFLUZ drone-skydio:VehiclePositionFLUZ",
        "xmp_lat_deg": "drone-skydio:Latitude",
        "xmp_lon_deg": "drone-skydio:Longitude",
        "speed_mps": "drone-skydio:VehicleSpeedNEDX,drone-skydio:VehicleSpeedNEDY,"
        "drone-skydio:VehicleSpeedNEDZ",
        "calibrated_focal_px": "drone-skydio:CalibratedFocalLengthX",
        "calibrated_centre_px": "drone-skydio:CalibratedOpticalCenterX,drone-skydio:CalibratedOpticalCenterY",
        "serial": "drone-skydio:VehicleId",
        "image_source": "drone-skydio:CameraSource",
        "zoned_text": "xmp:CreateDate",
    },
    Dialect.TEAL: {
        "gimbal": "exif:Camera{}+exif:Platform{}",
        "aircraft": "exif:Platform{}",
        "xmp_lat_deg": "exif:GPSLatitude",
        "xmp_lon_deg": "exif:GPSLongitude",
        "absolute_altitude_m": "exif:GPSAltitude",
    },
    Dialect.SENSEFLY: {
        "aircraft": "sensefly:Heading,sensefly:PitchAngle,sensefly:RollAngle sensefly:{}",
        "absolute_altitude_m": "sensefly:AltitudeAMSL",
        "relative_altitude_m": "sensefly:Height",
        "xmp_lat_deg": "sensefly:Latitude",
        "xmp_lon_deg": "sensefly:Longitude",
        "utc_text": "sensefly:UTCTime",
        "serial": "sensefly:AutopilotSN",
    },
}
"""Tag names by maker and field, the first present one counts.

Commas join the parts of a vector, "{}" stands for Yaw, Pitch and Roll, "+" adds.
"""

_AXES = ("Yaw", "Pitch", "Roll")


def parse_number(values: Values, *names: str) -> float | None:
    """Return the first finite number among `names` ("+39.80", "1/2"), or None."""
    for name in names:
        text = values.get(name)
        match = _NUMBER.match(text) if text is not None else None
        if match is None:
            continue
        top, bottom = float(match[1]), float(match[2]) if match[2] else 1.0
        if bottom != 0.0 and math.isfinite(top / bottom):
            return top / bottom
    return None


def parse_coordinate(values: Values, limit: float, *names: str) -> float | None:
    """Return a coordinate in decimal degrees; None out of ±limit.

    XMP's "46,50.5N" form is read too.
    """
    for name in names:
        degrees = parse_number(values, name)
        match = _DMS.match(values.get(name, ""))
        if degrees is None and match is not None:
            degrees = float(match[1]) + float(match[2]) / 60.0 + float(match[3] or 0.0) / 3600.0
            degrees = -degrees if match[4].upper() in "SW" else degrees
        if degrees is not None and abs(degrees) <= limit:
            return degrees
    return None


def detect_dialect(values: Values, maker: str) -> Dialect:
    """Return the dialect whose vocabulary the packet uses.

    The caller decides between EXIF and NONE.
    """
    prefixes = {name.partition(":")[0] for name in values}
    upper = maker.upper()
    if "drone-dji" in prefixes:
        return Dialect.DJI
    if "drone-skydio" in prefixes:
        return Dialect.SKYDIO
    if "drone-parrot" in prefixes or (upper.startswith("PARROT") and "Camera" in prefixes):
        return Dialect.PARROT
    if "bebop" in prefixes:
        return Dialect.BEBOP
    if "drone" in prefixes or (upper.startswith("AUTEL") and prefixes & {"Camera", "*"}):
        return Dialect.AUTEL
    if "exif:CameraPitch" in values:
        return Dialect.TEAL
    if "sensefly" in prefixes or (upper.startswith("SENSEFLY") and "Camera" in prefixes):
        return Dialect.SENSEFLY
    if "Camera:Yaw" in values or "Camera:Pitch" in values:
        return Dialect.PIX4D
    return Dialect.NONE


def resolve_maker(exif_maker: str, values: Values) -> str:
    """Return the camera's maker from EXIF, or from XMP where EXIF names none."""
    return values.get("tiff:Make", "") or exif_maker if exif_maker.upper() in _NO_MAKER else exif_maker


def map_fields(dialect: Dialect, values: Values) -> dict[str, Any]:
    """Return the PhotoMetadata fields that the packet fills, without absent values."""
    # its namespace address has changed over time
    if dialect is Dialect.AUTEL:
        values = {
            **{f"drone:{name[2:]}": text for name, text in values.items() if name.startswith("*:")},
            **values,
        }
    words = {**_SHARED, **_FIELD_NAMES.get(dialect, {})}
    fields = {field: _READERS.get(field, _number_of)(values, names) for field, names in words.items()}
    utc, zoned = fields.pop("utc_text", None), fields.pop("zoned_text", None)
    fields["xmp_time_text"] = utc or zoned
    fields["dewarp"] = parse_dewarp(values.get("drone-dji:DewarpData", "")) or _skydio_dewarp(values)
    fields["field_of_view_deg"] = _field_of_view(values)
    fields["pix4d_lens"] = _pix4d_lens(values)
    fields["is_drill"] = True if values.get("flycam:Drill") else None
    return {name: value for name, value in fields.items() if value is not None}


def _angles_of(values: Values, names: str) -> Angles:
    """Return yaw, pitch and roll, each from the first of its names that is present."""
    yaw, pitch, roll = (_number_of(values, axis) for axis in _split_axes(names))
    return Angles(yaw_deg=yaw, pitch_deg=pitch, roll_deg=roll)


@cache
def _split_axes(names: str) -> tuple[str, ...]:
    """Return the names of yaw, of pitch and of roll."""
    written = [
        way if "," in way else ",".join(way.replace("{}", axis) for axis in _AXES) for way in names.split()
    ]
    return tuple(" ".join(part) for part in zip(*(way.split(",") for way in written), strict=True))


def _vector_of(values: Values, names: str) -> tuple[float, ...] | None:
    parts = [parse_number(values, name) for name in names.split(",")]
    found = tuple(part for part in parts if part is not None)
    return found if len(found) == len(parts) else None


def _number_of(values: Values, names: str) -> float | None:
    """Return the first of `names` that is present; "a+b" is the sum of two.

    Both must be present.
    """
    for name in names.split():
        parts = [parse_number(values, part) for part in name.split("+")]
        found = [part for part in parts if part is not None]
        if len(found) == len(parts):
            return sum(found)
    return None


def _find_text(values: Values, names: str) -> str | None:
    return next((text for name in names.split() if (text := values.get(name))), None)


def _positive_of(values: Values, names: str) -> float | None:
    found = _number_of(values, names)
    return found if found is not None and found > 0 else None


def _integer_of(values: Values, names: str) -> int | None:
    found = _number_of(values, names)
    return None if found is None else int(found)


def _place_of(limit: float) -> Callable[[Values, str], float | None]:
    return lambda values, names: parse_coordinate(values, limit, *names.split())


def parse_zoned_time(values: Values, names: str, without_zone: str = "") -> str | None:
    """Return ISO 8601 with a zone, from the first of `names` that is a date with one.

    `without_zone` is used as zone where none is written.
    """
    for name in names.split():
        match = _ISO.match(values.get(name, "").strip())
        zone = (match[8] or without_zone).upper() if match is not None else ""
        if match is None or not zone:
            continue
        if zone != "Z" and ":" not in zone:
            zone = f"{zone[:3]}:{zone[3:]}"
        return f"{match[1]}-{match[2]}-{match[3]}T{match[4]}:{match[5]}:{match[6]}{match[7] or ''}{zone}"
    return None


_READERS: Mapping[str, Callable[[Values, str], Any]] = {
    **dict.fromkeys(("camera", "gimbal", "aircraft"), _angles_of),
    **dict.fromkeys(("speed_mps", "calibrated_centre_px", "rtk_std_m"), _vector_of),
    **dict.fromkeys(("serial", "image_source"), _find_text),
    **dict.fromkeys(("shutter_type", "band_name"), _find_text),
    "calibrated_focal_px": _positive_of,
    "rtk_flag": _integer_of,
    "dewarped": lambda values, names: None if (flag := parse_number(values, names)) is None else flag == 1,
    "xmp_lat_deg": _place_of(90.0),
    "xmp_lon_deg": _place_of(180.0),
    "utc_text": lambda values, names: parse_zoned_time(values, names, "Z"),
    "zoned_text": parse_zoned_time,
}
"""Parser of each field's tags; fields not named here are numbers."""


# -- Interior orientation in the makers' tags ------------------------------------------------------


def parse_dewarp(text: str) -> Dewarp | None:
    """Parse DewarpData "date;fx,fy,cx,cy,k1,k2,p1,p2,k3"; None for another format.

    Source: DJI's image processing guides. A row of zeros, which some aircraft write without a calibration, is
    None too.
    """
    parts = (text.partition(";")[2] or text).split(",")
    if len(parts) < 9:
        return None
    try:
        fx, fy, cx, cy, k1, k2, p1, p2, k3 = (float(part) for part in parts[:9])
    except ValueError:
        return None
    if not all(map(math.isfinite, (fx, fy, cx, cy, k1, k2, p1, p2, k3))) or fx <= 0 or fy <= 0:
        return None
    return Dewarp(
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


def _skydio_dewarp(values: Values) -> Dewarp | None:
    """Return Skydio's unit calibration: DewarpData holds radial k1, k2, k3 alone."""
    radial = _floats(values.get("drone-skydio:DewarpData", ""))
    focal = _vector_of(values, "drone-skydio:CalibratedFocalLengthX,drone-skydio:CalibratedFocalLengthY")
    if len(radial) != 3 or focal is None or min(focal) <= 0:
        return None
    k1, k2, k3 = radial
    return Dewarp(
        fx_px=focal[0],
        fy_px=focal[1],
        cx_offset_px=0.0,
        cy_offset_px=0.0,
        k1=k1,
        k2=k2,
        p1=0.0,
        p2=0.0,
        k3=k3,
    )


def _pix4d_lens(values: Values) -> Pix4dLens | None:
    """Return the interior in Pix4D's tags, None where they do not suffice.

    Source: Pix4D's "Specifications of XMP Camera tags".
    """
    focal = parse_number(values, "Camera:PerspectiveFocalLength")
    if values.get("Camera:PerspectiveFocalLengthUnits", "mm").lower() != "mm":
        focal = None
    centre = _floats(values.get("Camera:PrincipalPoint", ""))
    distortion = _floats(values.get("Camera:PerspectiveDistortion", ""))
    affine = _floats(values.get("Camera:FisheyeAffineMatrix", ""))
    polynomial = _floats(values.get("Camera:FisheyePolynomial", ""))
    fisheye = values.get("Camera:ModelType", "").lower() == "fisheye"
    if fisheye and len(affine) == 4 and affine[0] > 0 and 2 <= len(polynomial) <= 5:
        return Pix4dLens(affine_px=affine, polynomial=polynomial)
    if fisheye or focal is None or focal <= 0 or len(centre) != 2 or min(centre) <= 0:
        return None
    return Pix4dLens(focal_mm=focal, centre_mm=centre, distortion=distortion if len(distortion) == 5 else ())


def _field_of_view(values: Values) -> FieldOfView | None:
    """Return degrees across the image, under any name of a maker's own vocabulary."""
    found: dict[str, float] = {}
    for name in values:
        match = _FIELD_OF_VIEW.match(name)
        degrees = parse_number(values, name) if match is not None else None
        if match is not None and degrees is not None and 1.0 < degrees < 170.0:
            found.setdefault(match[1][0].upper(), degrees)
    if not found:
        return None
    return FieldOfView(
        horizontal_deg=found.get("H"), vertical_deg=found.get("V"), diagonal_deg=found.get("D")
    )


def _floats(text: str) -> tuple[float, ...]:
    """Return the finite numbers between commas; empty if anything else is among them."""
    parts = [parse_number({"": part}, "") for part in text.split(",")]
    found = tuple(part for part in parts if part is not None)
    return found if len(found) == len(parts) else ()
