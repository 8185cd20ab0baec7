"""A flight that was filmed, kept whole: its pictures are in a film, and each lies on a ground of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flycam.drill.video_drill import VideoDrillReport
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.model.frame import TileRecord
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain_codec import parse_source_dem_id
from flycam.operations.backup import save_backup
from flycam.operations.verify import VERIFY_ALL, VerifyRequest, verify_objects
from flycam.storage import keys
from tests.houses import House


def heads(node: House, flight_id: str) -> list[TileRecord]:
    """Every tile of its live mosaic, the finest last."""
    (mosaic,) = node.workspace.catalog.tiles.mosaics(flight_id)
    found = node.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0)
    return sorted(found, key=lambda head: head.tile_id.z)


def spoiled(node: House, *lost_keys: str, request: VerifyRequest = VERIFY_ALL) -> tuple[set[str], set[str]]:
    """Keys that `verify` mends of these, which are lost, and those that it names."""
    for key in lost_keys:
        node.workspace.store.delete(key)
    report = verify_objects(node.workspace, request)
    standing = {one.item.key for one in report.unrepaired}
    return {one.item.key for one in report.damages} - standing, standing


def test_tiles_are_made_again_of_the_film_and_a_ground_comes_back_from_a_backup(
    make_filmed: Callable[..., tuple[House, VideoReport]], tmp_path: Path
) -> None:
    node, report = make_filmed()
    tile = heads(node, report.flight.flight_id)[-1]
    whole = node.workspace.store.get(tile.key)
    used = node.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)
    ground = next(
        keys.format_terrain_key(str(one.dem_id))
        for one in used
        if tile.tile_id in (one.tiles or ()) and parse_source_dem_id(str(one.dem_id)) != one.dem_id
    )
    assert spoiled(node, tile.key) == ({tile.key}, set())
    assert node.workspace.store.get(tile.key) == whole
    saved = tmp_path / "saved"
    assert save_backup(node.workspace, saved).manifest.missing == ()
    assert spoiled(node, tile.key, ground) == (set(), {tile.key, ground})
    assert spoiled(node, request=VerifyRequest(source=saved)) == ({tile.key, ground}, set())
    assert node.workspace.store.get(tile.key) == whole


def test_the_same_film_puts_back_what_was_lost_of_its_pictures_and_their_ground(
    make_filmed: Callable[..., tuple[House, VideoReport]], film: VideoDrillReport
) -> None:
    node, report = make_filmed()
    used = node.workspace.catalog.frames.list_for_flight(report.flight.flight_id, FrameStatus.USED)
    some = [used[2], used[-2]]
    lost = {
        *(keys.format_original_key(one.header.provenance.source_sha256) for one in some),
        *(keys.format_terrain_key(str(one.dem_id)) for one in some),
    }
    assert spoiled(node, *lost) == (set(), lost)
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    again = orthorectify_video(node.workspace, request, FlightLabels())
    assert again.flight.flight_id == report.flight.flight_id
    assert spoiled(node) == (set(), set())
