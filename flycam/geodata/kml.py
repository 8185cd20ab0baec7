"""KML, KMZ and Common Alerting Protocol (CAP) documents.

A CAP message made here is never to be acted on by itself: only the statuses Draft and Exercise are written,
since public warnings are for the authorities, and a map is not one of them.

Sources: OASIS CAP v1.2 (2010); OGC 12-007r2 (KML 2.3); OGC 07-147r2 (KML 2.2).
"""

from __future__ import annotations

import html
import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.model.time import VIETNAM

# -- Geometries in KML (OGC 12-007r2): longitude, latitude, altitude, of WGS 84 --------------------


KML_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
KML_FOOT = "</Document></kml>\n"


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


# -- Escaping of user text, without characters that XML cannot hold --------------------------------


_NOT_HELD = re.compile("[^\\t\\n -~\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Characters that XML 1.0 cannot hold at all (2.2, Char), and control characters."""


def escape_xml(text: str) -> str:
    """Escape text for an element or a double-quoted attribute.

    Characters that XML cannot hold are dropped.
    """
    return escape(_NOT_HELD.sub("", text), {'"': "&quot;"})


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


# -- KMZ of polygons with attributes (KML 2.3, OGC 12-007r2), for Google Earth and tablets ---------


_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same features make the same bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PolygonPlacemark:
    """One feature: polygons in WGS 84 degrees, name, values by name, colour (RRGGBB)."""

    shape: BaseGeometry
    name: str
    values: Mapping[str, str]
    colour: str


def encode_kmz(title: str, placemarks: Sequence[PolygonPlacemark]) -> bytes:
    """Encode a KMZ: one `doc.kml` with a placemark for each feature."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("doc.kml", _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        colours = sorted({one.colour for one in placemarks})
        styles, marks = "".join(map(_style, colours)), "".join(map(_format_polygon, placemarks))
        archive.writestr(entry, f"{KML_HEAD}<name>{escape_xml(title)}</name>{styles}{marks}{KML_FOOT}")
    return out.getvalue()


def _style(colour: str) -> str:
    red, green, blue = colour[:2], colour[2:4], colour[4:]
    turned = f"{blue}{green}{red}"  # KML says aabbggrr
    return (
        f'<Style id="c{colour}"><LineStyle><color>ff{turned}</color><width>3</width></LineStyle>'
        f"<PolyStyle><color>40{turned}</color></PolyStyle></Style>"
    )


def _format_polygon(one: PolygonPlacemark) -> str:
    values = "".join(
        f'<Data name="{escape_xml(name)}"><value>{escape_xml(value)}</value></Data>'
        for name, value in one.values.items()
    )
    return (
        f"<Placemark><name>{escape_xml(one.name)}</name><styleUrl>#c{one.colour}</styleUrl>"
        f"<ExtendedData>{values}</ExtendedData>{format_multi_geometry(one.shape)}</Placemark>"
    )


# -- KMZ of images and outlines (KML 2.2, OGC 07-147r2), for Google Earth --------------------------


_STYLE = (
    '<Style id="outline"><LineStyle><color>ff00d7ff</color><width>2</width></LineStyle>'
    "<PolyStyle><fill>0</fill></PolyStyle></Style>"
)
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same content has the same bytes


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Placemark:
    """A named feature; shape in WGS 84 longitude, latitude: points and polygons."""

    name: str
    description: str
    shape: BaseGeometry


def write_kmz(
    path: Path, name: str, pictures: Sequence[GroundOverlay], placemarks: Iterable[Placemark]
) -> None:
    """Write a KMZ; later ones of `pictures` lie on top. Raises OSError."""
    body = [KML_HEAD, f"<name>{escape_xml(name)}</name>", _STYLE]
    body += [_overlay(order, one) for order, one in enumerate(pictures)]
    body += [
        f"<Placemark><name>{escape_xml(one.name)}</name><description>{_shown(one.description)}</description>"
        f"<styleUrl>#outline</styleUrl>{format_multi_geometry(one.shape)}</Placemark>"
        for one in placemarks
    ]
    body.append(KML_FOOT)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(make_zip_member("doc.kml", zipfile.ZIP_DEFLATED), "".join(body).encode())
        for order, one in enumerate(pictures):
            archive.writestr(make_zip_member(f"files/{order}.png", zipfile.ZIP_STORED), one.picture)


def _shown(text: str) -> str:
    """Escape user text for an element that viewers show as HTML."""
    return escape_xml(html.escape(text))


def make_zip_member(name: str, packed: int) -> zipfile.ZipInfo:
    """Return a member of the same date always, so that equal contents give equal bytes.

    packed  zipfile.ZIP_STORED or ZIP_DEFLATED
    """
    member = zipfile.ZipInfo(name, _WHEN)
    member.compress_type = packed
    return member


def _overlay(order: int, one: GroundOverlay) -> str:
    west, south, east, north = one.bounds_lonlat_deg
    return (
        f"<GroundOverlay><name>{escape_xml(one.name)}</name>"
        f"<description>{_shown(one.description)}</description>"
        f"<TimeSpan><begin>{one.begin}</begin><end>{one.end}</end></TimeSpan>"
        f"<drawOrder>{order}</drawOrder><Icon><href>files/{order}.png</href></Icon>"
        f"<LatLonBox><north>{north:.9f}</north><south>{south:.9f}</south>"
        f"<east>{east:.9f}</east><west>{west:.9f}</west></LatLonBox></GroundOverlay>"
    )
