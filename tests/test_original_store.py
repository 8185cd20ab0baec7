"""Evidence that another process put a moment ago, and has not flushed, may be lost to a power cut."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.errors import SourceUnreadable
from flycam.originals import store_original, store_original_bytes
from flycam.storage import keys, stores
from flycam.storage.stores import LocalStore
from flycam.workspace import Workspace

_DATA = b"what a camera wrote"
_SHA256 = hashlib.sha256(_DATA).hexdigest()


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    calls: list[Path] = []
    monkeypatch.setattr(stores, "sync_path", calls.append)
    return calls


@pytest.mark.parametrize("how", ["durable", "flushed", "bytes"])
def test_what_another_process_has_not_flushed_is_synced_before_it_is_relied_on(
    tmp_path: Path, synced: list[Path], how: str
) -> None:
    root = tmp_path / "store"
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(_DATA)
    with (
        open_catalog(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog,
        closing(LocalStore(root)) as first,
        closing(LocalStore(root)) as second,
    ):
        key = keys.format_original_key(_SHA256)
        first.put(key, _DATA)
        house = Workspace(store=second, catalog=catalog, box="box", cache_dir=tmp_path / "cache")
        synced.clear()
        if how == "bytes":
            store_original_bytes(house, _DATA, _SHA256)
        else:
            store_original(house, photo, durable=how == "durable")
        if how != "durable":
            second.flush()
        assert {root / key, *(root / key).parents} - {*root.parents} == set(synced)


def test_a_file_is_kept_under_no_hash_but_its_own(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"of somebody else")
    with (
        open_catalog(f"sqlite:///{tmp_path}/catalog.sqlite") as catalog,
        closing(LocalStore(tmp_path / "store")) as store,
    ):
        house = Workspace(store=store, catalog=catalog, box="box", cache_dir=tmp_path / "cache")
        with pytest.raises(SourceUnreadable):
            store_original(house, photo, _SHA256)
        assert list(store.list("")) == []
