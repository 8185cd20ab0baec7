from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import shapely
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from flycam.catalog.tiles import Tiles
from flycam.errors import SourceUnreadable
from flycam.model.frame import TileRecord
from flycam.storage import keys
from flycam.sync import step_planner
from flycam.sync.manifest import ObjectKind, parse_missing_objects
from flycam.sync.offer import LogPosition
from flycam.sync.records import FlightRecords, read_flight_records
from flycam.sync.server import answer_inventory_query, import_step
from flycam.sync.step_planner import StepPlanner, SyncStep, read_step_manifest, simplify_footprints
from tests.laws.recorded import ZOOM
from tests.suites.catalog_suite import flight, photo_of
from tests.sync.boxes import EVENT, MOSAIC, Box, new_box, record


def steps_of(box: Box, province: Box, target: int = 6000) -> list[SyncStep]:
    """All steps, none of them taken in."""
    giver = StepPlanner(box.workspace)
    lacking = parse_missing_objects(
        answer_inventory_query(province.workspace, giver.build_query(), "test"), "wire"
    )
    giver.note_missing(lacking)
    return list(giver.steps(lacking, lambda: target))


def test_order_records_views_tiles(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    steps = steps_of(box, province)
    items = [item for step in steps for item in step.manifest.items]
    assert items[0].kind is ObjectKind.RECORDS
    assert [one.kind for one in items].count(ObjectKind.RECORDS) == 1
    zooms = [one.tile.tile_id.z for one in items if one.tile is not None]
    assert zooms == sorted(zooms)
    assert max(zooms) == ZOOM
    seqs = [one.tile.seq for one in items if one.tile is not None and one.kind is ObjectKind.TILE]
    assert seqs == sorted(seqs)
    assert all(step.manifest.unfinished_mosaics for step in steps[:-1])
    assert not steps[-1].manifest.unfinished_mosaics


def test_steps_join_on_to_each_other(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1, 2})
    at = 0
    for step in steps_of(box, province):
        (stretch,) = step.manifest.log_ranges.values()
        assert stretch.since == at
        at = stretch.until
    assert at == box.catalog.tiles.last_seq(next(iter(step.manifest.log_ranges)))


def test_a_withdrawal_goes_before_all_else(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0, 1})
    box.catalog.flights.put_event(EVENT)
    box.catalog.flights.put_flight(flight("f2", name="bay f2"))
    first = steps_of(box, province)[0].manifest
    assert [item.kind for item in first.items] == [ObjectKind.RECORDS]
    assert not first.unfinished_mosaics


@given(start=st.integers(0, 9000))
def test_a_step_is_read_from_any_byte(start: int, step: SyncStep) -> None:
    whole = b"".join(step.blocks(0))
    assert b"".join(step.blocks(start)) == whole[start:]
    assert len(whole) == step.size_bytes


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> SyncStep:
    folder = tmp_path_factory.mktemp("step")
    box, province = new_box(folder, "field"), new_box(folder, "province")
    box.lay({0})
    return steps_of(box, province)[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        struct.pack("<I", 5) + b"hello",
        struct.pack("<I", 1 << 31) + b"x",
        struct.pack("<I", 17) + zstandard.compress(b"{}"),
        struct.pack("<I", 99) + zstandard.compress(b"[" * 100_000),
    ],
)
def test_what_is_no_step_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "step").write_bytes(data)
    with pytest.raises(SourceUnreadable):
        read_step_manifest(tmp_path / "step", "line")


