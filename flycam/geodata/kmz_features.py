"""KMZ of polygons with attributes, for Google Earth and tablets. Source: OGC 12-007r2 (KML 2.3)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shapely.geometry.base import BaseGeometry

from flycam.geodata.kml_geometry import KML_FOOT, KML_HEAD, format_multi_geometry
from flycam.geodata.xml_text import escape_xml

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
        archive.writestr(entry, _kml(title, placemarks))
    return out.getvalue()


def _kml(title: str, placemarks: Sequence[PolygonPlacemark]) -> str:
    colours = sorted({one.colour for one in placemarks})
    styles, marks = "".join(map(_style, colours)), "".join(map(_placemark, placemarks))
    return f"{KML_HEAD}<name>{escape_xml(title)}</name>{styles}{marks}{KML_FOOT}"


def _style(colour: str) -> str:
    red, green, blue = colour[:2], colour[2:4], colour[4:]
    turned = f"{blue}{green}{red}"  # KML says aabbggrr
    return (
        f'<Style id="c{colour}"><LineStyle><color>ff{turned}</color><width>3</width></LineStyle>'
        f"<PolyStyle><color>40{turned}</color></PolyStyle></Style>"
    )


def _placemark(one: PolygonPlacemark) -> str:
    values = "".join(
        f'<Data name="{escape_xml(name)}"><value>{escape_xml(value)}</value></Data>'
        for name, value in one.values.items()
    )
    return (
        f"<Placemark><name>{escape_xml(one.name)}</name><styleUrl>#c{one.colour}</styleUrl>"
        f"<ExtendedData>{values}</ExtendedData>{format_multi_geometry(one.shape)}</Placemark>"
    )
