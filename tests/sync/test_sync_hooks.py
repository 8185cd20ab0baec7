"""Two boxes with real photos of a drill, one of which has only the other's tiles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import rasterio

from flycam.catalog.retention import PurgeRecord
from flycam.drill.photo_drill import DrillReport
from flycam.errors import InputUnusable, OriginalPurged
from flycam.ingest.live.workflow import VideoReport
from flycam.model.access import PurgeStep, RetainedKind
from flycam.model.flight import FlightState, Layer, derive_live_mosaic_id
from flycam.model.frame import MosaicTile
from flycam.model.records import FrameStatus
from flycam.model.warning import NO_TERRAIN, parse_warning_code
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.mosaic.orthorectify.rebuild import find_remote_photos
from flycam.mosaic.terrain import register_dem
from flycam.mosaic.terrain_codec import parse_source_dem_id
from flycam.mosaic.tiles.codec import read_tile
from flycam.operations.verify import VerifyRequest, verify_objects
from flycam.storage import keys
from flycam.sync.bundle import BundleReadReport, read_bundle, write_bundle
from flycam.sync.client import to_request_body
from flycam.sync.exchange import InventoryAnswer, InventoryQuery, ObjectKind, parse_peer_answer
from flycam.sync.exchange_import import SyncApplyHooks
from flycam.sync.server import answer_inventory_query, import_step
from flycam.sync.step_planner import StepPlanner
from tests.finishing import finish_flight
from tests.houses import House
from tests.sync.boxes import allow

MakeHouse = Callable[..., House]


def named(node: House, box: str) -> House:
    """A house under this name, at which somebody allows the other to speak for every flight."""
    for peer in {"field", "province"} - {box}:
        allow(node.workspace, peer)
    return replace(node, workspace=replace(node.workspace, box=box))


def exchange(sender: House, receiver: House, **options: bool) -> BundleReadReport:
    """What one box knows, carried to the other."""
    path = receiver.root / f"{sender.workspace.box}.fcb"
    write_bundle(sender.workspace, path, **options)  # type: ignore[arg-type]
    return read_bundle(receiver.workspace, path, SyncApplyHooks(receiver.workspace))


def over_a_line(
    sender: House, receiver: House, *, has_tiles: bool = True, includes_originals: bool = False
) -> None:
    """What one box knows, in steps."""

    def ask(question: InventoryQuery) -> InventoryAnswer:
        values = json.loads(to_request_body(question))
        answer = answer_inventory_query(receiver.workspace, values, "test")
        return parse_peer_answer(InventoryAnswer, answer, "line")

    one = StepPlanner(sender.workspace, originals=includes_originals)
    one.note_missing(ask(one.build_query()))
    terrain = [name for page in one.build_name_queries(ObjectKind.TERRAIN, ()) for name in ask(page).terrain]
    photos = [
        name for page in one.build_name_queries(ObjectKind.ORIGINAL, ()) for name in ask(page).originals
    ]
    path = receiver.root / "step"
    for step in one.steps(lambda: 50_000, terrain=terrain, originals=photos, has_tiles=has_tiles):
        path.write_bytes(b"".join(step.blocks(0)))
        import_step(receiver.workspace, path, SyncApplyHooks(receiver.workspace))


def heads(node: House, mosaic_id: str) -> dict[str, str]:
    """Content hash of each tile of a live mosaic."""
    found = node.workspace.catalog.tiles.heads(mosaic_id, 0)
    return {str(head.tile_id): head.content_hash for head in found}


def frames_shown(node: House, mosaic_id: str) -> set[str]:
    """Frames that own a pixel of a tile, and every tile reads."""
    heads = node.workspace.catalog.tiles.heads(mosaic_id, 0)
    return {frame_id for head in heads for frame_id in read_tile(node.workspace.store, head).frames}


def shown(node: House, mosaic_id: str) -> list[MosaicTile]:
    """Every tile on the map."""
    heads = node.workspace.catalog.tiles.heads(mosaic_id, 0)
    return [read_tile(node.workspace.store, head) for head in heads]


def part_of(drill: DrillReport, folder: Path, take: slice) -> Path:
    """Some of the drill's photos, in a folder of their own."""
    folder.mkdir()
    for photo in sorted(drill.photos.iterdir())[take]:
        shutil.copy(photo, folder)
    return folder


