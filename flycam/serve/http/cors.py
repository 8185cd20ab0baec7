"""CORS: reading from pages of other sites that the operator named.

By the Fetch standard. A named page may read what its own token opens. Cookies are never taken from it, and it
can write nothing.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware

from flycam.serve.http.request_bodies import App, Receive, Scope, Send

_SEARCH_PATH = "/stac/search"
_ALLOWED_HEADERS = ("Authorization", "If-None-Match", "Range")
_EXPOSED_HEADERS = ("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag")
_PREFLIGHT_TTL_S = 3600


class CorsApp:
    """Application whose answers these origins may read ("https://gis.laocai.gov.vn")."""

    def __init__(self, app: App, origins: Collection[str]) -> None:
        self._reading = _allow_origins(app, origins, ("GET", "HEAD"))
        self._searching = _allow_origins(app, origins, ("GET", "HEAD", "POST"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_search = scope["type"] == "http" and scope["path"] == _SEARCH_PATH
        await (self._searching if is_search else self._reading)(scope, receive, send)


def _allow_origins(app: App, origins: Collection[str], methods: tuple[str, ...]) -> App:
    return CORSMiddleware(
        app,
        allow_origins=sorted(origins),
        allow_methods=methods,
        allow_headers=_ALLOWED_HEADERS,
        expose_headers=_EXPOSED_HEADERS,
        max_age=_PREFLIGHT_TTL_S,
    )
