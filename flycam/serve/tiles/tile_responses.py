"""Tiles at the addresses of WMTS and OGC API, with errors outside their limits.

`/tiles` is for most requests.
"""

from __future__ import annotations

from fastapi import Request, Response

from flycam.catalog.records import MosaicInfo
from flycam.frame.flight import Flight
from flycam.frame.tile_codec import ViewFormat
from flycam.geometry.grid import TileId
from flycam.serve.auth.guards import get_access_policy
from flycam.serve.http.tile_matrix import iterate_tile_limits
from flycam.serve.tiles.data_tiles import PUBLISHED_VIEW, DataTileViews
from flycam.serve.tiles.tile_views import FORMAT_BY_SUFFIX
from flycam.serve.tiles.visible_flights import get_flight_bounds

_SUFFIX_OF = {wanted: suffix for suffix, wanted in FORMAT_BY_SUFFIX.items()}


def is_within_limits(mosaic: MosaicInfo, flight: Flight, tile_id: TileId) -> bool:
    """Return True if the mosaic can have this tile, as its tile set states."""
    return any(tile_id in tiles for tiles in iterate_tile_limits(mosaic, get_flight_bounds(flight)))


def build_tile_response(
    request: Request, mosaic: MosaicInfo, tile_id: TileId, wanted: ViewFormat
) -> Response:
    """Return the published tile, transparent where nothing was flown.

    304 where the client has it. Raises errors of reading a tile.
    """
    views: DataTileViews = request.app.state.asked
    path = f"/tiles/{mosaic.mosaic_id}/{tile_id}{_SUFFIX_OF[wanted]}"
    view = views.view(path, mosaic.mosaic_id, tile_id, PUBLISHED_VIEW, wanted, get_access_policy(request))
    headers = {"ETag": view.etag.decode(), "Cache-Control": "private, no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(view.data, media_type=wanted.value, headers=headers)
