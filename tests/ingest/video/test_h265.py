"""H.265, which newer drones send by default: decoded whole, followed over a link, recorded as it comes."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from flycam.ingest.video.recorder import RecordingOptions
from flycam.ingest.video.video_source import VideoSource
from flycam.media.mp4 import VideoCodec
from tests.ingest.video import streaming
from tests.ingest.video.test_recorder import numbers, pieces_in
from tests.ports import free_port


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return streaming.write_h265_film(tmp_path_factory.mktemp("h265") / "film.mp4", pictures=240)


def test_a_film_comes_whole_in_order_with_its_times(film: Path) -> None:
    with VideoSource(str(film)) as source:
        pictures = list(source.frames())
    assert [streaming.number_of(picture.pixels) for picture in pictures] == list(range(240))
    np.testing.assert_allclose([p.pts_ns for p in pictures], np.arange(240) * 1e9 / 30, atol=1e3)
    assert not source.health.dropped.total() and not source.health.remarks


def test_mpeg_ts_over_udp_is_followed_and_recorded(film: Path, tmp_path: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    order = RecordingOptions(folder=tmp_path)
    with (
        streaming.transport_stream(film, port, VideoCodec.H265) as url,
        VideoSource(url, recording=order) as source,
    ):
        seen = []
        for picture in source.frames():
            seen.append(streaming.number_of(picture.pixels))
            if len(seen) == 90:
                break
    (piece,) = pieces_in(tmp_path)
    recorded = numbers(piece.path)
    assert recorded[:60] == list(range(recorded[0], recorded[0] + 60))
    assert piece.codec.startswith(("hvc1", "hev1"))
    assert sorted(seen) == seen and set(seen) & set(recorded)
