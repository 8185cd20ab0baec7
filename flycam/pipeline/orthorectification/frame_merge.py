"""Merge of frames into the mosaic: visibility, orthorectification, records.

Frames are orthorectified in threads, only where they can win.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.errors import FrameRejected
from flycam.frame.frame import FrameHeader
from flycam.frame.tile import OrthoPatch
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.preflight.diagnosis import Rejection
from flycam.mosaic.amendments import Amendments
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.disk_space import GROUP_BYTES
from flycam.pipeline.executor import count_workers
from flycam.pipeline.orthorectification.checkpoint import Checkpoint
from flycam.pipeline.orthorectification.rectify_pool import MergeFrame, RectifyPool, RectifyTask, SizeMismatch
from flycam.pipeline.orthorectification.tile_rebuild import read_amendments
from flycam.pipeline.orthorectification.visibility import NO_BLOCKS, TileCountdown, WinningBlocks
from flycam.pipeline.orthorectification.visibility_planner import VisibilityPlanner
from flycam.pipeline.terrain import load_recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace

# Finished tiles written together share ancestors, and one sync to the disk.
_GROUP_TILES = 64


@dataclass(slots=True)
class Rejections:
    """Rejected frames, each with its error."""

    errors: list[tuple[FrameHeader, FrameRejected]] = field(default_factory=list)

    def add(self, header: FrameHeader, error: FrameRejected) -> None:
        """Keep an error without its traceback.

        Its stack frames hold image and terrain, which over an hour's flight fill the memory.
        """
        error.__traceback__ = error.__cause__ = error.__context__ = None
        self.errors.append((header, error))

    def to_records(self, flight_id: str) -> list[FrameRecord]:
        return [
            FrameRecord(
                header=header,
                flight_id=flight_id,
                status=FrameStatus.REJECTED,
                reason=error.reason,
                message=str(error),
            )
            for header, error in self.errors
        ]

    def to_rejections(self, except_ids: Container[str] = ()) -> list[Rejection]:
        """Return one for each frame, except those of these ids, which stay on the map."""
        return [
            Rejection.from_error(header.provenance.source_name, error)
            for header, error in self.errors
            if header.frame_id not in except_ids
        ]


def merge_frames(
    workspace: Workspace,
    mosaic: MosaicInfo,
    pending: Sequence[tuple[FrameRecord, Path]],
    terrain: TerrainGrid,
    rejections: Rejections,
    progress: Progress,
) -> int:
    """Merge frames, each where it can win a pixel; return their number.

    A frame that turns out unreadable, or of another size than its header states, does not keep its promise:
    then visibility is solved again, and what is missing is made.
    """
    terrains = {terrain.dem_id: terrain}
    for dem_id in {record.dem_id for record, _ in pending if record.dem_id} - terrains.keys():
        terrains[dem_id] = load_recorded_terrain(workspace, dem_id)
    amendments = read_amendments(workspace, mosaic)
    records = FrameRecordBuffer(workspace)
    with MosaicWriter(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        origin=workspace.box,
        clock_ns=workspace.clock_ns,
        amendments=amendments,
        # Records precede the log: it names no tile of a frame that is not on record (decision 0012).
        before_append=records.write,
        before_group=partial(workspace.require_disk_space, GROUP_BYTES, held_lock=mosaic.flight_id),
        workers=count_workers(),
    ) as writer:
        frames = [MergeFrame(record, path, record.header.interior.image_size_px) for record, path in pending]

        def write() -> None:
            writer.flush()
            # Where no tile changed, nothing was appended and no record written before it.
            records.write()

        checkpoint = Checkpoint(workspace, mosaic, frames, write, records.write)
        merging = _Merging(
            RectifyPool(workspace, terrains, count_workers()), writer, amendments, records, checkpoint
        )
        # Otherwise all is written at once.
        is_long = sum(len(frame.tiles) for frame in frames) > _GROUP_TILES
        if is_long and not workspace.catalog.tiles.last_seq(mosaic.mosaic_id):
            merging.merge_center(frames[0])
            write()
        while frames:
            frames = merging.round(frames, rejections, progress)
    records.write()
    checkpoint.finish()
    return len(merging.merged)


class _Merging:
    """State of a merge. merged: blocks merged so far, by frame id."""

    def __init__(
        self,
        maker: RectifyPool,
        writer: MosaicWriter,
        amendments: Amendments,
        records: FrameRecordBuffer,
        checkpoint: Checkpoint,
    ) -> None:
        self._maker = maker
        self._writer = writer
        self._checkpoint = checkpoint
        self._claiming = VisibilityPlanner(maker, amendments, checkpoint.list_completed())
        self._records = records

    @property
    def merged(self) -> dict[str, WinningBlocks]:
        return self._claiming.laid

    def merge_center(self, frame: MergeFrame) -> None:
        """Merge the centre of a frame before anything is known of the others.

        So the map shows that the flight has come, whatever others win later. A frame that does not match its
        header waits for its turn.
        """
        for due in self._claiming.plan_jobs([frame], TileCountdown([frame.tiles])):
            middle = replace(due, winning_blocks=due.winning_blocks.select_central(frame.tiles, _GROUP_TILES))
            for part, made in self._maker.rectify([middle]):
                if not isinstance(made, FrameRejected | SizeMismatch):
                    self._merge(part, made)

    def round(
        self, frames: Sequence[MergeFrame], rejections: Rejections, progress: Progress
    ) -> list[MergeFrame]:
        """Solve visibility, orthorectify and merge; return the frames to solve again.

        None if all kept their promises.
        """
        turns = TileCountdown(frame.tiles for frame in frames)
        good, kept = {frame.frame_id: frame for frame in frames}, True
        for part, made in self._maker.rectify(self._claiming.plan_jobs(frames, turns)):
            frame = part.frame
            if isinstance(made, FrameRejected):
                kept = False
                if good.pop(frame.frame_id, None):
                    rejections.add(frame.record.header, made)
            elif isinstance(made, SizeMismatch):
                kept = False
                good[frame.frame_id] = replace(frame, size_px=made.size_px)
            else:
                self._merge(part, made)
                if part.is_last:
                    turns.mark_merged(part.winning_blocks)
                    # One of another size than its header states has to be read to know it.
                    if frame.size_px == frame.record.header.interior.image_size_px:
                        self._checkpoint.mark_merged(frame.frame_id, part.winning_blocks.blocks)
            if len(turns.finished) >= _GROUP_TILES:
                self._writer.write(turns.finished)
                self._checkpoint.mark_writing(turns.finished)
                turns.finished.clear()
            if part.is_last:
                progress("rectify", len(self.merged) + len(frames) - len(good), len(frames))
        return [] if kept else list(good.values())

    def _merge(self, part: RectifyTask, patch: OrthoPatch | None) -> None:
        frame_id = part.frame.frame_id
        if part.is_first and frame_id not in self.merged:
            self._records.add(part.frame.record)
        if patch is not None:
            self._writer.add(patch)
        if part.is_last:
            self.merged[frame_id] = part.winning_blocks.union(self.merged.get(frame_id, NO_BLOCKS))


class FrameRecordBuffer:
    """Records of frames, written before the log names a tile with one of them.

    Added by one thread and written by others. Once `write` returns, what was added before the call is on
    record, whichever thread wrote it; what could not be written waits for the next call.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._waiting: list[FrameRecord] = []
        self._lock = threading.Lock()
        self._writing = threading.Lock()

    def add(self, record: FrameRecord) -> None:
        with self._lock:
            self._waiting.append(record)

    def write(self) -> None:
        """Flush originals to disk, then write the records that name them."""
        with self._writing:
            with self._lock:
                waiting = list(self._waiting)
            if not waiting:
                return
            self._workspace.store.flush()
            self._workspace.catalog.frames.put(waiting, is_stored=True)
            with self._lock:
                del self._waiting[: len(waiting)]
