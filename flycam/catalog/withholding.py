"""The ONE place that decides what is withheld from whom: ground, flights, layers. Every door asks here.

Four rules: restricted areas (`restrictions`), classifications (`frame.classification`), accounts that are for
some communes only, as administrators made them, and redaction masks (`masked_ground`), as who saw the photo
drew them. A door asks with what it is about to hand out: the pixels of a tile, a point, the ground that a
picture shows, a photo, a flight, a layer.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.catalog import Catalog
from flycam.catalog.masked_ground import NO_MASKS, Masks, masks_of
from flycam.catalog.records import Account, BoundsLonLat, Role
from flycam.errors import NotFound
from flycam.frame.classification import Classification
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    grid_pixel_m,
    lonlat_to_mercator,
    tile_bounds,
)
from flycam.geometry.touched import touched_pixels

MARGIN_M = 30.0
"""So far around its footprint a picture may show ground: poses err, and footprints are cut short."""

MASK_RIM_M = 15.0
"""What a mask covers lies so far beside its ground in other pictures of the map at most: the ground is
widened by what its own photo errs, and not by what that of a tile does."""

_SEES: dict[Classification, frozenset[Role]] = {
    Classification.OPEN: frozenset(Role),
    Classification.INTERNAL: frozenset(Role) - {Role.GUEST, Role.BOX},
    Classification.RESTRICTED: frozenset({Role.ANALYST, Role.ADMIN}),
}
_WORLD = (-180.0, -85.0511287, 180.0, 85.0511287)
_METRES_PER_DEGREE = 111_320.0
_KEPT_S = 2.0
_TILES_KEPT = 20_000
_AROUND_PX = 2.0  # within what `touched_pixels` takes


def sees(role: Role, level: Classification) -> bool:
    """Whether a role sees what is classified so."""
    return role in _SEES[level]


@dataclass(frozen=True, slots=True)
class Allowed:
    """Ids that are withheld, or, for whoever sees one event alone, the only ones that are not."""

    hidden: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def hides(self, name: str) -> bool:
        return name in self.hidden or (self.only is not None and name not in self.only)


class Withholding:
    """What one kind of visitor must not get. Immutable; safe to use from several threads.

    is_nothing   nothing at all is withheld: doors need not ask further
    fingerprint  equal for equal rules; part of the name of whatever was made under them
    """

    def __init__(
        self,
        *,
        areas: Iterable[bytes] = (),
        within: bytes | None = None,
        flights: Allowed | None = None,
        mosaics: Allowed | None = None,
        layers: frozenset[str] = frozenset(),
        masks: Masks = NO_MASKS,
    ) -> None:
        """areas: polygons (WKB, lon/lat) that are withheld; within: the only ground that is not."""
        self._flights, self._mosaics = flights or Allowed(), mosaics or Allowed()
        self._layers = layers
        self._within = None if within is None else _prepared(shapely.from_wkb(within))
        self._areas = _prepared(shapely.union_all([shapely.from_wkb(one) for one in areas]))
        self._unseen = _prepared(_withheld_ground(self._areas, self._within))
        self._photos = masks.photos
        self._masked = [(frame_id, _prepared(_valid(wkb))) for frame_id, wkb in masks.grounds]
        rims = [_wider(ground, MASK_RIM_M) for _, ground in self._masked if not ground.is_empty]
        self._all_masked = _prepared(shapely.union_all(rims))
        self._ground = _prepared(shapely.union(self._unseen, self._all_masked))
        self._mercator = _prepared(shapely.transform(self._ground, lonlat_to_mercator))
        self.fingerprint = self._fingerprint()
        names = (self._flights.hidden, self._mosaics.hidden, self._layers)
        has_only = self._flights.only is not None or self._mosaics.only is not None
        self.is_nothing = self._ground.is_empty and not has_only and not any(names) and not self._photos
        self._touches_tile = lru_cache(maxsize=_TILES_KEPT)(self._look_at_tile)

    # -- ids ------------------------------------------------------------------------------------

    def hides_flight(self, flight_id: str) -> bool:
        return self._flights.hides(flight_id)

    def hides_mosaic(self, mosaic_id: str) -> bool:
        return self._mosaics.hides(mosaic_id)

    def hides_layer(self, layer_id: str) -> bool:
        return layer_id in self._layers

    @property
    def hides_layers(self) -> bool:
        """Whether any layer is withheld, also one that is no longer there."""
        return bool(self._layers)

    # -- ground ---------------------------------------------------------------------------------

    def touches_tile(self, tile_id: TileId) -> bool:
        """Whether any pixel of a tile may be withheld."""
        return not self.is_nothing and self._touches_tile(tile_id)

    def of_tile(self, tile_id: TileId) -> NDArray[np.bool_] | None:
        """256×256, True where the pixel touches withheld ground; None where no pixel does."""
        if not self.touches_tile(tile_id):
            return None
        west, south, east, north = tile_bounds(tile_id)
        pixel_m = grid_pixel_m(tile_id.z)
        around = _AROUND_PX * pixel_m
        part = shapely.clip_by_rect(
            self._mercator, west - around, south - around, east + around, north + around
        )
        polygons = [
            [_pixels(ring, west, north, pixel_m) for ring in (one.exterior, *one.interiors)]
            for one in shapely.get_parts(part)
            if one.geom_type == "Polygon" and not one.is_empty
        ]
        mask = touched_pixels(polygons, (TILE_SIZE_PX, TILE_SIZE_PX))
        return mask if mask.any() else None

    def holds_point(self, lon_deg: float, lat_deg: float) -> bool:
        """Whether a place is withheld."""
        return bool(shapely.intersects_xy(self._ground, lon_deg, lat_deg))

    def touches(self, wkb: bytes | None, margin_m: float = MARGIN_M) -> bool:
        """Whether what shows this ground (WKB, lon/lat; None: nobody knows) shows any that is withheld.

        Masked ground counts within MARGIN_M at most: what masks cover is small, and not known from afar.
        """
        if self._ground.is_empty:
            return False
        if wkb is None:
            return True
        shape = shapely.from_wkb(wkb)
        if shapely.intersects(self._unseen, _wider(shape, margin_m)):
            return True
        return bool(shapely.intersects(self._all_masked, _wider(shape, min(margin_m, MARGIN_M))))

    def touches_box(self, bounds: BoundsLonLat | None, margin_m: float = MARGIN_M) -> bool:
        """As `touches`, of a rectangle (degrees)."""
        return self.touches(None if bounds is None else shapely.to_wkb(shapely.box(*bounds)), margin_m)

    # -- photos ---------------------------------------------------------------------------------

    def hides_photo(self, footprint_wkb: bytes | None, flight_box: BoundsLonLat | None) -> bool:
        """Whether a photo is withheld whole: for ground that is not masked ground, which is burnt in instead.

        footprint_wkb  None: nobody knows; then what its flight's box (None: nor that) shows decides
        """
        if footprint_wkb is None:
            return not self._ground.is_empty and (not self._unseen.is_empty or self.touches_box(flight_box))
        shape = shapely.from_wkb(footprint_wkb)
        return not self._unseen.is_empty and bool(shapely.intersects(self._unseen, _wider(shape, MARGIN_M)))

    def masks_on(self, frame_id: str) -> tuple[bytes, ...]:
        """Polygons (WKB, in its own pixels) that must be burnt into a photo."""
        return self._photos.get(frame_id, ())

    def masked_beside(self, frame_id: str, footprint_wkb: bytes | None) -> BaseGeometry | None:
        """Ground (lon/lat) that a photo may show and that masks on other photos withhold; None: none."""
        if footprint_wkb is None:
            return None
        near = _wider(shapely.from_wkb(footprint_wkb), MARGIN_M)
        found = [
            ground for owner, ground in self._masked if owner != frame_id and shapely.intersects(ground, near)
        ]
        return shapely.union_all(found) if found else None

    def is_outside(self, wkb: bytes) -> bool:
        """Whether something (WKB, lon/lat) lies nowhere in the communes that the visitor is there for.

        Restricted areas and masks hide what is seen in pictures, not what people draw: a mark for rescuers
        stands.
        """
        return self._within is not None and not shapely.intersects(self._within, shapely.from_wkb(wkb))

    def hides_drawing(self, wkb: bytes) -> bool:
        """Whether what somebody drew after a picture (a change; WKB, lon/lat) is withheld: it shows what lies
        in a restricted area, or is nowhere in the visitor's communes. Masks hide no drawing: the outline
        of a landslide shows nothing of a home that it took."""
        return bool(shapely.intersects(self._areas, shapely.from_wkb(wkb))) or self.is_outside(wkb)

    # -- inside ---------------------------------------------------------------------------------

    def _look_at_tile(self, tile_id: TileId) -> bool:
        around = _AROUND_PX * grid_pixel_m(tile_id.z)
        west, south, east, north = tile_bounds(tile_id)
        box = shapely.box(west - around, south - around, east + around, north + around)
        return bool(shapely.intersects(self._mercator, box))

    def _fingerprint(self) -> str:
        said = hashlib.sha256(shapely.to_wkb(self._ground))
        for frame_id, polygons in sorted(self._photos.items()):
            said.update(b"\n".join([b"", frame_id.encode(), *sorted(polygons)]))
        for frame_id, ground in self._masked:
            said.update(frame_id.encode() + shapely.to_wkb(ground))
        for names in (self._flights.hidden, self._mosaics.hidden, self._layers):
            said.update("\n".join(["", *sorted(names), ""]).encode())
        for only in (self._flights.only, self._mosaics.only):
            said.update(b"all" if only is None else "\n".join(["only", *sorted(only)]).encode())
        return said.hexdigest()[:16]


def _withheld_ground(areas: BaseGeometry, within: BaseGeometry | None) -> BaseGeometry:
    """Everything that is withheld, as one geometry in degrees."""
    if within is None:
        return areas
    return shapely.union(areas, shapely.difference(shapely.box(*_WORLD), within))


def _valid(wkb: bytes) -> BaseGeometry:
    """A geometry that can be worked with, whatever was stored: one that cannot would close every door."""
    shape = shapely.from_wkb(wkb)
    return shape if shape.is_valid else shapely.make_valid(shape)


def _prepared(shape: BaseGeometry) -> BaseGeometry:
    shapely.prepare(shape)
    return shape


def _wider(shape: BaseGeometry, margin_m: float) -> BaseGeometry:
    """A geometry in degrees with a margin: at least so wide on the ground everywhere."""
    if margin_m <= 0.0:
        return shape
    _, south, _, north = shape.bounds
    shrink = float(np.cos(np.radians(min(max(abs(south), abs(north)), 85.0))))
    return shape.buffer(margin_m / (_METRES_PER_DEGREE * shrink), quad_segs=4)


def _pixels(ring: Any, west: float, north: float, pixel_m: float) -> NDArray[np.float64]:
    """A ring in Mercator metres as (column, row) of a tile, N×2."""
    xy = shapely.get_coordinates(ring)
    return np.stack([(xy[:, 0] - west) / pixel_m, (north - xy[:, 1]) / pixel_m], axis=1)


NOTHING_WITHHELD = Withholding()


@dataclass(frozen=True, slots=True)
class _Kind:
    """What of an account decides what it sees."""

    role: Role
    communes: tuple[str, ...]
    event_id: str


@dataclass(slots=True)
class _Kept:
    at_s: float
    withholding: Withholding = field(default=NOTHING_WITHHELD)


class Withholdings:
    """The withholding of each account, as the rules stood at most two seconds ago. Safe to use from several
    threads. What was made under a withholding stays good as long as it is the same object."""

    def __init__(self, catalog: Catalog, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._catalog, self._clock_s = catalog, clock_s
        self._lock = threading.Lock()
        self._kept: dict[_Kind, _Kept] = {}

    def of(self, account: Account | None) -> Withholding:
        """What is withheld from an account; nothing from whoever sits at the machine itself (None).

        Raises CatalogUnavailable: then nobody knows, and nothing may be handed out.
        """
        if account is None:
            return NOTHING_WITHHELD
        kind = _Kind(account.role, account.communes, account.event_id)
        with self._lock:
            kept = self._kept.get(kind)
            if kept is not None and self._clock_s() - kept.at_s < _KEPT_S:
                return kept.withholding
            at_s, made = self._clock_s(), withholding_of(self._catalog, account)
            if kept is not None and kept.withholding.fingerprint == made.fingerprint:
                made = kept.withholding
            self._kept[kind] = _Kept(at_s, made)
            return made


def withholding_of(catalog: Catalog, account: Account) -> Withholding:
    """What is withheld from an account by the rules as they stand now."""
    role = account.role
    areas = [one.wkb for one in catalog.restrictions.areas() if role not in one.roles]
    unseen = {subject for subject, level in catalog.restrictions.levels().items() if not sees(role, level)}
    within = _within(catalog, account.communes) if account.communes else None
    masks = NO_MASKS if sees(role, Classification.RESTRICTED) else masks_of(catalog)
    if not (areas or unseen or within or account.event_id or masks.photos):
        return NOTHING_WITHHELD
    hidden = frozenset(unseen)
    only = _of_event(catalog, account.event_id) if account.event_id else None
    mosaics = catalog.tiles.mosaics() if hidden or only is not None else []
    return Withholding(
        areas=areas,
        within=within,
        flights=Allowed(hidden, only),
        mosaics=Allowed(
            frozenset(one.mosaic_id for one in mosaics if one.flight_id in hidden),
            None if only is None else frozenset(one.mosaic_id for one in mosaics if one.flight_id in only),
        ),
        layers=hidden,
        masks=masks,
    )


def _of_event(catalog: Catalog, event_id: str) -> frozenset[str]:
    return frozenset(one.flight_id for one in catalog.flights.flights(event_id))


def _within(catalog: Catalog, codes: Iterable[str]) -> bytes:
    """The ground of these communes as their boundaries are latest; of one that is known no longer, none."""
    found = []
    for code in codes:
        try:
            found.append(shapely.from_wkb(catalog.boundaries.commune(code).wkb))
        except NotFound:
            continue
    ground: bytes = shapely.to_wkb(shapely.union_all(found) if found else shapely.Polygon())
    return ground
