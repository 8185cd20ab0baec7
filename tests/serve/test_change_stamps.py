"""What is on the map is looked at once for all screens."""

from __future__ import annotations

import json
from pathlib import Path

from flycam.board.layers import LayerRequest, add_layer
from flycam.model.board import LayerKind
from flycam.mosaic.flight_edits import move_flight
from flycam.serve.events import MapStampCache
from tests.serve.world import LAT, LON, make_workspace, make_world


def test_a_flight_that_was_moved_is_told_to_all_screens(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    kept = MapStampCache(world.workspace.catalog, 0.0)
    before = kept.read()
    assert kept.read() == before
    move_flight(world.workspace, world.after, "Lũ quét Bản Liền", "Lan")
    after = kept.read()
    assert [name for name in after if after[name] != before[name]] == ["flights"]  # type: ignore[literal-required]


def test_the_catalogue_is_asked_once_a_period_however_many_look(tmp_path: Path) -> None:
    workspace, now_s = make_workspace(tmp_path / "house"), [0.0]
    kept = MapStampCache(workspace.catalog, 1.0, lambda: now_s[0])
    before = kept.read()
    point = {"type": "Point", "coordinates": [LON, LAT]}
    feature = {"type": "Feature", "properties": {}, "geometry": point}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), encoding="utf-8")
    add_layer(workspace, LayerRequest(source=str(path), kind=LayerKind.MAST), "Lan")
    now_s[0] = 0.9
    assert kept.read() is before
    now_s[0] = 1.0
    after = kept.read()
    assert (after["layers"] != before["layers"], after["marks"] == before["marks"]) == (True, True)
