"""What readers of tile logs may believe, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from flycam.model.flight import Layer
from flycam.model.records import MosaicInfo
from flycam.serve.tiles import MovedTiles, TileLogFollower
from flycam.workspace import Workspace
from tests.serve.test_tile_route import write
from tests.serve.world import make_workspace

FINISHED = MosaicInfo(mosaic_id="m", flight_id="f", layer=Layer.COLOUR, revision=1, base_zoom=18, min_zoom=17)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def followed(workspace: Workspace) -> tuple[TileLogFollower, list[MovedTiles]]:
    """The mosaic "m" is watched; what listeners heard."""
    follower, heard = TileLogFollower(workspace.catalog, 3600.0), list[MovedTiles]()
    follower.watch_mosaic("m")
    follower.add_listener(heard.append)
    return follower, heard


def test_a_revision_shown_while_the_log_is_read_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(workspace, 100, 10)
    follower, heard = followed(workspace)
    write(workspace, 200, 20)
    tiles, asked = workspace.catalog.tiles, list[str]()
    real = tiles.mosaic

    def then_published(mosaic_id: str, revision: int | None = None) -> MosaicInfo:
        found = real(mosaic_id, revision)
        asked.append(mosaic_id)
        if len(asked) == 1:
            tiles.put_mosaic(FINISHED)
        return found

    monkeypatch.setattr(tiles, "mosaic", then_published)
    follower.read()
    follower.read()
    assert [moved.tiles is None for moved in heard] == [False, True]
    told = follower.get_watched("m")
    assert told is not None and told.info.revision == 1


def test_readers_believe_nothing_that_listeners_were_not_told(workspace: Workspace) -> None:
    """While they are, what they keep is older than what was seen: nothing may be kept of it, nor for ever."""
    write(workspace, 100, 10)
    follower, heard = followed(workspace)
    before = follower.get_watched("m")
    assert before is not None and follower.is_newest(before)
    assert before.seq == workspace.catalog.tiles.last_seq("m")
    believed = list[tuple[object, bool]]()
    follower.add_listener(
        lambda moved: believed.append((follower.get_watched("m"), follower.is_newest(before)))
    )
    write(workspace, 200, 20)
    follower.read()
    assert believed == [(before, False)]
    told = follower.get_watched("m")
    assert told is not None and told.seq == heard[-1].seq > before.seq and follower.is_newest(told)
