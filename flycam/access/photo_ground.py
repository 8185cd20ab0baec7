"""Ground that a photo may show: that of every placement that it ever had here.

A peer may place a photo anew; what it was known to show stays withheld all the same. A footprint that only a
peer stated, and that was not computed here from pose and terrain, counts as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flycam.access.policy import AccessPolicy
from flycam.access.shown_ground import outline_shown_ground
from flycam.catalog.catalog import Catalog
from flycam.model.records import BoundsLonLat, FrameRecord, Placement


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoGround:
    """Placements and ground of a photo.

    placements   all that it ever had here
    box          of its flight, if that is known; decides for a placement without a footprint; None: it may
                 show any ground
    is_verified  False: a footprint of it was not computed here, and it may show any ground
    """

    placements: tuple[Placement, ...]
    box: BoundsLonLat | None
    is_verified: bool = True

    def is_hidden(self, policy: AccessPolicy) -> bool:
        """Return True if a policy withholds the photo as a whole."""
        if not self.is_verified:
            return policy.hides_photo(None, None)
        if not self.placements:
            return policy.hides_photo(None, self.box)
        return any(policy.hides_photo(outline_shown_ground(one), self.box) for one in self.placements)


def read_photo_grounds(
    catalog: Catalog, frames: Sequence[FrameRecord], flight_box: BoundsLonLat | None
) -> dict[str, PhotoGround]:
    """Read the ground of photos of one flight, by frame."""
    placed = catalog.placements.list_for_frames(frames)
    unverified = catalog.placements.find_unverified(placed)
    return {
        frame_id: PhotoGround(
            placements=tuple(placements), box=flight_box, is_verified=frame_id not in unverified
        )
        for frame_id, placements in placed.items()
    }
