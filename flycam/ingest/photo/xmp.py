"""XMP packets as a flat dictionary "prefix:Name" -> text.

Parts of a structure are prefixed with its name, as ExifTool does: Pitch in CameraOrientationNED is
"drone-skydio:CameraOrientationNEDPitch".

Prefixes are chosen by namespace address, not by the prefix in the file. A packet that declares a document
type or an entity is ignored with a remark: no photo needs one, and entity bombs are made with them. A packet
that is not well-formed XML (some firmwares write raw ampersands or cut the packet off) is read by pattern,
attribute by attribute, with a remark.
"""

from __future__ import annotations

import re
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError  # types only; parsing is defusedxml's

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from flycam.frame.text_normalization import is_printable, strip_unprintable
from flycam.messages import Message, _

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
