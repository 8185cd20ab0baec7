"""Pages of a layer's features, where boxes tell more than shapes do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flycam.access.policy import UNRESTRICTED
from flycam.board.layers import LayerRequest, add_layer
from flycam.model.board import LayerKind
from flycam.model.records import BoundsLonLat, LayerFeatureRecord
from flycam.model.time import to_utc_ns
from flycam.serve.ogc.features import LayerSource
from flycam.serve.ogc.params import FeatureQuery
from tests.serve.world import LAT, LON, make_workspace

DIAGONALS = 5


def test_no_page_is_empty_while_there_is_a_next_one(tmp_path: Path) -> None:
    """Clients stop at an empty page. Lines from corner to corner never come near the corner that is asked
    for, their boxes hold it."""
    line = {"type": "LineString", "coordinates": [[LON, LAT], [LON + 0.2, LAT + 0.2]]}
    corner = {"type": "Point", "coordinates": [LON + 0.19, LAT + 0.01]}
    features = [
        {"type": "Feature", "properties": {"ten": f"{k}"}, "geometry": shape}
        for k, shape in enumerate([*[line] * DIAGONALS, corner, line, corner, line])
    ]
    path = tmp_path / "lines.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    workspace = make_workspace(tmp_path / "house")
    add_layer(workspace, LayerRequest(source=str(path), kind=LayerKind.POWER), "Lan")
    (layer,) = workspace.catalog.layers.all()
    source = LayerSource(workspace.catalog, layer, 0, UNRESTRICTED)
    bounds = (LON + 0.18, LAT, LON + 0.2, LAT + 0.02)
    for limit in (1, 2, 3, 100):
        found, offset = [], 0
        while offset is not None:
            page = source.page(FeatureQuery(bounds=bounds, period=None, limit=limit, offset=offset))
            assert page.features or page.next_offset is None
            assert len(page.features) <= limit
            found += [thing.name for thing in page.features]
            offset = page.next_offset
        assert sorted(found) == [str(DIAGONALS), str(DIAGONALS + 2)]


def test_a_small_page_of_what_is_rare_takes_few_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any viewer may ask for one thing of a time from which there is nothing, or next to nothing."""
    day = "2024-09-{:02}T00:00:00Z"
    features = [
        {
            "type": "Feature",
            "properties": {"cap_nhat": day.format(1 if k in (3, 4) else 9), "tinh_trang": "hoạt động"},
            "geometry": {"type": "Point", "coordinates": [LON, LAT]},
        }
        for k in range(6000)
    ]
    path = tmp_path / "masts.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    workspace = make_workspace(tmp_path / "house")
    add_layer(workspace, LayerRequest(source=str(path), kind=LayerKind.MAST), "Lan")
    (layer,) = workspace.catalog.layers.all()
    asked, read = 0, workspace.catalog.layers.features

    def counted(
        layer_id: str, bounds: BoundsLonLat | None, limit: int, offset: int = 0
    ) -> tuple[list[LayerFeatureRecord], int]:
        nonlocal asked
        asked += 1
        return read(layer_id, bounds, limit, offset)

    monkeypatch.setattr(workspace.catalog.layers, "features", counted)
    source = LayerSource(workspace.catalog, layer, 0, UNRESTRICTED)
    period = (to_utc_ns(datetime(2024, 8, 31, tzinfo=UTC)), to_utc_ns(datetime(2024, 9, 2, tzinfo=UTC)))
    found: list[str] = []
    offset: int | None = 0
    while offset is not None:
        page = source.page(FeatureQuery(bounds=None, period=period, limit=1, offset=offset))
        found, offset = [*found, *(one.name for one in page.features)], page.next_offset
    assert found == ["4", "3"] and asked <= 6
