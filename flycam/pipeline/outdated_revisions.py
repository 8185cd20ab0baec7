"""Finished revisions that were made from placements which are not in force any more.

A flight laid again on better terrain leaves its finished revision as it was: complete, on show, better placed
than any live mosaic, and made from poses and ground that are not those of today. It is not retired, for
nothing in it must not be seen; that it is older is told from the placements wherever it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from flycam.catalog.catalog import Catalog
from flycam.catalog.placement_rows import is_on_terrain
from flycam.catalog.records import MosaicInfo
from flycam.catalog.revisions import LIVE_REVISION
from flycam.frame.warning import FINISHED_OLDER, encode_warning
from flycam.geometry.exterior import ExteriorOrientation, PoseSource

_Ranked = tuple[int, bool]


def is_outdated(catalog: Catalog, mosaic: MosaicInfo) -> bool:
    """Whether the revision of this mosaic (0: the live one never is) shows a frame as it was laid before."""
    if mosaic.revision == LIVE_REVISION:
        return False
    in_force: dict[str, _Ranked] = {}
    for placement in catalog.placements.list_for_flight(mosaic.flight_id):
        ranked = _rank_placement(placement.version, placement.exterior)
        in_force[placement.frame_id] = max(ranked, in_force.get(placement.frame_id, ranked))
    if not in_force:
        return False  # nothing of this flight was ever laid again
    for frame in catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision):
        # an adjusted pose counts one more than the placement it began from
        is_adjusted = frame.exterior.source is PoseSource.ADJUSTED
        began = _rank_placement(frame.exterior.version - is_adjusted, frame.exterior)
        if in_force.get(frame.frame_id, began) > began:
            return True
    return False


def list_outdated_warnings(catalog: Catalog, shown: Iterable[MosaicInfo]) -> tuple[str, ...]:
    """The warning for each mosaic on show that is an outdated finished revision."""
    outdated = [mosaic.revision for mosaic in shown if is_outdated(catalog, mosaic)]
    return tuple(encode_warning(FINISHED_OLDER, revision=revision) for revision in dict.fromkeys(outdated))


def _rank_placement(version: int, exterior: ExteriorOrientation | None) -> _Ranked:
    """The order of placements (`flycam.catalog.placement_rows.rank`) as far as an adjusted pose tells it."""
    return version, is_on_terrain(exterior)
