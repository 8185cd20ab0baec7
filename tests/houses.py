"""A small rehearsal flight, rendered once, and an open house for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.drill import DrillReport, write_drill
from flycam.drill.video import VideoDrillReport, write_video_drill
from flycam.drill.video_course import VideoPlan
from flycam.pipeline.batch import IngestReport, ingest
from flycam.pipeline.boundaries import register_communes
from flycam.pipeline.laying.opening import Labels
from flycam.pipeline.laying.survey import SurveyRequest
from flycam.pipeline.terrain import register_dem
from flycam.pipeline.workspace import Workspace
from flycam.store.opening import open_store


@pytest.fixture(scope="session")
def drill(tmp_path_factory: pytest.TempPathFactory) -> DrillReport:
    """Six photos of 480×360 over the drill's valley, with the usual noise."""
    return write_drill(
        tmp_path_factory.mktemp("drill") / "flight",
        photos=(2, 3),
        size_px=(480, 360),
        gsd_m=0.5,
        truth_rasters=False,
    )


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> VideoDrillReport:
    """Twenty seconds of video with a turn, 320×180, as a consumer drone tells it."""
    return write_video_drill(
        tmp_path_factory.mktemp("film") / "d",
        seed=2,
        plan=VideoPlan(seconds=20.0, fps=10, strips=2, gsd_m=0.8),
        size_px=(320, 180),
    )


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
        return ingest(self.workspace, SurveyRequest(paths=(photos,), **request), Labels(name=name))  # type: ignore[arg-type]

    def tiles(self, mosaic_id: str) -> dict[str, str]:
        """Content hash of the head of every tile."""
        return {
            str(record.tile_id): record.content_hash
            for record in self.workspace.catalog.tiles.heads(mosaic_id, 0)
        }


@pytest.fixture
def make_house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Opens houses; the drill's terrain and communes are registered unless told otherwise."""
    opened: list[Workspace] = []

    def make(drill: DrillReport | VideoDrillReport | None = None, name: str = "house") -> House:
        root = tmp_path / name
        root.mkdir()
        workspace = Workspace(
            store=open_store((root / "store").as_uri()),
            catalog=open_catalog(f"sqlite:///{root / 'catalog.sqlite'}"),
            box="test",
            cache_dir=root / "cache",
        )
        opened.append(workspace)
        if drill is not None:
            register_dem(workspace, drill.dem)
            register_communes(workspace, drill.communes)
        return House(root=root, workspace=workspace)

    yield make
    for workspace in opened:
        workspace.store.close()
        workspace.catalog.close()


@pytest.fixture
def card(drill: DrillReport, tmp_path: Path) -> Path:
    """A copy of the photos that a test may spoil."""
    folder = tmp_path / "card"
    shutil.copytree(drill.photos, folder)
    return folder
