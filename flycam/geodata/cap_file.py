"""Places as a Common Alerting Protocol message, never to be acted on by itself.

Source: OASIS CAP v1.2 (2010). Only the statuses Draft and Exercise are written: public warnings are for the
authorities, and a map is not one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.frame.timestamp import VIETNAM
from flycam.geodata.xml_text import escape_xml

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
    polygons = "".join(f"<polygon>{_ring(part.exterior)}</polygon>" for part in shapely.get_parts(one.shape))
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


def _ring(ring: BaseGeometry) -> str:
    """Format a ring, latitude first, as CAP requires."""
    return " ".join(f"{lat:.6f},{lon:.6f}" for lon, lat in shapely.get_coordinates(ring))


def _token(text: str) -> str:
    """Replace what CAP forbids in a sender: spaces, commas, < and &."""
    return escape_xml("".join("-" if c.isspace() or c in ",<&" else c for c in text)) or "flycam"
