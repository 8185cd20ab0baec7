"""Amendments of a mosaic as they are on record: frames withdrawn, and placements that were replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flycam.catalog.placement_rows import in_force, placement_id
from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo, Placement
from flycam.frame.frame import Layer
from flycam.geometry.grid import TileRange
from flycam.mosaic.epochs import Amendments, Replaced

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog


def recorded_amendments(catalog: Catalog, mosaic: MosaicInfo) -> Amendments:
    """What must not be in a mosaic: frames withdrawn from its flight, and placements that were replaced."""
    placements = catalog.placements.of_flight(mosaic.flight_id)
    return amendments_among(
        mosaic.layer,
        catalog.frames.of_flight(mosaic.flight_id, None if placements else FrameStatus.WITHDRAWN),
        placements,
        (one.frame_id for one in catalog.frames.withdrawals(mosaic.flight_id)),
    )


def amendments_among(
    layer: Layer,
    records: Iterable[FrameRecord],
    placements: Iterable[Placement],
    withdrawn_ids: Iterable[str],
) -> Amendments:
    """Amendments of one layer's mosaic, from what is on record of a flight.

    records  its frames, those at least that were withdrawn or have placements
    """
    by_frame: dict[str, list[Placement]] = {}
    for placement in placements:
        by_frame.setdefault(placement.frame_id, []).append(placement)
    withdrawn: dict[str, TileRange | None] = dict.fromkeys(withdrawn_ids)
    replaced: dict[str, Replaced] = {}
    for record in records:
        if record.status is FrameStatus.WITHDRAWN:
            withdrawn[record.frame_id] = record.tiles if record.header.layer == layer else None
        laid = by_frame.get(record.frame_id, [])
        if any(one.layer == layer for one in laid):
            replaced[record.frame_id] = _replaced(laid, layer)
    return Amendments(withdrawn=withdrawn, replaced=replaced)


def _replaced(placements: list[Placement], layer: Layer) -> Replaced:
    """What stands and what is gone of a frame in one layer's mosaic; moved to another it is gone."""
    best = in_force(placements)
    is_laid = best.layer == layer and best.exterior is not None
    stands = (best.version, best.dem_id) if is_laid and best.dem_id is not None else None
    gone = {placement_id(one): one.tiles for one in placements if one.layer == layer and one is not best}
    return Replaced(stands=stands, gone=gone, placement=placement_id(best) if stands else None)
