"""Amendments of a mosaic from the catalogue: withdrawn frames and replaced placements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flycam.catalog.placement_rows import derive_placement_id, select_current_placement
from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo, Placement
from flycam.frame.frame import Layer
from flycam.geometry.grid import TileRange
from flycam.mosaic.amendments import Amendments, ReplacedPlacements

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog


def load_amendments(catalog: Catalog, mosaic: MosaicInfo) -> Amendments:
    """Load a mosaic's amendments: frames withdrawn and placements replaced."""
    placements = catalog.placements.list_for_flight(mosaic.flight_id)
    return collect_amendments(
        mosaic.layer,
        catalog.frames.list_for_flight(mosaic.flight_id, None if placements else FrameStatus.WITHDRAWN),
        placements,
        (one.frame_id for one in catalog.frames.withdrawals(mosaic.flight_id)),
    )


def collect_amendments(
    layer: Layer,
    records: Iterable[FrameRecord],
    placements: Iterable[Placement],
    withdrawn_ids: Iterable[str],
) -> Amendments:
    """Collect the amendments of one layer's mosaic from the records of a flight.

    records  its frames, at least those that were withdrawn or have placements
    """
    by_frame: dict[str, list[Placement]] = {}
    for placement in placements:
        by_frame.setdefault(placement.frame_id, []).append(placement)
    withdrawn: dict[str, TileRange | None] = dict.fromkeys(withdrawn_ids)
    replaced: dict[str, ReplacedPlacements] = {}
    for record in records:
        if record.status is FrameStatus.WITHDRAWN:
            withdrawn[record.frame_id] = record.tiles if record.header.layer == layer else None
        laid = by_frame.get(record.frame_id, [])
        if any(one.layer == layer for one in laid):
            replaced[record.frame_id] = _replaced(laid, layer)
    return Amendments(withdrawn=withdrawn, replaced=replaced)


def _replaced(placements: list[Placement], layer: Layer) -> ReplacedPlacements:
    """Return the current and superseded placements of a frame in one layer's mosaic.

    A frame moved to another layer has no current placement here.
    """
    best = select_current_placement(placements)
    is_laid = best.layer == layer and best.exterior is not None
    stands = (best.version, best.dem_id) if is_laid and best.dem_id is not None else None
    gone = {
        derive_placement_id(one): one.tiles for one in placements if one.layer == layer and one is not best
    }
    return ReplacedPlacements(
        current=stands, superseded=gone, placement=derive_placement_id(best) if stands else None
    )
