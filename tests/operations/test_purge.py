"""A flight whose originals were let go: its map stays, nothing takes them for lost or brings them back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from flycam.errors import OriginalPurged
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.model.access import RetainedKind
from flycam.model.records import FrameRecord, FrameStatus
from flycam.mosaic.amendments import withdraw_by_reference
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.tiles.codec import read_tile
from flycam.operations.backup import OBJECTS, save_backup
from flycam.operations.inventory import ObjectState
from flycam.operations.restore import restore_backup
from flycam.operations.retention import confirm_purge, lift_purge, list_due_originals, set_retention_term
from flycam.operations.verify import VerifyRequest, verify_objects
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.finished_house import NAME, ingested, open_workspace, tiles_of
from tests.finishing import finish_flight
from tests.operations.spoiled import close, copy_of, objects, spoil

YEAR_NS = 365 * 86_400 * 10**9


@dataclass
class Node:
    workspace: Workspace
    photos: list[FrameRecord]
    tiles: dict[str, str]
    digest: str

    @property
    def mosaic_id(self) -> str:
        return f"{self.photos[0].flight_id}-colour"

    def originals(self) -> set[str]:
        return {key for one in self.photos if self.workspace.store.exists(key := key_of(one))}


def key_of(photo: FrameRecord) -> str:
    return keys.format_original_key(photo.header.provenance.source_sha256)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> tuple[Path, dict[str, str], str]:
    """A house whose photos were let go a year after their flight, beside a backup of before; its tiles before
    that, and the digest that was confirmed."""
    folder = tmp_path_factory.mktemp("letting-go")
    workspace = ingested(folder / "house", drill)
    (flight,) = workspace.catalog.flights.flights()
    workspace = replace(workspace, clock_ns=lambda: flight.last_ns + YEAR_NS)
    tiles = tiles_of(workspace, f"{flight.flight_id}-colour", 0)
    save_backup(workspace, folder / "before")
    set_retention_term(workspace, RetainedKind.PHOTO, 90, "Lan")
    digest = list_due_originals(workspace).digest
    photos = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    assert confirm_purge(workspace, digest, "Hùng").purge.originals == len(photos) > 3
    close(workspace)
    return folder, tiles, digest


@pytest.fixture
def node(made: tuple[Path, dict[str, str], str], tmp_path: Path) -> Iterator[Node]:
    """A copy of that house, and of the backup as `tmp_path / "before"`."""
    folder, tiles, digest = made
    shutil.copytree(folder / "before", tmp_path / "before")
    workspace = copy_of(folder / "house", tmp_path / "house")
    (flight,) = workspace.catalog.flights.flights()
    photos = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    node = Node(workspace, photos, tiles, digest)
    assert node.originals() == set()
    yield node
    close(workspace)


def test_it_is_not_lost(node: Node, drill: DrillReport) -> None:
    report = verify_objects(node.workspace, VerifyRequest(source=drill.photos))
    assert report.error is None and report.damages == () and report.purged == len(node.photos)
    assert node.originals() == set(), "a card that has them puts nothing back"
    assert tiles_of(node.workspace, node.mosaic_id, 0) == node.tiles


def test_what_another_box_let_go_is_held_and_lost_here(
    node: Node, drill: DrillReport, tmp_path: Path
) -> None:
    """This one never agreed: what it kept is put back from a card."""
    here = ingested(tmp_path / "here", drill)
    try:
        theirs = node.workspace.catalog.retention.lines()
        here.catalog.retention.learn([replace(one, box="theirs") for one in theirs])
        assert verify_objects(here).error is None and list_due_originals(here).originals
        here.store.delete(key_of(node.photos[0]))
        (lost,) = verify_objects(here, VerifyRequest(repair=False)).damages
        assert (lost.item.key, lost.state) == (key_of(node.photos[0]), ObjectState.LOST)
        assert save_backup(here, tmp_path / "stick").error is not None
        (mended,) = verify_objects(here, VerifyRequest(source=drill.photos)).damages
        assert mended.advice is None and here.store.exists(key_of(node.photos[0]))
    finally:
        close(here)


def test_the_next_backup_lets_go_of_it_and_gives_nothing_back(node: Node, tmp_path: Path) -> None:
    stick = tmp_path / "before"
    assert all((stick / OBJECTS / key_of(one)).is_file() for one in node.photos)
    report = save_backup(node.workspace, stick)
    assert report.error is None and report.removed >= len(node.photos)
    assert not any((stick / OBJECTS / key_of(one)).exists() for one in node.photos)
    (tmp_path / "new").mkdir()
    empty = open_workspace(tmp_path / "new")
    try:
        assert restore_backup(empty, stick).error is None
        report = verify_objects(empty)
        assert report.error is None and report.purged == len(node.photos)
    finally:
        close(empty)


def test_a_new_revision_is_refused_before_anything_is_made(node: Node) -> None:
    before = objects(node.workspace)
    with pytest.raises(OriginalPurged, match=rf"{NAME}, {len(node.photos)} "):
        finish_flight(node.workspace, NAME)
    assert objects(node.workspace) == before
    assert node.workspace.catalog.revisions.all() == []


def test_its_card_does_not_bring_it_back(node: Node, drill: DrillReport) -> None:
    before = objects(node.workspace)
    with pytest.raises(OriginalPurged, match="retention"):
        ingest(node.workspace, PreflightRequest(paths=(drill.photos,)), FlightLabels())
    assert objects(node.workspace) == before
    assert tiles_of(node.workspace, node.mosaic_id, 0) == node.tiles


def test_a_photo_is_withdrawn_without_its_original(node: Node) -> None:
    gone = node.photos[len(node.photos) // 2]
    report = withdraw_by_reference(node.workspace, gone.frame_id, "nhà dân", "UBND")
    assert report.frames == 1 and report.tiles > 0
    tiles, store = node.workspace.catalog.tiles, node.workspace.store
    shown: set[str] = set()
    for head in tiles.heads(node.mosaic_id, 0):
        shown |= set(read_tile(store, head).frames)
    assert gone.frame_id not in shown and shown <= {one.frame_id for one in node.photos}
    assert len(shown) > 1, "what the others showed stays"
    assert verify_objects(node.workspace).error is None


def test_a_tile_that_is_lost_is_named_with_its_cure_and_not_made_of_less(node: Node, tmp_path: Path) -> None:
    head = next(
        one
        for one in node.workspace.catalog.tiles.heads(node.mosaic_id, 0)
        if one.tile_id in (node.photos[0].tiles or ())
    )
    spoil(node.workspace, head.key, "lost")
    report = verify_objects(node.workspace)
    assert head.key in {one.item.key for one in report.unrepaired}
    with pytest.raises(OriginalPurged, match="--from"):
        withdraw_by_reference(node.workspace, node.photos[0].frame_id, "nhà dân", "UBND")
    from_backup = verify_objects(node.workspace, VerifyRequest(source=tmp_path / "before"))
    assert from_backup.unrepaired == [] and node.originals() == set()
    assert withdraw_by_reference(node.workspace, node.photos[0].frame_id, "nhà dân", "UBND").tiles > 0


def test_once_lifted_a_card_puts_it_back(node: Node, drill: DrillReport) -> None:
    lift_purge(node.workspace, NAME, "toà án hỏi", "Minh")
    lost = verify_objects(node.workspace)
    assert len(lost.unrepaired) == len(node.photos) and lost.purged == 0
    report = verify_objects(node.workspace, VerifyRequest(source=drill.photos))
    assert report.unrepaired == [] and len(node.originals()) == len(node.photos)
