"""The contract of `flycam.storage.keys.ObjectStore`, executable. Every store's test class inherits it."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flycam.errors import ObjectMissing, SourceUnreadable
from flycam.storage.keys import ObjectStore

_BAD_KEYS = [
    "",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a/../b",
    ".",
    "a/.",
    ".tmp/x",
    "a\\b",
    "a\nb",
    "a\0b",
    "x" * 256,
]
_WORDS = st.text("abc-.!z0é", min_size=1, max_size=4).filter(lambda word: not word.startswith("."))
_KEYS = st.lists(_WORDS, min_size=2, max_size=3).map("/".join)
# a key is never the folder of another: words that end a key carry a mark that folders do not have
_OBJECTS = st.dictionaries(_KEYS.map(lambda key: f"{key}~"), st.binary(max_size=50), max_size=12)


class StoreSuite:
    """A subclass gives the fixture `store`: an empty store of the test's own."""

    def test_what_was_put_is_read_back(self, store: ObjectStore) -> None:
        data = random.Random(1).randbytes(100_000)
        store.put("a/b/object.tile", data)
        assert store.get("a/b/object.tile") == data
        assert store.size("a/b/object.tile") == len(data)
        assert store.exists("a/b/object.tile")

    def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        store.put("a/empty", b"", durable=True)
        assert store.get("a/empty") == b""
        assert store.size("a/empty") == 0
        assert store.exists("a/empty")
        assert list(store.list("")) == ["a/empty"]

    def test_a_file_goes_in_whole(self, store: ObjectStore, tmp_path: Path) -> None:
        data = random.Random(2).randbytes((20 << 20) + 17)  # larger than one part of a multipart upload
        (tmp_path / "photo.jpg").write_bytes(data)
        store.put_file("evidence/aa/photo", tmp_path / "photo.jpg", durable=True)
        assert store.size("evidence/aa/photo") == len(data)
        assert hashlib.sha256(store.get("evidence/aa/photo")).digest() == hashlib.sha256(data).digest()
        assert store.get_range("evidence/aa/photo", 17 << 20, 1000) == data[17 << 20 :][:1000]

    def test_a_file_of_other_bytes_than_were_meant_leaves_nothing(
        self, store: ObjectStore, tmp_path: Path
    ) -> None:
        data = random.Random(3).randbytes((20 << 20) + 17)
        sha256 = hashlib.sha256(data).hexdigest()
        photo = tmp_path / "photo.jpg"
        photo.write_bytes(data)
        store.put_file(f"evidence/{sha256}", photo, sha256=sha256)
        photo.write_bytes(data[:-1] + b"?")
        with pytest.raises(SourceUnreadable):
            store.put_file("evidence/other", photo, sha256=sha256)
        photo.write_bytes(b"")
        with pytest.raises(SourceUnreadable):
            store.put_file("evidence/other", photo, sha256=sha256)
        assert list(store.list("")) == [f"evidence/{sha256}"]

    def test_only_the_first_writes_if_absent(self, store: ObjectStore) -> None:
        assert store.put_if_absent("lock/one", b"first") is True
        assert store.put_if_absent("lock/one", b"second") is False
        assert store.get("lock/one") == b"first"

    def test_of_many_at_once_just_one_writes_if_absent(self, store: ObjectStore) -> None:
        bids = [f"bid {i}".encode() for i in range(24)]
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda bid: store.put_if_absent("lock/two", bid), bids))
        assert won.count(True) == 1
        assert store.get("lock/two") == bids[won.index(True)]

    def test_missing_keys_are_said_by_name(self, store: ObjectStore) -> None:
        store.put("a/b", b"x")
        for read in (store.get, store.size, lambda key: store.get_range(key, 0, 1)):
            for key in ("a/c", "a/b/c", "q"):
                with pytest.raises(ObjectMissing, match=key):
                    read(key)
        assert not store.exists("a/c")
        assert not store.exists("a/b/c")

    def test_a_folder_is_no_object(self, store: ObjectStore) -> None:
        store.put("a/b/c", b"x")
        assert not store.exists("a/b")
        with pytest.raises(ObjectMissing):
            store.size("a/b")

    def test_ranges_end_with_the_object(self, store: ObjectStore) -> None:
        store.put("a/b", b"0123456789")
        assert store.get_range("a/b", 0, 4) == b"0123"
        assert store.get_range("a/b", 7, 100) == b"789"
        assert store.get_range("a/b", 9, 1) == b"9"
        assert store.get_range("a/b", 10, 5) == b""
        assert store.get_range("a/b", 3, 0) == b""
        for start, length in ((-1, 5), (0, -1)):
            with pytest.raises(ValueError, match="range"):
                store.get_range("a/b", start, length)

    def test_listing_is_by_plain_prefix_and_sorted(self, store: ObjectStore) -> None:
        keys = ["m/r0/18/1/2.t", "m/r0/18/1/10.t", "m/r0-x/1", "m/r0.y", "m/r1/a", "n/é", "m/r00/z"]
        for key in keys:
            store.put(key, b"x")
        assert list(store.list("")) == sorted(keys)
        assert list(store.list("m/r0")) == sorted(k for k in keys if k.startswith("m/r0"))
        assert list(store.list("m/r0/18/1/1")) == ["m/r0/18/1/10.t"]
        assert list(store.list("nothing/here")) == []

    def test_a_deleted_object_is_gone(self, store: ObjectStore) -> None:
        store.put("a/b", b"x")
        store.put("a/c", b"y")
        store.delete("a/b")
        store.delete("a/b")
        store.delete("never/was")
        assert list(store.list("")) == ["a/c"]
        store.put("a/b", b"again")
        assert store.get("a/b") == b"again"
        store.flush()

    def test_what_is_settled_is_what_it_was(self, store: ObjectStore) -> None:
        store.put("a/b", b"x")
        store.ensure_durable("a/b", durable=True)
        store.flush()
        assert store.get("a/b") == b"x"
        assert list(store.list("")) == ["a/b"]

    def test_a_key_that_some_store_could_not_hold_is_refused(self, store: ObjectStore) -> None:
        for operation in (
            store.get,
            store.size,
            store.exists,
            store.delete,
            lambda k: store.put(k, b""),
            lambda k: store.put_if_absent(k, b""),
            lambda k: store.get_range(k, 0, 1),
        ):
            for key in _BAD_KEYS:
                with pytest.raises(ValueError, match="key"):
                    operation(key)

    def test_a_reader_sees_all_or_nothing(self, store: ObjectStore) -> None:
        """While two sizes are written in turn, no read is anything but one of them."""
        versions = [bytes([i]) * (200_000 + i) for i in range(2)]
        store.put("a/b", versions[0])

        def write(turn: int) -> None:
            store.put("a/b", versions[turn % 2])

        with ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(write, turn) for turn in range(30)]
            while not all(w.done() for w in writing):
                assert store.get("a/b") in versions
            for w in writing:
                w.result()

    def test_threads_do_not_mix_their_objects(self, store: ObjectStore) -> None:
        def work(i: int) -> bool:
            data = random.Random(i).randbytes(5000 + i)
            store.put(f"t/{i % 7}/{i}", data, durable=i % 5 == 0)
            return store.get(f"t/{i % 7}/{i}") == data

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(64)))
        assert len(list(store.list("t/"))) == 64

    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
        database=None,
    )
    @given(objects=_OBJECTS, prefix=st.sampled_from(["", "a", "a/", "b/c", "z"]))
    def test_it_behaves_as_a_dictionary(
        self, store: ObjectStore, objects: dict[str, bytes], prefix: str
    ) -> None:
        for key in list(store.list("")):
            store.delete(key)
        for key, data in objects.items():
            store.put(key, data)
        assert list(store.list(prefix)) == sorted(key for key in objects if key.startswith(prefix))
        assert {key: store.get(key) for key in store.list("")} == objects
