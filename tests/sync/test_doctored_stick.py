"""A doctored stick: what can be changed of a bundle without the key of the box that wrote it."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.errors import SourceUnreadable, StoreConflict
from flycam.storage.files import decompress_bounded
from flycam.sync.bundle import PART_HEADER_BYTES, write_bundle
from flycam.sync.exchange import compress, decode_manifest, encode_manifest
from tests.sync.boxes import Box, new_box
from tests.sync.seals import sealed

AFTER_SIGNATURE = struct.Struct("<IIQ32s")
SEAL, KEY, KEY_AND_SIGNATURE = slice(8, 136), slice(40, 72), slice(40, 136)
"""Where a header has them."""


def state(box: Box) -> object:
    """All that a box holds."""
    store = box.workspace.store
    objects = {key: store.get(key) for key in store.list("")}
    return objects, box.catalog.flights.flights(), box.catalog.audit.last()


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Box, Path]:
    """A bundle of the box `field`, and a province that knows it."""
    folder = tmp_path_factory.mktemp("stick")
    field, province = new_box(folder, "field"), new_box(folder, "province")
    field.lay({0})
    province.read(field.write(folder))
    field.lay({1})
    path = folder / "news.fcb"
    write_bundle(field.workspace, path)
    return path.read_bytes(), province, path


def head_bytes(data: bytes) -> int:
    """Bytes of a bundle's header, length and manifest."""
    return PART_HEADER_BYTES + 4 + int.from_bytes(data[PART_HEADER_BYTES:][:4], "little")


def sewn(payload: bytes, seal: bytes) -> bytes:
    """A bundle that is whole, but for whose signature it has. seal: bundle id, key and signature."""
    head = b"FCBNDL1\n" + seal + AFTER_SIGNATURE.pack(1, 1, len(payload), hashlib.sha256(payload).digest())
    return head + struct.pack("<I", zlib.crc32(head)) + payload


def hashed(payload: bytes) -> bytes:
    """The id of the bundle that these bytes are."""
    return hashlib.sha256(payload[: 4 + int.from_bytes(payload[:4], "little")]).digest()


def require_refused(data: bytes, stick: tuple[bytes, Box, Path], *errors: type[Exception]) -> None:
    __, province, path = stick
    before = state(province)
    path.write_bytes(data)
    with pytest.raises(errors, match=path.name):
        province.read(path)
    assert state(province) == before


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), flip=st.integers(1, 255), mends=st.sampled_from(["nothing", "sums", "id"]))
def test_no_byte_of_header_manifest_or_signature_is_another(
    stick: tuple[bytes, Box, Path], data: st.DataObject, flip: int, mends: str
) -> None:
    """Also where all is made to fit again that needs no key."""
    whole = stick[0]
    last = head_bytes(whole) if mends == "nothing" else head_bytes(whole) - 4
    at = data.draw(st.integers(0, last - 1))
    if mends == "nothing":
        changed = bytearray(whole)
        changed[at] ^= flip
    elif at < PART_HEADER_BYTES - 4:
        changed = bytearray(whole)
        changed[at] ^= flip
        struct.pack_into("<I", changed, PART_HEADER_BYTES - 4, zlib.crc32(changed[: PART_HEADER_BYTES - 4]))
    else:
        payload = bytearray(whole[PART_HEADER_BYTES:])
        payload[at - PART_HEADER_BYTES + 4] ^= flip
        seal = whole[SEAL] if mends == "sums" else hashed(bytes(payload)) + whole[KEY_AND_SIGNATURE]
        changed = bytearray(sewn(bytes(payload), seal))
    require_refused(bytes(changed), stick, SourceUnreadable)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.binary(min_size=32, max_size=32),
    by=st.sampled_from(["its seal", "its key", "another key"]),
    objects=st.integers(0, 2),
)
def test_a_manifest_put_together_without_the_key_is_not_read_as_that_boxs(
    stick: tuple[bytes, Box, Path], seed: bytes, by: str, objects: int
) -> None:
    whole = stick[0]
    plain = decompress_bounded(whole[PART_HEADER_BYTES + 4 : head_bytes(whole)], 1 << 20)
    manifest = decode_manifest(plain, "stick")
    items = manifest.items[:objects]
    packed = compress(encode_manifest(replace(manifest, items=items)))
    kept = sum(one.size_bytes for one in items)
    payload = len(packed).to_bytes(4, "little") + packed + whole[head_bytes(whole) :][:kept]
    own = sealed(payload[: 4 + len(packed)], seed)
    seals = {
        "its seal": whole[SEAL],
        "its key": hashed(payload) + whole[KEY] + bytes.fromhex(own.signature),
        "another key": hashed(payload) + bytes.fromhex(own.key + own.signature),
    }
    require_refused(
        sewn(payload, seals[by]), stick, StoreConflict if by == "another key" else SourceUnreadable
    )


def test_a_bundle_sewn_as_it_was_is_read(stick: tuple[bytes, Box, Path]) -> None:
    """What the tests above refuse, they refuse for its key."""
    whole, province, path = stick
    path.write_bytes(sewn(whole[PART_HEADER_BYTES:], whole[SEAL]))
    assert path.read_bytes() == whole
    assert hashed(whole[PART_HEADER_BYTES:]) == whole[SEAL][:32]
    assert province.read(path).applied.lines > 0
