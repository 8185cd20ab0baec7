"""A small rehearsal flight, rendered once, and an open house for each test."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flycam.board.layers import register_communes
from flycam.catalog.catalog import open_catalog
from flycam.drill.flight import VideoPlan
from flycam.drill.photo_drill import DrillReport, write_drill
from flycam.drill.video_drill import VideoDrillReport, write_video_drill
from flycam.ingest.batch import IngestReport, ingest
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from flycam.storage.stores import open_store
from flycam.workspace import Workspace
from tests.once import copied_once, made_once


def drilled(**options: object) -> DrillReport:
    """A drill with photos, rendered once in a run; nobody writes into it. options: of `write_drill`."""

    def write(folder: Path) -> DrillReport:
        folder.mkdir()
        return write_drill(folder / "flight", **options)  # type: ignore[arg-type]

    return made_once(_name("drill", options), write)


def filmed_drill(**options: object) -> VideoDrillReport:
    """A filmed drill, rendered once in a run; nobody writes into it. options: of `write_video_drill`."""

    def write(folder: Path) -> VideoDrillReport:
        folder.mkdir()
        return write_video_drill(folder / "d", **options)

    return made_once(_name("film", options), write)


def _name(kind: str, options: dict[str, object]) -> str:
    return f"{kind}-{hashlib.sha256(repr(sorted(options.items())).encode()).hexdigest()[:12]}"


@pytest.fixture(scope="session")
def drill() -> DrillReport:
    """Six photos of 480×360 over the drill's valley, with the usual noise."""
    return drilled(photos=(2, 3), size_px=(480, 360), gsd_m=0.5, truth_rasters=False)


@pytest.fixture(scope="session")
def film() -> VideoDrillReport:
    """Twenty seconds of video with a turn, 320×180, as a consumer drone tells it."""
    plan = VideoPlan(seconds=20.0, fps=10, strips=2, gsd_m=0.8)
    return filmed_drill(seed=2, plan=plan, size_px=(320, 180))


class StopAfter:
    """Asks a run to stop once a stage of it has done so much: its `progress` and its `stopped`."""

    def __init__(self, stage: str, most: int) -> None:
        self._stage, self._most, self._is_due = stage, most, False

    def progress(self, stage: str, done: int, _total: int) -> None:
        self._is_due |= stage == self._stage and done >= self._most

    def stopped(self) -> bool:
        return self._is_due


@dataclass(frozen=True)
class House:
    """A workspace in a folder of its own."""

    root: Path
    workspace: Workspace

    def ingest(self, photos: Path, name: str | None = None, **request: object) -> IngestReport:
        """Ingest a folder with default labels."""
        return ingest(self.workspace, PreflightRequest(paths=(photos,), **request), FlightLabels(name=name))  # type: ignore[arg-type]

    def tiles(self, mosaic_id: str) -> dict[str, str]:
        """Content hash of the head of every tile."""
        return {
            str(record.tile_id): record.content_hash
            for record in self.workspace.catalog.tiles.heads(mosaic_id, 0)
        }


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Opens houses; the drill's terrain and communes are registered unless told otherwise."""
    opened: list[House] = []

    def make(drill: DrillReport | VideoDrillReport | None = None, name: str = "house") -> House:
        root = tmp_path / name
        if root.exists():
            raise FileExistsError(root)
        opened.append(_open(root, drill))
        return opened[-1]

    yield make
    for house in opened:
        _close(house)


def _open(root: Path, drill: DrillReport | VideoDrillReport | None = None) -> House:
    root.mkdir(exist_ok=True)
    workspace = Workspace(
        store=open_store((root / "store").as_uri()),
        catalog=open_catalog(f"sqlite:///{root / 'catalog.sqlite'}", root / "audit.key"),
        box="test",
        cache_dir=root / "cache",
    )
    if drill is not None:
        register_dem(workspace, drill.dem)
        register_communes(workspace, drill.communes)
    return House(root=root, workspace=workspace)


def _close(house: House) -> None:
    house.workspace.store.close()
    house.workspace.catalog.close()


@pytest.fixture
def make_filmed(film: VideoDrillReport, tmp_path: Path) -> Iterator[Callable[..., tuple[House, VideoReport]]]:
    """Opens houses with the film on their map, laid undisturbed by its subtitles, and what was said of that:
    copies of one."""
    opened: list[House] = []

    def lay(root: Path) -> VideoReport:
        house = _open(root, film)
        request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
        report = orthorectify_video(house.workspace, request, FlightLabels())
        _close(house)
        return report

    def make(name: str = "filmed") -> tuple[House, VideoReport]:
        report = copied_once("filmed", lay, tmp_path / name)
        opened.append(_open(tmp_path / name))
        return opened[-1], report

    yield make
    for house in opened:
        _close(house)


@pytest.fixture
def card(drill: DrillReport, tmp_path: Path) -> Path:
    """A copy of the photos that a test may spoil."""
    folder = tmp_path / "card"
    shutil.copytree(drill.photos, folder)
    return folder
