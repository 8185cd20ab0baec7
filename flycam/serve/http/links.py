"""Links as OGC and STAC documents carry them, and addresses made from names that anybody may have written."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from fastapi import Request

from flycam.serve.http.json_values import Json

JSON, GEOJSON = "application/json", "application/geo+json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.1"


def build_link(rel: str, href: str, media_type: str = JSON, title: str = "", **more: object) -> Json:
    """One link; without `title` it has none."""
    made: Json = {"rel": rel, "href": href, "type": media_type, **more}
    return {**made, "title": title} if title else made


def quote_path_segment(name: str) -> str:
    """A name as one part of an address."""
    return quote(name, safe="@")


def get_base_url(request: Request) -> str:
    """This server's own address as the client calls it, with a slash at its end."""
    return str(request.base_url)


def build_current_url(request: Request, **changes: object) -> str:
    """The address that was asked for, with some parameters changed."""
    asked: Mapping[str, object] = {**request.query_params, **changes}
    path = request.url.path.lstrip("/")
    return f"{get_base_url(request)}{quote_path(path)}{'?' if asked else ''}{urlencode(asked)}"


def quote_path(path: str) -> str:
    """A path with its slashes kept."""
    return quote(path, safe="/@")
