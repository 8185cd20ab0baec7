"""Warnings of finished revisions: outdated poses, unknown readout times.

A revision is outdated if it was made from poses which are no longer in force. A flight that is reprocessed on
better terrain keeps its finished revision as it was: complete, published, better placed than any live mosaic,
and made from older poses and terrain. It is not retired, as nothing in it must be hidden; a warning derived
from the placements is shown wherever the revision is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import is_on_terrain
from flycam.catalog.mosaics import LIVE_REVISION
from flycam.geometry.pose import ExteriorOrientation, PoseSource
from flycam.model.records import MosaicInfo
from flycam.model.warning import FINISHED_OLDER, READOUT_UNKNOWN, encode_warning

# -- Unknown readout times -------------------------------------------------------------------------
#
# A rolling shutter that cannot be modelled bends an image by its readout time times the speed. The amount is
# unknown too, so it is stated in words beside the revision and no sigma pretends to include it.


def list_readout_warnings(stats: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the warning of a revision's statistics.

    None where every readout is known, or none was to be used.
    """
    rows = stats.get("rolling_shutter")
    if not rows or not rows["asked"] or not rows["unknown"]:
        return ()
    return (encode_warning(READOUT_UNKNOWN, frames=rows["unknown"]),)


def collect_readout_warnings(catalog: Catalog, shown: Iterable[MosaicInfo]) -> tuple[str, ...]:
    """Return the warnings of the published finished revisions."""
    finished = [one for one in shown if one.revision != LIVE_REVISION]
    stats = [catalog.revisions.get(one.mosaic_id, one.revision).stats for one in finished]
    return tuple(dict.fromkeys(warning for one in stats for warning in list_readout_warnings(one)))


# -- Outdated poses --------------------------------------------------------------------------------


_Ranked = tuple[int, bool]


def is_outdated(catalog: Catalog, mosaic: MosaicInfo) -> bool:
    """Return True if the revision shows a frame at an outdated placement.

    The live revision (0) never does.
    """
    if mosaic.revision == LIVE_REVISION:
        return False
    in_force: dict[str, _Ranked] = {}
    for placement in catalog.placements.list_for_flight(mosaic.flight_id):
        ranked = _rank_placement(placement.version, placement.exterior)
        in_force[placement.frame_id] = max(ranked, in_force.get(placement.frame_id, ranked))
    if not in_force:
        # no frame of this flight was ever reprocessed
        return False
    for frame in catalog.revisions.frames(mosaic.mosaic_id, mosaic.revision):
        # an adjusted pose counts one more than the placement that it started from
        is_adjusted = frame.exterior.source is PoseSource.ADJUSTED
        began = _rank_placement(frame.exterior.version - is_adjusted, frame.exterior)
        if in_force.get(frame.frame_id, began) > began:
            return True
    return False


def list_outdated_warnings(catalog: Catalog, shown: Iterable[MosaicInfo]) -> tuple[str, ...]:
    """List the warning for each published mosaic that is outdated."""
    outdated = [mosaic.revision for mosaic in shown if is_outdated(catalog, mosaic)]
    return tuple(encode_warning(FINISHED_OLDER, revision=revision) for revision in dict.fromkeys(outdated))


def _rank_placement(version: int, exterior: ExteriorOrientation | None) -> _Ranked:
    """Return the rank of a placement, as far as an adjusted pose tells it.

    Compare `flycam.catalog.flights.rank_placement`.
    """
    return version, is_on_terrain(exterior)
