"""A receiver that nobody takes pictures from: the stream goes on, and what was not decoded is counted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flycam.ingest.video.recorder import (
    RecordingOptions,
    close_unfinished_segments,
    list_finished_segments,
    read_segment,
)
from flycam.ingest.video.video_source import VideoSource
from tests.ingest.video import streaming
from tests.ports import free_port
from tests.waiting import until


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return streaming.write_film(tmp_path_factory.mktemp("film") / "film.mp4", pictures=240)


def test_a_decoder_that_nobody_takes_from_does_not_hold_up_the_recording(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flycam.concurrency.BoundedQueue.put", lambda *_: time.sleep(3600.0))
    order = RecordingOptions(folder=tmp_path, segment_s=1.0)
    with streaming.rtsp_server(film, free_port()) as url:
        source = VideoSource(url, recording=order)
        source.__enter__()
        until(lambda: len(list_finished_segments(tmp_path)) >= 4)
        source._decoder._end()  # its thread sleeps for ever
    close_unfinished_segments(tmp_path)
    pieces = [piece for path in list_finished_segments(tmp_path) if (piece := read_segment(path)) is not None]
    assert sum(piece.pictures for piece in pieces) >= 120
