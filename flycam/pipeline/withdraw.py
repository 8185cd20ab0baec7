"""Withdrawing a frame or a flight: recorded first, then the tiles it touched are folded anew.

Killed half-way, the same command completes it: tiles whose epoch is not the one the recorded withdrawals give
them are found and folded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo, Withdrawal
from flycam.errors import FrameRejected, InputUnusable, NotFound
from flycam.frame.flight import Flight, FlightState
from flycam.frame.tile import OrthoPatch
from flycam.geometry.grid import TileRange
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.photos import open_pixels
from flycam.mosaic.epochs import Amendments
from flycam.mosaic.refold import refold, stale_tiles
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.coverage import cover_communes
from flycam.pipeline.evidence import local_copy
from flycam.pipeline.opening import close_flight
from flycam.pipeline.rectification import patch_of, recorded_pose
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace, silent

_TERRAINS_AT_ONCE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class WithdrawReport:
    """What a withdrawal changed: newly withdrawn frames, and lines appended to the tile log."""

    flight: Flight
    frames: int
    tiles: int


def withdraw(
    workspace: Workspace, ref: str, reason: str, authority: str, progress: Progress = silent
) -> WithdrawReport:
    """Take a flight (id or name), or one frame (id or file name), out of every mosaic, with a trace.

    Raises NotFound, InputUnusable without a reason, FlightBusy; StorageTrouble (run again: it completes).
    """
    if not reason.strip():
        raise InputUnusable(f"{ref}: a withdrawal needs a reason; give it with --reason")
    flight, frames = _find(workspace, ref)
    with workspace.catalog.flights.lock(flight.flight_id):
        now = workspace.clock_ns()
        new = workspace.catalog.frames.withdraw(
            [
                Withdrawal(
                    frame_id=record.frame_id,
                    flight_id=flight.flight_id,
                    reason=reason,
                    authority=authority,
                    withdrawn_ns=now,
                )
                for record in frames
            ]
        )
        workspace.catalog.audit.append(authority, "withdraw", ref, f"{len(new)} frames: {reason}", at_ns=now)
        tiles = sum(
            _refold(workspace, mosaic, progress)
            for mosaic in workspace.catalog.tiles.mosaics(flight.flight_id)
            if mosaic.revision == 0
        )
        cover_communes(workspace, flight, progress, changed=True)
        left = workspace.catalog.frames.of_flight(flight.flight_id, FrameStatus.USED)
        state = FlightState.READY if left else FlightState.WITHDRAWN
        flight = close_flight(workspace, flight, state)
    return WithdrawReport(flight=flight, frames=len(new), tiles=tiles)


def amendments_of(workspace: Workspace, mosaic: MosaicInfo) -> Amendments:
    """Withdrawn frames of a mosaic's flight, with the tiles their patches touched in this mosaic."""
    tiles = {
        record.frame_id: record.tiles if record.header.layer == mosaic.layer else None
        for record in workspace.catalog.frames.of_flight(mosaic.flight_id, FrameStatus.WITHDRAWN)
    }
    unseen = {w.frame_id: None for w in workspace.catalog.frames.withdrawals(mosaic.flight_id)}
    return Amendments(withdrawn=unseen | tiles)


def _find(workspace: Workspace, ref: str) -> tuple[Flight, list[FrameRecord]]:
    """The flight and its frames that `ref` names: flight id or name, frame id, or a photo's file name."""
    flights, frames = workspace.catalog.flights, workspace.catalog.frames
    try:
        flight = flights.flight(ref)
        used = frames.of_flight(flight.flight_id)
        return flight, [record for record in used if record.status is not FrameStatus.REJECTED]
    except NotFound:
        pass
    try:
        record = frames.get(ref)
        return flights.flight(record.flight_id), [record]
    except NotFound:
        pass
    found = [
        (flight, record)
        for flight in flights.flights()
        for record in frames.of_flight(flight.flight_id)
        if record.header.provenance.source_name == ref
    ]
    if len(found) == 1:
        return found[0][0], [found[0][1]]
    if found:
        ids = ", ".join(f"{record.frame_id} in {flight.name}" for flight, record in found)
        raise InputUnusable(f"{ref}: several flights hold a photo of this name; give the id: {ids}")
    raise NotFound(f"{ref}: no flight, frame or photo of this name; see the list of frames on the map")


def _refold(workspace: Workspace, mosaic: MosaicInfo, progress: Progress) -> int:
    amendments = amendments_of(workspace, mosaic)
    stale = stale_tiles(workspace.catalog.tiles, mosaic, amendments)
    used = workspace.catalog.frames.of_flight(mosaic.flight_id, FrameStatus.USED)
    frames = [record for record in used if record.header.layer == mosaic.layer]
    progress("refold", 0, len(stale))
    with MosaicWriter(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        origin=workspace.box,
        clock_ns=workspace.clock_ns,
        amendments=amendments,
    ) as writer:
        lines = refold(writer, stale, _Replay(workspace, frames))
    progress("refold", len(stale), len(stale))
    return lines


class _Replay:
    """Patches made again from the evidence: the photo's bytes, the recorded pose, the recorded terrain."""

    def __init__(self, workspace: Workspace, frames: list[FrameRecord]) -> None:
        self._workspace = workspace
        self._frames = frames
        self._terrain = lru_cache(maxsize=_TERRAINS_AT_ONCE)(self._load_terrain)

    def __call__(self, tiles: TileRange) -> Iterator[OrthoPatch]:
        for record in self._frames:
            if record.tiles is None or record.tiles.intersection(tiles).is_empty:
                continue
            yield self._patch(record, tiles)

    def _patch(self, record: FrameRecord, tiles: TileRange) -> OrthoPatch:
        exterior, frame_tiles, dem_id = recorded_pose(record)
        provenance = record.header.provenance
        path = local_copy(self._workspace, provenance.source_sha256, provenance.source_name)
        try:
            pixels = open_pixels(path)
        except FrameRejected as error:
            raise InputUnusable(
                f"{provenance.source_name}: its stored original no longer reads; restore the store"
            ) from error
        return patch_of(record.header, exterior, pixels, self._terrain(dem_id), frame_tiles, tiles)

    def _load_terrain(self, dem_id: str) -> TerrainGrid:
        return recorded_terrain(self._workspace, dem_id)
