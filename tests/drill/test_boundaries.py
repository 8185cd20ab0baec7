from __future__ import annotations

import json
import unicodedata

from shapely import transform
from shapely.geometry import shape
from shapely.ops import unary_union

from flycam.drill.land import WORK_CRS, Valley
from flycam.drill.photo_drill import make_communes_geojson
from flycam.geodata.crs import to_work


def in_metres(geometry: dict) -> object:
    return transform(shape(geometry), lambda xy: to_work(xy, WORK_CRS))


def test_communes_are_whole_marked_and_do_not_overlap() -> None:
    for seed in (1, 2, 3):
        features = json.loads(make_communes_geojson(Valley(seed=seed)))["features"]
        assert len(features) == 4
        polygons = [in_metres(f["geometry"]) for f in features]
        assert all(p.is_valid for p in polygons)
        assert sum(p.area for p in polygons) - unary_union(polygons).area < 1.0
        for feature, polygon in zip(features, polygons, strict=True):
            properties = feature["properties"]
            assert properties["drill"] == "DIỄN TẬP"
            assert "không có thật" in properties["fullName"]
            assert not properties["code"].isdigit()
            assert properties["name"] == unicodedata.normalize("NFC", properties["name"])
            assert abs(properties["areaKm2"] * 1e6 - polygon.area) < 200
