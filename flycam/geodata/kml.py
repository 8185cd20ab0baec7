"""KML, KMZ and Common Alerting Protocol (CAP) documents.

A CAP message made here is never to be acted on by itself: only the statuses Draft and Exercise are written,
since public warnings are for the authorities, and a map is not one of them.

Sources: OASIS CAP v1.2 (2010); OGC 12-007r2 (KML 2.3); OGC 07-147r2 (KML 2.2).
"""

from __future__ import annotations

import html
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.model.time import VIETNAM

# -- Escaping of user text, without characters that XML cannot hold --------------------------------


_NOT_HELD = re.compile("[^\\t\\n -~\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML 1.0 cannot hold at all (2.2, Char), and control characters."""


def escape_xml(text: str) -> str:
    """Escape text for an element or a double-quoted attribute.

    Characters that XML cannot hold are dropped.
    """
    return escape(_NOT_HELD.sub("", text), {'"': "&quot;"})


# -- KML and KMZ for Google Earth and tablets: WGS 84 longitude, latitude --------------------------


_WHEN = (1980, 1, 1, 0, 0, 0)  # the same content has the same bytes


@dataclass(frozen=True, slots=True)
class KmlStyle:
    """Style of outlines, and of the areas in them.

    colour      RRGGBB
    fill_alpha  hex digits; "": areas are not filled
    """

    name: str
    colour: str
    width: int = 2
    fill_alpha: str = ""

    def format(self) -> str:
        """Format the style as an element."""
        turned = f"{self.colour[4:]}{self.colour[2:4]}{self.colour[:2]}"  # KML says aabbggrr
        fill = f"<color>{self.fill_alpha}{turned}</color>" if self.fill_alpha else "<fill>0</fill>"
        return (
            f'<Style id="{self.name}"><LineStyle><color>ff{turned}</color><width>{self.width}</width>'
            f"</LineStyle><PolyStyle>{fill}</PolyStyle></Style>"
        )


OUTLINE_STYLE = KmlStyle("outline", "ffd700")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placemark:
    """A named feature.

    shape         points and polygons
    begin, end    ISO 8601; "": at no time
    values        attributes by name
    """

    name: str
    shape: BaseGeometry
    description: str = ""
    begin: str = ""
    end: str = ""
    style: KmlStyle = OUTLINE_STYLE
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundOverlay:
    """An image over the ground.

    picture            PNG, with alpha where nothing was imaged
    bounds_lonlat_deg  (west, south, east, north) of its outer edges, WGS 84
    begin, end         ISO 8601, when it was taken
    """

    name: str
    description: str
    picture: bytes
    bounds_lonlat_deg: tuple[float, float, float, float]
    begin: str
    end: str


def write_kmz(
    out: Path | BinaryIO, title: str, pictures: Sequence[GroundOverlay], placemarks: Sequence[Placemark]
) -> None:
    """Write a KMZ; later ones of `pictures` lie on top. Raises OSError."""
    styles = dict.fromkeys(one.style for one in placemarks)
    overlays = (_format_overlay(order, one) for order, one in enumerate(pictures))
    document = format_kml(title, *overlays, *map(format_placemark, placemarks), styles=styles)
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(make_zip_member("doc.kml", zipfile.ZIP_DEFLATED), document)
        for order, one in enumerate(pictures):
            archive.writestr(make_zip_member(f"files/{order}.png", zipfile.ZIP_STORED), one.picture)


def make_zip_member(name: str, packed: int) -> zipfile.ZipInfo:
    """Return a member of the same date always, so that equal contents give equal bytes.

    packed  zipfile.ZIP_STORED or ZIP_DEFLATED
    """
    member = zipfile.ZipInfo(name, _WHEN)
    member.compress_type = packed
    return member


def format_kml(title: str, *elements: str, styles: Iterable[KmlStyle] = (), is_open: bool = False) -> str:
    """Format a document of these elements; is_open: its folder is open when it is shown."""
    body = "".join(["<open>1</open>" if is_open else "", *(one.format() for one in styles), *elements])
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"<name>{escape_xml(title)}</name>{body}</Document></kml>\n"
    )


def format_placemark(one: Placemark) -> str:
    """Format a placemark as an element."""
    values = "".join(
        f'<Data name="{escape_xml(name)}"><value>{escape_xml(value)}</value></Data>'
        for name, value in one.values.items()
    )
    data = f"<ExtendedData>{values}</ExtendedData>" if values else ""
    return (
        f"<Placemark>{_format_head(one)}<styleUrl>#{one.style.name}</styleUrl>"
        f"{data}{format_multi_geometry(one.shape)}</Placemark>"
    )


def format_box(tag: str, bounds_lonlat_deg: tuple[float, float, float, float]) -> str:
    """Format a box of edges as an element of this name."""
    west, south, east, north = bounds_lonlat_deg
    return (
        f"<{tag}><north>{north:.9f}</north><south>{south:.9f}</south>"
        f"<east>{east:.9f}</east><west>{west:.9f}</west></{tag}>"
    )


