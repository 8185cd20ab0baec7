"""Which terrain is registered, and its shading as tiles: the base map that needs no network."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from PIL import Image

from flycam.catalog.records import DemRecord
from flycam.errors import StorageTrouble
from flycam.frame.moment import iso
from flycam.geodata.hillshade import hillshade_tile, palette
from flycam.geometry.grid import TileId
from flycam.pipeline.dem_copies import A_WHILE_S
from flycam.pipeline.made_up import is_made_up_dem
from flycam.pipeline.terrain import registered_dems
from flycam.pipeline.workspace import Workspace
from flycam.serve.answering.wording import Json
from flycam.serve.door.guard import guest
from flycam.serve.services import ServicesHere
from flycam.serve.tiles.views import EMPTY

router = APIRouter(dependencies=[Depends(guest)])

MIN_ZOOM, MAX_ZOOM = 6, 16
_HEADERS = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
_KEPT_TILES = 1024
_PNG_LEVEL = 6


class Relief:
    """Hillshade PNGs of the registered DEMs, kept in bounded memory. Safe to use from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._dem_ids: tuple[str, ...] = ()
        self._pictures: OrderedDict[TileId, bytes] = OrderedDict()

    def picture(self, tile_id: TileId) -> bytes:
        """PNG of one tile; transparent where no terrain is known. Raises SourceUnreadable, and NotWhole
        where the file of that ground is damaged or lost."""
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
            if dem_ids == self._dem_ids:  # else it may show the ground as it was before one was added
                self._pictures[tile_id] = made
            if len(self._pictures) > _KEPT_TILES:
                self._pictures.popitem(last=False)
        return made

    def _make(self, tile_id: TileId) -> bytes:
        numbers = hillshade_tile(registered_dems(self._workspace, A_WHILE_S), tile_id)
        if numbers is None:
            return EMPTY.data
        picture, colours = Image.fromarray(numbers, "P"), palette()
        picture.putpalette(colours[:, :3].tobytes())
        out = io.BytesIO()
        picture.save(out, "PNG", compress_level=_PNG_LEVEL, transparency=colours[:, 3].tobytes())
        return out.getvalue()


@router.get("/api/terrain")
def terrain(services: ServicesHere) -> list[Json]:
    """Registered DEMs with their datums. is_drill: made up; null where its file cannot be read now."""
    workspace = services.workspace
    return [
        {
            "dem_id": dem.dem_id,
            "name": dem.name,
            "datum": dem.vertical_datum,
            "crs": dem.crs,
            "bounds": dem.bounds_lonlat_deg,
            "post_spacing_m": dem.post_spacing_m,
            "added": iso(dem.added_ns),
            "is_drill": _is_drill(workspace, dem),
        }
        for dem in workspace.catalog.terrain.dems()
    ]


def _is_drill(workspace: Workspace, dem: DemRecord) -> bool | None:
    try:
        return is_made_up_dem(workspace, dem, A_WHILE_S)
    except StorageTrouble:  # a store that is away keeps nobody from hearing what is registered
        return None


@router.get("/api/hillshade/{z}/{x}/{y}")
def hillshade(
    request: Request,
    z: Annotated[int, Path(ge=MIN_ZOOM, le=MAX_ZOOM)],
    x: Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)],
    y: Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)],
) -> Response:
    """One tile of terrain shading, PNG; transparent where no terrain is known."""
    relief: Relief = request.app.state.relief
    return Response(relief.picture(TileId(z=z, x=x, y=y)), media_type="image/png", headers=_HEADERS)
