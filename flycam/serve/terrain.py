"""Which terrain is registered, and its shading as tiles."""

from __future__ import annotations

import threading
from typing import Annotated

import cv2
from fastapi import APIRouter, Depends, Path, Request, Response

from flycam.geometry.grid import TileId
from flycam.pipeline.terrain import registered_dems
from flycam.pipeline.workspace import Workspace
from flycam.serve.flights import CatalogHere
from flycam.serve.guard import viewer
from flycam.serve.relief import MAX_ZOOM, MIN_ZOOM, Relief
from flycam.serve.views import EMPTY
from flycam.serve.wording import Json, iso

router = APIRouter(dependencies=[Depends(viewer)])

_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}


class ReliefHere:
    """The relief of what is registered now; made anew when a DEM is added."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._made: tuple[tuple[str, ...], Relief] | None = None

    def __call__(self) -> Relief:
        known = tuple(dem.dem_id for dem in self._workspace.catalog.terrain.dems())
        with self._lock:
            if self._made is None or self._made[0] != known:
                self._made = (known, Relief(registered_dems(self._workspace)))
            return self._made[1]


@router.get("/api/terrain")
def terrain(catalog: CatalogHere) -> list[Json]:
    """Registered DEMs with their datums."""
    return [
        {
            "dem_id": dem.dem_id,
            "name": dem.name,
            "datum": dem.vertical_datum,
            "crs": dem.crs,
            "bounds": dem.bounds_lonlat_deg,
            "post_spacing_m": dem.post_spacing_m,
            "added": iso(dem.added_ns),
        }
        for dem in catalog.terrain.dems()
    ]


@router.get("/api/hillshade/{z}/{x}/{y}")
def hillshade(
    request: Request,
    z: Annotated[int, Path(ge=MIN_ZOOM, le=MAX_ZOOM)],
    x: Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)],
    y: Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)],
) -> Response:
    """One tile of terrain shading, PNG; transparent where no terrain is known."""
    relief: ReliefHere = request.app.state.relief
    rgba = relief().tile(TileId(z=z, x=x, y=y))
    if rgba is None:
        return Response(EMPTY.body["body"], media_type="image/png", headers=_HEADERS)
    _, png = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return Response(png.tobytes(), media_type="image/png", headers=_HEADERS)
