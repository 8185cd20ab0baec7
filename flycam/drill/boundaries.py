"""Fictitious communes and outlines of the storm's changes, as WGS 84 GeoJSON."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from shapely import transform
from shapely.geometry import MultiPolygon, Polygon, mapping

from flycam.drill.cell_window import CellWindow
from flycam.drill.spatial_noise import Floats
from flycam.drill.valley import WORK_CRS, Valley
from flycam.frame.exercise_communes import EXERCISE_COMMUNES
from flycam.frame.flight import DRILL_MARK
from flycam.geodata.crs import to_lonlat

_REACH_M = 2200.0
_STEP_M = 20.0
_MIN_CHANGE_M2 = 60.0
_MIN_HOLE_M2 = 30.0
_OUTLINE_M = 0.5
CHANGE_KINDS = {1: "landslide", 2: "flood"}


def make_communes_geojson(valley: Valley) -> str:
    """Return four communes, split by the river and a crooked line across the valley."""
    along = np.arange(-_REACH_M, _REACH_M + 1.0, _STEP_M)
    river = np.stack([along, valley.river_across(along)], -1)
    across = np.arange(-_REACH_M, _REACH_M + 1.0, _STEP_M)
    centre_along, centre_across = 12.0, float(valley.river_across(np.array(12.0)))
    away = np.abs(across - centre_across)
    line = np.stack([centre_along + 60.0 * np.sin(away / 130.0) + 0.12 * away, across], -1)
    features = []
    for number, (code, name, name_en) in enumerate(EXERCISE_COMMUNES):
        left, down = number % 2 == 0, number < 2
        sign_across, sign_along = (1.0 if left else -1.0), (1.0 if down else -1.0)
        part_river = river[(river[:, 0] - centre_along) * sign_along > 0][:: 1 if down else -1]
        part_line = line[(line[:, 1] - centre_across) * sign_across > 0][:: 1 if left else -1]
        corner = np.array([[sign_along * _REACH_M, sign_across * _REACH_M]])
        ring = np.vstack([[[centre_along, centre_across]], part_river, corner, part_line[::-1]])
        east, north = valley.to_work_crs(ring[:, 0], ring[:, 1])
        polygon = Polygon(np.stack([east, north], -1))
        properties = {
            "code": code,
            "name": name,
            "nameEn": name_en,
            "fullName": f"Xã {name} (diễn tập, không có thật)",
            "fullNameEn": f"{name_en} commune (drill, made up)",
            "areaKm2": round(polygon.area / 1e6, 4),
            "drill": DRILL_MARK,
        }
        features.append(_feature(MultiPolygon([polygon]), properties))
    return _collection(features, "communes of a drill: made up")


def make_changes_geojson(change: NDArray[np.uint8], window: CellWindow) -> str:
    """Return outlines of the changed ground.

    change  rows×columns: 0 none, else a key of CHANGE_KINDS
    """
    features = []
    for number, kind in CHANGE_KINDS.items():
        for polygon in _outlines(change == number, window):
            properties = {"kind": kind, "area_m2": round(polygon.area, 1), "drill": DRILL_MARK}
            features.append(_feature(polygon, properties))
    return _collection(features, "what the storm of a drill changed: exact")


def _outlines(mask: NDArray[np.bool_], window: CellWindow) -> list[Polygon]:
    """Return polygons (work CRS) of a mask, largest first, without specks and holes.

    Holes above `_MIN_HOLE_M2` are kept.
    """
    factor = max(round(_OUTLINE_M / window.cell_m), 1)
    small = cv2.resize(
        mask.astype(np.uint8), None, fx=1.0 / factor, fy=1.0 / factor, interpolation=cv2.INTER_NEAREST
    )
    scale = np.array(mask.shape[::-1]) / np.array(small.shape[::-1])
    # each pixel becomes 2×2, so that the outline follows pixel edges to within a quarter of a pixel
    doubled = np.repeat(np.repeat(small, 2, 0), 2, 1)
    contours, tree = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    polygons = []
    for index, contour in enumerate(contours):
        if tree[0][index][3] >= 0 or len(contour) < 4:
            continue
        holes, child = [], tree[0][index][2]
        while child >= 0:
            if len(contours[child]) >= 4:
                holes.append(_ring(contours[child], window, scale))
            child = tree[0][child][0]
        shape = Polygon(_ring(contour, window, scale), holes).buffer(0)
        for part in getattr(shape, "geoms", [shape]):
            if part.area >= _MIN_CHANGE_M2:
                kept = [ring for ring in part.interiors if Polygon(ring).area >= _MIN_HOLE_M2]
                polygons.append(Polygon(part.exterior, kept).simplify(0.4 * _OUTLINE_M))
    return sorted(polygons, key=lambda p: -p.area)


def _ring(contour: NDArray[Any], window: CellWindow, scale: Floats) -> Floats:
    cells = (contour[:, 0, :] / 2.0 - 0.25 + 0.5) * scale - 0.5
    east = (window.west_cell + cells[:, 0]) * window.cell_m
    north = (window.north_cell - cells[:, 1]) * window.cell_m
    return np.stack([east, north], -1)


def _feature(geometry: Polygon | MultiPolygon, properties: dict[str, Any]) -> dict[str, Any]:
    degrees = transform(geometry, lambda xy: to_lonlat(xy, WORK_CRS))
    return {"type": "Feature", "properties": properties, "geometry": mapping(degrees)}


def _collection(features: list[dict[str, Any]], name: str) -> str:
    return json.dumps({"type": "FeatureCollection", "name": name, "features": features}, ensure_ascii=False)
