"""The area asked for, as people draw it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import shapely

from flycam.errors import InputUnusable
from flycam.geodata.communes import read_area_of_interest

BOW_TIE = [(104.0, 21.0), (104.2, 21.2), (104.2, 21.0), (104.0, 21.2), (104.0, 21.0)]


def drawn(path: Path, *geometries: dict[str, Any] | None) -> Path:
    features = [{"type": "Feature", "properties": {}, "geometry": one} for one in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def polygon(ring: list[tuple[float, float]]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [ring]}


def test_a_ring_that_crosses_itself_is_mended_and_overlaps_count_once(tmp_path: Path) -> None:
    box = polygon(list(shapely.box(104.0, 21.0, 104.1, 21.1).exterior.coords))
    area = read_area_of_interest(drawn(tmp_path / "aoi.geojson", polygon(BOW_TIE), box, None))
    assert area.is_valid
    # two triangles of 0.2 by 0.1 / 2, and what of the square is in neither
    assert area.area == pytest.approx(0.02 + 0.0025 + 0.0025, rel=0.01)
    assert area.covers(shapely.Point(104.01, 21.09))


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "LineString", "coordinates": BOW_TIE},
        {"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [104.0, 21.0]}]},
        polygon([(104.0, 21.0), (104.1, 21.1), (104.0, 21.0), (104.0, 21.0)]),
    ],
)
def test_an_area_of_lines_is_refused_in_words_of_its_own(tmp_path: Path, geometry: dict[str, Any]) -> None:
    path = drawn(tmp_path / "aoi.geojson", geometry)
    with pytest.raises(InputUnusable, match=r"^aoi\.geojson: .*polygon") as caught:
        read_area_of_interest(path)
    assert "commune" not in str(caught.value) and caught.value.message.in_language("vi").startswith(
        "aoi.geojson"
    )
