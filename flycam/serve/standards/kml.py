"""KML for Google Earth and tablets: outlines of the flights, and their mosaics tile by tile.

`/kml` lists the flights, `/kml/link.kml` is the small file that keeps asking for that list, and
`/kml/{mosaic}/{z}/{x}/{y}.kml` is a node of the pyramid (Regions, "super-overlay"). A tile is laid by its
edges in degrees: between them a Mercator picture is off by less than a third of its pixel from zoom 8 on.

Source: OGC 12-007r2 (KML 2.3), which reads KML 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
import shapely
from fastapi import APIRouter, Depends, Path, Request, Response
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from flycam.catalog.catalog import Catalog
from flycam.catalog.records import BoundsLonLat, MosaicInfo
from flycam.errors import NotFound
from flycam.frame.flight import Event, Flight
from flycam.frame.moment import EARLIEST_NS, iso, minute_of, zone_at
from flycam.geodata.kml_shapes import FOOT, HEAD
from flycam.geometry.grid import MAX_ZOOM, TileId, mercator_to_lonlat, tile_bounds
from flycam.messages import _
from flycam.serve.answering.links import base_of, part
from flycam.serve.answering.quad import limits
from flycam.serve.door.guard import viewer, withholding_of
from flycam.serve.services import CatalogHere
from flycam.serve.standards.asked_for import Name
from flycam.serve.standards.xml_words import escape
from flycam.serve.tiles.imaged import outline_on_show
from flycam.serve.tiles.offered import bounds_of, flights_on_map, shown_mosaic, titled

router = APIRouter(dependencies=[Depends(viewer)])

KML = "application/vnd.google-earth.kml+xml"
_STYLES = "".join(
    f'<Style id="{name}"><LineStyle><color>{colour}</color><width>2</width></LineStyle>'
    "<PolyStyle><fill>0</fill></PolyStyle></Style>"
    for name, colour in (("real", "ff00d7ff"), ("drill", "ffff7f00"))  # aabbggrr
)
_REFRESH_S = 60
_APPEARS_PX, _GONE_PX = 128, 2048
"""Side on the screen from which a tile is drawn, and up to which one that has children stays."""
_MOST_ROOTS = 4
_MINUTE_NS = 60 * 10**9
_Number = Annotated[int, Path(ge=0, lt=1 << MAX_ZOOM)]


@router.get("/kml", response_class=Response)
def flights(request: Request, catalog: CatalogHere) -> Response:
    """Flights on the map by event: an outline with its times, and the mosaic on show as one comes in."""
    base = base_of(request)
    folders = "".join(_folder(request, catalog, event, base) for event in catalog.flights.events())
    return _kml(f"{HEAD}<name>flycam</name><open>1</open>{_STYLES}{folders}{FOOT}", "flycam.kml")


@router.get("/kml/link.kml", response_class=Response)
def live(request: Request) -> Response:
    """A link to `/kml` that asks again every minute: the file to hand out."""
    link = (
        "<NetworkLink><name>flycam</name><open>1</open><Link>"
        f"<href>{escape(base_of(request))}kml</href><refreshMode>onInterval</refreshMode>"
        f"<refreshInterval>{_REFRESH_S}</refreshInterval></Link></NetworkLink>"
    )
    return _kml(f"{HEAD}<name>flycam</name>{link}{FOOT}", "flycam-link.kml")


@router.get("/kml/{mosaic_id}/{z}/{x}/{y}.kml", response_class=Response)
def node(
    mosaic_id: Name,
    z: Annotated[int, Path(ge=0, le=MAX_ZOOM)],
    x: _Number,
    y: _Number,
    request: Request,
    catalog: CatalogHere,
) -> Response:
    """One tile of the mosaic on show as a ground overlay, and links to those of its children that exist."""
    mosaic, flight = shown_mosaic(catalog, mosaic_id, withholding_of(request))
    tile = TileId(z=z, x=x, y=y)
    if not _exists(catalog, mosaic, tile):
        raise NotFound(_("{tile}: the mosaic has no such tile; see /kml", tile=tile))
    base = base_of(request)
    children = [one for one in tile.children() if z < mosaic.base_zoom and _exists(catalog, mosaic, one)]
    links = "".join(_node_link(mosaic, one, base) for one in children)
    overlay = _overlay(mosaic, flight, tile, base, has_children=bool(children))
    return _kml(f"{HEAD}{overlay}{links}{FOOT}", f"{z}-{x}-{y}.kml")


def _folder(request: Request, catalog: Catalog, event: Event, base: str) -> str:
    shown = flights_on_map(catalog, withholding_of(request), event.event_id)
    if not shown:
        return ""
    inside = "".join(_flight(request, catalog, one, event, base) for one in shown)
    return f"<Folder><name>{escape(titled(event.name, event))}</name>{inside}</Folder>"


def _flight(request: Request, catalog: Catalog, flight: Flight, event: Event, base: str) -> str:
    outline = outline_on_show(request, catalog, flight)
    shape = shapely.from_wkb(outline) if outline else shapely.box(*bounds_of(flight))
    links = "".join(
        f"<Folder><name>{escape(mosaic.layer.value)}</name>"
        f"{''.join(_roots(catalog, mosaic, flight, base))}</Folder>"
        for mosaic in catalog.tiles.mosaics(flight.flight_id)
        if mosaic.published
    )
    name = escape(titled(flight.name, event))
    return (
        f"<Folder><name>{name}</name>"
        f"<Placemark><name>{name}</name><description>{escape(_told(flight))}</description>"
        f"<TimeSpan><begin>{iso(flight.first_ns)}</begin><end>{iso(flight.last_ns)}</end></TimeSpan>"
        f"<styleUrl>#{'drill' if event.is_drill else 'real'}</styleUrl>"
        f"<MultiGeometry>{''.join(map(_polygon, _polygons(shape)))}</MultiGeometry></Placemark>"
        f"{links}</Folder>"
    )


def _told(flight: Flight) -> str:
    """When and how sharp, as people here read it: Vietnam's clock, centimetres."""
    first, last = minute_of(flight.first_ns), minute_of(flight.last_ns)
    return f"{first} – {last} ({zone_at(flight.first_ns, flight.last_ns)}) · GSD {flight.gsd_m * 100:.0f} cm"


