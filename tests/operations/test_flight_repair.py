"""What is derived of a flight is made again, or stays on the list: nothing that is not whole ends the run."""

from __future__ import annotations

import hashlib
from pathlib import Path

from flycam.geometry.grid import TileId
from flycam.model.records import FrameRecord
from flycam.operations.inventory import InventoryItem, InventoryKind, ObjectState, ReadResult
from flycam.operations.repair import FlightRepairer, OriginalRepairer, find_ancestors
from flycam.storage import keys
from flycam.workspace import ignore_progress
from tests.serve.finished import finish_by_hand
from tests.serve.world import make_world


class AllWhole(OriginalRepairer):
    """Photos, and terrain that the made-up world does not record."""

    def can_rebuild(self, record: FrameRecord) -> bool:
        return True


def test_a_damaged_file_that_finish_was_given_leaves_its_tiles_on_the_list(tmp_path: Path) -> None:
    """`flycam verify` is what that error names as the cure."""
    world = make_world(tmp_path / "world")
    workspace = world.workspace
    sha256 = hashlib.sha256(b"points as they came").hexdigest()
    workspace.store.put(keys.format_original_key(sha256), b"points as they rotted")
    given = {"gcp": {"sha256": sha256, "name": "diem-goc.csv"}}
    number = finish_by_hand(workspace, world.after, options=given)
    mosaic = world.mosaic_of(world.after)
    head = workspace.catalog.tiles.heads(mosaic.mosaic_id, number, z=mosaic.base_zoom)[0]
    workspace.store.delete(head.key)
    lost = ReadResult(
        InventoryItem(head.key, InventoryKind.TILE, world.after, str(head.tile_id), head), ObjectState.LOST
    )
    flight = workspace.catalog.flights.flight(world.after)
    assert FlightRepairer(workspace, flight, AllWhole(workspace, None), ignore_progress).repair([lost]) == [
        lost
    ]


def test_ancestors_are_all_tiles_above() -> None:
    tiles = {TileId(z=5, x=x, y=y) for x in (3, 4, 17) for y in (0, 1, 30)} | {TileId(z=3, x=2, y=2)}

    def lies_under(below: TileId, above: TileId) -> bool:
        steps = below.z - above.z
        return steps > 0 and (below.x >> steps, below.y >> steps) == (above.x, above.y)

    every = [TileId(z=z, x=x, y=y) for z in range(6) for x in range(1 << z) for y in range(1 << z)]
    assert find_ancestors(tiles) == {one for one in every if any(lies_under(tile, one) for tile in tiles)}
