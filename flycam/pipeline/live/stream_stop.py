"""Stopping of a silent stream, which gives no frame at which to ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flycam.ingest.video.video_source import VideoSource

_ASK_S = 0.2


@contextmanager
def stop_stream_when(source: VideoSource, is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Stop a stream inside the block once `is_stopped` is true.

    Nothing is done for a file: every frame asks.
    """
    over = threading.Event()

    def ask() -> None:
        while not over.wait(_ASK_S):
            if is_stopped():
                source.stop()
                return

    if source.is_stream:
        threading.Thread(target=ask, name="stop", daemon=True).start()
    try:
        yield
    finally:
        over.set()
