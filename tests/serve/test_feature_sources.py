"""Pages of a layer's features, where boxes tell more than shapes do."""

from __future__ import annotations

import json
from pathlib import Path

from flycam.catalog.withholding import NOTHING_WITHHELD
from flycam.frame.specialist import LayerKind
from flycam.pipeline.layers import LayerAsked, add_layer
from flycam.serve.asked_for import Wanted
from flycam.serve.feature_sources import LayerSource
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
    add_layer(workspace, LayerAsked(source=str(path), kind=LayerKind.POWER), "Lan")
    (layer,) = workspace.catalog.layers.all()
    source = LayerSource(workspace.catalog, layer, 0, NOTHING_WITHHELD)
    bounds = (LON + 0.18, LAT, LON + 0.2, LAT + 0.02)
    for limit in (1, 2, 3, 100):
        found, offset = [], 0
        while offset is not None:
            page = source.page(Wanted(bounds=bounds, period=None, limit=limit, offset=offset))
            assert page.things or page.next_offset is None
            assert len(page.things) <= limit
            found += [thing.name for thing in page.things]
            offset = page.next_offset
        assert sorted(found) == [str(DIAGONALS), str(DIAGONALS + 2)]
