"""A store whose objects come back with a bit changed, and one that is slow: what is read wrong is found by
its hash and said, nothing wrong lands in a tile, and a run on a sound store ends as if nothing had been."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.board.layers import register_communes
from flycam.drill.photo_drill import DrillReport
from flycam.errors import FlycamError
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from flycam.mosaic.tiles.codec import read_tile
from flycam.workspace import Workspace
from tests.finished_house import NAME, QUICK, Finished, ingested, make_finished, open_workspace, tiles_of
from tests.finishing import finish_flight
from tests.unreliable_stores import CorruptingStore, SlowStore

_REST = ("evidence/", "terrain/")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> tuple[str, dict[str, str]]:
    """The mosaic of the flight on a sound store, and its tiles."""
    workspace = ingested(tmp_path_factory.mktemp("sound") / "data", drill)
    (mosaic,) = workspace.catalog.tiles.mosaics()
    return mosaic.mosaic_id, tiles_of(workspace, mosaic.mosaic_id, 0)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Finished:
    """The flight laid and finished on a sound store."""
    return make_finished(tmp_path_factory.mktemp("calm"), drill, QUICK)


class Rotten:
    """Names objects that are rotten, of those that were read some at random; remembers which were read so."""

    def __init__(self, kind: str, seed: int) -> None:
        self._kind, self._seed = kind, seed
        self.read: set[str] = set()

    def __call__(self, key: str) -> bool:
        is_rotten = self._kind in key and zlib.crc32(f"{self._seed} {key}".encode()) % 3 == 0
        if is_rotten:
            self.read.add(key)
        return is_rotten


def is_sound(workspace: Workspace, mosaic_id: str, revision: int, expected: dict[str, str]) -> None:
    """Every tile on record is one of the sound run, and its bytes are what it says."""
    for head in workspace.catalog.tiles.heads(mosaic_id, revision):
        assert expected[str(head.tile_id)] == head.content_hash, head.tile_id
        read_tile(workspace.store, head)


def said(work: Callable[[], object]) -> FlycamError | None:
    """What a run that did not end well said: a sentence in both languages, never a bare error."""
    try:
        work()
    except FlycamError as error:
        assert str(error) and error.message.in_language("vi") != str(error)
        return error
    return None


def revision_of(calm: Finished) -> int:
    assert calm.report.main is not None
    return calm.report.main.revision


@pytest.mark.parametrize("kind", ["mosaics/", *(pytest.param(one, marks=pytest.mark.soak) for one in _REST)])
def test_an_ingest_that_reads_rotten_objects_lays_nothing_wrong(
    live: tuple[str, dict[str, str]], drill: DrillReport, tmp_path: Path, kind: str
) -> None:
    mosaic_id, tiles = live
    sound = open_workspace(tmp_path)
    register_dem(sound, drill.dem)
    register_communes(sound, drill.communes)
    request, rotten = PreflightRequest(paths=(drill.photos,)), Rotten(kind, 1)
    on_rot = replace(sound, store=CorruptingStore(sound.store, rotten))
    error = said(lambda: ingest(on_rot, request, FlightLabels(name=NAME)))
    is_sound(sound, mosaic_id, 0, tiles)
    again = ingest(sound, request, FlightLabels(name=NAME))
    assert tiles_of(sound, mosaic_id, 0) == tiles
    assert again.used == drill.frames and all(one.covered_m2 > 0.0 for one in again.communes)
    print(f"ingest, {kind} rotten: {len(rotten.read)} read so; {type(error).__name__}")


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["mosaics/", *_REST])
def test_a_finish_that_reads_rotten_objects_publishes_nothing_wrong(
    calm: Finished, tmp_path: Path, kind: str
) -> None:
    sound, rotten = calm.copy(tmp_path / "house", finished=False), Rotten(kind, 2)
    on_rot = replace(sound, store=CorruptingStore(sound.store, rotten))
    error = said(lambda: finish_flight(on_rot, NAME, QUICK))
    revision = revision_of(calm)
    expected = tiles_of(calm.workspace, calm.mosaic_id, revision)
    is_sound(sound, calm.mosaic_id, revision, expected)
    finish_flight(sound, NAME, QUICK)
    assert tiles_of(sound, calm.mosaic_id, revision) == expected
    assert tiles_of(sound, calm.mosaic_id, 0) == calm.live
    print(f"finish, {kind} rotten: {len(rotten.read)} read so; {type(error).__name__}")


@pytest.mark.soak
def test_on_a_slow_store_the_same_tiles_are_made(calm: Finished, drill: DrillReport, tmp_path: Path) -> None:
    sound = open_workspace(tmp_path)
    slow = replace(sound, store=SlowStore(sound.store, delay_s=0.01, bytes_per_s=5e6))
    register_dem(slow, drill.dem)
    register_communes(slow, drill.communes)
    report = ingest(slow, PreflightRequest(paths=(drill.photos,)), FlightLabels(name=NAME))
    assert report.used == drill.frames and tiles_of(sound, calm.mosaic_id, 0) == calm.live
    finish_flight(slow, NAME, QUICK)
    revision = revision_of(calm)
    assert tiles_of(sound, calm.mosaic_id, revision) == tiles_of(calm.workspace, calm.mosaic_id, revision)
