"""The built map: a page that is revalidated, and files named by their content.

The build leaves each of them compressed beside it: that is sent to clients that can read it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response

from flycam.messages import _
from flycam.serve.http.content_security_policy import MAP_POLICY

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_MAP_POLICY = MAP_POLICY.encode()
# a day: a browser that comes daily is never led to http; a node that is installed anew, with another
# authority or none, shuts nobody out for longer. Its other ports and names under it are not meant: no
# includeSubDomains
_HTTPS_ONLY = b"max-age=86400"
# addresses without gzip: compressed already, with byte ranges that must stay true, or streamed
_COMPRESSED_TYPES = (
    "/api/evidence/",
    "/api/video/",
    "/api/packs/",
    "/api/airborne/",
    "/api/hillshade/",
    "/cog/",
    "/events",
)
_COMPRESSED = {".br": "br", ".gz": "gzip"}
"""Content encodings by suffix, the best first."""
_ZERO_WEIGHTS = ("q=0", "q=0.0", "q=0.00", "q=0.000")
_NOT_BUILT = _("The map is not built")
_RUN = _("Run: {command}", command="<code>make map</code>")
_NOT_BUILT_PAGE = f"""<!doctype html><html lang="vi"><meta charset="utf-8"><title>flycam</title>
<h1>{_NOT_BUILT.in_language("vi")} / {_NOT_BUILT}</h1>
<p>{_RUN.in_language("vi")}. API: <a href="/api/docs">/api/docs</a></p></html>"""


def mount_static_site(app: FastAPI, static_dir: Path) -> None:
    """Serve the map at `/`."""
    if (static_dir / "index.html").is_file():
        app.mount("/", _StaticFiles(static_dir), name="map")
        return

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def not_built() -> str:
        return _NOT_BUILT_PAGE


class _StaticFiles(StaticFiles):
    """Files of the map as it was built when the server started.

    What the build compressed is sent to clients that can read it. All that no route knows comes here, from
    anybody: other names are not looked for, which took a thread and a step in the file system for each part
    of an address.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory)
        files = (one for one in directory.rglob("*") if one.is_file())
        self._names = frozenset(one.relative_to(directory).as_posix() for one in files)

    def get_path(self, scope: Scope) -> str:
        """Return the requested name, below the built folder."""
        return str(scope["path"])[1:] or "index.html"

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file. Raises HTTPException 404 and 405."""
        if path not in self._names and scope["method"] in ("GET", "HEAD"):
            raise HTTPException(404)
        return await super().get_response(path, scope)

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return the file, or the best compressed one beside it.

        A compressed one has the plain file's type.
        """
        plain = super().file_response(full_path, stat_result, scope, status_code)
        readable = _accepted_encodings(Headers(scope=scope).get("accept-encoding", ""))
        for ending, name in _COMPRESSED.items():
            beside = Path(f"{os.fspath(full_path)}{ending}")
            if name not in readable or not beside.is_file():
                continue
            answer = super().file_response(beside, beside.stat(), scope, status_code)
            answer.headers["vary"] = "Accept-Encoding"
            if answer.status_code == status_code:
                answer.headers["content-type"] = plain.headers["content-type"]
                answer.headers["content-encoding"] = name
            return answer
        return plain


def _accepted_encodings(accepted: str) -> set[str]:
    """Return the encodings that an Accept-Encoding header allows."""
    offers = (part.strip().lower().partition(";") for part in accepted.split(","))
    return {name.strip() for name, _, weight in offers if weight.replace(" ", "") not in _ZERO_WEIGHTS}


class ResponseHeaders:
    """Compression of text, and safety and caching headers on every answer of FastAPI.

    Photos and images pass unchanged: they are compressed already, and their byte ranges must stay true.
    """

    def __init__(self, app: App) -> None:
        self._plain = app
        self._compressed = GZipMiddleware(app, minimum_size=1000, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._plain(scope, receive, send)
            return
        path: str = scope["path"]
        # by this server, or by a proxy that is trusted
        is_https = scope["scheme"] == "https"

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *_missing_headers(path, message, is_https=is_https),
                ]
            await send(message)

        if path.startswith(_COMPRESSED_TYPES) or path.endswith("/photo"):
            await self._plain(scope, receive, send_with_headers)
        else:
            await self._compressed(scope, receive, send_with_headers)


def _missing_headers(
    path: str, message: MutableMapping[str, Any], *, is_https: bool
) -> list[tuple[bytes, bytes]]:
    wanted = {b"x-content-type-options": b"nosniff", b"referrer-policy": b"no-referrer"}
    wanted[b"content-security-policy"] = _MAP_POLICY
    if is_https:
        wanted[b"strict-transport-security"] = _HTTPS_ONLY
    if path.startswith("/files"):
        wanted[b"tus-resumable"] = b"1.0.0"
    if path.startswith("/assets/") and message["status"] == 200:
        wanted[b"cache-control"] = b"public, max-age=31536000, immutable"
    else:
        wanted[b"cache-control"] = b"no-store" if path.startswith("/api/") else b"no-cache"
    present = {name.lower() for name, _ in message["headers"]}
    return [(name, value) for name, value in wanted.items() if name not in present]
