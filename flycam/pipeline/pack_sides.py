"""The flights of a meeting pack, the ground that each shows, and the communes under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import CommuneRecord, FrameRecord, FrameStatus, MosaicInfo
from flycam.catalog.revisions import LIVE_REVISION
from flycam.errors import NotFound, OptionUnusable
from flycam.frame.flight import Event, Flight, FlightState
from flycam.geodata.crs import WEB_MERCATOR, point_transform
from flycam.geometry.grid import lonlat_to_mercator, mercator_to_lonlat
from flycam.geometry.planar import Bounds
from flycam.mosaic.extent import data_bounds
from flycam.mosaic.shown_ground import shown_ground
from flycam.pipeline.coverage import communes_of, main_mosaic
from flycam.pipeline.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class PackSide:
    """A flight as it is on show.

    frames  that its mosaic is made of, by time
    ground  polygons that it shows, Web Mercator metres; extent the rectangle around them
    """

    flight: Flight
    event: Event
    mosaic: MosaicInfo
    frames: tuple[FrameRecord, ...]
    ground: BaseGeometry
    extent: Bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class PackPlace:
    """A commune of which ground is shown; shape and ground (the part shown) in Web Mercator metres."""

    commune: CommuneRecord
    shape: BaseGeometry
    ground: BaseGeometry


def sides_of(workspace: Workspace, refs: Sequence[str]) -> list[PackSide]:
    """The flights, each once, the newest first.

    Raises NotFound (no such flight, withdrawn, nothing on its map), OptionUnusable (a drill beside a real
    flight).
    """
    flights = {one.flight_id: one for one in map(workspace.catalog.flights.flight, refs)}
    sides = [_side(workspace, flight) for flight in flights.values()]
    if len({side.event.is_drill for side in sides}) > 1:
        drills = ", ".join(side.flight.name for side in sides if side.event.is_drill)
        raise OptionUnusable(
            f"{drills}: a drill, and never stands in one pack with real flights; make two packs",
            vi=f"{drills}: là diễn tập, không được chung bộ tài liệu với chuyến bay thật; hãy làm hai bộ",
        )
    return sorted(sides, key=lambda side: (-side.flight.last_ns, side.flight.flight_id))


def extent_of(sides: Sequence[PackSide]) -> Bounds:
    """The rectangle around all that is shown, Web Mercator metres."""
    west, south, east, north = np.array([side.extent for side in sides]).T
    return float(west.min()), float(south.min()), float(east.max()), float(north.max())


def places_of(workspace: Workspace, sides: Sequence[PackSide]) -> list[PackPlace]:
    """Communes of which the flights show ground, by the boundaries of the newest one's day; largest first."""
    west, south, east, north = extent_of(sides)
    (w, s), (e, n) = mercator_to_lonlat(np.array([[west, south], [east, north]])).tolist()
    whole = shapely.union_all([side.ground for side in sides])
    places = []
    for commune in communes_of(workspace.catalog, sides[0].flight, (w, s, e, n)):
        shape = shapely.transform(shapely.from_wkb(commune.wkb), lonlat_to_mercator)
        ground = shape.intersection(whole)
        if ground.area > 0.0:
            places.append(PackPlace(commune=commune, shape=shape, ground=ground))
    return sorted(places, key=lambda one: (-one.ground.area, one.commune.code))


def area_m2(ground: BaseGeometry, work_crs: str) -> float:
    """Area of polygons in Web Mercator, measured in the work CRS."""
    return float(shapely.transform(ground, point_transform(WEB_MERCATOR, work_crs)).area)


def _side(workspace: Workspace, flight: Flight) -> PackSide:
    if flight.state is FlightState.WITHDRAWN:
        raise NotFound(
            f"{flight.name}: this flight was withdrawn; leave it out",
            vi=f"{flight.name}: chuyến bay này đã bị rút; hãy bỏ ra",
        )
    mosaic = main_mosaic(workspace, flight.flight_id)
    tiles = workspace.catalog.tiles
    extent = data_bounds(workspace.store, tiles, mosaic)
    ground, _ = shown_ground(workspace.store, tiles, mosaic)
    return PackSide(
        flight=flight,
        event=workspace.catalog.flights.event(flight.event_id),
        mosaic=mosaic,
        frames=_frames(workspace, mosaic),
        ground=ground,
        extent=extent,
    )


def _frames(workspace: Workspace, mosaic: MosaicInfo) -> tuple[FrameRecord, ...]:
    """What a finished revision holds, or all that the live one is made of."""
    used = [
        one
        for one in workspace.catalog.frames.of_flight(mosaic.flight_id, FrameStatus.USED)
        if one.header.layer is mosaic.layer
    ]
    if mosaic.revision > LIVE_REVISION:
        kept = {one.frame_id for one in workspace.catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision)}
        used = [one for one in used if one.frame_id in kept]
    return tuple(sorted(used, key=lambda one: (one.header.captured_ns, one.frame_id)))
