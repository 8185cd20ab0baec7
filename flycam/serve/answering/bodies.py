"""Bodies of requests: never larger than what is expected, never waited for without an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request

from flycam.serve.answering.failures import Refused, answer_to

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BYTES = 4 << 20
IDLE_S = 30.0
"""Longest wait for the next part of a body."""
LEAST_BYTES_S = 256.0
"""On the whole, IDLE_S aside: whoever sends a byte now and then is not waited for as long as he likes."""
_OWN_LIMITS = ("/files/", "/api/sync/")


class LineCut(Exception):
    """The client is gone in the middle of its body."""


def too_large(most: int) -> Refused:
    """413."""
    return Refused(
        413,
        f"the request is larger than the {most} bytes that fit here",
        f"yêu cầu lớn hơn {most} byte cho phép",
    )


def too_slow() -> Refused:
    """408."""
    return Refused(
        408,
        f"nothing, or next to nothing, came for {IDLE_S:.0f} s: ask where to go on, then send the rest",
        f"không nhận được gì, hoặc gần như không, trong {IDLE_S:.0f} giây: hãy hỏi lại vị trí rồi gửi tiếp",
    )


def bytes_said(request: Request, name: str) -> int:
    """A number of bytes in a header. Raises Refused 400."""
    said = request.headers.get(name, "")
    if not (said.isascii() and said.isdigit() and len(said) < 16):
        raise Refused(400, f"{name}: must be a whole number of bytes", f"{name}: phải là số byte nguyên")
    return int(said)


class Pace:
    """Waits for the parts of one body: IDLE_S for each, and IDLE_S beyond what all of them take at
    LEAST_BYTES_S. What is done with a part between two waits is not held against who sends."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left_s = IDLE_S

    async def next(self) -> Message:
        """The next part. Raises Refused 408."""
        began_s = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(min(self._left_s, IDLE_S), 0.0))
        except TimeoutError as error:
            raise too_slow() from error
        self._left_s += len(message.get("body", b"")) / LEAST_BYTES_S - (time.monotonic() - began_s)
        return message


async def parts_of(request: Request) -> AsyncIterator[bytes]:
    """A body as it comes. Raises LineCut, and Refused 408 where it comes too slowly (`Pace`)."""
    pace = Pace(request.receive)
    more = True
    while more:
        message = await pace.next()
        if message["type"] == "http.disconnect":
            raise LineCut
        more = message.get("more_body", False)
        if body := message.get("body", b""):
            yield body


class Bounded:
    """Keeps bodies within MAX_BYTES for all routes but those that count for themselves."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OWN_LIMITS):
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > MAX_BYTES:
            for message in answer_to(too_large(MAX_BYTES), scope):
                await send(message)
            return
        bound = _Bound(scope, receive, send)
        await self._app(scope, bound.receive, bound.send)


class _Bound:
    """One request whose body is counted and waited for. Frameworks answer a body that cannot be read with a
    word of their own: what is wrong is said in its place."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._pace = Pace(receive)
        self._taken = 0
        self._is_whole = False
        self._has_answered = False
        self._refusal: Refused | None = None

    async def receive(self) -> Message:
        """The next part. Raises Refused 408, 413."""
        if self._is_whole or self._has_answered:
            return await self._receive()  # the wait for a listener to leave has no end
        try:
            message = await self._pace.next()
        except Refused as refusal:
            self._refusal = refusal
            raise
        self._is_whole = not message.get("more_body", False)
        self._taken += len(message.get("body", b""))
        if self._taken > MAX_BYTES:
            self._refusal = too_large(MAX_BYTES)
            raise self._refusal
        return message

    async def send(self, message: Message) -> None:
        """The answer, or why there is none."""
        if self._refusal is None:
            self._has_answered = True
            await self._send(message)
        elif not self._has_answered:
            self._has_answered = True
            for said in answer_to(self._refusal, self._scope):
                await self._send(said)
