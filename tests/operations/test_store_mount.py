"""A store whose disk is not mounted is not made anew beneath its mount point."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.errors import StoreUnavailable
from flycam.messages import Message
from flycam.operations.node import require_store_mounted, wait_for_store_mount
from flycam.storage.stores import LocalStore, has_marker
from tests.finished_house import ingested
from tests.operations.spoiled import close
from tests.suites.catalog_suite import tile


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, drill: DrillReport) -> Path:
    folder = tmp_path_factory.mktemp("disk") / "house"
    close(ingested(folder, drill))
    return folder


@pytest.mark.parametrize("is_mount_point_there", [False, True])
def test_refused_where_nothing_lies_there_and_waited_for(
    root: Path, tmp_path: Path, is_mount_point_there: bool
) -> None:
    store, disk = tmp_path / "store", tmp_path / "disk"
    shutil.copytree(root / "store", disk)
    if is_mount_point_there:
        store.mkdir()
    messages: list[Message] = []

    def mount(_seconds: float) -> None:
        if is_mount_point_there:
            store.rmdir()
        disk.rename(store)

    with open_catalog(f"sqlite:///{root / 'catalog.sqlite'}") as catalog:
        with pytest.raises(StoreUnavailable, match=r"mount.*--from") as caught:
            require_store_mounted(store.as_uri(), catalog)
        assert (
            caught.value.message.in_language("vi") != str(caught.value)
            and not any(store.glob("*"))
            and store.exists() == is_mount_point_there
        )
        wait_for_store_mount(store.as_uri(), catalog, messages.append, sleep=mount)
        assert len(messages) == 1 and all(str(store) in text for text in messages[0].to_fields().values())
        require_store_mounted(store.as_uri(), catalog)
        with closing(LocalStore(store)) as opened:
            assert list(opened.list("evidence/"))


@pytest.mark.parametrize("beneath", ["lost+found", "evidence/ab/of a version of before"])
def test_what_is_not_of_this_house_is_no_store(root: Path, tmp_path: Path, beneath: str) -> None:
    store = tmp_path / "store"
    (store / beneath).mkdir(parents=True)
    (store / beneath / "file").write_bytes(b"x")
    with open_catalog(f"sqlite:///{root / 'catalog.sqlite'}") as catalog:
        with pytest.raises(StoreUnavailable, match="mount"):
            require_store_mounted(store.as_uri(), catalog)
        assert not has_marker(store)


def test_a_flight_that_was_written_beneath_a_mount_point_is_no_store(root: Path, tmp_path: Path) -> None:
    database = tmp_path / "catalog.sqlite"
    shutil.copy(root / "catalog.sqlite", database)
    store = tmp_path / "mount point"
    with open_catalog(f"sqlite:///{database}") as catalog:
        (old,) = catalog.flights.flights()
        later = replace(old, flight_id="later", name="later", first_ns=old.last_ns, last_ns=old.last_ns + 1)
        catalog.flights.put_flight(later)
        mosaic = replace(catalog.tiles.mosaics()[0], mosaic_id="later", flight_id="later", revision=0)
        catalog.tiles.put_mosaic(mosaic)
        (line,) = catalog.tiles.append(
            [replace(tile(0, "ab" * 32, z=mosaic.base_zoom), mosaic_id="later")], {}
        )
        (store / line.key).parent.mkdir(parents=True)
        (store / line.key).write_bytes(b"x")
        with pytest.raises(StoreUnavailable, match="mount"):
            require_store_mounted(store.as_uri(), catalog)
        assert not has_marker(store)
        shutil.copytree(root / "store", tmp_path / "disk")
        require_store_mounted((tmp_path / "disk").as_uri(), catalog)
    assert has_marker(tmp_path / "disk")


def test_one_that_begins_anew_on_purpose_does_so_for_good(root: Path, tmp_path: Path) -> None:
    store = tmp_path / "new disk"
    with open_catalog(f"sqlite:///{root / 'catalog.sqlite'}") as catalog:
        require_store_mounted(store.as_uri(), catalog, is_new=True)
        require_store_mounted(store.as_uri(), catalog)
    assert has_marker(store)


def test_a_first_start_and_a_store_that_is_no_folder_are_let_pass(root: Path, tmp_path: Path) -> None:
    with open_catalog(f"sqlite:///{tmp_path / 'new.sqlite'}") as catalog:
        require_store_mounted((tmp_path / "store").as_uri(), catalog)
        require_store_mounted((tmp_path / "store").as_uri(), catalog)
        assert not (tmp_path / "store").exists(), "its disk may be away: no mount point is marked"
    with open_catalog(f"sqlite:///{root / 'catalog.sqlite'}") as catalog:
        require_store_mounted("s3://bucket/house?endpoint=http://127.0.0.1:1", catalog)
