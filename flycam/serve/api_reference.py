"""`/api/docs`: the API's description as a plain page without external assets."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from flycam.serve.auth.guards import require_viewer
from flycam.serve.http.content_security_policy import build_standalone_policy

router = APIRouter(dependencies=[Depends(require_viewer)])

_HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>flycam API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{font:17px/1.45 sans-serif;max-width:60rem;margin:1rem auto;padding:0 1rem;color:#14202b}
h2{margin:1.6rem 0 .2rem;font-size:1.1rem}code{font-size:1rem}
td{padding:.1rem 1rem .1rem 0;vertical-align:top}
</style><h1>flycam API</h1>
<p>Machine-readable: <a href="/api/openapi.json">/api/openapi.json</a>. Send
<code>Authorization: Bearer TOKEN</code>, or sign in on the map. Times are ISO 8601 UTC, coordinates WGS 84
degrees.</p>
<h2><code>GET /tiles/{mosaic}/{z}/{x}/{y}[.png|.webp][?v=SEQ]</code></h2>
<p>One tile: JPEG where every pixel has data, else WebP with alpha; transparent where nothing was flown. The
ETag is the content hash; with <code>?v=</code> the answer may be kept for ever.
<code>?revision=N</code> asks for another revision than the one on show (0 is the live one),
<code>?layer=error|age|gsd|surface</code> for what is known about its pixels, as PNG in the colours of
<code>/api/legends</code>.</p>"""


@router.get("/api/docs", response_class=HTMLResponse, include_in_schema=False)
def show_api_reference(request: Request) -> HTMLResponse:
    """The page."""
    schema: dict[str, Any] = request.app.openapi()
    parts = [
        _render_operation(method, path, operation)
        for path, methods in sorted(schema["paths"].items())
        for method, operation in methods.items()
    ]
    page = _HEAD + "".join(parts) + "</html>"
    return HTMLResponse(page, headers={"Content-Security-Policy": build_standalone_policy(_HEAD.encode())})


def _render_operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}"
        f"<td>{'required' if one.get('required') else 'optional'}"
        for one in operation.get("parameters", ())
    )
    table = f"<table>{rows}</table>" if rows else ""
    text = escape(operation.get("description", ""))
    return f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{text}</p>{table}"
