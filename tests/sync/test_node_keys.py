from __future__ import annotations

import hashlib
import shutil
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.catalog.audit_key import is_message_signed, is_signed
from flycam.errors import DataDamaged, NotFound, SourceUnreadable, StoreConflict
from flycam.operations.backup import save_backup
from flycam.operations.inventory import ObjectState
from flycam.operations.restore import restore_backup
from flycam.operations.verify import VerifyRequest, verify_objects
from flycam.storage import keys
from flycam.storage.files import decompress_bounded
from flycam.sync.bundle import PART_HEADER_BYTES, write_bundle
from flycam.sync.exchange import compress, decode_manifest, encode_manifest
from flycam.sync.node_keys import bind_node_key, forget_node_key, seal_bundle
from tests.sync.boxes import Box, new_box
from tests.sync.seals import sealed

KEY = keys.format_node_key("field")
BEFORE_NUMBER = 8 + 32 + 32 + 64
"""Bytes of a header up to the number of its part: magic, bundle id, public key, signature."""
AFTER_SIGNATURE = struct.Struct("<IIQ32s")


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


def test_no_signature_of_a_bundle_stands_for_a_line_of_the_audit_log(tmp_path: Path) -> None:
    seal = seal_bundle(new_box(tmp_path, "field").workspace, "ab" * 32)
    assert seal.is_valid
    assert is_message_signed(seal.key, b"flycam bundle\n" + b"ab" * 32 + b"\n", seal.signature)
    assert not any(is_signed(seal.key, seq, "ab" * 32, seal.signature) for seq in range(3))
    assert not replace(seal, bundle_id="cd" * 32).is_valid


# -- A doctored stick ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Box, Path]:
    """A bundle of the box `field`, and a province that knows it."""
    folder = tmp_path_factory.mktemp("stick")
    field, province = laid(folder, "field", 0), new_box(folder, "province")
    province.read(field.write(folder))
    field.lay({1})
    path = folder / "news.fcb"
    write_bundle(field.workspace, path)
    return path.read_bytes(), province, path


def head_bytes(data: bytes) -> int:
    """Bytes of a bundle's header, length and manifest."""
    return PART_HEADER_BYTES + 4 + int.from_bytes(data[PART_HEADER_BYTES:][:4], "little")


def sewn(payload: bytes, key: bytes, signature: bytes) -> bytes:
    """A bundle that is whole, but for whose signature it has."""
    length = 4 + int.from_bytes(payload[:4], "little")
    head = b"FCBNDL1\n" + hashlib.sha256(payload[:length]).digest() + key + signature
    head += AFTER_SIGNATURE.pack(1, 1, len(payload), hashlib.sha256(payload).digest())
    return head + struct.pack("<I", zlib.crc32(head)) + payload


def require_refused(data: bytes, stick: tuple[bytes, Box, Path], *errors: type[Exception]) -> None:
    __, province, path = stick
    before = state(province)
    path.write_bytes(data)
    with pytest.raises(errors, match=path.name):
        province.read(path)
    assert state(province) == before


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), flip=st.integers(1, 255), is_mended=st.booleans())
def test_no_byte_of_header_manifest_or_signature_is_another(
    stick: tuple[bytes, Box, Path], data: st.DataObject, flip: int, is_mended: bool
) -> None:
    whole = stick[0]
    changed = bytearray(whole)
    at = data.draw(st.integers(0, head_bytes(whole) - 1))
    changed[at] ^= flip
    if is_mended and at >= PART_HEADER_BYTES:  # all that needs no key is made to fit again
        changed = bytearray(sewn(bytes(changed[PART_HEADER_BYTES:]), whole[40:72], whole[72:136]))
    elif is_mended and at < PART_HEADER_BYTES - 4:
        struct.pack_into("<I", changed, PART_HEADER_BYTES - 4, zlib.crc32(changed[: PART_HEADER_BYTES - 4]))
    require_refused(bytes(changed), stick, SourceUnreadable)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.binary(min_size=32, max_size=32), names_key=st.booleans(), objects=st.integers(0, 2))
def test_a_manifest_put_together_without_the_key_is_not_read_as_that_boxs(
    stick: tuple[bytes, Box, Path], seed: bytes, names_key: bool, objects: int
) -> None:
    whole = stick[0]
    manifest = decode_manifest(
        decompress_bounded(whole[PART_HEADER_BYTES + 4 : head_bytes(whole)], 1 << 20), "stick"
    )
    items = manifest.items[:objects]
    packed = compress(encode_manifest(replace(manifest, items=items)))
    kept = sum(one.size_bytes for one in items)
    payload = len(packed).to_bytes(4, "little") + packed + whole[head_bytes(whole) :][:kept]
    seal = sealed(payload[: 4 + len(packed)], seed)
    key = whole[40:72] if names_key else bytes.fromhex(seal.key)
    data = sewn(payload, key, bytes.fromhex(seal.signature))
    require_refused(data, stick, SourceUnreadable if names_key else StoreConflict)


def test_a_bundle_sewn_as_it_was_is_read(stick: tuple[bytes, Box, Path]) -> None:
    """What the tests above refuse, they refuse for its key."""
    whole, province, path = stick
    path.write_bytes(sewn(whole[PART_HEADER_BYTES:], whole[40:72], whole[72:136]))
    assert path.read_bytes() == whole
    assert province.read(path).applied.lines > 0
