from __future__ import annotations

import json
import unicodedata

import numpy as np
from shapely import transform
from shapely.geometry import shape
from shapely.ops import unary_union

from flycam.drill.land import CENTRE_M, WORK_CRS, Valley, make_cell_window
from flycam.drill.photo_drill import make_changes_geojson, make_communes_geojson
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


def test_outlines_have_the_area_of_the_mask() -> None:
    window = make_cell_window((CENTRE_M[0], CENTRE_M[1], CENTRE_M[0] + 100, CENTRE_M[1] + 100), 0.25)
    rows, cols = np.mgrid[0 : window.shape[0], 0 : window.shape[1]]
    change = np.zeros(window.shape, np.uint8)
    change[np.hypot(rows - 120, cols - 110) < 80] = 1
    change[np.hypot(rows - 120, cols - 110) < 30] = 0
    change[300:380, 200:390] = 2
    change[5:8, 300:303] = 1  # a speck
    features = json.loads(make_changes_geojson(change, window))["features"]
    assert [f["properties"]["kind"] for f in features] == ["landslide", "flood"]
    for feature, expected in zip(features, ((change == 1).sum() - 9, (change == 2).sum()), strict=True):
        area = in_metres(feature["geometry"]).area
        assert abs(area - expected * 0.25**2) < 0.02 * area
    box = in_metres(features[1]["geometry"]).bounds
    edge = (window.west_cell + 200 - 0.5) * 0.25, (window.north_cell - 380 + 0.5) * 0.25
    np.testing.assert_allclose(box[:2], edge, atol=0.4)
