"""A small flight ingested and finished once; tests that change things work on copies of its house."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flycam.board.layers import register_communes
from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.ingest.batch import ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.finish.report import FinishReport
from flycam.mosaic.finish.workflow import FinishRequest
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from flycam.storage.stores import open_store
from flycam.workspace import Progress, Workspace, ignore_progress
from tests.finishing import finish_flight

NAME = "Bản Lầu"
WHOLE, QUICK = FinishRequest(), FinishRequest(surface=False)


def open_workspace(root: Path) -> Workspace:
    return Workspace(
        store=open_store((root / "store").as_uri()),
        catalog=open_catalog(f"sqlite:///{root / 'catalog.sqlite'}"),
        box="test",
        cache_dir=root / "cache",
        operator="Trần Thị Bưởi",
    )


def ingested(root: Path, drill: DrillReport, photos: Path | None = None) -> Workspace:
    """A house with the drill's terrain, communes and flight."""
    root.mkdir(parents=True)
    workspace = open_workspace(root)
    register_dem(workspace, drill.dem)
    register_communes(workspace, drill.communes)
    ingest(workspace, PreflightRequest(paths=(photos or drill.photos,)), FlightLabels(name=NAME))
    return workspace


@dataclass(frozen=True)
class Finished:
    """The house, the report of the run that finished it, and the live tiles from before."""

    root: Path
    before: Path
    workspace: Workspace
    report: FinishReport
    live: dict[str, str]

    @property
    def mosaic_id(self) -> str:
        return f"{self.report.flight.flight_id}-colour"

    def copy(self, to: Path, *, finished: bool = True) -> Workspace:
        """The house again, before or after it was finished, for a test that changes it."""
        shutil.copytree(self.root if finished else self.before, to)
        return open_workspace(to)


def make_finished(folder: Path, drill: DrillReport, request: FinishRequest = WHOLE) -> Finished:
    root, before = folder / "house", folder / "before"
    workspace = ingested(root, drill)
    (flight,) = workspace.catalog.flights.flights()
    live = tiles_of(workspace, f"{flight.flight_id}-colour", 0)
    workspace.catalog.close()
    shutil.copytree(root, before)
    workspace = open_workspace(root)
    report = finish_flight(workspace, NAME, request)
    return Finished(root=root, before=before, workspace=workspace, report=report, live=live)


def tiles_of(workspace: Workspace, mosaic_id: str, revision: int) -> dict[str, str]:
    """Content hash of the head of every tile of a revision."""
    heads = workspace.catalog.tiles.heads(mosaic_id, revision)
    return {str(head.tile_id): head.content_hash for head in heads}


def finish_quickly(
    workspace: Workspace,
    progress: Progress = ignore_progress,
    cancelled: Callable[[], bool] = lambda: False,
    request: FinishRequest = QUICK,
) -> FinishReport:
    return finish_flight(workspace, NAME, request, progress, cancelled)