def test_a_box_without_the_photos_shows_the_map_and_withdraws_from_it(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    field, province = (named(make_house(drill, name), name) for name in ("field", "province"))
    flight_id = field.ingest(drill.photos).flight.flight_id
    mosaic_id = f"{flight_id}-colour"
    exchange(field, province)
    assert province.tiles(mosaic_id) == field.tiles(mosaic_id)
    assert province.workspace.catalog.boundaries.coverage(flight_id) == (
        field.workspace.catalog.boundaries.coverage(flight_id)
    )
    record = field.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)[2]
    assert record.frame_id in frames_shown(province, mosaic_id)
    report = withdraw_by_reference(province.workspace, record.frame_id, "nhà dân", "UBND")
    assert (report.frames, report.flight.state) == (1, FlightState.READY)
    assert record.frame_id not in frames_shown(province, mosaic_id)
    exchange(province, field)
    assert record.frame_id not in frames_shown(field, mosaic_id)
    exchange(field, province)
    assert province.tiles(mosaic_id) == field.tiles(mosaic_id)
    assert province.workspace.catalog.tiles.mosaic(mosaic_id, 0).published


def test_a_flight_whose_photos_are_elsewhere_is_not_finished_here(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    field, province = (named(make_house(drill, name), name) for name in ("field", "province"))
    flight_id = field.ingest(drill.photos).flight.flight_id
    exchange(field, province)
    with pytest.raises(InputUnusable, match=r"6 .*--originals"):
        finish_flight(province.workspace, flight_id, FinishRequest())
    assert find_remote_photos(field.workspace, flight_id) == set()
    exchange(field, province, includes_originals=True)
    assert find_remote_photos(province.workspace, flight_id) == set()


def test_a_filmed_flight_is_handed_on_with_the_ground_of_each_picture(
    make_filmed: Callable[..., tuple[House, VideoReport]],
    make_house: MakeHouse,
) -> None:
    node, report = make_filmed()
    field, province = named(node, "field"), named(make_house(name="province"), "province")
    flight_id = report.flight.flight_id
    used = field.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    grounds = {str(one.dem_id) for one in used}
    assert len(grounds) > 5 and any(parse_source_dem_id(one) != one for one in grounds)
    over_a_line(field, province)
    mosaic_id = derive_live_mosaic_id(flight_id, Layer.COLOUR)
    assert heads(province, mosaic_id) == heads(field, mosaic_id) != {}
    for one in grounds:
        assert province.workspace.store.get(keys.format_terrain_key(one)) == field.workspace.store.get(
            keys.format_terrain_key(one)
        )
    assert lost_in(province) == []


def test_a_flight_that_was_laid_again_on_terrain_comes_where_its_photos_are(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    """Over a line the terrain comes after the records that name it."""
    field, province = (named(make_house(name=name), name) for name in ("field", "province"))
    flight_id = field.ingest(drill.photos).flight.flight_id
    over_a_line(field, province, includes_originals=True)
    assert find_remote_photos(province.workspace, flight_id) == set()
    register_dem(field.workspace, drill.dem)
    field.ingest(drill.photos, own_dem=drill.dem)
    mosaic_id = derive_live_mosaic_id(flight_id, Layer.COLOUR)
    before = heads(province, mosaic_id)
    over_a_line(field, province, includes_originals=True)
    assert heads(province, mosaic_id) == heads(field, mosaic_id) != before
    assert lost_in(province) == []


@pytest.mark.soak
@pytest.mark.parametrize("other_ground", ["plane", "terrain"])
def test_two_boxes_that_laid_one_card_on_two_grounds_come_together(
    drill: DrillReport, make_house: MakeHouse, tmp_path: Path, other_ground: str
) -> None:
    """All frames on one of the two, and that is terrain where there is some: not each on another."""
    field, province = (named(make_house(name=name), name) for name in ("field", "province"))
    other = None if other_ground == "plane" else raised(drill.dem, 6.0, tmp_path / "other.tif")
    for node, dem in ((field, drill.dem), (province, other)):
        if dem is not None:
            register_dem(node.workspace, dem)
        flight_id = node.ingest(drill.photos, own_dem=dem).flight.flight_id
    over_a_line(field, province)
    over_a_line(province, field)
    mosaic_id = derive_live_mosaic_id(flight_id, Layer.COLOUR)
    assert heads(province, mosaic_id) == heads(field, mosaic_id) != {}
    assert lost_in(province) == lost_in(field) == []
    for node in (field, province):
        catalog = node.workspace.catalog
        used = catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
        assert len({one.dem_id for one in used}) == 1
        assert {one.exterior.vertical_datum for one in used if one.exterior} == {"EGM96"}
        flight = catalog.flights.flight(flight_id)
        assert flight.vertical_datum == "EGM96"
        assert NO_TERRAIN not in map(parse_warning_code, flight.warnings)
    assert (
        finish_flight(field.workspace, flight_id, FinishRequest(surface=False, report=False)).main is not None
    )


def raised(dem: Path, by_m: float, path: Path) -> Path:
    """A terrain some metres higher."""
    with rasterio.open(dem) as file:
        heights, profile, tags = file.read(1), file.profile, file.tags()
    with rasterio.open(path, "w", **profile) as file:
        file.write(heights + by_m, 1)
        file.update_tags(**tags)
    return path


def test_an_original_that_was_let_go_does_not_come_by_another_box(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    field, province = (named(make_house(drill, name), name) for name in ("field", "province"))
    flight_id = field.ingest(drill.photos).flight.flight_id
    first, *others = field.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    exchange(field, province)
    line = PurgeRecord(
        act_id="act",
        step=PurgeStep.PURGED,
        kind=RetainedKind.PHOTO,
        sha256=first.header.provenance.source_sha256,
        flight_id=flight_id,
        name=first.header.provenance.source_name,
        list_digest="d",
        author="Hùng",
        box="field",
        at_ns=1,
    )
    province.workspace.catalog.retention.learn([line])
    over_a_line(field, province, includes_originals=True)
    key = keys.format_original_key(first.header.provenance.source_sha256)
    assert field.workspace.store.exists(key) and not province.workspace.store.exists(key)
    assert all(
        province.workspace.store.exists(keys.format_original_key(one.header.provenance.source_sha256))
        for one in others
    )
    assert verify_objects(province.workspace).error is None
    with pytest.raises(OriginalPurged):
        finish_flight(province.workspace, flight_id, FinishRequest())
    withdraw_by_reference(province.workspace, others[0].frame_id, "nhà dân", "UBND")
    shown_now = frames_shown(province, f"{flight_id}-colour")
    assert others[0].frame_id not in shown_now and first.frame_id in shown_now


def lost_photo(node: House, flight_id: str, number: int = 0) -> str:
    """The key of one photo of a flight, which is not there any more, nor a copy of it."""
    used = node.workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    key = keys.format_original_key(used[number].header.provenance.source_sha256)
    node.workspace.store.delete(key)
    shutil.rmtree(node.workspace.cache_dir, ignore_errors=True)
    return key


def lost_in(node: House, source: Path | None = None) -> list[str]:
    return [one.item.key for one in verify_objects(node.workspace, VerifyRequest(source=source)).unrepaired]


def test_a_card_that_comes_after_another_boxs_tiles_is_kept_and_held(
    drill: DrillReport, make_house: MakeHouse
) -> None:
    field, province = (named(make_house(drill, name), name) for name in ("field", "province"))
    flight_id = field.ingest(drill.photos).flight.flight_id
    exchange(field, province)
    assert len(find_remote_photos(province.workspace, flight_id)) == drill.frames and lost_in(province) == []
    province.ingest(drill.photos)
    assert find_remote_photos(province.workspace, flight_id) == set()
    key = lost_photo(province, flight_id, 2)
    assert lost_in(province) == [key]
