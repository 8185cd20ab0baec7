"""Photos moved to another layer on the operator's word: infrared ones that were taken for colour, say.

A move is an amendment (decision 0010): each frame gets a placement in the other layer, with the pose and the
terrain that it had. The tiles that it leaves and those that it enters are folded anew; finished revisions
that hold it are retired, and a mosaic that is left without a frame is shown no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.frame.flight import Flight
from flycam.frame.frame import Layer
from flycam.frame.warning import LAYER_MOVED, warning
from flycam.geometry.grid import TileRange, range_bounds, range_for_bounds
from flycam.ingest.doctor.layers import IN_VIETNAMESE
from flycam.pipeline.laying.opening import MIN_ZOOM
from flycam.pipeline.laying.planning import Planned
from flycam.pipeline.laying.redacting import settle_masked_ground
from flycam.pipeline.laying.refolding import live_mosaics
from flycam.pipeline.laying.relay import Relay
from flycam.pipeline.laying.retired import drop_retired_reports
from flycam.pipeline.workspace import Workspace


def with_moves(workspace: Workspace, flight_id: str, planned: Sequence[Planned], relay: Relay) -> Relay:
    """What is to be laid again, and the frames planned in another layer than they lie in. Only reads.

    A frame that is laid again on other terrain too is both in one placement.
    """
    wanted = {frame.header.frame_id: frame.header.layer for frame in planned}
    laid_again = {record.frame_id: record for record in relay.frames}
    on_map = workspace.catalog.frames.of_flight(flight_id, FrameStatus.USED)
    lying = {record.frame_id: record for record in on_map} | laid_again
    zooms = _base_zooms(workspace, flight_id)
    moved = {
        frame_id: _in_layer(record, wanted[frame_id], zooms)
        for frame_id, record in lying.items()
        if wanted.get(frame_id, record.header.layer) is not record.header.layer
    }
    if not moved:
        return relay
    ways = Counter((lying[frame_id].header.layer, wanted[frame_id]) for frame_id in moved)
    return replace(
        relay,
        frames=tuple(moved.get(record.frame_id, record) for record in relay.frames),
        moved=tuple(record for frame_id, record in moved.items() if frame_id not in laid_again),
        notes=(*relay.notes, *(_said(count, *way) for way, count in sorted(ways.items()))),
        movers=frozenset(moved),
    )


def open_targets(workspace: Workspace, flight: Flight, relay: Relay) -> None:
    """Open the mosaics that frames are moved to, before any frame is said to lie there."""
    zooms = _base_zooms(workspace, flight.flight_id)
    records = [record for record in (*relay.frames, *relay.moved) if record.frame_id in relay.movers]
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


def carry_out_moves(workspace: Workspace, flight_id: str, relay: Relay, at_ns: int) -> None:
    """Record the moves with their trace, and retire the finished revisions that hold one of the frames."""
    if not relay.movers:
        return
    who = workspace.operator or workspace.box
    records = [record for record in (*relay.frames, *relay.moved) if record.frame_id in relay.movers]
    layers = ", ".join(sorted({record.header.layer.value for record in records}))
    reason = f"moved to layer {layers}"
    if relay.moved:
        workspace.catalog.placements.supersede(relay.moved, reason, who, at_ns)
        settle_masked_ground(workspace)
    retired = workspace.catalog.revisions.retire_holding(sorted(relay.movers), f"{reason} ({who})")
    said = f"{len(relay.movers)} frames {reason}"
    if retired:
        said += "; retired " + ", ".join(f"{one.mosaic_id} revision {one.revision}" for one in retired)
    workspace.catalog.audit.append(who, "layer", flight_id, said, at_ns=at_ns)
    drop_retired_reports(workspace, flight_id)


def show_layers_in_use(workspace: Workspace, flight_id: str) -> None:
    """Hide mosaics whose frames were all moved away, and show again those that frames came back to."""
    tiles = workspace.catalog.tiles
    used = {one.header.layer for one in workspace.catalog.frames.of_flight(flight_id, FrameStatus.USED)}
    shown = {mosaic.mosaic_id for mosaic in tiles.mosaics(flight_id) if mosaic.published}
    for mosaic in live_mosaics(workspace, flight_id):
        if mosaic.layer in used and mosaic.mosaic_id not in shown:
            tiles.publish(mosaic.mosaic_id, mosaic.revision)
        elif used and mosaic.layer not in used and mosaic.mosaic_id in shown:
            tiles.hide(mosaic.mosaic_id)


def _base_zooms(workspace: Workspace, flight_id: str) -> dict[Layer, int]:
    return {mosaic.layer: mosaic.base_zoom for mosaic in live_mosaics(workspace, flight_id)}


def _zoom_for(layer: Layer, zooms: dict[Layer, int]) -> int:
    """Base zoom of a layer's mosaic; one that is to be opened takes the finest of the flight's others."""
    return zooms[layer] if layer in zooms else max(zooms.values())


def _in_layer(record: FrameRecord, layer: Layer, zooms: dict[Layer, int]) -> FrameRecord:
    tiles = record.tiles
    if tiles is not None:
        tiles = _at_zoom(tiles, _zoom_for(layer, zooms))
    return replace(record, header=replace(record.header, layer=layer), tiles=tiles)


def _at_zoom(tiles: TileRange, zoom: int) -> TileRange:
    """The tiles of another zoom over the same ground."""
    return tiles if tiles.z == zoom else range_for_bounds(zoom, range_bounds(tiles))


def _said(count: int, before: Layer, after: Layer) -> str:
    return warning(
        LAYER_MOVED,
        frames=count,
        before=before.value,
        after=after.value,
        before_vi=IN_VIETNAMESE[before],
        after_vi=IN_VIETNAMESE[after],
    )
