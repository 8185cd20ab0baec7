"""Frames into the mosaic: who can win what is settled, just that is made in threads, recorded, merged."""

from __future__ import annotations

import threading
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.errors import FrameRejected
from flycam.frame.frame import FrameHeader
from flycam.frame.tile import OrthoPatch
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.lattice import FrameLattices
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.diagnosis import Rejection
from flycam.mosaic.epochs import Amendments
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.claims import NO_CLAIM, Claim, Claims, Turns
from flycam.pipeline.executor import workers_here
from flycam.pipeline.making import Due, Frame, Maker, Part, Resized
from flycam.pipeline.refolding import amendments_of
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace

# Frames that say what they promise before one is made, at most: some strips of a flight. Of these only as far
# as to the last that shares half its tiles: frames farther off seldom win what it can.
_FRAMES_AHEAD = 192
_SHARED = 0.5
# Lattices of frames ahead that memory holds; those that come when it is full are made again at their turn.
_LATTICE_BYTES_AHEAD = 64 << 20
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
        workers=workers_here(),
    ) as writer:
        merging = _Merging(Maker(workspace, terrains, workers_here()), writer, amendments, records)
        frames = [Frame(record, path, record.header.interior.image_size_px) for record, path in todo]
        while frames:
            frames = merging.round(frames, rejections, progress)
    records.write()
    return len(merging.laid)


class _Merging:
    """Frames on their way into a mosaic. laid: what was merged, by frame id."""

    def __init__(self, maker: Maker, writer: MosaicWriter, amendments: Amendments, records: Records) -> None:
        self._maker = maker
        self._writer = writer
        self._amendments = amendments
        self._records = records
        self.laid: dict[str, Claim] = {}

    def round(self, frames: Sequence[Frame], rejections: Rejections, progress: Progress) -> list[Frame]:
        """Settle who can win what, make it, merge it; the frames to settle again, none if all went as
        promised."""
        turns = Turns(frame.tiles for frame in frames)
        good, kept = {frame.frame_id: frame for frame in frames}, True
        for part, made in self._maker.make(self._due(frames, turns)):
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
            if len(turns.finished) >= _GROUP_TILES:
                self._writer.write(turns.finished)
                turns.finished.clear()
            if part.is_last:
                progress("rectify", len(self.laid) + len(frames) - len(good), len(frames))
        return [] if kept else list(good.values())

    def _due(self, frames: Sequence[Frame], turns: Turns) -> Iterator[Due]:
        """What each frame claims and was not laid yet, once as many frames ahead have said what they promise
        as have to be looked at. Frames of which all is laid are left out."""
        claims, prepared, entered = Claims(), _Prepared(), 0
        open_tiles: dict[str, Iterable[TileId]] = {frame.frame_id: frame.tiles for frame in frames}
        entering = [f for f in frames if not self._amendments.forbids_placement(*f.placement)]
        coming = zip(entering, self._maker.bounds(entering), strict=True)
        for frame, due in zip(frames, _asked_before(frames, entering), strict=True):
            for one, (bounds, lattices) in islice(coming, max(due - entered, 0)):
                entered += 1
                claims.enter(one.frame_id, one.tiles, bounds)
                first = claims.of(one.frame_id)  # all it can ever claim: promises only grow
                turns.settled(one.tiles, first)
                open_tiles[one.frame_id] = first.blocks.keys()
                prepared.add(one.frame_id, lattices and _only(lattices, one.tiles, first))
            claim, before = claims.of(frame.frame_id), self.laid.get(frame.frame_id)
            claims.forget(frame.frame_id)
            lattices = prepared.pop(frame.frame_id)
            rest = claim if before is None else claim.without(before)
            turns.settled(open_tiles.pop(frame.frame_id), rest)
            if rest or before is None:
                yield Due(frame, rest, lattices)

    def _lay(self, part: Part, patch: OrthoPatch | None) -> None:
        frame_id = part.frame.frame_id
        if part.is_first and frame_id not in self.laid:
            self._records.add(part.frame.record)
        if patch is not None:
            self._writer.add(patch)
        if part.is_last:
            self.laid[frame_id] = part.claim.joined(self.laid.get(frame_id, NO_CLAIM))


def _asked_before(frames: Sequence[Frame], entering: Sequence[Frame]) -> Iterator[int]:
    """For each frame, how many of those entering have to say what they promise before it is made."""
    places = {frame.frame_id: number for number, frame in enumerate(entering)}
    tiles = [frame.tiles for frame in entering]
    low = np.array([(one.x_start, one.y_start) for one in tiles]).reshape(-1, 2)
    high = np.array([(one.x_stop, one.y_stop) for one in tiles]).reshape(-1, 2)
    for frame in frames:
        number = places.get(frame.frame_id)
        if number is None:
            yield 0
            continue
        ahead = slice(number, number + _FRAMES_AHEAD)
        sides = np.minimum(high[ahead], high[number]) - np.maximum(low[ahead], low[number])
        shared = np.maximum(sides, 0).prod(axis=1)
        yield number + 1 + int(np.flatnonzero(shared >= _SHARED * shared[0])[-1])


class _Prepared:
    """Frames that said what they promise, with as many of their lattices as memory is to hold."""

    def __init__(self) -> None:
        self._lattices: dict[str, FrameLattices | None] = {}
        self._size_bytes = 0

    def add(self, frame_id: str, lattices: FrameLattices | None) -> None:
        """Remember a frame; its lattices are let go where there is no room for them."""
        size = lattices.size_bytes if lattices else 0
        fits = self._size_bytes + size <= _LATTICE_BYTES_AHEAD
        self._lattices[frame_id] = lattices if fits else None
        self._size_bytes += size if fits else 0

    def pop(self, frame_id: str) -> FrameLattices | None:
        """The lattices of a frame whose turn it is, if they are there."""
        lattices = self._lattices.pop(frame_id, None)
        self._size_bytes -= lattices.size_bytes if lattices else 0
        return lattices


def _only(lattices: FrameLattices, tiles: TileRange, claim: Claim) -> FrameLattices:
    """The lattices of the tiles that can still be claimed."""
    return lattices.within(tiles, tiles, np.array([tile in claim.blocks for tile in tiles], dtype=bool))


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
            self._workspace.catalog.frames.put(waiting)
            with self._lock:
                del self._waiting[: len(waiting)]
