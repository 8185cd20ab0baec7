"""A stream that is silent gives no picture with which it could be asked whether to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flycam.ingest.video.video_source import VideoSource

_ASK_S = 0.2


@contextmanager
def stop_stream_when(source: VideoSource, is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Inside the block a stream is stopped as soon as `is_stopped` says so; of a file every picture asks."""
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
