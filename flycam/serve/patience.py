"""How long a connection may take over what comes before and behind the application: the head of a request,
and the reading of an answer. Bodies are waited for in `bodies`.

Without it whoever sends a letter of a header a minute, or asks for a film and never reads it, holds a
connection and what stands behind it for ever; some thousands of these, and nobody else comes in.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 20.0
"""From the connection, or the answer before, to the last line of a head. Behind it idle connections are
ended sooner (uvicorn's keep-alive, 5 s)."""
HEAD_BYTES = 64 << 10
READER_S = 60.0
"""Within which some of what waits to be sent must have gone: 48 kB, which a line of 8 kbit/s carries."""

ENDED: Counter[str] = Counter()
"""Connections of this process that were ended, by what was too slow or too large; `/metrics` tells."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with an end to waiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._reader_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop(self._head_timer)
        self._stop(self._reader_timer)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._stop(self._head_timer)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._await_head()  # what is left of a body that was refused is waited for no longer than that

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop(self._reader_timer)
        self._reader_timer = self.loop.call_later(READER_S, self._end, "reader")

    def resume_writing(self) -> None:
        self._stop(self._reader_timer)
        super().resume_writing()

    def _await_head(self) -> None:
        self._stop(self._head_timer)
        self._head_timer = self.loop.call_later(HEAD_S, self._end, "head")

    def _count(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > HEAD_BYTES:
            self._end("large head")

    def _end(self, why: str) -> None:
        if not self.transport.is_closing():
            ENDED[why] += 1
            self.transport.abort()

    def _stop(self, timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
