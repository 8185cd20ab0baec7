"""A flight whose originals were let go: its map stays, nothing takes them for lost or brings them back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.drill.drill import DrillReport
from flycam.errors import LetGo
from flycam.frame.retention import RetainedKind
from flycam.frame.warning import LET_GO
from flycam.mosaic.tilelog import read_tile
from flycam.pipeline.batch import ingest
from flycam.pipeline.finish.recipe import finish
from flycam.pipeline.laying.opening import Labels
from flycam.pipeline.laying.survey import SurveyRequest
from flycam.pipeline.upkeep.backup import backup
from flycam.pipeline.upkeep.backup_place import OBJECTS
from flycam.pipeline.upkeep.readback import State
from flycam.pipeline.upkeep.restore import restore
from flycam.pipeline.upkeep.retention import confirm, due_list, lift, set_term
from flycam.pipeline.upkeep.verify import VerifyRequest, verify
from flycam.pipeline.withdraw import withdraw
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from tests.pipeline.finished_house import NAME, ingested, open_workspace, tiles_of
from tests.pipeline.spoiled import close, copy_of, objects, spoil

YEAR_NS = 365 * 86_400 * 10**9


@dataclass
class House:
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
    return keys.evidence(photo.header.provenance.source_sha256)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> tuple[Path, dict[str, str], str]:
    """A house whose photos were let go a year after their flight, beside a backup of before; its tiles before
    that, and the digest that was confirmed."""
    folder = tmp_path_factory.mktemp("letting-go")
    kept = ingested(folder / "house", drill)
    (flight,) = kept.catalog.flights.flights()
    workspace = replace(kept, clock_ns=lambda: flight.last_ns + YEAR_NS)
    tiles = tiles_of(kept, f"{flight.flight_id}-colour", 0)
    backup(workspace, folder / "before")
    set_term(workspace, RetainedKind.PHOTO, 90, "Lan")
    digest = due_list(workspace).digest
    photos = kept.catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
    assert confirm(workspace, digest, "Hùng").done.originals == len(photos) > 3
    close(kept)
    return folder, tiles, digest


@pytest.fixture
def house(made: tuple[Path, dict[str, str], str], tmp_path: Path) -> Iterator[House]:
    """A copy of that house, and of the backup as `tmp_path / "before"`."""
    folder, tiles, digest = made
    shutil.copytree(folder / "before", tmp_path / "before")
    workspace = copy_of(folder / "house", tmp_path / "house")
    (flight,) = workspace.catalog.flights.flights()
    photos = workspace.catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
    house = House(workspace, photos, tiles, digest)
    assert house.originals() == set()
    yield house
    close(workspace)


def test_it_is_not_lost(house: House, drill: DrillReport) -> None:
    report = verify(house.workspace, VerifyRequest(source=drill.photos))
    assert report.trouble is None and report.damages == () and report.let_go == len(house.photos)
    assert house.originals() == set(), "a card that has them puts nothing back"
    assert tiles_of(house.workspace, house.mosaic_id, 0) == house.tiles


def test_a_house_of_another_name_let_go_of_it_too(house: House) -> None:
    """As one is that was put back on another machine."""
    report = verify(replace(house.workspace, box="the-new-one"))
    assert report.trouble is None and report.let_go == len(house.photos)


def test_what_another_box_let_go_is_held_and_lost_here(
    house: House, drill: DrillReport, tmp_path: Path
) -> None:
    """This one never agreed: what it kept is put back from a card."""
    here = ingested(tmp_path / "here", drill)
    try:
        theirs = house.workspace.catalog.retention.lines()
        here.catalog.retention.learn([replace(one, box="theirs") for one in theirs])
        assert verify(here).trouble is None and due_list(here).originals
        here.store.delete(key_of(house.photos[0]))
        (lost,) = verify(here, VerifyRequest(mend=False)).damages
        assert (lost.held.key, lost.state) == (key_of(house.photos[0]), State.LOST)
        assert backup(here, tmp_path / "stick").trouble is not None
        (mended,) = verify(here, VerifyRequest(source=drill.photos)).damages
        assert mended.cure is None and here.store.exists(key_of(house.photos[0]))
    finally:
        close(here)


def test_the_next_backup_lets_go_of_it_and_gives_nothing_back(house: House, tmp_path: Path) -> None:
    stick = tmp_path / "before"
    assert all((stick / OBJECTS / key_of(one)).is_file() for one in house.photos)
    report = backup(house.workspace, stick)
    assert report.trouble is None and report.removed >= len(house.photos)
    assert not any((stick / OBJECTS / key_of(one)).exists() for one in house.photos)
    (tmp_path / "new").mkdir()
    empty = open_workspace(tmp_path / "new")
    try:
        assert restore(empty, stick).trouble is None
        report = verify(empty)
        assert report.trouble is None and report.let_go == len(house.photos)
    finally:
        close(empty)


def test_a_backup_whose_index_was_lost_lets_go_of_it_too(house: House, tmp_path: Path) -> None:
    stick = tmp_path / "before"
    for path in stick.glob("index*"):
        path.unlink()
    backup(house.workspace, stick)
    assert not any((stick / OBJECTS / key_of(one)).exists() for one in house.photos)


def test_what_was_begun_is_neither_read_nor_saved(house: House, tmp_path: Path, drill: DrillReport) -> None:
    first = house.photos[0]
    data = next(path for path in drill.photos.iterdir() if path.name == first.header.provenance.source_name)
    house.workspace.store.put_file(key_of(first), data)  # as if the process was killed before it deleted this
    report = backup(house.workspace, tmp_path / "before")
    assert report.trouble is None and not (tmp_path / "before" / OBJECTS / key_of(first)).exists()
    assert verify(house.workspace).trouble is None
    assert confirm(house.workspace, house.digest, "Hùng").done.originals == 1 and house.originals() == set()


def test_a_new_revision_is_refused_before_anything_is_made(house: House) -> None:
    before = objects(house.workspace)
    with pytest.raises(LetGo, match=rf"{NAME}, {len(house.photos)} photos: the original was let go"):
        finish(house.workspace, NAME)
    assert objects(house.workspace) == before
    assert house.workspace.catalog.revisions.all() == []


def test_its_card_does_not_bring_it_back(house: House, drill: DrillReport) -> None:
    before = objects(house.workspace)
    with pytest.raises(LetGo, match="let go under the retention term"):
        ingest(house.workspace, SurveyRequest(paths=(drill.photos,)), Labels())
    assert objects(house.workspace) == before
    assert tiles_of(house.workspace, house.mosaic_id, 0) == house.tiles


def test_of_a_card_the_photos_that_were_not_let_go_are_laid(house: House, drill: DrillReport) -> None:
    one = house.photos[0].header.provenance.source_sha256
    lift(house.workspace, one, "toà án hỏi", "Minh")
    report = ingest(house.workspace, SurveyRequest(paths=(drill.photos,)), Labels())
    assert report.new == 0 and house.originals() <= {keys.evidence(one)}
    (said,) = [note for note in report.notes if note.startswith(LET_GO)]
    assert f"frames={len(house.photos) - 1}&" in said
    assert tiles_of(house.workspace, house.mosaic_id, 0) == house.tiles


def test_a_photo_is_withdrawn_without_its_original(house: House) -> None:
    gone = house.photos[len(house.photos) // 2]
    report = withdraw(house.workspace, gone.frame_id, "nhà dân", "UBND")
    assert report.frames == 1 and report.tiles > 0
    tiles, store = house.workspace.catalog.tiles, house.workspace.store
    shown: set[str] = set()
    for head in tiles.heads(house.mosaic_id, 0):
        shown |= set(read_tile(store, head).frames)
    assert gone.frame_id not in shown and shown <= {one.frame_id for one in house.photos}
    assert len(shown) > 1, "what the others showed stays"
    assert verify(house.workspace).trouble is None


def test_a_tile_that_is_lost_is_named_with_its_cure_and_not_made_of_less(
    house: House, tmp_path: Path
) -> None:
    head = next(
        one
        for one in house.workspace.catalog.tiles.heads(house.mosaic_id, 0)
        if one.tile_id in (house.photos[0].tiles or ())
    )
    spoil(house.workspace, head.key, "lost")
    report = verify(house.workspace)
    assert head.key in {one.held.key for one in report.standing}
    with pytest.raises(LetGo, match="flycam verify --from BACKUP"):
        withdraw(house.workspace, house.photos[0].frame_id, "nhà dân", "UBND")
    from_backup = verify(house.workspace, VerifyRequest(source=tmp_path / "before"))
    assert from_backup.standing == [] and house.originals() == set()
    assert withdraw(house.workspace, house.photos[0].frame_id, "nhà dân", "UBND").tiles > 0


def test_once_lifted_a_card_puts_it_back(house: House, drill: DrillReport) -> None:
    lift(house.workspace, NAME, "toà án hỏi", "Minh")
    lost = verify(house.workspace)
    assert len(lost.standing) == len(house.photos) and lost.let_go == 0
    report = verify(house.workspace, VerifyRequest(source=drill.photos))
    assert report.standing == [] and len(house.originals()) == len(house.photos)
