"""Access policies: the ground, flights and layers withheld from an account.

This is the only place that decides what is withheld. `AccessPolicies` selects the rules of an account. There
are four: restricted areas (`restrictions`), classifications (`model.flight`), accounts limited to some
communes by administrators, and redactions (`RedactedGround`) as drawn by people who saw the photo. Every
route and export asks here with what it is about to serve: the pixels of a tile, a point, the ground that an
image shows, a photo, a flight, a layer.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.access.shown_ground import (
    FOOTPRINT_MARGIN_M,
    expand_geometry,
    outline_shown_ground,
    repair_geometry,
)
from flycam.catalog.access import select_active_redactions
from flycam.catalog.catalog import Catalog
from flycam.catalog.changes import ChangeVersion
from flycam.catalog.flights import derive_placement_id, make_flight_not_found, to_placement
from flycam.catalog.mosaics import LIVE_REVISION, make_mosaic_not_found
from flycam.errors import AccessDenied, NotFound
from flycam.geometry.camera import InteriorOrientation
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    compute_grid_pixel_m,
    get_tile_bounds,
    lonlat_to_mercator,
)
from flycam.geometry.pose import ExteriorOrientation
from flycam.messages import _
from flycam.model.access import Account, Role
from flycam.model.flight import DRILL_MARK, Classification, Event, Flight, FlightState
from flycam.model.records import (
    BoundsLonLat,
    FrameRecord,
    MosaicInfo,
    Placement,
    RevisionRecord,
    RevisionState,
)

# -- Prepared geometries that threads share --------------------------------------------------------


class LockedPreparedGeometry:
    """Prepared geometry that any thread may query.

    GEOS keeps its working data in a prepared geometry (the index, made at the first query, and the chains of
    the queried geometry) without a lock, and shapely releases the GIL meanwhile: two concurrent queries end
    the program with a segmentation fault. Here one query waits for the other.

    shape  the geometry itself, not prepared: for deriving others
    """

    def __init__(self, shape: BaseGeometry) -> None:
        self.shape = shape
        # a copy that nobody else can query
        self._asked = shapely.from_wkb(shapely.to_wkb(shape))
        self._lock = threading.Lock()
        shapely.prepare(self._asked)

    def intersects(self, others: Any) -> Any:
        """Query as shapely.intersects: a bool for one geometry, an array for many."""
        with self._lock:
            return shapely.intersects(self._asked, others)

    def intersects_xy(self, x: float, y: float) -> bool:
        """Query as shapely.intersects_xy, for one point."""
        with self._lock:
            return bool(shapely.intersects_xy(self._asked, x, y))


# -- Ground that redactions withhold, by the current placements of their photos --------------------
#
# A photo may have several placements at once: that of the live mosaic, and that of each finished revision.
# The ground of a redaction is computed where terrain and pixels are at hand (`mosaic.redaction`); as long as
# it is not known for a placement, all that the photo may show is withheld.


REDACTION_MARGIN_M = 60.0
"""Everything this near the ground of a redaction is withheld, on every map and photo.

For the errors of places: twice 15 m (1-sigma) for the photo that the redaction was drawn on (one with a
larger error is withheld whole, `geometry.footprint.MAX_ERROR_M`), and twice 15 m for the map or the photo
that shows the same ground. Decision 0028 has the errors of real flights.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroundProjection:
    """One placement of a photo on the ground, named by pose, camera and terrain."""

    name: str
    interior: InteriorOrientation
    exterior: ExteriorOrientation
    dem_id: str | None


@dataclass(frozen=True, slots=True)
class RedactedGround:
    """Polygons and ground that redactions withhold.

    photos   the polygons (WKB, as `RedactionRecord.wkb`) of each photo that has any, by its frame's id
    grounds  (frame id, polygon WKB in lon/lat): ground that the redactions of a photo cover
    """

    photos: dict[str, tuple[bytes, ...]]
    grounds: tuple[tuple[str, bytes], ...]


