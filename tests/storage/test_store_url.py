from __future__ import annotations

from pathlib import Path

import pytest

from flycam.errors import InputUnusable
from flycam.storage.s3 import S3Store
from flycam.storage.stores import LocalStore, MemoryStore, open_store


def test_each_address_opens_its_store(tmp_path: Path) -> None:
    folder = tmp_path / "có dấu và cách"
    local = open_store(folder.as_uri())
    assert isinstance(local, LocalStore)
    local.put("a/b", b"x")
    assert (folder / "a" / "b").read_bytes() == b"x"
    assert isinstance(open_store("memory:"), MemoryStore)
    assert isinstance(open_store("s3://bucket/prefix?endpoint=http://127.0.0.1:1"), S3Store)


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/p?endpoint=http://127.0.0.1:9",
        "s3://Hình_ảnh/p?endpoint=http://127.0.0.1:9",
        "s3://127.0.0.1/p?endpoint=http://127.0.0.1:9",
        "s3://a..b/p?endpoint=http://127.0.0.1:9",
        "s3://bucket/p?endpoint=http://127.0.0.1:99999",
        "s3://bucket/p?endpoint=http://[",
        "s3://bucket/p?endpoint=127.0.0.1:9",
        "s3://bucket/p?endpiont=http://127.0.0.1:9",
        "file://relative/folder",
        "",
        "/plain/folder",
        "file:relative",
        "ftp://host/a",
        "s3://",
        "http://bucket",
        "file://[a/b",
    ],
)
def test_a_bucket_or_server_that_cannot_be_is_refused_on_opening(url: str) -> None:
    with pytest.raises(InputUnusable, match="write"):
        open_store(url)
