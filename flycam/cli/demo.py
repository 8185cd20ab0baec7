"""Demonstration of the whole workflow on an exercise: `demo`.

It has a flight before and one after a storm, communes, the map, and changes.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from flycam.board.layers import register_communes
from flycam.change.comparison import ComparisonReport, compare_sources
from flycam.change.detection import prepare_detection
from flycam.drill.photo_drill import write_drill
from flycam.drill.routes import require_no_real_data
from flycam.ingest.batch import IngestReport, ingest
from flycam.ingest.preflight_check import PreflightRequest
from flycam.mosaic.finish.report import FinishReport
from flycam.mosaic.finish.workflow import finish_flight
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.terrain import register_dem
from flycam.reports.quality_report import make_reports
from flycam.workspace import Progress, Workspace, ignore_progress

DEMO_EVENT = "Bão số 3 (diễn tập)"
_STRIPS, _PHOTOS_A_STRIP = 4, 6


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoFlight:
    """One flight of the demo, ingested and finished."""

    ingested: IngestReport
    finished: FinishReport


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoReport:
    """The two flights of the demo, and the changes between them."""

    before: DemoFlight
    after: DemoFlight
    compared: ComparisonReport


def run_demo(workspace: Workspace, progress: Progress = ignore_progress) -> DemoReport:
    """Render, ingest and finish an exercise before and after its storm.

    Changes between the two are put up for review. Run again, it changes nothing. Raises RealDataPresent where
    anything real is registered, also if it arrives while the exercise is rendered.
    """
    require_no_real_data(workspace)
    workspace.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="demo-", dir=workspace.cache_dir) as folder:
        flown = [
            _fly(workspace, Path(folder) / name, label, after=after, progress=progress)
            for name, label, after in (
                ("before", "Thung lũng diễn tập, trước bão", False),
                ("after", "Thung lũng diễn tập, sau bão", True),
            )
        ]
        progress("compare", 0, 1)
        before, after = (one.ingested.flight.flight_id for one in flown)
        compared = compare_sources(workspace, before, after, Path(folder) / "changes.gpkg", prepare_detection)
        progress("compare", 1, 1)
    return DemoReport(before=flown[0], after=flown[1], compared=compared)


def _fly(workspace: Workspace, folder: Path, label: str, *, after: bool, progress: Progress) -> DemoFlight:
    drill = write_drill(
        folder,
        after=after,
        photos=(_STRIPS, _PHOTOS_A_STRIP),
        truth_rasters=False,
        progress=lambda done, total: progress("render", done, total),
    )
    # real data may have arrived while it was rendered
    require_no_real_data(workspace)
    register_dem(workspace, drill.dem)
    register_communes(workspace, drill.communes)
    ingested = ingest(
        workspace,
        PreflightRequest(paths=(drill.photos,)),
        FlightLabels(name=label, event=DEMO_EVENT),
        progress,
    )
    return DemoFlight(
        ingested=ingested,
        finished=finish_flight(
            workspace, ingested.flight.flight_id, progress=progress, make_reports=make_reports
        ),
    )
