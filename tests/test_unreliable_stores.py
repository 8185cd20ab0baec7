from __future__ import annotations

from pathlib import Path

import pytest

from flycam.errors import DiskFull, StoreUnavailable
from flycam.storage.stores import MemoryStore
from tests.suites.store_suite import StoreSuite
from tests.unreliable_stores import CorruptingStore, FaultyStore, FullStore


class TestFaultyStoreWithoutFaultsIsAStore(StoreSuite):
    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore(), lambda operation, key: None)


def test_what_is_rotten_comes_back_with_one_bit_changed_however_it_is_read() -> None:
    inner = MemoryStore()
    store = CorruptingStore(inner, lambda key: key == "a/b")
    data = bytes(range(100))
    for key in ("a/b", "a/c"):
        store.put(key, data)
    store.put("a/empty", b"")
    bad = store.get("a/b")
    assert sum((one ^ other).bit_count() for one, other in zip(bad, data, strict=True)) == 1
    assert b"".join(store.get_range("a/b", at, 7) for at in range(0, 100, 7)) == bad
    assert (store.get("a/c"), store.get("a/empty"), inner.get("a/b")) == (data, b"", data)


def test_a_full_store_leaves_what_was_there_and_room_that_is_given_back_counts(tmp_path: Path) -> None:
    inner = MemoryStore()
    store = FullStore(inner, 10)
    (tmp_path / "f").write_bytes(bytes(6))
    store.put("a/b", bytes(6))
    for refused in (
        lambda: store.put("a/c", bytes(5)),
        lambda: store.put_file("a/c", tmp_path / "f"),
        lambda: store.put_if_absent("a/c", bytes(5)),
        lambda: store.put("a/b", bytes(11)),
    ):
        with pytest.raises(DiskFull):
            refused()
    assert list(inner.list("")) == ["a/b"]
    assert len(store.get("a/b")) == 6
    store.put("a/b", bytes(4))
    store.put_file("a/c", tmp_path / "f")
    assert not store.put_if_absent("a/c", bytes(50))
    store.delete("a/c")
    store.put("a/d", bytes(6))


def _down(operation: str, key: str) -> Exception | None:
    return StoreUnavailable("down") if operation == "put" and key == "a/b" else None


def test_a_fault_before_the_work_leaves_nothing() -> None:
    inner = MemoryStore()
    faulty = FaultyStore(inner, _down)
    with pytest.raises(StoreUnavailable):
        faulty.put("a/b", b"x")
    faulty.put("a/c", b"x")
    assert list(inner.list("")) == ["a/c"]
