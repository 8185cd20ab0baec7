"""Store or database away in the middle of a flight: it goes on, and comes out as if nothing had been."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from flycam.board.layers import register_communes
from flycam.catalog.catalog import open_catalog
from flycam.drill.video_drill import VideoDrillReport
from flycam.errors import StoreUnavailable
from flycam.ingest.live.frame_pipeline import PROGRESS_STAGE
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.model.flight import FlightState
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics
from flycam.mosaic.terrain import register_dem
from flycam.operations.verify import verify_objects
from flycam.workspace import Workspace, ignore_progress
from tests.houses import House
from tests.servers import PostgresServer
from tests.texts import pair
from tests.unreliable_stores import FaultyStore

MakeHouse = Callable[..., House]
MakeFilmed = Callable[..., tuple[House, VideoReport]]

_AWAY_S = 3.0


def flown(workspace: Workspace, film: VideoDrillReport) -> VideoReport:
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    return orthorectify_video(workspace, request, FlightLabels(), ignore_progress)


def tiles(workspace: Workspace, report: VideoReport) -> dict[str, str]:
    (mosaic,) = list_live_mosaics(workspace, report.flight.flight_id)
    heads = workspace.catalog.tiles.heads(mosaic.mosaic_id, 0)
    return {str(head.tile_id): head.content_hash for head in heads}


class Outage:
    """From the so manieth time that something is written, all is away for some seconds."""

    def __init__(self, begins: int) -> None:
        self._left, self._lock = begins, threading.Lock()
        self._until_s: float | None = None
        self.refused = 0

    def is_now(self, *, writes: bool) -> bool:
        with self._lock:
            self._left -= writes
            if self._left <= 0 and self._until_s is None:
                self._until_s = time.monotonic() + _AWAY_S
            away = self._until_s is not None and time.monotonic() < self._until_s
            self.refused += away
            return away


@pytest.mark.slow
def test_a_store_that_is_away_for_a_while_holds_a_flight_up_and_changes_nothing_of_it(
    film: VideoDrillReport, make_filmed: MakeFilmed, make_house: MakeHouse
) -> None:
    (calm, undisturbed), house = make_filmed("calm"), make_house(film, "away").workspace
    outage = Outage(begins=12)

    def trouble(operation: str, _key: str) -> Exception | None:
        away = outage.is_now(writes=operation.startswith("put"))
        return StoreUnavailable(pair("s3: no answer; run again", "s3: không trả lời")) if away else None

    stormy = replace(house, store=FaultyStore(house.store, trouble))
    report = flown(stormy, film)
    assert outage.refused > 1
    assert report.flight.state is FlightState.READY
    assert tiles(house, report) == tiles(calm.workspace, undisturbed)
    assert any("were unavailable for" in str(one) for one in report.remarks)
    assert verify_objects(house).unrepaired == []


@pytest.mark.slow
@pytest.mark.postgres
def test_a_real_database_that_crashes_in_flight_and_comes_back(
    film: VideoDrillReport,
    make_filmed: MakeFilmed,
    make_house: MakeHouse,
    postgres_cluster: PostgresServer,
    postgres_url: str,
) -> None:
    (calm, undisturbed), house = make_filmed("calm"), make_house(film, "away").workspace
    crashed: list[float] = []

    def crash(stage: str, done: int, _of: int) -> None:
        if stage == PROGRESS_STAGE and done >= 120 and not crashed:
            crashed.append(time.monotonic())
            postgres_cluster.crash()
            time.sleep(_AWAY_S)
            postgres_cluster.start()

    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    with open_catalog(postgres_url) as catalog:
        workspace = replace(house, catalog=catalog)
        register_dem(workspace, film.dem)
        register_communes(workspace, film.communes)
        report = orthorectify_video(workspace, request, FlightLabels(), crash)
        assert crashed
        assert report.flight.state is FlightState.READY
        assert tiles(workspace, report) == tiles(calm.workspace, undisturbed)
        assert any("were unavailable for" in str(one) for one in report.remarks)
        assert verify_objects(workspace).unrepaired == []
