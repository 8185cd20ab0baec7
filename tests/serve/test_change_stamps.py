"""What is on the map is looked at once for all screens."""

from __future__ import annotations

from pathlib import Path

from flycam.mosaic.flight_edits import move_flight
from flycam.serve.events import MapStampCache
from tests.serve.world import make_world


def test_a_flight_that_was_moved_is_told_to_all_screens(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    kept = MapStampCache(world.workspace.catalog, 0.0)
    before = kept.read()
    assert kept.read() == before
    move_flight(world.workspace, world.after, "Lũ quét Bản Liền", "Lan")
    after = kept.read()
    assert [name for name in after if after[name] != before[name]] == ["flights"]  # type: ignore[literal-required]
