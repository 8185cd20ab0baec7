from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from minio import time as client_time

from flycam.errors import BucketMissing, StorageFailed, StoreDenied, StoreUnavailable
from flycam.storage.keys import ObjectStore
from flycam.storage.s3 import S3Store
from tests.servers import S3Server
from tests.storage.processes import kill_a_writer
from tests.suites.store_suite import StoreSuite

pytestmark = pytest.mark.s3


@pytest.fixture
def store(s3_url: str) -> Iterator[S3Store]:
    opened = S3Store.from_url(s3_url)
    yield opened
    opened.close()


class TestS3Store(StoreSuite):
    pass


def _every_operation(store: ObjectStore, tmp_path: Path, expected: type[StorageFailed], place: str) -> None:
    (tmp_path / "f").write_bytes(b"x")
    for operation in (
        lambda: store.put("a/b", b"x"),
        lambda: store.put_file("a/b", tmp_path / "f"),
        lambda: store.put_if_absent("a/b", b"x"),
        lambda: store.get("a/b"),
        lambda: store.get_range("a/b", 0, 1),
        lambda: store.size("a/b"),
        lambda: store.exists("a/b"),
        lambda: list(store.list("a")),
        lambda: store.delete("a/b"),
    ):
        with pytest.raises(expected) as caught:
            operation()
        assert caught.type is expected
        assert str(caught.value).startswith("s3://")
        assert place in str(caught.value)


def test_a_bucket_that_does_not_exist(s3_server: S3Server, tmp_path: Path) -> None:
    keys = (s3_server.access_key, s3_server.secret_key)
    store = S3Store(s3_server.endpoint, "no-such-bucket", credentials=keys)
    _every_operation(store, tmp_path, BucketMissing, "create it")


def test_wrong_keys_are_denied(s3_server: S3Server, tmp_path: Path) -> None:
    wrong_secret = S3Store(
        s3_server.endpoint, s3_server.bucket, credentials=(s3_server.access_key, "wrong-secret")
    )
    _every_operation(wrong_secret, tmp_path, StoreDenied, "AWS_ACCESS_KEY_ID")
    unknown = S3Store(s3_server.endpoint, s3_server.bucket, credentials=("nobody", "nothing"))
    _every_operation(unknown, tmp_path, StoreDenied, "AWS_ACCESS_KEY_ID")


@pytest.mark.parametrize(("off", "said"), [(timedelta(minutes=-40), "40 min"), (timedelta(hours=5), "5 h")])
def test_a_wrong_clock_is_named_with_how_far_it_is_off(
    store: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: timedelta, said: str
) -> None:
    """The clock that the client signs with; the server's own is right, and it is the one that denies."""
    store.put("a/b", b"x")
    right = client_time.utcnow
    with monkeypatch.context() as shifted:
        shifted.setattr(client_time, "utcnow", lambda: right() + off)
        if off < timedelta(0):
            _every_operation(store, tmp_path, StoreDenied, said)
        with pytest.raises(StoreDenied) as caught:  # an address signed ahead of time this server believes
            store.size("a/b")
    assert said in str(caught.value)
    assert "AWS_" not in str(caught.value)
    assert store.get("a/b") == b"x"


def test_wrong_keys_are_not_laid_on_the_clock(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    right = client_time.utcnow
    monkeypatch.setattr(client_time, "utcnow", lambda: right() - timedelta(minutes=3))
    wrong = S3Store(s3_server.endpoint, s3_server.bucket, credentials=(s3_server.access_key, "wrong-secret"))
    for operation in (lambda: wrong.put("a/b", b"x"), lambda: wrong.put_if_absent("a/b", b"x")):
        with pytest.raises(StoreDenied, match="AWS_ACCESS_KEY_ID"):
            operation()


def test_a_store_that_is_down_is_said_soon(tmp_path: Path) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}"
        store = S3Store(endpoint, "flycam", credentials=("a", "b"))
        _every_operation(store, tmp_path, StoreUnavailable, "check that it is up")


def test_without_credentials_the_cure_is_named(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in s3_server.environment():
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreDenied, match="AWS_ACCESS_KEY_ID"):
        S3Store(s3_server.endpoint, s3_server.bucket).get("a/b")


def test_prefixes_do_not_see_each_other(s3_server: S3Server, s3_url: str) -> None:
    one, other = S3Store.from_url(s3_url), S3Store.from_url(s3_url.replace("?", "-other?"))
    one.put("a/b", b"one")
    other.put("a/b", b"other")
    assert (one.get("a/b"), other.get("a/b")) == (b"one", b"other")
    assert list(one.list("")) == list(other.list("")) == ["a/b"]
    other.delete("a/b")
    assert one.exists("a/b")


_WRITER = """
import random, sys
from flycam.storage.stores import open_store
store = open_store(sys.argv[1])
for i in range(10_000):
    store.put(f"t/{i}", random.Random(i).randbytes(300_000))
    print(i, flush=True)
"""


def test_a_writer_killed_at_a_random_moment_leaves_only_whole_objects(store: S3Store, s3_url: str) -> None:
    for attempt in range(3):
        acknowledged = kill_a_writer(_WRITER, s3_url, random.Random(attempt).uniform(0.05, 0.5))
        keys = {int(key.removeprefix("t/")) for key in store.list("t/")}
        assert set(range(acknowledged + 1)) <= keys
        for i in sorted(keys)[-3:]:
            assert store.get(f"t/{i}") == random.Random(i).randbytes(300_000)
