from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.audit_key import is_message_signed, is_signed
from flycam.catalog.catalog import open_catalog
from flycam.errors import DataDamaged, NotFound, StoreConflict
from flycam.operations.backup import save_backup
from flycam.operations.inventory import ObjectState
from flycam.operations.restore import restore_backup
from flycam.operations.verify import VerifyRequest, verify_objects
from flycam.storage import keys
from flycam.sync.bundle import write_bundle
from flycam.sync.node_keys import bind_node_key, forget_node_key, get_own_key, seal_bundle
from tests.sync.boxes import Box, new_box

KEY = keys.format_node_key("field")


def laid(folder: Path, name: str, *numbers: int, key: Path | None = None) -> Box:
    """A box that laid these frames."""
    box = new_box(folder, name, key)
    box.lay(numbers)
    return box


def believed(box: Box) -> list[tuple[str, str, str]]:
    """What the audit log says of keys: who, of which node, which."""
    lines = [one for one in box.catalog.audit.lines() if one.what in ("box key", "box forget")]
    return [(one.who, one.subject, one.detail.partition(",")[0]) for one in lines]


def state(box: Box) -> object:
    """All that a box holds."""
    store = box.workspace.store
    objects = {key: store.get(key) for key in store.list("")}
    return objects, box.catalog.flights.flights(), box.catalog.audit.last()


def test_the_first_key_of_a_name_is_believed_and_written_down(tmp_path: Path) -> None:
    field, province = laid(tmp_path, "field", 0), new_box(tmp_path, "province")
    assert field.catalog.audit.key() == ""
    path = field.write(tmp_path)
    key = field.catalog.audit.key()
    assert field.catalog.audit.verify() is None and len(key) == 64
    first, again = province.read(path), province.read(path)
    assert [(one.box, one.key, one.is_new) for one in (first, again)] == [
        ("field", key, True),
        ("field", key, False),
    ]
    assert believed(province) == [("province", "field", key)]
    assert province.workspace.store.get(KEY) == f"{key} field".encode()


def test_a_bundle_in_the_name_of_another_box_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    field, impostor, province = laid(tmp_path, "field", 0), laid(tmp_path, "field", 5), new_box(tmp_path, "p")
    province.read(field.write(tmp_path))
    before = state(province)
    with pytest.raises(StoreConflict, match="FLYCAM_BOX"):
        province.read(impostor.write(tmp_path))
    assert state(province) == before
    field.lay({1})
    assert province.read(field.write(tmp_path)).applied.lines > 0


def test_a_key_that_is_forgotten_gives_way_to_the_next(tmp_path: Path) -> None:
    field, anew, province = laid(tmp_path, "field", 0), laid(tmp_path, "field", 0), new_box(tmp_path, "p")
    province.read(field.write(tmp_path))
    former, now = field.catalog.audit.key(), anew.catalog.audit.key() or seal_bundle(anew.workspace, "").key
    assert forget_node_key(province.workspace, "field") == former != now
    assert province.read(anew.write(tmp_path)).is_new
    assert believed(province) == [("p", "field", former), ("p", "field", former), ("p", "field", now)]
    with pytest.raises(NotFound, match="nobody"):
        forget_node_key(province.workspace, "nobody")


@pytest.mark.parametrize("spoiled", [b"", b"\xff", b"ab" * 32 + b" other", b"ab" * 31 + b" field"])
def test_a_damaged_key_is_told_and_no_reason_to_believe_another(tmp_path: Path, spoiled: bytes) -> None:
    field, province = laid(tmp_path, "field", 0), new_box(tmp_path, "province")
    path = field.write(tmp_path)
    province.read(path)
    save_backup(province.workspace, tmp_path / "saved")
    whole = province.workspace.store.get(KEY)
    province.workspace.store.put(KEY, spoiled)
    with pytest.raises(DataDamaged, match=KEY):
        province.read(path)
    bind_node_key(province.workspace, "field", "ab" * 32, "admin", replaces=False)
    assert province.workspace.store.get(KEY) == spoiled
    damages = {one.item.key: one.state for one in verify_objects(province.workspace).unrepaired}
    assert damages[KEY] is ObjectState.DAMAGED
    verify_objects(province.workspace, VerifyRequest(source=tmp_path / "saved"))
    assert province.workspace.store.get(KEY) == whole
    province.workspace.store.put(KEY, spoiled)
    assert forget_node_key(province.workspace, "field") == ""
    assert province.read(path).is_new


def test_a_copied_disk_has_the_same_key_and_is_found_by_its_log(tmp_path: Path) -> None:
    key = tmp_path / "audit.key"
    field, province = laid(tmp_path, "field", 0, 1, key=key), new_box(tmp_path, "province")
    province.read(field.write(tmp_path))
    clone = laid(tmp_path, "field", 0, 5, key=shutil.copy(key, tmp_path / "copied.key"))
    assert clone.catalog.audit.key() == field.catalog.audit.key()
    tiles = province.tiles()
    with pytest.raises(StoreConflict, match="FLYCAM_BOX"):
        province.read(clone.write(tmp_path))
    assert province.tiles() == tiles


def test_a_box_restored_elsewhere_has_a_key_of_its_own_and_then_a_log_of_its_own(tmp_path: Path) -> None:
    field, province = laid(tmp_path, "field", 0, 1), new_box(tmp_path, "province")
    province.read(field.write(tmp_path))
    save_backup(field.workspace, tmp_path / "saved")
    back = new_box(tmp_path, "field")
    restore_backup(back.workspace, tmp_path / "saved")
    assert back.tiles() == field.tiles()
    with pytest.raises(StoreConflict, match="box forget"):
        province.read(back.write(tmp_path))
    forget_node_key(province.workspace, "field")
    assert province.read(back.write(tmp_path)).applied.lines == 0
    back.lay({6})
    province.read(back.write(tmp_path))
    for number in (5, 7, 8):
        field.lay({number})
    with pytest.raises(StoreConflict, match="box forget"):
        province.read(field.write(tmp_path))
    forget_node_key(province.workspace, "field")
    with pytest.raises(StoreConflict, match="backup"):
        province.read(field.write(tmp_path))
    assert province.tiles() == back.tiles()


def test_a_catalogue_without_a_key_states_none_and_signs_nothing(tmp_path: Path) -> None:
    with open_catalog(f"sqlite:///{tmp_path}/unsigned.db") as catalog:
        node = replace(new_box(tmp_path, "field").workspace, catalog=catalog)
        assert get_own_key(node) == "" and catalog.audit.lines() == []
        with pytest.raises(ValueError, match="signs no bundle"):
            write_bundle(node, tmp_path / "field.fcb")
        assert list(tmp_path.glob("*.fcb*")) == []


def test_no_signature_of_a_bundle_stands_for_a_line_of_the_audit_log(tmp_path: Path) -> None:
    seal = seal_bundle(new_box(tmp_path, "field").workspace, "ab" * 32)
    assert seal.is_valid
    assert is_message_signed(seal.key, b"flycam bundle\n" + b"ab" * 32 + b"\n", seal.signature)
    assert not any(is_signed(seal.key, seq, "ab" * 32, seal.signature) for seq in range(3))
    assert not replace(seal, bundle_id="cd" * 32).is_valid
