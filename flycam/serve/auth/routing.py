"""Routes that authenticate before they read the body."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from flycam.serve.auth.guards import GUARDS
from flycam.serve.http.request_bodies import MAX_BODY_BYTES, ReadRequest, read_body


class GuardedRoute(APIRoute):
    """Route with a JSON body, which FastAPI would parse before it checks credentials."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the framework's handler, behind the route's guards and body limit."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle
        max_bytes = (self.openapi_extra or {}).get("x-max-bytes", MAX_BODY_BYTES)
        guards = [one.call for one in self.dependant.dependencies if one.call in GUARDS]

        async def handle_guarded(request: Request) -> Response:
            for guard in guards:
                await run_in_threadpool(guard, request)
            return await handle(ReadRequest(request, await read_body(request, max_bytes)))

        return handle_guarded
