"""Amendments of a mosaic as the catalogue has them: frames withdrawn, and placements that were replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flycam.catalog.placement_rows import in_force, placement_id
from flycam.catalog.records import FrameStatus, MosaicInfo, Placement
from flycam.frame.frame import Layer
from flycam.geometry.grid import TileRange
from flycam.mosaic.epochs import Amendments, Replaced

if TYPE_CHECKING:
    from flycam.catalog.catalog import Catalog


def recorded_amendments(catalog: Catalog, mosaic: MosaicInfo) -> Amendments:
    """What must not be in a mosaic: frames withdrawn from its flight, and placements that were replaced."""
    placements: dict[str, list[Placement]] = {}
    for placement in catalog.placements.of_flight(mosaic.flight_id):
        placements.setdefault(placement.frame_id, []).append(placement)
    withdrawn: dict[str, TileRange | None] = {
        one.frame_id: None for one in catalog.frames.withdrawals(mosaic.flight_id)
    }
    replaced: dict[str, Replaced] = {}
    status = None if placements else FrameStatus.WITHDRAWN
    for record in catalog.frames.of_flight(mosaic.flight_id, status):
        if record.status is FrameStatus.WITHDRAWN:
            withdrawn[record.frame_id] = record.tiles if record.header.layer == mosaic.layer else None
        laid = placements.get(record.frame_id, [])
        if any(one.layer == mosaic.layer for one in laid):
            replaced[record.frame_id] = _replaced(laid, mosaic.layer)
    return Amendments(withdrawn=withdrawn, replaced=replaced)


def _replaced(placements: list[Placement], layer: Layer) -> Replaced:
    """What stands and what is gone of a frame in one layer's mosaic; moved to another it is gone."""
    best = in_force(placements)
    is_laid = best.layer == layer and best.exterior is not None
    stands = (best.version, best.dem_id) if is_laid and best.dem_id is not None else None
    gone = {placement_id(one): one.tiles for one in placements if one.layer == layer and one is not best}
    return Replaced(stands=stands, gone=gone)
