"""Notices on what a live flight waits for before it begins.

Given once, if it does not come soon.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flycam.frame.safe_url import strip_url_credentials
from flycam.messages import Message, _

NoticeListener = Callable[[Message], None]
"""Gets a notice for the operator's terminal."""

_SOON_S = 2.0


def ignore_notice(_message: Message) -> None:
    """Ignore the notice."""


@contextmanager
def announce_wait(message: Message | None, say: NoticeListener) -> Iterator[None]:
    """Give the message if the block takes long; None: no message.

    None where a server is called, which answers or does not.
    """
    if message is None:
        yield
        return
    timer = threading.Timer(_SOON_S, say, (message,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def describe_telemetry_wait(url: str) -> Message:
    """Return the notice that a link has sent no position yet."""
    return _(
        "{name}: the video is here, waiting for the aircraft's position (MAVLink) over this link",
        name=strip_url_credentials(url),
    )
