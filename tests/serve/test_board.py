"""The board is looked at once for all screens."""

from __future__ import annotations

import json
from pathlib import Path

from flycam.frame.specialist import LayerKind
from flycam.pipeline.layers import LayerAsked, add_layer
from flycam.serve.board import Board
from tests.serve.world import LAT, LON, make_workspace


def test_the_catalogue_is_asked_once_a_period_however_many_look(tmp_path: Path) -> None:
    workspace, now_s = make_workspace(tmp_path / "house"), [0.0]
    board = Board(workspace.catalog, 1.0, lambda: now_s[0])
    before = board.look()
    point = {"type": "Point", "coordinates": [LON, LAT]}
    feature = {"type": "Feature", "properties": {}, "geometry": point}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    add_layer(workspace, LayerAsked(source=str(path), kind=LayerKind.MAST), "Lan")
    now_s[0] = 0.9
    assert board.look() is before
    now_s[0] = 1.0
    after = board.look()
    assert (after["layers"] != before["layers"], after["marks"] == before["marks"]) == (True, True)
