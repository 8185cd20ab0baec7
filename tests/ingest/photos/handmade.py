"""Photos made by hand: pixels by Pillow, EXIF and XMP written here, independently of flycam's readers."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

DJI_SPACE = "http://www.dji.com/drone-dji/1.0/"
PIX4D_SPACE = "http://pix4d.com/camera/1.0/"
SKYDIO_SPACE = "https://www.skydio.com/drone-skydio/1.0/"
DRILL_SPACE = "urn:flycam:drill:1"

Value = str | int | float | bytes | tuple[int, ...] | tuple[Fraction, ...] | list[float]


def ground(height: int = 60, width: int = 80, seed: int = 1) -> np.ndarray:
    """Textured H×W×3 uint8 picture: smooth hills of grey with fine grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(60, 190, (height // 8 + 2, width // 8 + 2))
    smooth = np.kron(coarse, np.ones((8, 8)))[:height, :width]
    grey = smooth[:, :, None] + rng.normal(0, 12, (height, width, 1)) + np.array([6, 0, -6])
    return np.clip(grey, 0, 255).astype(np.uint8)


def jpeg(
    pixels: np.ndarray | None = None, *, exif: bytes = b"", xmp: bytes = b"", quality: int = 90
) -> bytes:
    """JPEG bytes with an EXIF block and an XMP packet spliced in after the start marker."""
    buffer = io.BytesIO()
    Image.fromarray(ground() if pixels is None else pixels).save(buffer, "JPEG", quality=quality)
    plain = buffer.getvalue()
    parts = [plain[:2]]
    if exif:
        parts.append(segment(0xE1, b"Exif\x00\x00" + exif))
    if xmp:
        parts.append(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + xmp))
    return b"".join([*parts, plain[2:]])


def segment(code: int, body: bytes) -> bytes:
    """One JPEG marker segment."""
    return bytes([0xFF, code]) + struct.pack(">H", len(body) + 2) + body


def xmp_packet(spaces: Mapping[str, str], attributes: Mapping[str, str], elements: str = "") -> bytes:
    """An XMP packet: namespace prefixes, attributes "prefix:Name" of one description, child elements."""
    declared = "".join(f' xmlns:{prefix}="{address}"' for prefix, address in spaces.items())
    written = "".join(f'\n  {name}="{text}"' for name, text in attributes.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about=""{declared}{written}>{elements}</rdf:Description>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def dji_xmp(**words: object) -> bytes:
    """A DJI packet with the given drone-dji words."""
    return xmp_packet(
        {"drone-dji": DJI_SPACE}, {f"drone-dji:{name}": str(text) for name, text in words.items()}
    )


def exif_block(
    main: Mapping[int, Value] | None = None,
    details: Mapping[int, Value] | None = None,
    gps: Mapping[int, Value] | None = None,
    order: str = "<",
) -> bytes:
    """A TIFF structure with the main, EXIF and GPS directories in the given byte order."""
    main = dict(main or {})
    offset = 8
    pointers = {tag: 0 for tag, group in ((0x8769, details), (0x8825, gps)) if group}
    first = _directory({**main, **pointers}, offset, order)
    tail = b""
    position = offset + len(first)
    for tag, group in ((0x8769, details), (0x8825, gps)):
        if group:
            pointers[tag] = position + len(tail)
            tail += _directory(group, position + len(tail), order)
    first = _directory({**main, **pointers}, offset, order)
    head = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "I", offset)
    return head + first + tail


def _directory(values: Mapping[int, Value], offset: int, order: str) -> bytes:
    entries, heap = b"", b""
    heap_at = offset + 2 + 12 * len(values) + 4
    for tag in sorted(values):
        kind, count, data = _encoded(values[tag], order)
        if len(data) > 4:
            place = struct.pack(order + "I", heap_at + len(heap))
            heap += data + b"\x00" * (len(data) % 2)
        else:
            place = data.ljust(4, b"\x00")
        entries += struct.pack(order + "HHI", tag, kind, count) + place
    return struct.pack(order + "H", len(values)) + entries + b"\x00\x00\x00\x00" + heap


def _encoded(value: Value, order: str) -> tuple[int, int, bytes]:
    if isinstance(value, str):
        data = value.encode() + b"\x00"
        return 2, len(data), data
    if isinstance(value, bytes):
        return 7, len(value), value
    if isinstance(value, int):
        return 4, 1, struct.pack(order + "I", value)
    if isinstance(value, float):
        value = (Fraction(value).limit_denominator(10_000),)
    if isinstance(value, list):
        return 11, len(value), struct.pack(f"{order}{len(value)}f", *value)
    if all(isinstance(part, Fraction) for part in value):
        flat = [number for part in value for number in (part.numerator, part.denominator)]
        return 5, len(value), struct.pack(f"{order}{len(flat)}I", *flat)
    return 3, len(value), struct.pack(f"{order}{len(value)}H", *value)


def degrees(value: float) -> tuple[Fraction, Fraction, Fraction]:
    """Unsigned degrees as EXIF's degrees, minutes, seconds, to a millionth of a second."""
    micro = round(abs(value) * 3600 * 1_000_000)
    whole, rest = divmod(micro, 3600 * 1_000_000)
    minutes, seconds = divmod(rest, 60 * 1_000_000)
    return Fraction(whole), Fraction(minutes), Fraction(seconds, 1_000_000)


def gps_of(lon: float, lat: float, altitude: float) -> dict[int, Value]:
    """GPS directory of a position."""
    return {
        1: "S" if lat < 0 else "N",
        2: degrees(lat),
        3: "W" if lon < 0 else "E",
        4: degrees(lon),
        5: b"\x01" if altitude < 0 else b"\x00",
        6: abs(altitude),
    }


def dji_note(values: Mapping[int, float], order: str = "<") -> bytes:
    """DJI's old maker note: a bare directory of floats by tag."""
    entries = struct.pack(order + "HHI4s", 1, 2, 4, b"DJI\x00")
    for tag, value in values.items():
        entries += struct.pack(order + "HHIf", tag, 11, 1, value)
    return struct.pack(order + "H", len(values) + 1) + entries + b"\x00" * 4


def written(folder: Path, name: str, data: bytes) -> Path:
    """The bytes as a file."""
    path = folder / name
    path.write_bytes(data)
    return path
