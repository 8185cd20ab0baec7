"""Locator map of a briefing pack's ground in the province: outlines of communes around, some filled."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.catalog.records import BoundsLonLat
from flycam.geodata.crs import WEB_MERCATOR, WGS84, make_point_transform
from flycam.pipeline.briefing_pack.contents import PackContents
from flycam.pipeline.coverage import list_flight_communes
from flycam.pipeline.workspace import Workspace
from flycam.report.pack_pictures import LocatorCommune, draw_locator_map

_MAX_WIDTH_M = 150_000.0
_LONG_SIDE_PX = 1200
_MARGIN = 0.04


def draw_locator(workspace: Workspace, contents: PackContents, band_png: bytes | None) -> bytes | None:
    """Draw a locator map as JPEG, north up in the work CRS.

    None where no boundary around is known, or none beyond those of the overview. A node may know more than a
    province: only communes within 75 km of the shown ground are drawn.
    """
    to_work = make_point_transform(WGS84, contents.work_crs)
    around = list_flight_communes(workspace.catalog, contents.flights[0].flight, _around(contents))
    shown = {place.commune.code: number for number, place in enumerate(contents.communes)}
    if not shown or len(around) <= len(shown):
        return None
    changed = {number for patch in contents.changes for number in patch.places}
    shapes = {one.code: shapely.transform(shapely.from_wkb(one.wkb), to_work) for one in around}
    west, south, east, north = shapely.union_all(
        [shapely.box(*shape.bounds) for shape in shapes.values()]
    ).bounds
    margin = _MARGIN * max(east - west, north - south)
    pixel_m = (max(east - west, north - south) + 2 * margin) / _LONG_SIDE_PX
    left, top = west - margin, north + margin
    size = (round((east - west + 2 * margin) / pixel_m), round((north - south + 2 * margin) / pixel_m))

    def pixels(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.column_stack([points[:, 0] - left, top - points[:, 1]]) / pixel_m, np.float64)

    filled = [
        LocatorCommune(
            shape=shapely.transform(shape.simplify(pixel_m / 2.0), pixels),
            label=str(shown[code] + 1) if code in shown else "",
            is_shown=code in shown,
            is_changed=shown.get(code) in changed,
        )
        for code, shape in shapes.items()
    ]
    frame = shapely.transform(
        shapely.box(*contents.extent), make_point_transform(WEB_MERCATOR, contents.work_crs)
    )
    return draw_locator_map(size, pixel_m, filled, shapely.transform(frame, pixels).bounds, band_png)


def _around(contents: PackContents) -> BoundsLonLat:
    """Return the widest rectangle that is drawn, degrees."""
    to_work = make_point_transform(WEB_MERCATOR, contents.work_crs)
    middle = shapely.transform(shapely.box(*contents.extent), to_work).centroid
    half = _MAX_WIDTH_M / 2.0
    box = shapely.box(middle.x - half, middle.y - half, middle.x + half, middle.y + half)
    west, south, east, north = shapely.transform(box, make_point_transform(contents.work_crs, WGS84)).bounds
    return west, south, east, north