def _format_overlay(order: int, one: GroundOverlay) -> str:
    return (
        f"<GroundOverlay>{_format_head(one)}"
        f"<drawOrder>{order}</drawOrder><Icon><href>files/{order}.png</href></Icon>"
        f"{format_box('LatLonBox', one.bounds_lonlat_deg)}</GroundOverlay>"
    )


def _format_head(one: Placemark | GroundOverlay) -> str:
    # viewers show a description as HTML
    text = escape_xml(html.escape(one.description))
    about = f"<description>{text}</description>" if text else ""
    span = f"<TimeSpan><begin>{one.begin}</begin><end>{one.end}</end></TimeSpan>" if one.begin else ""
    return f"<name>{escape_xml(one.name)}</name>{about}{span}"


def format_multi_geometry(shape: BaseGeometry) -> str:
    """Format points and polygons (N parts or one) as a MultiGeometry on the ground.

    Other parts are left out.
    """
    parts = [_part(part) for part in shapely.get_parts(shape) if not part.is_empty]
    return f"<MultiGeometry>{''.join(parts)}</MultiGeometry>"


def _part(part: BaseGeometry) -> str:
    match part.geom_type:
        case "Point":
            return f"<Point><coordinates>{_coordinates(part)}</coordinates></Point>"
        case "Polygon":
            inner = "".join(
                f"<innerBoundaryIs>{_format_ring(ring)}</innerBoundaryIs>" for ring in part.interiors
            )
            outer = f"<outerBoundaryIs>{_format_ring(part.exterior)}</outerBoundaryIs>"
            return f"<Polygon><tessellate>1</tessellate>{outer}{inner}</Polygon>"
    return ""


def _format_ring(ring: BaseGeometry) -> str:
    return f"<LinearRing><coordinates>{_coordinates(ring)}</coordinates></LinearRing>"


def _coordinates(shape: BaseGeometry) -> str:
    return " ".join(f"{lon:.7f},{lat:.7f},0" for lon, lat in shapely.get_coordinates(shape).tolist())


# -- CAP messages, of status Draft or Exercise only ------------------------------------------------


_NS = "urn:oasis:names:tc:emergency:cap:1.2"


@dataclass(frozen=True, kw_only=True, slots=True)
class CapEvent:
    """One event: polygons in WGS 84 degrees, and text.

    event        its kind ("Sạt lở"); category of CAP: "Geo", "Met", "Other", …
    certainty    of CAP: "Observed", "Likely", …
    description  a sentence; area the name of the place
    geocode      code of the commune; "" where it is not known
    """

    shape: BaseGeometry
    event: str
    category: str
    certainty: str
    description: str
    area: str
    geocode: str


def encode_cap_alert(
    identifier: str, sender: str, sent_ns: int, note: str, places: Sequence[CapEvent], *, is_drill: bool
) -> bytes:
    """Encode one alert with an info for each place; status Exercise or Draft.

    Exercise if `is_drill`. CAP's polygons have no holes: those of a place are left out, so the area named is
    never too small.
    """
    sent = datetime.fromtimestamp(sent_ns // 10**9, VIETNAM).isoformat(timespec="seconds")
    status = "Exercise" if is_drill else "Draft"
    infos = "".join(map(_info, places))
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<alert xmlns="{_NS}"><identifier>{escape_xml(identifier)}</identifier>'
        f"<sender>{_token(sender)}</sender><sent>{sent}</sent><status>{status}</status>"
        f"<msgType>Alert</msgType><scope>Restricted</scope><restriction>{escape_xml(note)}</restriction>"
        f"<note>{escape_xml(note)}</note>{infos}</alert>\n"
    )
    return text.encode()


def _info(one: CapEvent) -> str:
    polygons = "".join(
        f"<polygon>{_format_cap_ring(part.exterior)}</polygon>" for part in shapely.get_parts(one.shape)
    )
    code = (
        f"<geocode><valueName>commune</valueName><value>{escape_xml(one.geocode)}</value></geocode>"
        if one.geocode
        else ""
    )
    return (
        f"<info><language>vi-VN</language><category>{one.category}</category>"
        f"<event>{escape_xml(one.event)}</event><urgency>Unknown</urgency><severity>Unknown</severity>"
        f"<certainty>{one.certainty}</certainty><description>{escape_xml(one.description)}</description>"
        f"<area><areaDesc>{escape_xml(one.area)}</areaDesc>{polygons}{code}</area></info>"
    )


def _format_cap_ring(ring: BaseGeometry) -> str:
    """Format a ring, latitude first, as CAP requires."""
    return " ".join(f"{lat:.6f},{lon:.6f}" for lon, lat in shapely.get_coordinates(ring))


def _token(text: str) -> str:
    """Replace what CAP forbids in a sender: spaces, commas, < and &."""
    return escape_xml("".join("-" if c.isspace() or c in ",<&" else c for c in text)) or "flycam"
