"""Bodies of requests: never larger than what is expected, never waited for without an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Request

from flycam.serve.failures import Refused, answer_to

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BYTES = 4 << 20
IDLE_S = 30.0
_OWN_LIMITS = ("/files/",)


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
        f"nothing came for {IDLE_S:.0f} s: ask where to go on, then send the rest",
        f"không nhận được gì trong {IDLE_S:.0f} giây: hãy hỏi lại vị trí rồi gửi tiếp",
    )


async def parts_of(request: Request) -> AsyncIterator[bytes]:
    """A body as it comes. Raises LineCut, and Refused 408 where nothing comes for IDLE_S."""
    more = True
    while more:
        try:
            message = await asyncio.wait_for(request.receive(), IDLE_S)
        except TimeoutError as error:
            raise too_slow() from error
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
        taken = 0
        has_begun = False

        async def receive_bounded() -> Message:
            nonlocal taken
            if has_begun:
                return await receive()  # the wait for a listener to leave has no end
            try:
                message = await asyncio.wait_for(receive(), IDLE_S)
            except TimeoutError as error:
                raise too_slow() from error
            taken += len(message.get("body", b""))
            if taken > MAX_BYTES:
                raise too_large(MAX_BYTES)
            return message

        async def send_noting(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        await self._app(scope, receive_bounded, send_noting)
