"""A catalogue saved at one moment and filled into an empty one."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.errors import CatalogUnavailable
from tests.suites.catalog_suite import frame


def test_a_copy_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    """Each line of the audit log says how many there are: a copy of two moments would say too many or few."""
    with open_catalog(f"sqlite:///{tmp_path / 'a.sqlite'}") as catalog:
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                catalog.audit.append("test", "write", "line")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(5):
                catalog.save(tmp_path / f"copy{number}.sqlite")
        finally:
            done.set()
            writer.join()
        for number in range(5):
            with open_catalog(f"sqlite:///{tmp_path / f'copy{number}.sqlite'}") as copy:
                assert copy.audit.verify() is None
        assert catalog.audit.verify() is None


def test_a_damaged_catalogue_is_neither_saved_nor_called_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with open_catalog(f"sqlite:///{path}") as catalog:
        assert catalog.check() == []
        catalog.frames.put([frame(number) for number in range(200)])
        for number in range(200):
            catalog.audit.append("test", "write", f"line {number}")
        catalog.save(tmp_path / "whole.sqlite")
    data = bytearray(path.read_bytes())
    pages = range(0, len(data), 4096)
    bad = [start for start in pages if b"line 17" in data[start : start + 4096]]
    for start in bad:
        data[start : start + 64] = random.Random(1).randbytes(64)
    path.write_bytes(data)
    assert bad
    with open_catalog(f"sqlite:///{path}") as catalog:
        with pytest.raises(CatalogUnavailable, match="restore"):
            catalog.save(tmp_path / "copy.sqlite")
        assert catalog.check() != []
        with pytest.raises(CatalogUnavailable, match="flycam restore"):
            catalog.audit.verify()
