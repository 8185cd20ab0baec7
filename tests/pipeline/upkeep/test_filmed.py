"""A flight that was filmed, kept whole: its pictures are in a film, and each lies on a ground of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flycam.catalog.records import FrameStatus
from flycam.drill.video import VideoDrillReport
from flycam.frame.terraincodec import made_of
from flycam.frame.tile import TileRecord
from flycam.pipeline.laying.opening import Labels
from flycam.pipeline.live.given import LiveRequest
from flycam.pipeline.live.recipe import LiveReport, live
from flycam.pipeline.upkeep.backup import backup
from flycam.pipeline.upkeep.restore import restore
from flycam.pipeline.upkeep.verify import EVERYTHING, VerifyRequest, verify
from flycam.store import keys
from tests.houses import House


def heads(house: House, flight_id: str) -> list[TileRecord]:
    """Every tile of its live mosaic, the finest last."""
    (mosaic,) = house.workspace.catalog.tiles.mosaics(flight_id)
    found = house.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0)
    return sorted(found, key=lambda head: head.tile_id.z)


def spoiled(house: House, *asked: str, request: VerifyRequest = EVERYTHING) -> tuple[set[str], set[str]]:
    """Keys that `verify` mends of these, which are lost, and those that it names."""
    for key in asked:
        house.workspace.store.delete(key)
    report = verify(house.workspace, request)
    standing = {one.held.key for one in report.standing}
    return {one.held.key for one in report.damages} - standing, standing


def test_tiles_are_made_again_of_the_film_and_a_ground_comes_back_from_a_backup(
    make_filmed: Callable[..., tuple[House, LiveReport]], tmp_path: Path
) -> None:
    house, report = make_filmed()
    tile = heads(house, report.flight.flight_id)[-1]
    whole = house.workspace.store.get(tile.key)
    used = house.workspace.catalog.frames.of_flight(report.flight.flight_id, FrameStatus.USED)
    ground = next(
        keys.terrain(str(one.dem_id))
        for one in used
        if tile.tile_id in (one.tiles or ()) and made_of(str(one.dem_id)) != one.dem_id
    )
    assert spoiled(house, tile.key) == ({tile.key}, set())
    assert house.workspace.store.get(tile.key) == whole
    saved = tmp_path / "saved"
    assert backup(house.workspace, saved).manifest.missing == ()
    assert spoiled(house, tile.key, ground) == (set(), {tile.key, ground})
    assert spoiled(house, request=VerifyRequest(source=saved)) == ({tile.key, ground}, set())
    assert house.workspace.store.get(tile.key) == whole


def test_the_same_film_puts_back_what_was_lost_of_its_pictures_and_their_ground(
    make_filmed: Callable[..., tuple[House, LiveReport]], film: VideoDrillReport
) -> None:
    house, report = make_filmed()
    used = house.workspace.catalog.frames.of_flight(report.flight.flight_id, FrameStatus.USED)
    some = [used[2], used[-2]]
    lost = {
        *(keys.evidence(one.header.provenance.source_sha256) for one in some),
        *(keys.terrain(str(one.dem_id)) for one in some),
    }
    assert spoiled(house, *lost) == (set(), lost)
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    again = live(house.workspace, request, Labels())
    assert again.flight.flight_id == report.flight.flight_id
    assert spoiled(house) == (set(), set())


def test_a_backup_holds_a_filmed_flight(
    make_filmed: Callable[..., tuple[House, LiveReport]],
    make_house: Callable[..., House],
    tmp_path: Path,
) -> None:
    house, report = make_filmed()
    backup(house.workspace, tmp_path / "saved")
    other = make_house(name="other")
    restore(other.workspace, tmp_path / "saved")
    assert verify(other.workspace).trouble is None
    flight_id = report.flight.flight_id
    assert [head.content_hash for head in heads(other, flight_id)] == [
        head.content_hash for head in heads(house, flight_id)
    ]
