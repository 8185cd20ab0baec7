"""Everything is read back; what can be made again is made again, the rest is listed with its cure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from flycam.access.audit import make_audit_error, verify_audit_log
from flycam.drill.photo_drill import DrillReport
from flycam.errors import DataDamaged, OptionUnusable, StoreUnavailable
from flycam.operations.backup import save_backup
from flycam.operations.inventory import InventoryKind, ObjectState
from flycam.operations.verify import VerifyRequest, verify_objects
from flycam.storage.keys import VERIFY_LEDGER_FILE
from flycam.workspace import Workspace
from tests.finished_house import NAME, QUICK, Finished, ingested, make_finished
from tests.operations.spoiled import WAYS, close, copy_of, held, objects, spoil, with_pack
from tests.texts import pair
from tests.unreliable_stores import CountingStore, FaultyStore

DAY_S = 86400.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "house"
    close(with_pack(ingested(folder, drill)))
    return folder


@pytest.fixture
def make_copy(root: Path, tmp_path: Path) -> Iterator[Callable[..., Workspace]]:
    opened: list[Workspace] = []

    def make(name: str = "house") -> Workspace:
        opened.append(copy_of(root, tmp_path / name))
        return opened[-1]

    yield make
    for workspace in opened:
        close(workspace)


@pytest.fixture
def workspace(make_copy: Callable[..., Workspace]) -> Workspace:
    return make_copy()


def heads(workspace: Workspace) -> list[object]:
    (mosaic,) = workspace.catalog.tiles.mosaics()
    return list(workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision))


def test_a_whole_house_is_read_once_and_nothing_is_written(workspace: Workspace) -> None:
    before, lines = objects(workspace), workspace.catalog.audit.last()
    counting = CountingStore(workspace.store)
    report = verify_objects(replace(workspace, store=counting))
    assert report.error is None and not report.damages and report.left == 0
    named = {one.key for one in held(workspace)}
    assert report.objects == len(named) and named == set(before)
    assert report.size == sum(map(len, before.values())) == counting.bytes_received
    assert objects(workspace) == before and workspace.catalog.audit.last() == lines


@pytest.mark.parametrize("way", ["cut", "lost"])
def test_tiles_and_clips_are_made_again_under_the_same_keys(workspace: Workspace, way: str) -> None:
    before, log = objects(workspace), heads(workspace)
    derived = held(workspace, InventoryKind.TILE, InventoryKind.CLIP)
    for number, one in enumerate(derived):
        if number % 3 != 1:
            spoil(workspace, one.key, way)
    report = verify_objects(workspace)
    found = ObjectState.LOST if way == "lost" else ObjectState.DAMAGED
    assert report.error is None and {one.state for one in report.damages} == {found}
    assert len(report.damages) == sum(number % 3 != 1 for number in range(len(derived)))
    assert heads(workspace) == log, "no line in the log: the states are the same"
    assert objects(workspace) == before
    assert verify_objects(workspace).damages == ()
    assert [line.what for line in workspace.catalog.audit.lines()].count("verify") == 1


def test_an_original_is_never_guessed_and_comes_back_from_the_card(
    workspace: Workspace, drill: DrillReport
) -> None:
    before, log = objects(workspace), heads(workspace)
    (flight,) = workspace.catalog.flights.flights()
    frames = [
        one for one in workspace.catalog.frames.list_for_flight(flight.flight_id) if one.tiles is not None
    ]
    frame = min(frames, key=lambda one: len(list(one.tiles or ())))
    photo = next(
        one for one in held(workspace, InventoryKind.PHOTO) if one.name == frame.header.provenance.source_name
    )
    spoil(workspace, photo.key, "flipped")
    for one in held(workspace, InventoryKind.TILE):
        spoil(workspace, one.key, "flipped")
    report = verify_objects(workspace)
    assert report.error is not None and photo.key in str(report.error)
    standing = {one.item.key for one in report.unrepaired}
    touched = set(frame.tiles or ())
    while any(tile.z > 0 and tile.parent() not in touched for tile in touched):
        touched |= {tile.parent() for tile in touched if tile.z > 0}
    under = {
        one.key for one in held(workspace, InventoryKind.TILE) if one.tile and one.tile.tile_id in touched
    }
    assert standing == {photo.key} | under, "tiles that it touches, and what lies above them"
    assert len(standing) < len(report.damages), "the others are made again"
    assert heads(workspace) == log, "nothing was folded from a photo that is not whole"
    lost = next(one for one in report.unrepaired if one.item.key == photo.key)
    assert (lost.item.kind, lost.item.name, lost.flight) == (InventoryKind.PHOTO, photo.name, NAME)
    assert lost.advice is not None and all("--from" in said for said in lost.advice.to_fields().values())
    mended = verify_objects(workspace, VerifyRequest(source=drill.photos))
    assert mended.error is None and {one.item.key for one in mended.damages} == standing
    assert objects(workspace) == before and heads(workspace) == log


def test_a_spoiled_copy_in_the_cache_is_not_what_a_tile_is_made_from(
    workspace: Workspace, drill: DrillReport
) -> None:
    before, log = objects(workspace), heads(workspace)
    for photo in held(workspace, InventoryKind.PHOTO):
        folder = workspace.cache_dir / "evidence" / photo.key.rpartition("/")[2]
        folder.mkdir(parents=True)
        # another photo's bytes under this one's name: it decodes, and shows something else
        other = sorted(drill.photos.iterdir())[
            -1 if photo.name != sorted(drill.photos.iterdir())[-1].name else 0
        ]
        (folder / photo.name).write_bytes(other.read_bytes())
    for one in held(workspace, InventoryKind.TILE):
        spoil(workspace, one.key, "lost")
    assert verify_objects(workspace).error is None
    assert heads(workspace) == log and objects(workspace) == before


def test_everything_comes_back_from_a_backup(workspace: Workspace, tmp_path: Path) -> None:
    before = objects(workspace)
    save_backup(workspace, tmp_path / "stick")
    for number, one in enumerate(held(workspace)):
        spoil(workspace, one.key, sorted(WAYS)[number % 3])
    assert verify_objects(workspace, VerifyRequest(repair=False)).error is not None
    report = verify_objects(workspace, VerifyRequest(source=tmp_path / "stick"))
    assert report.error is None and len(report.damages) == len(before)
    assert objects(workspace) == before


def test_a_dry_run_makes_nothing(workspace: Workspace) -> None:
    for one in held(workspace, InventoryKind.TILE):
        spoil(workspace, one.key, "cut")
    before, line = objects(workspace), workspace.catalog.audit.last()
    report = verify_objects(workspace, VerifyRequest(repair=False))
    assert all(one.advice for one in report.unrepaired)
    assert len(report.unrepaired) == len(held(workspace, InventoryKind.TILE))
    assert objects(workspace) == before and workspace.catalog.audit.last() == line


def test_a_flight_that_is_being_written_is_left_and_said(workspace: Workspace) -> None:
    (flight,) = workspace.catalog.flights.flights()
    spoil(workspace, held(workspace, InventoryKind.TILE)[0].key, "lost")
    with workspace.catalog.flights.lock(flight.flight_id):
        report = verify_objects(workspace)
    (one,) = report.unrepaired
    assert one.advice is not None
    assert verify_objects(workspace).error is None


def test_a_share_is_read_at_a_time_and_all_of_it_in_the_end(workspace: Workspace) -> None:
    whole = verify_objects(workspace, VerifyRequest(repair=False)).objects
    (workspace.cache_dir / VERIFY_LEDGER_FILE).unlink()
    parts = [verify_objects(workspace, VerifyRequest(share=0.25)) for _ in range(4)]
    assert all(0 <= one.objects < whole and one.left for one in parts)
    assert whole <= sum(one.objects for one in parts)
    assert verify_objects(workspace, VerifyRequest(since_s=DAY_S)).parts == 0
    later = replace(workspace, clock_ns=lambda: time.time_ns() + int(2 * DAY_S * 1e9))
    assert verify_objects(later, VerifyRequest(since_s=DAY_S)).objects == whole
    set_back = replace(workspace, clock_ns=lambda: time.time_ns() - int(30 * DAY_S * 1e9))
    assert verify_objects(set_back, VerifyRequest(since_s=DAY_S)).objects == whole, (
        "times to come prove nothing"
    )


def test_what_is_not_whole_is_not_ticked_off(workspace: Workspace) -> None:
    (workspace.cache_dir).mkdir(exist_ok=True)
    (workspace.cache_dir / VERIFY_LEDGER_FILE).write_bytes(
        b"\xff nonsense\n17\n99999999999999999999 originals/00\n9 o\n1764"
    )
    photo = held(workspace, InventoryKind.PHOTO)[0]
    spoil(workspace, photo.key, "lost")
    assert len(verify_objects(workspace).unrepaired) == 1
    again = verify_objects(workspace, VerifyRequest(since_s=DAY_S))
    assert [one.item.key for one in again.unrepaired] == [photo.key] and again.parts == 1


def test_a_store_that_goes_away_is_trouble_and_the_next_run_goes_on(workspace: Workspace) -> None:
    calls = iter(range(10_000))
    gone = StoreUnavailable(pair("gone", "mất"))
    faulty = FaultyStore(
        workspace.store, lambda operation, _: gone if operation == "get" and next(calls) > 3 else None
    )
    with pytest.raises(StoreUnavailable):
        verify_objects(replace(workspace, store=faulty))
    report = verify_objects(workspace, VerifyRequest(since_s=DAY_S))
    assert report.error is None and report.left > 0


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: VerifyRequest(share=0.0),
        lambda: VerifyRequest(share=1.5),
        lambda: VerifyRequest(since_s=-1.0),
        lambda: VerifyRequest(source=Path("/nowhere/at/all")),
    ],
)
def test_senseless_options(workspace: Workspace, request_of: Callable[[], VerifyRequest]) -> None:
    with pytest.raises(OptionUnusable):
        verify_objects(workspace, request_of())


def test_the_audit_log_is_proven_and_a_cut_off_end_is_found(workspace: Workspace) -> None:
    for number in range(5):
        workspace.catalog.audit.append("test", "look", f"{number}")
    proof = verify_audit_log(workspace)
    assert proof.first_bad is None and proof.head is not None and make_audit_error(proof) is None
    head = (proof.head.seq, proof.head.digest)
    assert verify_audit_log(workspace, head).first_bad is None
    assert verify_audit_log(workspace, (head[0], head[1][:8])).first_bad is None
    assert verify_audit_log(workspace, (head[0], "0" * 64)).first_bad == head[0]
    with workspace.catalog._database.write() as connection:
        connection.execute(text("DELETE FROM audit_log WHERE seq = :seq"), {"seq": head[0]})
    assert verify_audit_log(workspace).first_bad is None, "nothing in the log itself tells"
    assert verify_audit_log(workspace, head).first_bad == head[0]
    with workspace.catalog._database.write() as connection:
        connection.execute(text("UPDATE audit_log SET who = 'somebody' WHERE seq = 2"))
    assert verify_audit_log(workspace).first_bad == 2
    assert isinstance(verify_objects(workspace).error, DataDamaged)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Finished:
    return make_finished(tmp_path_factory.mktemp("finished"), drill, QUICK)


@pytest.mark.soak
def test_what_is_derived_of_a_finished_flight_is_made_again(finished: Finished, tmp_path: Path) -> None:
    workspace = copy_of(finished.root, tmp_path / "house")
    before = {
        one.key: workspace.store.get(one.key)
        for one in held(workspace, InventoryKind.TILE, InventoryKind.REPORT)
    }
    assert any("-report" in key or "report-" in key for key in before)
    for number, key in enumerate(before):
        spoil(workspace, key, sorted(WAYS)[number % 3])
    report = verify_objects(workspace)
    assert report.error is None and len(report.damages) == len(before)
    tiles = [one.key for one in held(workspace, InventoryKind.TILE)]
    assert {key: workspace.store.get(key) for key in tiles} == {key: before[key] for key in tiles}
    (mosaic_id,) = {one.mosaic_id for one in workspace.catalog.tiles.mosaics()}
    assert [one.revision for one in workspace.catalog.tiles.mosaics()] == [0, 1]
    assert workspace.catalog.tiles.mosaic(mosaic_id).revision == 1
    assert verify_objects(workspace).damages == ()
    close(workspace)
