"""Registered terrain, and its hillshade as tiles: the base map without a network."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from PIL import Image

from flycam.drill.routes import is_exercise_dem
from flycam.errors import StorageFailed
from flycam.geodata.dem import make_palette, render_hillshade_tile
from flycam.geometry.grid import TileId
from flycam.http.guards import ServicesHere, require_guest
from flycam.http.protocol import Json
from flycam.model.records import DemRecord
from flycam.model.time import format_iso
from flycam.mosaic.terrain import FAILURE_TTL_S, load_registered_dems
from flycam.serve.tiles.tile_views import EMPTY_VIEW
from flycam.workspace import Workspace

router = APIRouter(dependencies=[Depends(require_guest)])

MIN_ZOOM, MAX_ZOOM = 6, 16
_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
_MAX_TILES = 1024
_PNG_LEVEL = 6


class HillshadeCache:
    """Hillshade PNGs of the registered DEMs, in bounded memory. Thread-safe."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._dem_ids: tuple[str, ...] = ()
        self._pictures: OrderedDict[TileId, bytes] = OrderedDict()

    def picture(self, tile_id: TileId) -> bytes:
        """Return the PNG of one tile; transparent where no terrain is registered.

        Raises SourceUnreadable, and DataDamaged where the file of that ground is damaged or lost.
        """
        dem_ids = tuple(dem.dem_id for dem in self._workspace.catalog.terrain.dems())
        with self._lock:
            if dem_ids != self._dem_ids:
                self._dem_ids = dem_ids
                self._pictures.clear()
            if tile_id in self._pictures:
                self._pictures.move_to_end(tile_id)
                return self._pictures[tile_id]
        made = self._make(tile_id)
        with self._lock:
            # otherwise it may show the terrain before a DEM was added
            if dem_ids == self._dem_ids:
                self._pictures[tile_id] = made
            if len(self._pictures) > _MAX_TILES:
                self._pictures.popitem(last=False)
        return made

    def _make(self, tile_id: TileId) -> bytes:
        numbers = render_hillshade_tile(load_registered_dems(self._workspace, FAILURE_TTL_S), tile_id)
        if numbers is None:
            return EMPTY_VIEW.data
        picture, colours = Image.fromarray(numbers, "P"), make_palette()
        picture.putpalette(colours[:, :3].tobytes())
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=_PNG_LEVEL, transparency=colours[:, 3].tobytes())
        return out.getvalue()


@router.get("/api/terrain")
def list_terrain(services: ServicesHere) -> list[Json]:
    """List registered DEMs with their datums.

    is_drill: it is synthetic; null where its file cannot be read now.
    """
    workspace = services.workspace
    return [
        {
            "dem_id": dem.dem_id,
            "name": dem.name,
            "datum": dem.vertical_datum,
            "crs": dem.crs,
            "bounds": dem.bounds_lonlat_deg,
            "post_spacing_m": dem.post_spacing_m,
            "added": format_iso(dem.added_ns),
            "is_drill": _is_drill(workspace, dem),
        }
        for dem in workspace.catalog.terrain.dems()
    ]


def _is_drill(workspace: Workspace, dem: DemRecord) -> bool | None:
    try:
        return is_exercise_dem(workspace, dem, FAILURE_TTL_S)
    except StorageFailed:
        # a store that is away must not hide which DEMs are registered
        return None


@router.get("/api/hillshade/{z}/{x}/{y}")
def get_hillshade_tile(
    request: Request,
    z: Annotated[int, Path(ge=MIN_ZOOM, le=MAX_ZOOM)],
    x: Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)],
    y: Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)],
) -> Response:
    """Return one hillshade tile, PNG; transparent where no terrain is known."""
    relief: HillshadeCache = request.app.state.relief
    return Response(relief.picture(TileId(z=z, x=x, y=y)), media_type="image/png", headers=_HEADERS)
