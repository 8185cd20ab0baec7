"""Real processes, killed at random moments: nothing wrong is shown, and the same command completes it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.geometry.grid import TileId
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage.address import open_store

_TRIALS = {"test": 3, "soak": 40}


def command(data: Path, box: str, *arguments: object) -> subprocess.Popen[bytes]:
    named = {name: value for name, value in os.environ.items() if not name.startswith("FLYCAM_")}
    return subprocess.Popen(
        [sys.executable, "-m", "flycam", *map(str, arguments), "--data", str(data)],
        env={**named, "FLYCAM_BOX": box},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def done(data: Path, box: str, *arguments: object) -> float:
    """Run a command to its end; how long it took, s."""
    began = time.monotonic()
    assert command(data, box, *arguments).wait() == 0
    return time.monotonic() - began


def killed(data: Path, box: str, after_s: float, *arguments: object) -> None:
    child = command(data, box, *arguments)
    time.sleep(after_s)
    child.send_signal(signal.SIGKILL)
    child.wait()


def tiles(data: Path) -> dict[tuple[str, TileId], str]:
    """Content hash of every head, by mosaic and tile; each reads back by its hash."""
    if not (data / "catalog.sqlite").exists():
        return {}
    store, catalog = open_store((data / "store").as_uri()), open_catalog(f"sqlite:///{data}/catalog.sqlite")
    try:
        found = {}
        for mosaic in catalog.tiles.mosaics():
            for head in catalog.tiles.heads(mosaic.mosaic_id, 0):
                read_tile(store, head)
                found[mosaic.mosaic_id, head.tile_id] = head.content_hash
        return found
    finally:
        catalog.close()
        store.close()


@pytest.fixture
def field(drill: DrillReport, tmp_path: Path) -> Iterator[Path]:
    """A box that laid the drill's photos."""
    done(tmp_path / "field", "field", "ingest", drill.photos, "--dem", drill.dem)
    yield tmp_path / "field"


@pytest.mark.slow
@pytest.mark.parametrize("size", ["test", pytest.param("soak", marks=pytest.mark.soak)])
def test_reading_that_is_killed_at_any_moment(field: Path, tmp_path: Path, size: str) -> None:
    path = tmp_path / "field.fcb"
    done(field, "field", "bundle", "write", path)
    whole = tiles(field)
    base_zoom = max(tile_id.z for _, tile_id in whole)
    took_s = done(tmp_path / "unhurt", "province", "bundle", "read", path)
    choose = random.Random(20240910)
    cut = 0
    for trial in range(_TRIALS[size]):
        data = tmp_path / f"province-{trial}"
        killed(data, "province", choose.uniform(0.2, 1.0) * took_s, "bundle", "read", path)
        halfway = tiles(data)
        cut += halfway != whole
        assert all(digest == whole[at] for at, digest in halfway.items() if at[1].z == base_zoom)
        done(data, "province", "bundle", "read", path)
        assert tiles(data) == whole
    print(f"{_TRIALS[size]} readings killed, {cut} of them before the last tile was there")


@pytest.mark.slow
def test_writing_that_is_killed_at_any_moment(field: Path, tmp_path: Path) -> None:
    options = ("--part-size", "64k")
    unhurt = tmp_path / "unhurt" / "field.fcb"
    unhurt.parent.mkdir()
    took_s = done(field, "field", "bundle", "write", unhurt, *options)
    whole = {part.name: part.read_bytes() for part in unhurt.parent.iterdir()}
    assert len(whole) > 2
    choose = random.Random(20240911)
    for trial in range(_TRIALS["test"]):
        path = tmp_path / f"stick-{trial}" / "field.fcb"
        path.parent.mkdir()
        killed(field, "field", choose.uniform(0.5, 1.0) * took_s, "bundle", "write", path, *options)
        for part in path.parent.iterdir():
            assert part.name.endswith(".writing") or part.read_bytes() == whole[part.name]
        done(field, "field", "bundle", "write", path, *options)
        assert {part.name: part.read_bytes() for part in path.parent.iterdir()} == whole
