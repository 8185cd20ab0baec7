"""A store that was marked is known to be away once its folder is an empty mount point."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from flycam.errors import ObjectMissing, StoreUnavailable
from flycam.storage.stores import LocalStore, has_marker, write_marker


def test_the_mark_is_no_object(tmp_path: Path) -> None:
    root = tmp_path / "disk" / "store"
    assert not has_marker(root)
    write_marker(root)
    write_marker(root)
    with closing(LocalStore(root)) as store:
        assert has_marker(root) and list(store.list("")) == []
        store.put("a/b", b"x")
        assert list(store.list("")) == ["a/b"]
        with pytest.raises(ObjectMissing):
            store.get("a/c")


def test_an_empty_mount_point_is_no_store_without_objects(tmp_path: Path) -> None:
    root = tmp_path / "store"
    write_marker(root)
    store = LocalStore(root)
    store.put("a/b", b"x")
    root.rename(tmp_path / "pulled out")
    root.mkdir()
    for operation in (
        lambda: store.get("a/b"),
        lambda: store.exists("a/b"),
        lambda: store.put("a/c", b"x", durable=True),
        lambda: list(store.list("")),
        store.flush,
    ):
        with pytest.raises(StoreUnavailable, match=r"store.*(plug|check)"):
            operation()
    assert not list(root.iterdir()), "nothing is written beneath the disk"
    root.rename(tmp_path / "mount point")
    (tmp_path / "pulled out").rename(root)
    store.put("a/c", b"y")
    store.close()
    assert sorted(path.name for path in (root / "a").iterdir()) == ["b", "c"]