NOTHING_REDACTED = RedactedGround({}, ())


class RedactedGroundCache:
    """Cache of the active redactions, shared by all accounts. Thread-safe.

    They are computed again when anything they depend on has changed, which one query detects.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._stamp: object = None
        self._masks = NOTHING_REDACTED

    def get_current(self) -> RedactedGround:
        """Return the current redactions, the same object as long as nothing changed.

        Raises CatalogUnavailable.
        """
        with self._lock:
            stamp = self._catalog.redactions.stamp()
            if stamp != self._stamp:
                self._masks = load_redacted_ground(self._catalog)
                # taken before the load: a change during it yields another stamp
                self._stamp = stamp
            return self._masks


def load_redacted_ground(catalog: Catalog) -> RedactedGround:
    """Load all active redactions, in six reads however many there are."""
    active = select_active_redactions(catalog.redactions.lines())
    if not active:
        return NOTHING_REDACTED
    photos: dict[str, tuple[bytes, ...]] = {}
    for line in active:
        photos[line.frame_id] = (*photos.get(line.frame_id, ()), line.wkb)
    known: dict[str, dict[str, bytes]] = {}
    for one in catalog.redactions.list_footprints(line.line_id for line in active):
        known.setdefault(one.line_id, {})[one.lay] = one.wkb
    frames = {one.frame_id: one for one in catalog.frames.get_many(list(photos))}
    lays = _list_projection_names(catalog, list(frames.values()))
    placed = catalog.placements.list_for_frames(list(frames.values()))
    grounds: list[tuple[str, bytes]] = []
    for line in active:
        ground = known.get(line.line_id, {})
        # ground of former placements too: tiles made with them may be shown until they are rebuilt
        grounds += [(line.frame_id, wkb) for wkb in ground.values()]
        # None: neither its photo nor a tile of it has come yet
        frame = frames.get(line.frame_id)
        if (
            frame is not None
            and frame.footprint_wkb is not None
            and not lays[frame.frame_id] <= ground.keys()
        ):
            grounds += _all_it_may_show(frame.frame_id, placed[frame.frame_id])
    return RedactedGround(photos, tuple(dict.fromkeys(grounds)))


def compute_redaction_fingerprints(masks: RedactedGround) -> frozenset[str]:
    """Return a fingerprint of each redaction.

    A new one means that something is covered that was not. It does not change when photos are reprocessed.
    """
    return _words(masks, masks.photos)


def compute_nearby_redaction_fingerprints(
    masks: RedactedGround, boxes: Iterable[BoundsLonLat]
) -> frozenset[str]:
    """Return the fingerprints of photos whose redacted ground touches a box.

    boxes  lon/lat
    """
    area = shapely.union_all([shapely.box(*one) for one in boxes])
    return _words(
        masks, {frame for frame, wkb in masks.grounds if shapely.intersects(area, repair_geometry(wkb))}
    )


def _words(masks: RedactedGround, frame_ids: Iterable[str]) -> frozenset[str]:
    encoded = (frame_id.encode() + polygon for frame_id in frame_ids for polygon in masks.photos[frame_id])
    return frozenset(hashlib.sha256(one).hexdigest()[:16] for one in encoded)


def iterate_ground_projections(catalog: Catalog, frame: FrameRecord) -> Iterator[GroundProjection]:
    """Yield every placement of a photo on a mosaic that may be shown."""
    if frame.exterior is not None:
        yield GroundProjection(
            name=_name_of_live(frame),
            interior=frame.header.interior,
            exterior=frame.exterior,
            dem_id=frame.dem_id,
        )
    mosaics = {one.mosaic_id for one in catalog.tiles.mosaics(frame.flight_id)}
    for mosaic_id in sorted(mosaics):
        for record in catalog.revisions.list_for_mosaic(mosaic_id):
            if record.state is not RevisionState.PUBLISHED:
                continue
            used = catalog.revisions.frame(mosaic_id, record.revision, frame.frame_id)
            if used is not None:
                yield GroundProjection(
                    name=_name_of_finished(record),
                    interior=used.interior,
                    exterior=used.exterior,
                    dem_id=record.dem_id,
                )


def _list_projection_names(catalog: Catalog, frames: list[FrameRecord]) -> dict[str, set[str]]:
    """Return the names that `iterate_ground_projections` yields, by frame id."""
    names = {one.frame_id: set() if one.exterior is None else {_name_of_live(one)} for one in frames}
    flights = {one.frame_id: one.flight_id for one in frames}
    mosaics: dict[str, MosaicInfo] = {one.mosaic_id: one for one in catalog.tiles.mosaics()}
    shown = {
        (one.mosaic_id, one.revision): one
        for one in catalog.revisions.all()
        if one.state is RevisionState.PUBLISHED and one.mosaic_id in mosaics
    }
    for mosaic_id, revision, frame_id in catalog.revisions.list_frame_uses(list(names)):
        record = shown.get((mosaic_id, revision))
        if record is not None and mosaics[mosaic_id].flight_id == flights[frame_id]:
            names[frame_id].add(_name_of_finished(record))
    return names


def _name_of_live(frame: FrameRecord) -> str:
    return derive_placement_id(to_placement(frame))


def _name_of_finished(record: RevisionRecord) -> str:
    return f"{record.mosaic_id}:{record.revision}:{record.dem_id}"


def _all_it_may_show(frame_id: str, placements: Iterable[Placement]) -> Iterator[tuple[str, bytes]]:
    """Yield the ground of every placement that a photo had, with the margin."""
    for one in placements:
        shown = outline_shown_ground(one, REDACTION_MARGIN_M)
        if shown is not None:
            yield frame_id, shown


# -- Rasterization of polygons: every pixel that touches one, and a one-pixel rim ------------------


Ring = NDArray[np.float64]

MAX_OVERHANG_PX = 3
"""Pixels that a ring may extend beyond the raster. OpenCV fills rings at negative coordinates wrongly."""

# Fractional bits of the vertices that OpenCV draws.
_BITS = 8
_RIM = np.ones((3, 3), dtype=np.uint8)


def rasterize_polygons(polygons: Iterable[Sequence[Ring]], shape_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Return True where a pixel or its neighbour touches a polygon, rows × columns.

    polygons  of each the outer ring and then its holes, N×2 (column, row) with corners of pixels at integers;
              cut to the raster and at most MAX_OVERHANG_PX around it
    shape_px  rows and columns

    Filled by pixel centres and along the edges (Bresenham), which leaves out pixels that an edge only grazes:
    these are never farther than a pixel from filled ones, hence the rim.
    """
    rim = MAX_OVERHANG_PX + 1
    drawn = np.zeros((shape_px[0] + 2 * rim, shape_px[1] + 2 * rim), dtype=np.uint8)
    for rings in polygons:
        fixed = [np.rint((ring + (rim - 0.5)) * (1 << _BITS)).astype(np.int32) for ring in rings]
        # one polygon at a time: fillPoly's even-odd rule would cancel overlaps of several
        one = np.zeros_like(drawn)
        cv2.fillPoly(one, fixed, 1, lineType=cv2.LINE_8, shift=_BITS)
        drawn |= one
    touched = cv2.dilate(drawn, _RIM)[rim:-rim, rim:-rim]
    return np.ascontiguousarray(touched.astype(np.bool_))


