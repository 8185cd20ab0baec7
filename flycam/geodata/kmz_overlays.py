"""KMZ of images and outlines, for Google Earth and other viewers (KML 2.2, OGC 07-147r2)."""

from __future__ import annotations

import html
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from flycam.geodata.kml_geometry import KML_FOOT, KML_HEAD, format_multi_geometry
from flycam.geodata.xml_text import escape_xml

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
    body += [_placemark(one) for one in placemarks]
    body.append(KML_FOOT)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_member("doc.kml", zipfile.ZIP_DEFLATED), "".join(body).encode())
        for order, one in enumerate(pictures):
            archive.writestr(_member(f"files/{order}.png", zipfile.ZIP_STORED), one.picture)


def _shown(text: str) -> str:
    """Escape user text for an element that viewers show as HTML."""
    return escape_xml(html.escape(text))


def _member(name: str, packed: int) -> zipfile.ZipInfo:
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


def _placemark(one: Placemark) -> str:
    return (
        f"<Placemark><name>{escape_xml(one.name)}</name><description>{_shown(one.description)}</description>"
        f"<styleUrl>#outline</styleUrl>{format_multi_geometry(one.shape)}</Placemark>"
    )
