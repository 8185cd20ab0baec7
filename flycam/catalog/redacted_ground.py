"""Ground that redactions withhold, by the current placements of their photos.

A photo may have several placements at once: that of the live mosaic, and that of each finished revision. The
ground of a redaction is computed where terrain and pixels are at hand
(`pipeline.orthorectification.redaction`); as long as it is not known for a placement, the photo's whole
footprint is withheld.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import shapely

from flycam.catalog.catalog import Catalog
from flycam.catalog.geometry_margin import expand_geometry, repair_geometry
from flycam.catalog.placement_rows import derive_placement_id, to_placement
from flycam.catalog.records import BoundsLonLat, FrameRecord, MosaicInfo, RevisionRecord, RevisionState
from flycam.catalog.redactions import select_active_redactions
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.interior import InteriorOrientation

REDACTION_MARGIN_M = 60.0
"""Everything this near the ground of a redaction is withheld, on every map and photo.

For the errors of places: twice 15 m (1-sigma) for the photo that the redaction was drawn on (one with a
larger error is withheld whole, `geometry.monoplotting.MAX_ERROR_M`), and twice 15 m for the map or the photo
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

    They are computed again when anything that they follow from has changed, which one read tells.
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
    held = select_active_redactions(catalog.redactions.lines())
    if not held:
        return NOTHING_REDACTED
    photos: dict[str, tuple[bytes, ...]] = {}
    for line in held:
        photos[line.frame_id] = (*photos.get(line.frame_id, ()), line.wkb)
    known: dict[str, dict[str, bytes]] = {}
    for one in catalog.redactions.list_footprints(line.line_id for line in held):
        known.setdefault(one.line_id, {})[one.lay] = one.wkb
    frames = {one.frame_id: one for one in catalog.frames.get_many(list(photos))}
    lays = _list_projection_names(catalog, list(frames.values()))
    grounds: list[tuple[str, bytes]] = []
    for line in held:
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
            grounds += _all_it_may_show(frame)
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
    asked = shapely.union_all([shapely.box(*one) for one in boxes])
    return _words(
        masks, {frame for frame, wkb in masks.grounds if shapely.intersects(asked, repair_geometry(wkb))}
    )


def _words(masks: RedactedGround, frame_ids: Iterable[str]) -> frozenset[str]:
    said = (frame_id.encode() + polygon for frame_id in frame_ids for polygon in masks.photos[frame_id])
    return frozenset(hashlib.sha256(one).hexdigest()[:16] for one in said)


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


def _all_it_may_show(frame: FrameRecord) -> Iterator[tuple[str, bytes]]:
    """Yield a photo's footprint with the margin; nothing without a footprint."""
    if frame.footprint_wkb is not None:
        yield (
            frame.frame_id,
            shapely.to_wkb(expand_geometry(repair_geometry(frame.footprint_wkb), REDACTION_MARGIN_M)),
        )
