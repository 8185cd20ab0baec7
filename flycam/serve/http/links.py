"""Links of OGC and STAC documents, and addresses made from free names."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from fastapi import Request

from flycam.serve.http.json_values import Json

JSON, GEOJSON = "application/json", "application/geo+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.1"


def build_link(rel: str, href: str, media_type: str = JSON, title: str = "", **more: object) -> Json:
    """Build one link; without `title` it has none."""
    made: Json = {"rel": rel, "href": href, "type": media_type, **more}
    return {**made, "title": title} if title else made


def quote_path_segment(name: str) -> str:
    """Quote a name as one segment of an address."""
    return quote(name, safe="@")


def get_base_url(request: Request) -> str:
    """Return this server's address as the client calls it, with a trailing slash."""
    return str(request.base_url)


def build_current_url(request: Request, **changes: object) -> str:
    """Build the requested address with some parameters changed."""
    asked: Mapping[str, object] = {**request.query_params, **changes}
    path = request.url.path.lstrip("/")
    return f"{get_base_url(request)}{quote_path(path)}{'?' if asked else ''}{urlencode(asked)}"


def quote_path(path: str) -> str:
    """Quote a path, keeping its slashes."""
    return quote(path, safe="/@")
