"""What a live flight waits for before it begins: said once where it does not come soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flycam.frame.address import shown

Say = Callable[[str, str], None]
"""Told a sentence for the operator's terminal, (English, Vietnamese)."""

_SOON_S = 2.0


def unsaid(_english: str, _vi: str) -> None:
    """Nobody is told."""


@contextmanager
def waiting(said: tuple[str, str] | None, say: Say) -> Iterator[None]:
    """Around the waiting for something; said: of it, None: it is called, and answers or does not."""
    if said is None:
        yield
        return
    timer = threading.Timer(_SOON_S, say, said)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def telemetry_waited_for(url: str) -> tuple[str, str]:
    """What is said while a link has told no position."""
    name = shown(url)
    return (
        f"{name}: the video is here, waiting for the aircraft's position (MAVLink) over this link",
        f"{name}: đã có video, đang chờ vị trí máy bay (MAVLink) qua đường truyền này",
    )