def _roots(catalog: Catalog, mosaic: MosaicInfo, flight: Flight, base: str) -> Iterator[str]:
    """Links to the tiles with which the pyramid begins: the deepest zoom at which a few hold all of it."""
    few = [tiles for tiles in limits(mosaic, bounds_of(flight)) if len(tiles) <= _MOST_ROOTS]
    for tile in few[-1] if few else ():
        if _exists(catalog, mosaic, tile):
            yield _node_link(mosaic, tile, base)


def _exists(catalog: Catalog, mosaic: MosaicInfo, tile: TileId) -> bool:
    return catalog.tiles.head(mosaic.mosaic_id, mosaic.revision, tile) is not None


def _node_link(mosaic: MosaicInfo, tile: TileId, base: str) -> str:
    return (
        f"<NetworkLink><name>{tile}</name>{_region(tile, -1)}<Link>"
        f"<href>{escape(base)}kml/{part(mosaic.mosaic_id)}/{tile}.kml</href>"
        "<viewRefreshMode>onRegion</viewRefreshMode></Link></NetworkLink>"
    )


def _overlay(mosaic: MosaicInfo, flight: Flight, tile: TileId, base: str, *, has_children: bool) -> str:
    west, south, east, north = _edges(tile)
    return (
        f"<GroundOverlay><name>{tile}</name>{_region(tile, _GONE_PX if has_children else -1)}"
        f"<drawOrder>{_order(flight, tile.z)}</drawOrder>"
        f"<Icon><href>{escape(base)}tiles/{part(mosaic.mosaic_id)}/{tile}.png</href></Icon>"
        f"<LatLonBox><north>{north!r}</north><south>{south!r}</south><east>{east!r}</east><west>{west!r}</west>"
        "</LatLonBox></GroundOverlay>"
    )


def _order(flight: Flight, zoom: int) -> int:
    """The newest flight on top, and of one flight the finest zoom; within 31 bits until 2100."""
    minutes = max(flight.last_ns - EARLIEST_NS, 0) // _MINUTE_NS
    return int(minutes) * (MAX_ZOOM + 6) + zoom


def _region(tile: TileId, gone_px: int) -> str:
    west, south, east, north = _edges(tile)
    return (
        f"<Region><LatLonAltBox><north>{north!r}</north><south>{south!r}</south><east>{east!r}</east>"
        f"<west>{west!r}</west></LatLonAltBox><Lod><minLodPixels>{_APPEARS_PX}</minLodPixels>"
        f"<maxLodPixels>{gone_px}</maxLodPixels></Lod></Region>"
    )


def _edges(tile: TileId) -> BoundsLonLat:
    """West, south, east, north of a tile in degrees."""
    x0, y0, x1, y1 = tile_bounds(tile)
    (west, south), (east, north) = mercator_to_lonlat(np.array([[x0, y0], [x1, y1]])).tolist()
    return west, south, east, north


def _polygons(shape: BaseGeometry) -> Iterable[Polygon]:
    return [one for one in shapely.get_parts(shape) if isinstance(one, Polygon)]


def _polygon(polygon: Polygon) -> str:
    inner = "".join(f"<innerBoundaryIs>{_ring(one)}</innerBoundaryIs>" for one in polygon.interiors)
    outer = f"<outerBoundaryIs>{_ring(polygon.exterior)}</outerBoundaryIs>"
    return f"<Polygon><tessellate>1</tessellate>{outer}{inner}</Polygon>"


def _ring(ring: BaseGeometry) -> str:
    points = " ".join(f"{x:.7f},{y:.7f}" for x, y, *_ in ring.coords)
    return f"<LinearRing><coordinates>{points}</coordinates></LinearRing>"


def _kml(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'inline; filename="{name}"'}
    return Response(text, media_type=KML, headers=headers)
