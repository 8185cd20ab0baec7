"""Frames into the mosaic: who can win what is settled, just that is made in threads, recorded, merged."""

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
from flycam.ingest.doctor.diagnosis import Rejection
from flycam.mosaic.epochs import Amendments
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.executor import workers_here
from flycam.pipeline.laying.checkpoint import Checkpoint
from flycam.pipeline.laying.claiming import Claiming
from flycam.pipeline.laying.claims import NO_CLAIM, Claim, Turns
from flycam.pipeline.laying.making import Frame, Maker, Part, Resized
from flycam.pipeline.laying.refolding import amendments_of
from flycam.pipeline.room import GROUP_BYTES
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace

_GROUP_TILES = 64  # finished tiles written together: they share ancestors, and one sync to the disk


@dataclass(slots=True)
class Rejections:
    """Frames left out on the way, each with its error."""

    errors: list[tuple[FrameHeader, FrameRejected]] = field(default_factory=list)

    def add(self, header: FrameHeader, error: FrameRejected) -> None:
        """Keep what an error says, and not where it came from: its frames hold the picture and its terrain,
        which over an hour's flight fill the memory."""
        error.__traceback__ = error.__cause__ = error.__context__ = None
        self.errors.append((header, error))

    def records(self, flight_id: str) -> list[FrameRecord]:
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

    def sentences(self, but: Container[str] = ()) -> list[Rejection]:
        """One for each frame, but for those of these ids, which stay on the map as they lie."""
        return [
            Rejection.of(header.provenance.source_name, error)
            for header, error in self.errors
            if header.frame_id not in but
        ]


def merge_frames(
    workspace: Workspace,
    mosaic: MosaicInfo,
    todo: Sequence[tuple[FrameRecord, Path]],
    terrain: TerrainGrid,
    rejections: Rejections,
    progress: Progress,
) -> int:
    """Merge frames, each where it can win a pixel; the number of frames merged.

    A frame that turns out unreadable, or of another size than its head says, does not keep what it promised:
    then it is settled again who can win what, and what is missing is made.
    """
    terrains = {terrain.dem_id: terrain}
    for dem_id in {record.dem_id for record, _ in todo if record.dem_id} - terrains.keys():
        terrains[dem_id] = recorded_terrain(workspace, dem_id)
    amendments = amendments_of(workspace, mosaic)
    records = Records(workspace)
    with MosaicWriter(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        origin=workspace.box,
        clock_ns=workspace.clock_ns,
        amendments=amendments,
        before_append=records.write,
        before_group=partial(workspace.require_room, GROUP_BYTES, holding=mosaic.flight_id),
        workers=workers_here(),
    ) as writer:
        frames = [Frame(record, path, record.header.interior.image_size_px) for record, path in todo]

        def write() -> None:
            writer.flush()
            records.write()  # where no tile changed, nothing was appended and nothing written before it

        checkpoint = Checkpoint(workspace, mosaic, frames, write, records.write)
        merging = _Merging(
            Maker(workspace, terrains, workers_here()), writer, amendments, records, checkpoint
        )
        is_long = sum(len(frame.tiles) for frame in frames) > _GROUP_TILES  # else all is written at once
        if is_long and not workspace.catalog.tiles.last_seq(mosaic.mosaic_id):
            merging.lay_first(frames[0])
            write()
        while frames:
            frames = merging.round(frames, rejections, progress)
    records.write()
    checkpoint.over()
    return len(merging.laid)


class _Merging:
    """Frames on their way into a mosaic. laid: what was merged, by frame id."""

    def __init__(
        self,
        maker: Maker,
        writer: MosaicWriter,
        amendments: Amendments,
        records: Records,
        checkpoint: Checkpoint,
    ) -> None:
        self._maker = maker
        self._writer = writer
        self._checkpoint = checkpoint
        self._claiming = Claiming(maker, amendments, checkpoint.before())
        self._records = records

    @property
    def laid(self) -> dict[str, Claim]:
        return self._claiming.laid

    def lay_first(self, frame: Frame) -> None:
        """Merge the middle of a frame before anything is known of the others, whatever they win of it later:
        so the map shows that the flight has come. One that is not as its head says waits for its turn."""
        for due in self._claiming.due([frame], Turns([frame.tiles])):
            middle = replace(due, claim=due.claim.inmost(frame.tiles, _GROUP_TILES))
            for part, made in self._maker.make([middle]):
                if not isinstance(made, FrameRejected | Resized):
                    self._lay(part, made)

    def round(self, frames: Sequence[Frame], rejections: Rejections, progress: Progress) -> list[Frame]:
        """Settle who can win what, make it, merge it; the frames to settle again, none if all went as
        promised."""
        turns = Turns(frame.tiles for frame in frames)
        good, kept = {frame.frame_id: frame for frame in frames}, True
        for part, made in self._maker.make(self._claiming.due(frames, turns)):
            frame = part.frame
            if isinstance(made, FrameRejected):
                kept = False
                if good.pop(frame.frame_id, None):
                    rejections.add(frame.record.header, made)
            elif isinstance(made, Resized):
                kept = False
                good[frame.frame_id] = replace(frame, size_px=made.size_px)
            else:
                self._lay(part, made)
                if part.is_last:
                    turns.laid(part.claim)
                    # one of another size than its head says has to be read to know it
                    if frame.size_px == frame.record.header.interior.image_size_px:
                        self._checkpoint.laid(frame.frame_id, part.claim.blocks)
            if len(turns.finished) >= _GROUP_TILES:
                self._writer.write(turns.finished)
                self._checkpoint.given(turns.finished)
                turns.finished.clear()
            if part.is_last:
                progress("rectify", len(self.laid) + len(frames) - len(good), len(frames))
        return [] if kept else list(good.values())

    def _lay(self, part: Part, patch: OrthoPatch | None) -> None:
        frame_id = part.frame.frame_id
        if part.is_first and frame_id not in self.laid:
            self._records.add(part.frame.record)
        if patch is not None:
            self._writer.add(patch)
        if part.is_last:
            self.laid[frame_id] = part.claim.joined(self.laid.get(frame_id, NO_CLAIM))


class Records:
    """Records of frames that were made, written before the log names a tile that holds one of them.

    Added by one thread and written by others. Once `write` returns, what was added before it was called is on
    record, whoever wrote it; what could not be written waits for the next one.
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
        """Evidence to the disk, then the records that name it."""
        with self._writing:
            with self._lock:
                waiting = list(self._waiting)
            if not waiting:
                return
            self._workspace.store.flush()
            self._workspace.catalog.frames.put(waiting, are_kept=True)
            with self._lock:
                del self._waiting[: len(waiting)]
