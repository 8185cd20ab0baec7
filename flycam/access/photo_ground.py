"""Ground that a photo may show: every footprint that it ever had here.

A peer may place a photo anew; what it was known to show stays withheld all the same. A footprint that only a
peer stated, and that was not computed here from pose and terrain, counts as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import shapely

from flycam.access.policy import AccessPolicy
from flycam.catalog.catalog import Catalog
from flycam.model.records import BoundsLonLat, FrameRecord, Placement


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoGround:
    """Placements and ground of a photo.

    placements   all that it ever had here
    wkb          union of their footprints (lon/lat); None: unknown, then the box decides
    box          of its flight, if that is known; None: it may show any ground
    is_verified  False: a footprint of it was not computed here
    """

    placements: tuple[Placement, ...]
    wkb: bytes | None
    box: BoundsLonLat | None
    is_verified: bool = True

    def is_hidden(self, policy: AccessPolicy) -> bool:
        """Return True if a policy withholds the photo as a whole."""
        return policy.hides_photo(self.wkb, self.box)


def read_photo_grounds(
    catalog: Catalog, frames: Sequence[FrameRecord], flight_box: BoundsLonLat | None
) -> dict[str, PhotoGround]:
    """Read the ground of photos of one flight, by frame."""
    placed = catalog.placements.list_for_frames(frames)
    unverified = catalog.placements.find_unverified(placed)
    return {
        frame_id: join_photo_ground(placements, flight_box, is_verified=frame_id not in unverified)
        for frame_id, placements in placed.items()
    }


def join_photo_ground(
    placements: Sequence[Placement], flight_box: BoundsLonLat | None, *, is_verified: bool = True
) -> PhotoGround:
    """Join the footprints of a photo's placements; one without a footprint leaves it to the flight's box."""
    every = tuple(placements)
    if not is_verified:
        return PhotoGround(placements=every, wkb=None, box=None, is_verified=False)
    footprints = [one.footprint_wkb for one in every if one.footprint_wkb is not None]
    if not footprints or len(footprints) < len(every):
        return PhotoGround(placements=every, wkb=None, box=flight_box)
    wkb = footprints[0] if len(footprints) == 1 else _union(footprints)
    return PhotoGround(placements=every, wkb=wkb, box=flight_box)


def _union(footprints: Sequence[bytes]) -> bytes:
    shapes = shapely.make_valid(shapely.from_wkb(list(footprints)))
    wkb: bytes = shapely.to_wkb(shapely.union_all(shapes))
    return wkb
