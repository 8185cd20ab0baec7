"""GeoJSON of marks for other programs: WGS 84, and VN-2000 in the properties."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import shapely

from flycam.catalog.boundaries import Boundaries
from flycam.catalog.records import MarkVersion
from flycam.frame.timestamp import format_iso
from flycam.pipeline.vn2000 import locate_in_vn2000

_DECIMALS = 7


def build_mark_collection(lines: Sequence[MarkVersion], boundaries: Boundaries | None) -> dict[str, Any]:
    """Build a FeatureCollection of mark versions.

    With `boundaries` each has VN-2000 coordinates. Those of a sector are of a point inside it.
    """
    return {"type": "FeatureCollection", "features": [build_mark_feature(line, boundaries) for line in lines]}


def build_mark_feature(line: MarkVersion, boundaries: Boundaries | None) -> dict[str, Any]:
    """Build a Feature of one version.

    `vn2000` null: outside Vietnam; absent: no `boundaries`.
    """
    shape = shapely.set_precision(shapely.from_wkb(line.wkb), 10.0**-_DECIMALS, mode="pointwise")
    said: dict[str, Any] = {
        "mark_id": line.mark_id,
        "version": line.version,
        "event_id": line.event_id,
        "kind": line.kind.value,
        "status": line.status.value,
        "note": line.note,
        "author": line.author,
        "time": format_iso(line.at_ns, "seconds"),
        "photo": line.photo_sha256,
    }
    if boundaries is not None:
        inside = shape.representative_point()
        place = locate_in_vn2000(boundaries, inside.x, inside.y)
        said["vn2000"] = place and {
            "x_north_m": place.x_north_m,
            "y_east_m": place.y_east_m,
            "crs": place.crs,
            "central_meridian_deg": place.central_meridian_deg,
        }
    return {
        "type": "Feature",
        "id": line.mark_id,
        "geometry": json.loads(shapely.to_geojson(shape)),
        "properties": said,
    }
