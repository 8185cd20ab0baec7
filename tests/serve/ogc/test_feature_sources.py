"""Pages of a layer's features, where boxes tell more than shapes do."""

from __future__ import annotations

import json
from pathlib import Path

from flycam.access.policy import UNRESTRICTED
from flycam.board.layers import LayerRequest, add_layer
from flycam.model.board import LayerKind
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
