"""Quality report of a finished flight, as a page or as a PDF."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Response

from flycam.frame.frame import Layer
from flycam.pipeline.finish.quality_report import get_report
from flycam.serve.auth.guards import ViewerPrincipal, require_viewer
from flycam.serve.http.content_security_policy import build_standalone_policy
from flycam.serve.services import ServicesHere
from flycam.serve.tiles.visible_flights import build_withheld_error, find_visible_flight

router = APIRouter(dependencies=[Depends(require_viewer)])

_MEDIA_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}


@router.get("/api/flights/{ref}/report", response_class=Response)
def get_quality_report(
    services: ServicesHere,
    ref: str,
    principal: ViewerPrincipal,
    kind: Literal["html", "pdf"] = "html",
    language: Literal["vi", "en"] = "vi",
    layer: Layer | None = None,
    revision: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """The report of the revision on show, or of the one named."""
    flight = find_visible_flight(services.workspace.catalog, ref, principal.access_policy)
    if principal.access_policy.touches_box(flight.bounds_lonlat_deg):
        raise build_withheld_error(flight.name, principal.name)
    data = get_report(services.workspace, ref, language, kind, revision, layer)
    name = quote(f"flycam-{ref}-{language}.{kind}")
    return Response(
        data,
        media_type=_MEDIA_TYPES[kind],
        headers={
            "Content-Disposition": f"inline; filename*=UTF-8''{name}",
            "Content-Security-Policy": build_standalone_policy(data if kind == "html" else b""),
            "Cache-Control": "private, no-cache",
        },
    )
