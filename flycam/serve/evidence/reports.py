"""The quality report of a finished flight, as a page or as a PDF."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Response

from flycam.frame.frame import Layer
from flycam.pipeline.finish.quality_report import report_of
from flycam.serve.answering.policy import of_page_alone
from flycam.serve.door.guard import Viewer, viewer
from flycam.serve.services import ServicesHere
from flycam.serve.tiles.offered import flight_here, withheld_from

router = APIRouter(dependencies=[Depends(viewer)])

_TYPES = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}


@router.get("/api/flights/{ref}/report", response_class=Response)
def report(
    services: ServicesHere,
    ref: str,
    visitor: Viewer,
    kind: Literal["html", "pdf"] = "html",
    language: Literal["vi", "en"] = "vi",
    layer: Layer | None = None,
    revision: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """The report of the revision on show, or of the one named."""
    flight = flight_here(services.workspace.catalog, ref, visitor.withholding)
    if visitor.withholding.touches_box(flight.bounds_lonlat_deg):
        raise withheld_from(flight.name, visitor.name)
    data = report_of(services.workspace, ref, language, kind, revision, layer)
    name = quote(f"flycam-{ref}-{language}.{kind}")
    return Response(
        data,
        media_type=_TYPES[kind],
        headers={
            "Content-Disposition": f"inline; filename*=UTF-8''{name}",
            "Content-Security-Policy": of_page_alone(data if kind == "html" else b""),
            "Cache-Control": "private, no-cache",
        },
    )
