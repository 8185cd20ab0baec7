"""Commands as an operator types them, each in a house of its own, and a card that can be spoiled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import pytest
from click.testing import CliRunner

from flycam.catalog.catalog import open_catalog
from flycam.cli import flycam
from flycam.drill.photo_drill import DrillReport
from flycam.storage.stores import open_store
from tests.once import copied_once, made_once


@dataclass(frozen=True)
class Said:
    """What a command said; `trace` tells whether a person was shown a Python traceback."""

    exit_code: int
    json: dict[str, Any]
    stderr: str

    @property
    def sentence(self) -> str:
        return str(self.json.get("sentence", ""))

    @property
    def trace(self) -> bool:
        return "Traceback" in self.stderr


@dataclass(frozen=True)
class Operator:
    """Somebody at a terminal, with a data folder."""

    data: Path
    environment: dict[str, str]

    def __call__(self, *arguments: object) -> Said:
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("FLYCAM_")]:
                patch.delenv(name)
            for name, value in {"FLYCAM_DATA": str(self.data), **self.environment}.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(flycam, [*map(str, arguments), "--json"])
        lines = result.stdout.strip().splitlines()
        said = Said(result.exit_code, json.loads(lines[-1]) if lines else {}, result.stderr)
        assert not said.trace, said.stderr
        return said

    def start(self, *arguments: object, stderr: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[str]:
        """The command in a process of its own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("FLYCAM_")}
        return subprocess.Popen(
            [sys.executable, "-m", "flycam", *map(str, arguments), "--json"],
            env={**clean, "FLYCAM_DATA": str(self.data), **self.environment},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def with_ground(self, drill: DrillReport) -> Operator:
        """The same, after the drill's terrain and communes were registered."""
        assert self("dem", "add", drill.dem).exit_code == 0
        assert self("communes", "add", drill.communes).exit_code == 0
        return self

    def with_flight(self, drill: DrillReport) -> Operator:
        """The same, after the drill's photos were laid on its terrain: a copy of where that was done."""
        name = f"box-{self.environment['FLYCAM_BOX']}-{drill.photos.parent.parent.name}"
        copied_once(name, lambda root: _laid(Operator(root, self.environment), drill), self.data)
        return self

    def tiles(self, flight_id: str, layer: str = "colour") -> dict[str, str]:
        """Content hash of every tile of a flight's live mosaic; each object is there."""
        with open_catalog(f"sqlite:///{self.data / 'catalog.sqlite'}") as catalog:
            heads = catalog.tiles.heads(f"{flight_id}-{layer}", 0)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            store = open_store(self.environment.get("FLYCAM_STORE", (self.data / "store").as_uri()))
            assert all(store.exists(head.key) for head in heads)
        return {str(head.tile_id): head.content_hash for head in heads}

    def flights(self) -> list[str]:
        """Ids in the catalogue."""
        with open_catalog(f"sqlite:///{self.data / 'catalog.sqlite'}") as catalog:
            return [flight.flight_id for flight in catalog.flights.flights()]


def _laid(box: Operator, drill: DrillReport) -> None:
    assert box("ingest", drill.photos, "--dem", drill.dem).exit_code == 0


MakeOperator = Callable[..., Operator]


@pytest.fixture
def make_operator(tmp_path: Path) -> MakeOperator:
    """Makes operators; those of one name share a data folder."""

    def make(name: str = "dữ liệu", **environment: str) -> Operator:
        return Operator(tmp_path / name, environment)

    return make


@pytest.fixture
def operator(make_operator: MakeOperator) -> Operator:
    """An operator in an empty house."""
    return make_operator()


@pytest.fixture
def ready(operator: Operator, drill: DrillReport) -> Operator:
    """An operator whose house knows the drill's terrain and communes."""
    return operator.with_ground(drill)


def _undisturbed(root: Path, drill: DrillReport) -> Said:
    calm = Operator(root, {}).with_ground(drill)
    said = calm("ingest", drill.photos)
    assert said.exit_code == 0
    return Said(0, {**said.json, "tiles": calm.tiles(said.json["flight_id"])}, said.stderr)


@pytest.fixture(scope="session")
def whole(drill: DrillReport) -> Said:
    """What an undisturbed ingest of the drill says, with its tiles under "tiles"."""
    return made_once(f"undisturbed-{drill.photos.parent.parent.name}", partial(_undisturbed, drill=drill))


@pytest.fixture
def flown(operator: Operator, drill: DrillReport) -> Operator:
    """An operator whose house has the drill's ground and its flight: a copy of where that was done."""
    name = f"undisturbed-{drill.photos.parent.parent.name}"
    copied_once(name, partial(_undisturbed, drill=drill), operator.data)
    return operator


@pytest.fixture
def in_ram(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts small file systems in memory: `in_ram("400k")`. Skipped where mounting is not allowed."""
    mounted: list[Path] = []

    def mount(size: str, *options: str) -> Path:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
            pytest.skip("a small file system can only be mounted by root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def on_ext4(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a real file system, which lies in a file with holes: `on_ext4("-N", "64")` as of mkfs.ext4, of
    120 MB unless said. It allocates late, as disks do and memory does not. Skipped where mounting is not
    allowed."""
    mounted: list[Path] = []

    def mount(*options: str, size_bytes: int = 120_000_000) -> Path:
        image, folder = tmp_path / f"image-{len(mounted)}", tmp_path / f"ext4-{len(mounted)}"
        with image.open("wb") as file:
            file.truncate(size_bytes)
        folder.mkdir()
        if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
            pytest.skip("a file system in a file can only be made by root, with mkfs.ext4")
        # blocks as on a disk of its usual size
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-b", "4096", *options, str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode != 0:
            pytest.skip("a file system in a file cannot be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remounted(folder: Path, options: str) -> None:
    """Change a mount: its size, or whether it may be written."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
