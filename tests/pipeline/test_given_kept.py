"""What other boxes gave is read back, saved and put back like everything else that a house holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flycam.pipeline.evidence import keep, keep_bytes
from flycam.pipeline.upkeep.backup import backup
from flycam.pipeline.upkeep.held import Held, Kind
from flycam.pipeline.upkeep.readback import State, read_back
from flycam.pipeline.upkeep.restore import restore
from flycam.pipeline.upkeep.verify import VerifyRequest, verify
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from tests.pipeline.spoiled import WAYS, held, spoil
from tests.sync.boxes import Box, new_box


@pytest.fixture
def province(tmp_path: Path) -> Box:
    field, here = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    field.lay({0, 1})
    here.read(field.write(tmp_path))
    return here


def given(workspace: Workspace) -> list[Held]:
    return held(workspace, Kind.GIVEN)


def test_tiles_laid_and_cursors_are_held_and_whole(province: Box) -> None:
    store = province.workspace.store
    found = given(province.workspace)
    assert {one.key for one in found} == set(store.list(keys.given_prefix()))
    assert {one.key.split("/")[1] for one in found} == {"tiles", "laid", "taken"}
    assert {read_back(store, one).state for one in found} == {State.WHOLE}


@pytest.mark.parametrize("way", [way for way, change in WAYS.items() if change is not None])
@pytest.mark.parametrize("part", ["tiles", "laid"])
def test_what_is_damaged_is_told_with_its_cure_and_comes_back_from_a_backup(
    province: Box, tmp_path: Path, way: str, part: str
) -> None:
    workspace = province.workspace
    backup(workspace, tmp_path / "saved")
    one = next(one for one in given(workspace) if one.key.split("/")[1] == part)
    whole = workspace.store.get(one.key)
    spoil(workspace, one.key, way)
    told = [damage for damage in verify(workspace).standing if damage.held.key == one.key]
    assert [damage.state for damage in told] == [State.DAMAGED]
    assert told[0].cure is not None and "bundle write --all" in told[0].cure.en
    verify(workspace, VerifyRequest(source=tmp_path / "saved"))
    assert workspace.store.get(one.key) == whole


def test_a_backup_never_knows_of_more_lines_than_its_catalogue_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    field, here = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    field.lay({0, 1})
    here.read(field.write(tmp_path))
    field.lay({6, 7})
    later = field.write(tmp_path)
    save = here.catalog.save

    def saved_then_a_bundle_came(path: Path) -> None:
        save(path)
        here.read(later)

    monkeypatch.setattr(here.catalog, "save", saved_then_a_bundle_came)
    backup(here.workspace, tmp_path / "saved")
    back = new_box(tmp_path, "province")
    restore(back.workspace, tmp_path / "saved")
    back.read(later)
    assert back.tiles() == here.tiles() == field.tiles()


@pytest.mark.parametrize("as_file", [True, False])
def test_an_original_of_which_a_power_cut_left_the_name_is_kept_again(
    province: Box, tmp_path: Path, as_file: bool
) -> None:
    store, data = province.workspace.store, b"a photo"
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(keys.evidence(sha256), b"")
    if as_file:
        photo = tmp_path / "photo.jpg"
        photo.write_bytes(data)
        keep(province.workspace, photo, durable=False)
    else:
        keep_bytes(province.workspace, data, sha256)
    assert store.get(keys.evidence(sha256)) == data