# -- Access policy of an account: its rules, and the queries of routes and exports -----------------


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

    is_nothing   nothing at all is withheld: callers need no further query
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

    # -- flights and layers ---------------------------------------------------------------------

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

    def hides_photo(self, shown_wkb: bytes | None, flight_box: BoundsLonLat | None) -> bool:
        """Return True if a photo is withheld as a whole.

        Redacted ground does not withhold it: redactions are burnt in instead.

        shown_wkb  all that it may show (`outline_shown_ground`); None if unknown; then the flight's box
                   decides (None: unknown too)
        """
        if shown_wkb is None:
            return not self._ground.shape.is_empty and (
                not self._unseen.shape.is_empty or self.touches_box(flight_box)
            )
        return not self._unseen.shape.is_empty and bool(self._unseen.intersects(shapely.from_wkb(shown_wkb)))

    def get_redactions(self, frame_id: str) -> tuple[bytes, ...]:
        """Return the polygons (WKB, in its own pixels) to burn into a photo."""
        return self._photos.get(frame_id, ())

    def get_adjacent_redacted_ground(self, frame_id: str, shown_wkb: bytes | None) -> BaseGeometry | None:
        """Return ground (lon/lat) in a photo that redactions of other photos cover.

        None if there is none.

        shown_wkb  all that it may show (`outline_shown_ground`)
        """
        if shown_wkb is None:
            return None
        near = shapely.from_wkb(shown_wkb)
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

    # -- internals ------------------------------------------------------------------------------

    def _look_at_tile(self, tile_id: TileId) -> bool:
        return bool(self._mercator.intersects(shapely.box(*_around(tile_id))))

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(shapely.to_wkb(self._ground.shape))
        for frame_id, polygons in sorted(self._photos.items()):
            digest.update(b"\n".join([b"", frame_id.encode(), *sorted(polygons)]))
        for frame_id, ground in self._masked:
            digest.update(frame_id.encode() + shapely.to_wkb(ground.shape))
        for names in (self._flights.hidden, self._mosaics.hidden, self._layers):
            digest.update("\n".join(["", *sorted(names), ""]).encode())
        for only in (self._flights.only, self._mosaics.only):
            digest.update(b"all" if only is None else "\n".join(["only", *sorted(only)]).encode())
        return digest.hexdigest()[:16]


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