def test_a_step_whose_objects_are_spoiled_changes_nothing(tmp_path: Path) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    box.lay({0})
    data = bytearray(b"".join(steps_of(box, province)[0].blocks(0)))
    for at in (len(data) - 1, len(data) // 2):
        spoiled = data.copy()
        spoiled[at] ^= 1
        (tmp_path / "step").write_bytes(spoiled)
        with pytest.raises(SourceUnreadable):
            import_step(province.workspace, tmp_path / "step", province)
    (tmp_path / "step").write_bytes(data[:-9])
    with pytest.raises(SourceUnreadable):
        import_step(province.workspace, tmp_path / "step", province)
    assert list(province.workspace.store.list("")) == []


def test_footprints_travel_to_a_pixel(tmp_path: Path) -> None:
    box = new_box(tmp_path, "field")
    box.lay({0, 1})
    records = read_flight_records(box.catalog, box.catalog.flights.flight("f1"))
    round_ground = shapely.to_wkb(shapely.Point(104.5, 21.7).buffer(0.001, quad_segs=64))
    frames = tuple(replace(one, footprint_wkb=bytes(round_ground), gsd_m=0.15) for one in records.frames)
    thin = simplify_footprints(replace(records, frames=frames))
    there = shapely.from_wkb(thin.frames[0].footprint_wkb)
    assert there.is_valid
    assert shapely.hausdorff_distance(there, shapely.from_wkb(round_ground)) * 111_000 < 0.15 + 0.02
    assert shapely.get_num_coordinates(there) < 150
    assert replace(thin, frames=frames) == replace(records, frames=frames)


def test_a_frame_that_is_recorded_meanwhile_brings_no_photo_before_its_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = new_box(tmp_path, "field")
    box.lay({0})
    names = [record(number).header.provenance.source_sha256 for number in (0, 1)]
    for number, name in enumerate(names):
        box.workspace.store.put(keys.format_original_key(name), photo_of(number))

    def meanwhile(records: FlightRecords) -> FlightRecords:
        box.lay({1})
        return simplify_footprints(records)

    monkeypatch.setattr(step_planner, "simplify_footprints", meanwhile)
    giver = StepPlanner(box.workspace, originals=True)
    (page,) = giver.build_name_queries(ObjectKind.ORIGINAL, giver.build_query(), ())
    assert page["originals"] == [names[0]]


QUESTION: Mapping[str, Any] = {
    "format": 1,
    "box": "field",
    "mosaics": [],
    "records": [],
    "terrain": [],
    "originals": [],
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"format": 2},
        {"box": 7},
        {"box": "province"},
        {"records": ["../../x"]},
        {"records": 3},
        {"mosaics": ["../up"]},
        {"terrain": [None]},
    ],
)
def test_a_question_that_does_not_read_is_refused(tmp_path: Path, wrong: Mapping[str, Any]) -> None:
    with pytest.raises(SourceUnreadable):
        answer_inventory_query(new_box(tmp_path, "province").workspace, {**QUESTION, **wrong}, "test")


@pytest.mark.parametrize("wrong", [{}, {"taken": {"m": [1]}}, {"taken": []}, {"views": [1]}])
def test_an_answer_that_does_not_read_is_refused(wrong: Mapping[str, Any]) -> None:
    good = {"box": "b", "taken": {}, "records": [], "terrain": [], "originals": [], "views": [], "heads": {}}
    good["common"] = ""
    assert parse_missing_objects(good, "wire").box == "b"
    said = {**good, **wrong} if wrong else {}
    with pytest.raises(SourceUnreadable):
        parse_missing_objects(said, "wire")


def test_a_log_is_read_from_where_the_peer_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box, province = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    read: list[int] = []
    beyond = Tiles.log_since

    def watched(self: Tiles, mosaic_id: str, seq: int, limit: int = 1000) -> list[TileRecord]:
        if self is box.catalog.tiles:
            read.append(seq)
        return beyond(self, mosaic_id, seq, limit)

    reached: dict[str, LogPosition] = {}

    def sent() -> list[SyncStep]:
        giver = StepPlanner(box.workspace, reached=reached)
        lacking = parse_missing_objects(
            answer_inventory_query(province.workspace, giver.build_query(), "test"), "wire"
        )
        giver.note_missing(lacking)
        made = []
        for step in giver.steps(lacking, lambda: 6000):
            (tmp_path / "step").write_bytes(b"".join(step.blocks(0)))
            import_step(province.workspace, tmp_path / "step", province)
            made.append(step)
        return made

    box.lay({0, 1})
    assert sent()
    assert sent() == []
    end = box.catalog.tiles.last_seq(MOSAIC.mosaic_id)
    assert reached[MOSAIC.mosaic_id][0] == end
    monkeypatch.setattr(Tiles, "log_since", watched)
    box.lay({0, 1, 2})
    read.clear()
    assert sent()
    assert min(read) == end
    assert province.tiles() == box.tiles()
    other = new_box(tmp_path, "other")  # one that has nothing: from the first line
    giver = StepPlanner(box.workspace, reached=reached)
    giver.note_missing(
        parse_missing_objects(answer_inventory_query(other.workspace, giver.build_query(), "test"), "wire")
    )
    assert min(read) == 0
