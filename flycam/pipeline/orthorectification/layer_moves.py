"""Photos moved to another layer by the operator, such as misread infrared.

A move is an amendment (decision 0010): each frame gets a placement in the other layer, with its pose and
terrain. The tiles that it leaves and those that it enters are rebuilt; finished revisions that hold it are
retired, and a mosaic that is left without a frame is hidden.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.frame.flight import Flight
from flycam.frame.frame import Layer
from flycam.frame.warning import LAYER_MOVED, encode_warning
from flycam.geometry.grid import TileRange, find_range_for_bounds, get_range_bounds
from flycam.ingest.preflight.layers import LAYER_NAMES
from flycam.pipeline.orthorectification.flight_session import MIN_ZOOM
from flycam.pipeline.orthorectification.frame_plan import FrameFootprint
from flycam.pipeline.orthorectification.redaction import update_redaction_footprints
from flycam.pipeline.orthorectification.reprocess_plan import ReprocessPlan
from flycam.pipeline.orthorectification.retired_products import drop_retired_reports
from flycam.pipeline.orthorectification.tile_rebuild import list_live_mosaics
from flycam.pipeline.workspace import Workspace


def plan_layer_moves(
    workspace: Workspace, flight_id: str, planned: Sequence[FrameFootprint], reprocess: ReprocessPlan
) -> ReprocessPlan:
    """Add the frames planned in another layer to the reprocess plan; reads only.

    A frame that is reprocessed on other terrain too has both in one placement.
    """
    wanted = {frame.header.frame_id: frame.header.layer for frame in planned}
    laid_again = {record.frame_id: record for record in reprocess.frames}
    on_map = workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)
    lying = {record.frame_id: record for record in on_map} | laid_again
    zooms = _base_zooms(workspace, flight_id)
    moved = {
        frame_id: _in_layer(record, wanted[frame_id], zooms)
        for frame_id, record in lying.items()
        if wanted.get(frame_id, record.header.layer) is not record.header.layer
    }
    if not moved:
        return reprocess
    ways = Counter((lying[frame_id].header.layer, wanted[frame_id]) for frame_id in moved)
    return replace(
        reprocess,
        frames=tuple(moved.get(record.frame_id, record) for record in reprocess.frames),
        moved=tuple(record for frame_id, record in moved.items() if frame_id not in laid_again),
        notes=(*reprocess.notes, *(_describe_move(count, *way) for way, count in sorted(ways.items()))),
        moved_ids=frozenset(moved),
    )


def open_target_mosaics(workspace: Workspace, flight: Flight, reprocess: ReprocessPlan) -> None:
    """Open the mosaics that frames are moved to, before any frame is recorded there."""
    zooms = _base_zooms(workspace, flight.flight_id)
    records = [
        record for record in (*reprocess.frames, *reprocess.moved) if record.frame_id in reprocess.moved_ids
    ]
    for layer in sorted({record.header.layer for record in records} - zooms.keys()):
        workspace.catalog.tiles.put_mosaic(
            MosaicInfo(
                mosaic_id=f"{flight.flight_id}-{layer.value}",
                flight_id=flight.flight_id,
                layer=layer,
                base_zoom=_zoom_for(layer, zooms),
                min_zoom=MIN_ZOOM,
            )
        )


def apply_layer_moves(workspace: Workspace, flight_id: str, reprocess: ReprocessPlan, at_ns: int) -> None:
    """Record the moves, and retire finished revisions that hold a moved frame.

    With an entry in the audit log.
    """
    if not reprocess.moved_ids:
        return
    who = workspace.operator or workspace.box
    records = [
        record for record in (*reprocess.frames, *reprocess.moved) if record.frame_id in reprocess.moved_ids
    ]
    layers = ", ".join(sorted({record.header.layer.value for record in records}))
    reason = f"moved to layer {layers}"
    if reprocess.moved:
        workspace.catalog.placements.supersede(reprocess.moved, reason, who, at_ns)
        update_redaction_footprints(workspace)
    retired = workspace.catalog.revisions.retire_holding(sorted(reprocess.moved_ids), f"{reason} ({who})")
    said = f"{len(reprocess.moved_ids)} frames {reason}"
    if retired:
        said += "; retired " + ", ".join(f"{one.mosaic_id} revision {one.revision}" for one in retired)
    workspace.catalog.audit.append(who, "layer", flight_id, said, at_ns=at_ns)
    drop_retired_reports(workspace, flight_id)


def update_visible_layers(workspace: Workspace, flight_id: str) -> None:
    """Hide mosaics without frames, and publish those that frames came back to."""
    tiles = workspace.catalog.tiles
    used = {one.header.layer for one in workspace.catalog.frames.list_for_flight(flight_id, FrameStatus.USED)}
    shown = {mosaic.mosaic_id for mosaic in tiles.mosaics(flight_id) if mosaic.published}
    for mosaic in list_live_mosaics(workspace, flight_id):
        if mosaic.layer in used and mosaic.mosaic_id not in shown:
            tiles.publish(mosaic.mosaic_id, mosaic.revision)
        elif used and mosaic.layer not in used and mosaic.mosaic_id in shown:
            tiles.hide(mosaic.mosaic_id)


def _base_zooms(workspace: Workspace, flight_id: str) -> dict[Layer, int]:
    return {mosaic.layer: mosaic.base_zoom for mosaic in list_live_mosaics(workspace, flight_id)}


def _zoom_for(layer: Layer, zooms: dict[Layer, int]) -> int:
    """Return the base zoom of a layer's mosaic.

    A new one takes the finest of the flight's others.
    """
    return zooms[layer] if layer in zooms else max(zooms.values())


def _in_layer(record: FrameRecord, layer: Layer, zooms: dict[Layer, int]) -> FrameRecord:
    tiles = record.tiles
    if tiles is not None:
        tiles = _at_zoom(tiles, _zoom_for(layer, zooms))
    return replace(record, header=replace(record.header, layer=layer), tiles=tiles)


def _at_zoom(tiles: TileRange, zoom: int) -> TileRange:
    """Return the tiles of another zoom over the same ground."""
    return tiles if tiles.z == zoom else find_range_for_bounds(zoom, get_range_bounds(tiles))


def _describe_move(count: int, before: Layer, after: Layer) -> str:
    return encode_warning(
        LAYER_MOVED,
        frames=count,
        before=before.value,
        after=after.value,
        before_vi=LAYER_NAMES[before].in_language("vi"),
        after_vi=LAYER_NAMES[after].in_language("vi"),
    )