# -- Access policies by account: the rules that apply, and a cache ---------------------------------


# rules that another process changed apply after this
_CACHE_TTL_S = 2.0


@dataclass(frozen=True, slots=True)
class _AccountScope:
    """The part of an account that decides its access policy."""

    role: Role
    communes: tuple[str, ...]
    event_id: str


@dataclass(frozen=True, slots=True)
class _Rules:
    """Rules that make an access policy: equal rules withhold the same."""

    areas: tuple[bytes, ...]
    within: bytes | None
    flights: IdFilter
    mosaics: IdFilter
    masks: RedactedGround

    def access_policy(self) -> AccessPolicy:
        return AccessPolicy(
            areas=self.areas,
            within=self.within,
            flights=self.flights,
            mosaics=self.mosaics,
            layers=self.flights.hidden,
            masks=self.masks,
        )


@dataclass(frozen=True, slots=True)
class _CachedPolicy:
    at_s: float
    rules: _Rules | None
    access_policy: AccessPolicy


class AccessPolicies:
    """Cache of access policies by account, at most two seconds old. Thread-safe.

    What was made under a policy remains valid as long as the policy is the same object. Redacted ground is
    computed once for all accounts, and the shapes of a policy only when its rules changed.
    """

    def __init__(self, catalog: Catalog, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._catalog, self._clock_s = catalog, clock_s
        self._lock = threading.Lock()
        self._kept: dict[_AccountScope, _CachedPolicy] = {}
        self._masks = RedactedGroundCache(catalog)

    def get(self, account: Account | None) -> AccessPolicy:
        """Return the access policy of an account.

        None, the person at the machine itself, is unrestricted. Raises CatalogUnavailable: the policy is
        unknown then, and nothing may be served.
        """
        if account is None:
            return UNRESTRICTED
        kind = _AccountScope(account.role, account.communes, account.event_id)
        with self._lock:
            entry = self._kept.get(kind)
            if entry is not None and self._clock_s() - entry.at_s < _CACHE_TTL_S:
                return entry.access_policy
            at_s, rules = self._clock_s(), _rules_of(self._catalog, account, self._masks.get_current)
            made = entry.access_policy if entry is not None and entry.rules == rules else _make_policy(rules)
            # same object for equal rules: what was made under it stays valid
            if entry is not None and entry.access_policy.fingerprint == made.fingerprint:
                made = entry.access_policy
            self._kept[kind] = _CachedPolicy(at_s, rules, made)
            return made


def load_access_policy(catalog: Catalog, account: Account) -> AccessPolicy:
    """Return an account's access policy by the current rules, uncached."""
    return _make_policy(_rules_of(catalog, account, lambda: load_redacted_ground(catalog)))


def load_export_policy(catalog: Catalog) -> AccessPolicy:
    """Return the access policy of exported data, whose later holders are unknown.

    It withholds redacted ground, even from the author of the redaction.
    """
    masks = load_redacted_ground(catalog)
    return AccessPolicy(masks=masks) if masks.photos else UNRESTRICTED


def _make_policy(rules: _Rules | None) -> AccessPolicy:
    return UNRESTRICTED if rules is None else rules.access_policy()


def _rules_of(catalog: Catalog, account: Account, masks_now: Callable[[], RedactedGround]) -> _Rules | None:
    """Return the rules for an account; None if nothing is withheld."""
    role = account.role
    areas = tuple(one.wkb for one in catalog.restrictions.areas() if role not in one.roles)
    unseen = {subject for subject, level in catalog.restrictions.levels().items() if not can_see(role, level)}
    within = _within(catalog, account.communes) if account.communes else None
    masks = NOTHING_REDACTED if can_see(role, Classification.RESTRICTED) else masks_now()
    if not (areas or unseen or within or account.event_id or masks.photos):
        return None
    hidden = frozenset(unseen)
    only = _of_event(catalog, account.event_id) if account.event_id else None
    mosaics = catalog.tiles.mosaics() if hidden or only is not None else []
    return _Rules(
        areas=areas,
        within=within,
        flights=IdFilter(hidden, only),
        mosaics=IdFilter(
            frozenset(one.mosaic_id for one in mosaics if one.flight_id in hidden),
            None if only is None else frozenset(one.mosaic_id for one in mosaics if one.flight_id in only),
        ),
        masks=masks,
    )


def _of_event(catalog: Catalog, event_id: str) -> frozenset[str]:
    return frozenset(one.flight_id for one in catalog.flights.flights(event_id))


def _within(catalog: Catalog, codes: Iterable[str]) -> bytes:
    """Return the union (WKB) of communes by their latest boundaries.

    Communes that are no longer known are left out.
    """
    found = []
    for code in codes:
        try:
            found.append(shapely.from_wkb(catalog.boundaries.commune(code).wkb))
        except NotFound:
            continue
    ground: bytes = shapely.to_wkb(shapely.union_all(found) if found else shapely.Polygon())
    return ground


# -- Flights on the map, and their revisions, that a principal may see -----------------------------
#
# Used by every standard (WMTS, OGC API, STAC, KML) and by the map's own routes: what is not offered here is
# in none of them. Withheld flights are treated as missing.


_DRILL_PREFIX = f"{DRILL_MARK} – "


def list_visible_flights(
    catalog: Catalog, access_policy: AccessPolicy, event_id: str | None = None
) -> list[Flight]:
    """Return flights visible under an access policy, newest capture first."""
    return [one for one in catalog.flights.flights(event_id) if not access_policy.hides_flight_entirely(one)]


def find_visible_flight(catalog: Catalog, ref: str, access_policy: AccessPolicy) -> Flight:
    """Return the flight of this id or name. Raises NotFound, also if it is withheld."""
    found = catalog.flights.flight(ref)
    if access_policy.hides_flight_entirely(found):
        raise make_flight_not_found(ref)
    return found


def list_flights_on_map(
    catalog: Catalog, access_policy: AccessPolicy, event_id: str | None = None
) -> list[Flight]:
    """Return visible flights that are not withdrawn and have imaged something."""
    return [one for one in list_visible_flights(catalog, access_policy, event_id) if _is_on_map(one)]


def iterate_offered_mosaics(catalog: Catalog, flight: Flight) -> Iterator[MosaicInfo]:
    """Yield a flight's live mosaics, and its finished revisions that may be shown."""
    for mosaic in catalog.tiles.mosaics(flight.flight_id):
        if (
            mosaic.revision == LIVE_REVISION
            or catalog.revisions.get(mosaic.mosaic_id, mosaic.revision).state is RevisionState.PUBLISHED
        ):
            yield mosaic


def iterate_shown_mosaics(
    catalog: Catalog, access_policy: AccessPolicy
) -> Iterator[tuple[MosaicInfo, Flight]]:
    """Yield the revision on show of every mosaic of the flights on the map."""
    flights = {one.flight_id: one for one in list_flights_on_map(catalog, access_policy)}
    for mosaic in catalog.tiles.mosaics():
        if mosaic.published and mosaic.flight_id in flights:
            yield mosaic, flights[mosaic.flight_id]


def find_shown_mosaic(
    catalog: Catalog, mosaic_id: str, access_policy: AccessPolicy
) -> tuple[MosaicInfo, Flight]:
    """Return the revision on show of a mosaic, and its flight.

    Raises NotFound for what is not on the map.
    """
    mosaic = catalog.tiles.mosaic(mosaic_id)
    flight = catalog.flights.flight(mosaic.flight_id)
    if not mosaic.published or not _is_on_map(flight) or access_policy.hides_flight_entirely(flight):
        raise make_mosaic_not_found(mosaic_id)
    return mosaic, flight


def build_withheld_error(name: str, principal: str) -> AccessDenied:
    """Return the error for images that show ground withheld from a principal."""
    return AccessDenied(
        _(
            "{name}: shows ground that is withheld from {visitor}; ask an administrator for it",
            name=name,
            visitor=principal,
        )
    )


def find_shown_revision(catalog: Catalog, published: MosaicInfo, revision: int | None) -> MosaicInfo:
    """Return the requested revision, if it may be shown; the published one for None.

    Raises NotFound for one that does not exist, was retired, or is still being written.
    """
    if revision is None:
        return published
    found = catalog.tiles.mosaic(published.mosaic_id, revision)
    if revision != LIVE_REVISION:
        state = catalog.revisions.get(published.mosaic_id, revision).state
        if state is not RevisionState.PUBLISHED:
            raise NotFound(
                _(
                    "{mosaic_id} revision {revision}: it is {value} and not shown; see the flight's list",
                    mosaic_id=published.mosaic_id,
                    revision=revision,
                    value=state.value,
                )
            )
    return found


def _is_on_map(flight: Flight) -> bool:
    return flight.state is not FlightState.WITHDRAWN and flight.bounds_lonlat_deg is not None


def read_events_by_id(catalog: Catalog) -> dict[str, Event]:
    """Return every event by its id."""
    return {one.event_id: one for one in catalog.flights.events()}


def format_title(name: str, event: Event) -> str:
    """Format a name for display elsewhere: in an exercise it says so."""
    return f"{_DRILL_PREFIX}{name}" if event.is_drill else name


def get_flight_bounds(flight: Flight) -> BoundsLonLat:
    """Return the bounds of a flight; the whole grid if it imaged nothing."""
    return flight.bounds_lonlat_deg or (-180.0, -85.05, 180.0, 85.05)


def is_near(flight: Flight, bounds: BoundsLonLat | None) -> bool:
    """Return True if a flight may touch a rectangle, by its bounds; None: everywhere."""
    if bounds is None:
        return True
    west, south, east, north = bounds
    box = get_flight_bounds(flight)
    return box[0] <= east and box[2] >= west and box[1] <= north and box[3] >= south
