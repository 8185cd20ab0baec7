"""KML for Google Earth and tablets: flight outlines, and mosaics tile by tile.

`/kml` lists the flights, `/kml/link.kml` is the small file that keeps requesting that list, and
`/kml/{mosaic}/{z}/{x}/{y}.kml` is a node of the pyramid (Regions, "super-overlay"). A tile is placed by its
edges in degrees: between them a Mercator image is off by less than a third of its pixel from zoom 8 on.

Source: OGC 12-007r2 (KML 2.3), which reads KML 2.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Path, Request, Response

from flycam.access.visible_flights import (
    find_shown_mosaic,
    format_title,
    get_flight_bounds,
    list_flights_on_map,
)
from flycam.catalog.catalog import Catalog
from flycam.errors import NotFound
from flycam.geodata.kml import KmlStyle, Placemark, escape_xml, format_box, format_kml, format_placemark
from flycam.geometry.grid import MAX_ZOOM, TileId, get_tile_bounds, mercator_to_lonlat
from flycam.http.guards import get_access_policy, require_viewer
from flycam.http.responses import get_base_url, quote_path_segment
from flycam.http.services import CatalogHere
from flycam.messages import _
from flycam.model.flight import Event, Flight
from flycam.model.records import BoundsLonLat, MosaicInfo
from flycam.model.time import EARLIEST_NS, format_iso, format_minute, format_utc_offset
from flycam.serve.ogc.params import NamePath
from flycam.serve.tiles.outlines import get_shown_outline
from flycam.serve.tiles.tile_route import iterate_tile_limits

router = APIRouter(dependencies=[Depends(require_viewer)])

KML_MEDIA_TYPE = "application/vnd.google-earth.kml+xml"
_STYLES = {False: KmlStyle("real", "ffd700"), True: KmlStyle("drill", "007fff")}
_REFRESH_S = 60
_APPEARS_PX, _GONE_PX = 128, 2048
"""Side on the screen from which a tile is drawn, and up to which one that has children stays."""
_MAX_ROOTS = 4
_MINUTE_NS = 60 * 10**9
_Number = Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)]


@router.get("/kml", response_class=Response)
def get_flights_kml(request: Request, catalog: CatalogHere) -> Response:
    """List flights on the map by event, each with outline, times and mosaic.

    The mosaic loads as one zooms in.
    """
    base = get_base_url(request)
    folders = "".join(_folder(request, catalog, event, base) for event in catalog.flights.events())
    document = format_kml("flycam", folders, styles=_STYLES.values(), is_open=True)
    return _kml(document, "flycam.kml")


@router.get("/kml/link.kml", response_class=Response)
def get_live_kml_link(request: Request) -> Response:
    """Return a link to `/kml` that reloads every minute: the file to hand out."""
    link = (
        "<NetworkLink><name>flycam</name><open>1</open><Link>"
        f"<href>{escape_xml(get_base_url(request))}kml</href><refreshMode>onInterval</refreshMode>"
        f"<refreshInterval>{_REFRESH_S}</refreshInterval></Link></NetworkLink>"
    )
    return _kml(format_kml("flycam", link), "flycam-link.kml")


@router.get("/kml/{mosaic_id}/{z}/{x}/{y}.kml", response_class=Response)
def get_tile_kml(
    mosaic_id: NamePath,
    z: Annotated[int, Path(ge=0, le=MAX_ZOOM)],
    x: _Number,
    y: _Number,
    request: Request,
    catalog: CatalogHere,
) -> Response:
    """Return one tile of the published mosaic as a ground overlay.

    With links to those of its children that exist.
    """
    mosaic, flight = find_shown_mosaic(catalog, mosaic_id, get_access_policy(request))
    tile = TileId(z=z, x=x, y=y)
    if not _exists(catalog, mosaic, tile):
        raise NotFound(_("{tile}: the mosaic has no such tile; see /kml", tile=tile))
    base = get_base_url(request)
    children = [one for one in tile.children() if z < mosaic.base_zoom and _exists(catalog, mosaic, one)]
    links = "".join(_node_link(mosaic, one, base) for one in children)
    overlay = _overlay(mosaic, flight, tile, base, has_children=bool(children))
    return _kml(format_kml(str(tile), overlay, links), f"{z}-{x}-{y}.kml")


def _folder(request: Request, catalog: Catalog, event: Event, base: str) -> str:
    shown = list_flights_on_map(catalog, get_access_policy(request), event.event_id)
    if not shown:
        return ""
    inside = "".join(_flight(request, catalog, one, event, base) for one in shown)
    return f"<Folder><name>{escape_xml(format_title(event.name, event))}</name>{inside}</Folder>"


def _flight(request: Request, catalog: Catalog, flight: Flight, event: Event, base: str) -> str:
    outline = get_shown_outline(request, catalog, flight)
    shape = shapely.from_wkb(outline) if outline else shapely.box(*get_flight_bounds(flight))
    links = "".join(
        f"<Folder><name>{escape_xml(mosaic.layer.value)}</name>"
        f"{''.join(_roots(catalog, mosaic, flight, base))}</Folder>"
        for mosaic in catalog.tiles.mosaics(flight.flight_id)
        if mosaic.published
    )
    name = format_title(flight.name, event)
    placemark = Placemark(
        name=name,
        description=_describe_flight(flight),
        begin=format_iso(flight.first_ns),
        end=format_iso(flight.last_ns),
        style=_STYLES[event.is_drill],
        shape=shape,
    )
    return f"<Folder><name>{escape_xml(name)}</name>{format_placemark(placemark)}{links}</Folder>"


def _describe_flight(flight: Flight) -> str:
    """Format time and GSD for readers in Vietnam: local time, centimetres."""
    first, last = format_minute(flight.first_ns), format_minute(flight.last_ns)
    return (
        f"{first} – {last} ({format_utc_offset(flight.first_ns, flight.last_ns)}) · GSD "
        f"{flight.gsd_m * 100:.0f} cm"
    )


def _roots(catalog: Catalog, mosaic: MosaicInfo, flight: Flight, base: str) -> Iterator[str]:
    """Yield links to the root tiles of the pyramid.

    They are at the deepest zoom at which a few tiles hold all of the mosaic.
    """
    few = [
        tiles for tiles in iterate_tile_limits(mosaic, get_flight_bounds(flight)) if len(tiles) <= _MAX_ROOTS
    ]
    for tile in few[-1] if few else ():
        if _exists(catalog, mosaic, tile):
            yield _node_link(mosaic, tile, base)


def _exists(catalog: Catalog, mosaic: MosaicInfo, tile: TileId) -> bool:
    return catalog.tiles.head(mosaic.mosaic_id, mosaic.revision, tile) is not None


def _node_link(mosaic: MosaicInfo, tile: TileId, base: str) -> str:
    return (
        f"<NetworkLink><name>{tile}</name>{_region(tile, -1)}<Link>"
        f"<href>{escape_xml(base)}kml/{quote_path_segment(mosaic.mosaic_id)}/{tile}.kml</href>"
        "<viewRefreshMode>onRegion</viewRefreshMode></Link></NetworkLink>"
    )


def _overlay(mosaic: MosaicInfo, flight: Flight, tile: TileId, base: str, *, has_children: bool) -> str:
    return (
        f"<GroundOverlay><name>{tile}</name>{_region(tile, _GONE_PX if has_children else -1)}"
        f"<drawOrder>{_order(flight, tile.z)}</drawOrder>"
        f"<Icon><href>{escape_xml(base)}tiles/{quote_path_segment(mosaic.mosaic_id)}/{tile}.png</href></Icon>"
        f"{format_box('LatLonBox', _edges(tile))}</GroundOverlay>"
    )


def _order(flight: Flight, zoom: int) -> int:
    """Return the draw order: the newest flight on top, then the finest zoom.

    Within 31 bits until 2100.
    """
    minutes = max(flight.last_ns - EARLIEST_NS, 0) // _MINUTE_NS
    return int(minutes) * (MAX_ZOOM + 6) + zoom


def _region(tile: TileId, max_px: int) -> str:
    return (
        f"<Region>{format_box('LatLonAltBox', _edges(tile))}<Lod><minLodPixels>{_APPEARS_PX}</minLodPixels>"
        f"<maxLodPixels>{max_px}</maxLodPixels></Lod></Region>"
    )


def _edges(tile: TileId) -> BoundsLonLat:
    """Return west, south, east, north of a tile in degrees."""
    x0, y0, x1, y1 = get_tile_bounds(tile)
    (west, south), (east, north) = mercator_to_lonlat(np.array([[x0, y0], [x1, y1]])).tolist()
    return west, south, east, north


def _kml(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    return Response(text, media_type=KML_MEDIA_TYPE, headers=headers)
