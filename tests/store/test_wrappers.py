from __future__ import annotations

import time
from pathlib import Path

import pytest

from flycam.errors import StoreUnavailable
from flycam.store.base import ObjectStore
from flycam.store.memory import MemoryStore
from flycam.store.wrappers import CountingStore, FaultyStore, SlowStore
from tests.suites.store_suite import StoreSuite


class TestCountingStoreIsAStore(StoreSuite):
    @pytest.fixture
    def store(self) -> CountingStore:
        return CountingStore(MemoryStore())


class TestFaultyStoreWithoutFaultsIsAStore(StoreSuite):
    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore(), lambda operation, key: None)


def _down(operation: str, key: str) -> Exception | None:
    return StoreUnavailable("down") if operation == "put" and key == "a/b" else None


def test_a_fault_before_the_work_leaves_nothing() -> None:
    inner = MemoryStore()
    faulty = FaultyStore(inner, _down)
    with pytest.raises(StoreUnavailable):
        faulty.put("a/b", b"x")
    faulty.put("a/c", b"x")
    assert list(inner.list("")) == ["a/c"]


def test_a_lost_answer_leaves_the_work_done() -> None:
    inner = MemoryStore()
    faulty = FaultyStore(inner, _down, after=True)
    with pytest.raises(StoreUnavailable):
        faulty.put("a/b", b"x")
    faulty.put("a/c", b"x")
    assert list(inner.list("")) == ["a/b", "a/c"]


def test_counting(tmp_path: Path) -> None:
    store = CountingStore(FaultyStore(MemoryStore(), _down))
    (tmp_path / "f").write_bytes(b"12345")
    store.put("a/c", b"123")
    store.put_file("a/d", tmp_path / "f")
    store.get("a/c")
    store.get_range("a/d", 1, 2)
    list(store.list(""))
    with pytest.raises(StoreUnavailable):
        store.put("a/b", b"123456")
    assert dict(store.calls) == {"put": 1, "put_file": 1, "get": 1, "get_range": 1, "list": 1}
    assert (store.bytes_sent, store.bytes_received) == (8, 5)


def test_a_slow_store_waits_for_its_bytes() -> None:
    store: ObjectStore = SlowStore(MemoryStore(), delay_s=0.01, bytes_per_s=10_000)
    begun = time.monotonic()
    store.put("a/b", bytes(200))
    assert time.monotonic() - begun >= 0.03
    assert store.get("a/b") == bytes(200)
