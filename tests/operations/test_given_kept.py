"""What other boxes gave is read back, saved and put back like everything else that a house holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flycam.operations.backup import save_backup
from flycam.operations.inventory import InventoryItem, InventoryKind, ObjectState
from flycam.operations.restore import restore_backup
from flycam.operations.verify import VerifyRequest, verify_objects
from flycam.originals import store_original, store_original_bytes
from flycam.storage import keys
from flycam.workspace import Workspace
from tests.operations.spoiled import held, spoil
from tests.sync.boxes import Box, new_box


@pytest.fixture
def province(tmp_path: Path) -> Box:
    field, here = new_box(tmp_path, "field"), new_box(tmp_path, "province")
    field.lay({0, 1})
    here.read(field.write(tmp_path))
    return here


def list_peer_items(workspace: Workspace) -> list[InventoryItem]:
    return held(workspace, InventoryKind.GIVEN)


@pytest.mark.parametrize(("part", "way"), [("tiles", "cut"), ("laid", "flipped")])
def test_what_is_damaged_is_told_with_its_cure_and_comes_back_from_a_backup(
    province: Box, tmp_path: Path, way: str, part: str
) -> None:
    workspace = province.workspace
    save_backup(workspace, tmp_path / "saved")
    one = next(one for one in list_peer_items(workspace) if one.key.split("/")[1] == part)
    whole = workspace.store.get(one.key)
    spoil(workspace, one.key, way)
    found = [damage for damage in verify_objects(workspace).unrepaired if damage.item.key == one.key]
    assert [damage.state for damage in found] == [ObjectState.DAMAGED]
    assert found[0].advice is not None
    verify_objects(workspace, VerifyRequest(source=tmp_path / "saved"))
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
    save_backup(here.workspace, tmp_path / "saved")
    back = new_box(tmp_path, "province")
    restore_backup(back.workspace, tmp_path / "saved")
    back.read(later)
    assert back.tiles() == here.tiles() == field.tiles()


@pytest.mark.parametrize("as_file", [True, False])
def test_an_original_of_which_a_power_cut_left_the_name_is_kept_again(
    province: Box, tmp_path: Path, as_file: bool
) -> None:
    store, data = province.workspace.store, b"a photo"
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(keys.format_original_key(sha256), b"")
    if as_file:
        photo = tmp_path / "photo.jpg"
        photo.write_bytes(data)
        store_original(province.workspace, photo, durable=False)
    else:
        store_original_bytes(province.workspace, data, sha256)
    assert store.get(keys.format_original_key(sha256)) == data
