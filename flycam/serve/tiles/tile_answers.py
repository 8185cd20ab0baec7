"""Tiles at the addresses of WMTS and OGC API, which say where there are none; `/tiles` is for the many."""

from __future__ import annotations

from fastapi import Request, Response

from flycam.catalog.records import MosaicInfo
from flycam.frame.flight import Flight
from flycam.frame.tilecodec import ViewFormat
from flycam.geometry.grid import TileId
from flycam.serve.answering.quad import limits
from flycam.serve.door.guard import withholding_of
from flycam.serve.tiles.asked import ON_SHOW, AskedViews
from flycam.serve.tiles.offered import bounds_of
from flycam.serve.tiles.views import SUFFIXES

_SUFFIX_OF = {wanted: suffix for suffix, wanted in SUFFIXES.items()}


def is_within_limits(mosaic: MosaicInfo, flight: Flight, tile_id: TileId) -> bool:
    """Whether the mosaic can have this tile, as its tile set states."""
    return any(tile_id in tiles for tiles in limits(mosaic, bounds_of(flight)))


def tile_answer(request: Request, mosaic: MosaicInfo, tile_id: TileId, wanted: ViewFormat) -> Response:
    """The tile of the revision on show, transparent where nothing was flown; 304 where the client has it.

    Raises what reading a tile raises.
    """
    views: AskedViews = request.app.state.asked
    path = f"/tiles/{mosaic.mosaic_id}/{tile_id}{_SUFFIX_OF[wanted]}"
    view = views.view(path, mosaic.mosaic_id, tile_id, ON_SHOW, wanted, withholding_of(request))
    headers = {"ETag": view.etag.decode(), "Cache-Control": "private, no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(view.data, media_type=wanted.value, headers=headers)
