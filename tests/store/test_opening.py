from __future__ import annotations

from pathlib import Path

import pytest

from flycam.errors import FlycamError, InputUnusable
from flycam.store.local import LocalStore
from flycam.store.memory import MemoryStore
from flycam.store.opening import open_store
from flycam.store.s3 import S3Store


def test_each_address_opens_its_store(tmp_path: Path) -> None:
    folder = tmp_path / "có dấu và cách"
    local = open_store(folder.as_uri())
    assert isinstance(local, LocalStore)
    local.put("a/b", b"x")
    assert (folder / "a" / "b").read_bytes() == b"x"
    assert isinstance(open_store("memory:"), MemoryStore)
    assert isinstance(open_store("s3://bucket/prefix?endpoint=http://127.0.0.1:1"), S3Store)


@pytest.mark.parametrize(
    "url", ["", "/plain/folder", "file://relative/folder", "file:relative", "ftp://host/a", "s3://"]
)
def test_what_is_no_address_is_refused_with_the_cure(url: str) -> None:
    with pytest.raises(InputUnusable, match="write") as caught:
        open_store(url)
    assert isinstance(caught.value, FlycamError)
