"""What a live flight waits for before it begins: said once where it does not come soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flycam.frame.safe_url import strip_url_credentials

NoticeListener = Callable[[str, str], None]
"""Told a sentence for the operator's terminal, (English, Vietnamese)."""

_SOON_S = 2.0


def ignore_notice(_english: str, _vi: str) -> None:
    """Nobody is told."""


@contextmanager
def announce_wait(message: tuple[str, str] | None, say: NoticeListener) -> Iterator[None]:
    """Around the waiting for something; said: of it, None: it is called, and answers or does not."""
    if message is None:
        yield
        return
    timer = threading.Timer(_SOON_S, say, message)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def describe_telemetry_wait(url: str) -> tuple[str, str]:
    """What is said while a link has told no position."""
    name = strip_url_credentials(url)
    return (
        f"{name}: the video is here, waiting for the aircraft's position (MAVLink) over this link",
        f"{name}: đã có video, đang chờ vị trí máy bay (MAVLink) qua đường truyền này",
    )
