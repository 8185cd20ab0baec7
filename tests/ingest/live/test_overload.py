"""A machine that drowns: fewer pictures of the same ground are laid, and the ground is there all the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flycam.concurrency import BoundedQueue
from flycam.drill.video_drill import VideoDrillReport
from flycam.ingest.live.frame_pipeline import FrameQueue
from flycam.ingest.live.inputs import LiveRequest
from flycam.ingest.live.workflow import VideoReport, orthorectify_video
from flycam.model.records import FrameStatus
from flycam.mosaic.orthorectify.flight_session import FlightLabels
from flycam.mosaic.orthorectify.rebuild import list_live_mosaics
from flycam.mosaic.tiles.codec import read_tile
from flycam.workspace import ignore_progress
from tests.houses import House

MakeHouse = Callable[..., House]

LOSS = 0.1
"""Of the ground that an unhurried run shows: what a run that is very late from first to last leaves out at
turns and on slopes, 6.5 % with a quarter of the pictures."""


def shown(house: House, report: VideoReport) -> dict[tuple[int, int], np.ndarray]:
    """Which pixels of each base tile show something."""
    (mosaic,) = list_live_mosaics(house.workspace, report.flight.flight_id)
    heads = house.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0, z=mosaic.base_zoom)
    tiles = {(head.tile_id.x, head.tile_id.y): read_tile(house.workspace.store, head) for head in heads}
    return {where: tile.quality > 0 for where, tile in tiles.items()}


@pytest.mark.soak
@pytest.mark.slow
def test_under_overload_pictures_are_left_out_and_ground_is_not(
    film: VideoDrillReport,
    make_filmed: Callable[..., tuple[House, VideoReport]],
    make_house: MakeHouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    request = LiveRequest(video=str(film.video), telemetry=str(film.subtitles), camera=film.camera)
    (calm_house, calm), house = make_filmed("calm"), make_house(film, "late")
    # late from the first picture to the last, on any machine; what a full queue drops: test_live_queue
    monkeypatch.setattr(FrameQueue, "late_s", property(lambda _queue: 60.0))
    # no picture is lost before it is chosen or not: of that a slow machine would lose more than this one
    monkeypatch.setattr(
        "flycam.ingest.video.video_source.BoundedQueue",
        lambda most, **_: BoundedQueue(most, is_blocking=True),
    )
    hurried = LiveRequest(
        video=request.video, telemetry=request.telemetry, camera=request.camera, is_realtime=True
    )
    late = orthorectify_video(house.workspace, hurried, FlightLabels(), ignore_progress)
    calm_ground, ground = shown(calm_house, calm), shown(house, late)
    whole = sum(int(tile.sum()) for tile in calm_ground.values())
    there = sum(int((tile & ground[at]).sum()) for at, tile in calm_ground.items() if at in ground)
    print(
        f"{late.used} frames instead of {calm.used}, {late.dropped}, latest {late.latency_ms[1]:.0f} ms, "
        f"{there / whole:.1%} of the ground"
    )
    assert late.used < 0.5 * calm.used
    assert late.dropped.get("no_time", 0) == 0
    assert there >= (1.0 - LOSS) * whole
    frames = house.workspace.catalog.frames.list_for_flight(late.flight.flight_id, FrameStatus.USED)
    assert len(frames) == late.used
