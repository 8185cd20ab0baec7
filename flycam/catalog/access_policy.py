"""The only place that decides what is withheld from an account: ground, flights, layers.

`access_policies` selects the rules of an account. There are four: restricted areas (`restrictions`),
classifications (`frame.classification`), accounts limited to some communes by administrators, and redactions
(`redacted_ground`) as drawn by people who saw the photo. Every route and export asks here with what it is
about to serve: the pixels of a tile, a point, the ground that an image shows, a photo, a flight, a layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.geometry_margin import expand_geometry, repair_geometry
from flycam.catalog.prepared_geometry import LockedPreparedGeometry
from flycam.catalog.records import BoundsLonLat, Role
from flycam.catalog.redacted_ground import NOTHING_REDACTED, RedactedGround
from flycam.frame.classification import Classification
from flycam.frame.flight import Flight
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    compute_grid_pixel_m,
    get_tile_bounds,
    lonlat_to_mercator,
)
from flycam.geometry.rasterization import rasterize_polygons

FOOTPRINT_MARGIN_M = 30.0
"""An image may show ground this far outside its footprint: poses have errors, and footprints are cut short.
"""

_SEES: dict[Classification, frozenset[Role]] = {
    Classification.OPEN: frozenset(Role),
    Classification.INTERNAL: frozenset(Role) - {Role.GUEST, Role.BOX},
    Classification.RESTRICTED: frozenset({Role.ANALYST, Role.ADMIN}),
}
# latitudes are those of web Mercator
_WORLD = (-180.0, -85.0511287, 180.0, 85.0511287)
_MAX_CACHED_TILES = 20_000
_AROUND_PX = 2.0  # within the reach of `rasterize_polygons`


def can_see(role: Role, level: Classification) -> bool:
    """Return True if a role may see data of this classification."""
    return role in _SEES[level]


@dataclass(frozen=True, slots=True)
class IdFilter:
    """Ids that are withheld or, for an account of one event, the only visible ones."""

    hidden: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def hides(self, name: str) -> bool:
        return name in self.hidden or (self.only is not None and name not in self.only)


class AccessPolicy:
    """Rules on what is withheld from an account. Immutable and thread-safe.

    is_nothing   nothing at all is withheld: callers need not ask further
    fingerprint  equal for equal rules; part of the name of everything made under them
    """

    def __init__(
        self,
        *,
        areas: Iterable[bytes] = (),
        within: bytes | None = None,
        flights: IdFilter | None = None,
        mosaics: IdFilter | None = None,
        layers: frozenset[str] = frozenset(),
        masks: RedactedGround = NOTHING_REDACTED,
    ) -> None:
        """Make a policy from its rules.

        areas   polygons (WKB, lon/lat) that are withheld
        within  the only ground that is not withheld
        """
        self._flights, self._mosaics = flights or IdFilter(), mosaics or IdFilter()
        self._layers = layers
        self._within = None if within is None else LockedPreparedGeometry(shapely.from_wkb(within))
        self._areas = LockedPreparedGeometry(shapely.union_all([shapely.from_wkb(one) for one in areas]))
        self._unseen = LockedPreparedGeometry(
            _withheld_ground(self._areas.shape, self._within and self._within.shape)
        )
        self._photos = masks.photos
        self._masked = [
            (frame_id, LockedPreparedGeometry(repair_geometry(wkb))) for frame_id, wkb in masks.grounds
        ]
        self._all_masked = LockedPreparedGeometry(shapely.union_all([one.shape for _, one in self._masked]))
        self._ground = LockedPreparedGeometry(
            shapely.union(self._unseen.shape, self._all_masked.shape) if self._masked else self._unseen.shape
        )
        self._mercator = LockedPreparedGeometry(shapely.transform(self._ground.shape, lonlat_to_mercator))
        self.fingerprint = self._fingerprint()
        names = (self._flights.hidden, self._mosaics.hidden, self._layers)
        has_only = self._flights.only is not None or self._mosaics.only is not None
        self.is_nothing = self._ground.shape.is_empty and not has_only and not any(names) and not self._photos
        self._touches_tile = lru_cache(maxsize=_MAX_CACHED_TILES)(self._look_at_tile)

    # -- ids ------------------------------------------------------------------------------------

    def hides_flight(self, flight_id: str) -> bool:
        return self._flights.hides(flight_id)

    def hides_flight_entirely(self, flight: Flight) -> bool:
        """Return True if the account may not know that the flight exists.

        Either by its classification, or because all its ground is outside the account's communes.
        """
        if self.is_nothing:
            return False
        bounds = flight.bounds_lonlat_deg
        outside = bounds is not None and self.is_outside(shapely.to_wkb(shapely.box(*bounds)))
        return outside or self.hides_flight(flight.flight_id)

    def hides_mosaic(self, mosaic_id: str) -> bool:
        return self._mosaics.hides(mosaic_id)

    def hides_layer(self, layer_id: str) -> bool:
        return layer_id in self._layers

    @property
    def hides_layers(self) -> bool:
        """True if any layer is withheld, even one that no longer exists."""
        return bool(self._layers)

    # -- ground ---------------------------------------------------------------------------------

    def touches_tile(self, tile_id: TileId) -> bool:
        """Return True if any pixel of a tile may be withheld."""
        return not self.is_nothing and self._touches_tile(tile_id)

    def get_tile_mask(self, tile_id: TileId) -> NDArray[np.bool_] | None:
        """Return a 256×256 mask, True where a pixel touches withheld ground.

        None if no pixel does.
        """
        if not self.touches_tile(tile_id):
            return None
        west, _, _, north = get_tile_bounds(tile_id)
        pixel_m = compute_grid_pixel_m(tile_id.z)
        part = shapely.clip_by_rect(self._mercator.shape, *_around(tile_id))
        polygons = [
            [_pixels(ring, west, north, pixel_m) for ring in (one.exterior, *one.interiors)]
            for one in shapely.get_parts(part)
            if one.geom_type == "Polygon" and not one.is_empty
        ]
        mask = rasterize_polygons(polygons, (TILE_SIZE_PX, TILE_SIZE_PX))
        return mask if mask.any() else None

    def hides_point(self, lon_deg: float, lat_deg: float) -> bool:
        """Return True if a place is withheld."""
        return self._ground.intersects_xy(lon_deg, lat_deg)

    def touches(
        self,
        wkb: bytes | None,
        margin_m: float = FOOTPRINT_MARGIN_M,
        *,
        redaction_margin_m: float = FOOTPRINT_MARGIN_M,
    ) -> bool:
        """Return True if an image of this ground shows any that is withheld.

        wkb                 of the ground, lon/lat; None if unknown
        redaction_margin_m  upper limit of the margin to redacted ground, which is small and not recognised
                            from afar
        """
        if self._ground.shape.is_empty:
            return False
        if wkb is None:
            return True
        shape = shapely.from_wkb(wkb)
        if self._unseen.intersects(expand_geometry(shape, margin_m)):
            return True
        return bool(self._all_masked.intersects(expand_geometry(shape, min(margin_m, redaction_margin_m))))

    def touches_box(self, bounds: BoundsLonLat | None, margin_m: float = FOOTPRINT_MARGIN_M) -> bool:
        """Return True if a flight's product shows withheld ground, by its box.

        bounds  degrees; None if unknown
        """
        wkb = None if bounds is None else shapely.to_wkb(shapely.box(*bounds))
        return self.touches(wkb, margin_m)

    # -- photos ---------------------------------------------------------------------------------

    def hides_photo(self, footprint_wkb: bytes | None, flight_box: BoundsLonLat | None) -> bool:
        """Return True if a photo is withheld as a whole.

        Redacted ground does not withhold it: redactions are burnt in instead.

        footprint_wkb  None if unknown; then the flight's box decides (None: unknown too)
        """
        if footprint_wkb is None:
            return not self._ground.shape.is_empty and (
                not self._unseen.shape.is_empty or self.touches_box(flight_box)
            )
        shape = shapely.from_wkb(footprint_wkb)
        return not self._unseen.shape.is_empty and bool(
            self._unseen.intersects(expand_geometry(shape, FOOTPRINT_MARGIN_M))
        )

    def get_redactions(self, frame_id: str) -> tuple[bytes, ...]:
        """Return the polygons (WKB, in its own pixels) to burn into a photo."""
        return self._photos.get(frame_id, ())

    def get_adjacent_redacted_ground(self, frame_id: str, footprint_wkb: bytes | None) -> BaseGeometry | None:
        """Return ground (lon/lat) in a photo that redactions of other photos cover.

        None if there is none.
        """
        if footprint_wkb is None:
            return None
        near = expand_geometry(shapely.from_wkb(footprint_wkb), FOOTPRINT_MARGIN_M)
        found = [
            ground.shape for owner, ground in self._masked if owner != frame_id and ground.intersects(near)
        ]
        return shapely.union_all(found) if found else None

    def is_outside(self, wkb: bytes) -> bool:
        """Return True if a geometry (WKB, lon/lat) is outside the account's communes.

        Restricted areas and redactions hide what images show, not what people draw: a mark for rescuers stays
        visible.
        """
        return self._within is not None and not self._within.intersects(shapely.from_wkb(wkb))

    @property
    def visible_bounds(self) -> BoundsLonLat | None:
        """Bounding box of the account's communes.

        (0, 0, 0, 0) if none of them is known; None: everywhere.
        """
        if self._within is None or self._within.shape.is_empty:
            return None if self._within is None else (0.0, 0.0, 0.0, 0.0)
        west, south, east, north = (float(side) for side in self._within.shape.bounds)
        return west, south, east, north

    def are_outside(self, wkbs: Sequence[bytes]) -> NDArray[np.bool_]:
        """Return `is_outside` for each of many geometries."""
        if self._within is None:
            return np.zeros(len(wkbs), dtype=np.bool_)
        is_inside: NDArray[np.bool_] = self._within.intersects(shapely.from_wkb(list(wkbs)))
        return ~is_inside

    def hides_drawing(self, wkb: bytes) -> bool:
        """Return True if a drawing made from an image is withheld.

        A drawing (a change; WKB, lon/lat) is withheld if it touches a restricted area, or is outside the
        account's communes. Redactions hide no drawing: the outline of a landslide shows nothing of a home
        that it destroyed.
        """
        return bool(self._areas.intersects(shapely.from_wkb(wkb))) or self.is_outside(wkb)

    def hides_change(self, line: ChangeVersion) -> bool:
        """Return True if a change is withheld, by its place or by its flights.

        A flight on which it was found shows in its outline, its date and the names of its images.
        """
        return self.hides_drawing(line.wkb) or any(self.hides_mosaic(one) for one in line.mosaics)

    # -- inside ---------------------------------------------------------------------------------

    def _look_at_tile(self, tile_id: TileId) -> bool:
        return bool(self._mercator.intersects(shapely.box(*_around(tile_id))))

    def _fingerprint(self) -> str:
        said = hashlib.sha256(shapely.to_wkb(self._ground.shape))
        for frame_id, polygons in sorted(self._photos.items()):
            said.update(b"\n".join([b"", frame_id.encode(), *sorted(polygons)]))
        for frame_id, ground in self._masked:
            said.update(frame_id.encode() + shapely.to_wkb(ground.shape))
        for names in (self._flights.hidden, self._mosaics.hidden, self._layers):
            said.update("\n".join(["", *sorted(names), ""]).encode())
        for only in (self._flights.only, self._mosaics.only):
            said.update(b"all" if only is None else "\n".join(["only", *sorted(only)]).encode())
        return said.hexdigest()[:16]


def _withheld_ground(areas: BaseGeometry, within: BaseGeometry | None) -> BaseGeometry:
    """Return all withheld ground as one geometry in degrees."""
    if within is None:
        return areas
    return shapely.union(areas, shapely.difference(shapely.box(*_WORLD), within))


def _around(tile_id: TileId) -> BoundsLonLat:
    """Return the bounds of the ground that matters for a tile, EPSG:3857."""
    around = _AROUND_PX * compute_grid_pixel_m(tile_id.z)
    west, south, east, north = get_tile_bounds(tile_id)
    return west - around, south - around, east + around, north + around


def _pixels(ring: Any, west: float, north: float, pixel_m: float) -> NDArray[np.float64]:
    """Convert a ring in Mercator metres to (column, row) of a tile, N×2."""
    xy = shapely.get_coordinates(ring)
    return np.stack([(xy[:, 0] - west) / pixel_m, (north - xy[:, 1]) / pixel_m], axis=1)


UNRESTRICTED = AccessPolicy()
