"""Merge of frames into the mosaic: visibility, orthorectification, records.

Frames are orthorectified in threads, only where they can win.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import LruCache, count_workers, map_ordered
from flycam.errors import FrameRejected
from flycam.geometry.grid import TileId, TileRange
from flycam.geometry.lattice import FrameLattices
from flycam.geometry.quality_bounds import QualityBounds, compute_quality_bounds
from flycam.geometry.terrain import TerrainGrid
from flycam.model.diagnosis import Rejection
from flycam.model.frame import FrameHeader, OrthoPatch
from flycam.model.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.mosaic.orthorectify.rebuild import load_amendments
from flycam.mosaic.orthorectify.rectification import (
    get_recorded_pose,
    orthorectify_frame,
    view_frame,
)
from flycam.mosaic.orthorectify.visibility import NO_BLOCKS, TileCountdown, VisibilitySolver, WinningBlocks
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.tiles.merge import Amendments
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.originals import store_and_decode_original
from flycam.storage.files import GROUP_BYTES, replace_file
from flycam.workspace import Progress, Workspace

# -- Thread pool that reads, stores and orthorectifies photos --------------------------------------
#
# Photos are orthorectified only where they claim ground; results come in order.


Pixels = NDArray[np.uint8]

# Tiles whose lattices are made together: with less than some hundred, calling numpy costs as much as its
# arithmetic; with more, intermediate arrays leave the cache.
_BATCH_TILES = 256


@dataclass(frozen=True, slots=True)
class MergeFrame:
    """A frame to be merged; size_px: (width, height) of its pixels, as far as known."""

    record: FrameRecord
    path: Path
    size_px: tuple[int, int]

    @property
    def frame_id(self) -> str:
        return self.record.frame_id

    @property
    def placement(self) -> tuple[str, int, str]:
        """(frame id, exterior version, terrain id)."""
        exterior, _, dem_id = get_recorded_pose(self.record)
        return self.record.frame_id, exterior.version, dem_id

    @property
    def tiles(self) -> TileRange:
        """Base-zoom tiles that it may touch."""
        return get_recorded_pose(self.record)[1]


@dataclass(frozen=True, slots=True)
class RectifyTask:
    """What a frame claims, to be orthorectified: whole, or a part that is made at once.

    lattices       of the claimed tiles, numbered in the frame's, if any
    tiles, blocks  of the part; None: it is only read
    """

    frame: MergeFrame
    winning_blocks: WinningBlocks
    lattices: FrameLattices | None = None
    tiles: TileRange | None = None
    blocks: NDArray[np.bool_] | None = None
    is_first: bool = True
    is_last: bool = True


@dataclass(frozen=True, slots=True)
class SizeMismatch:
    """Pixels of another size (width, height) than known: visibility is solved again."""

    size_px: tuple[int, int]


RectifyResult = OrthoPatch | FrameRejected | SizeMismatch | None
"""An orthopatch; the reason for a rejection; the reason for another round; None if nothing was claimed."""


class RectifyPool:
    """Thread pool that orthorectifies frames."""

    def __init__(self, workspace: Workspace, terrains: Mapping[str, TerrainGrid], workers: int) -> None:
        self._workspace, self._terrains, self._workers = workspace, terrains, workers
        # each is read and stored once, for all its parts
        self._photos = LruCache[str, Pixels | FrameRejected](workers + 1)

    def compute_bounds(
        self, frames: Sequence[MergeFrame]
    ) -> Iterator[tuple[QualityBounds, FrameLattices | None]]:
        """Return bounds of each frame's qualities on its tiles, and their lattices."""
        # In one thread: many short calls of numpy, of which two wait for each other longer than they gain.
        batches = map_ordered(self._bounds, _batches(frames), 1, in_flight=self._workers + 1)
        return chain.from_iterable(batches)

    def rectify(self, due: Iterable[RectifyTask]) -> Iterator[tuple[RectifyTask, RectifyResult]]:
        """Read every frame and make what it claims, part by part.

        `due` is consumed only as far as work is in flight.
        """
        parts = (part for one in due for part in _parts(one))
        return map_ordered(self._rectify, parts, self._workers, in_flight=self._workers + 1)

    def _bounds(self, frames: Sequence[MergeFrame]) -> list[tuple[QualityBounds, FrameLattices | None]]:
        """Bound the frames' qualities together, which costs half of what it costs one by one."""
        views = []
        for frame in frames:
            exterior, tiles, dem_id = get_recorded_pose(frame.record)
            header, terrain = frame.record.header, self._terrains[dem_id]
            views.append(view_frame(header, exterior, frame.size_px, terrain, tiles))
        return compute_quality_bounds(views, [frame.tiles for frame in frames])

    def _rectify(self, part: RectifyTask) -> tuple[RectifyTask, RectifyResult]:
        header = part.frame.record.header
        exterior, tiles, dem_id = get_recorded_pose(part.frame.record)
        pixels = self._photos.get(part.frame.frame_id, lambda: self._read(part.frame))
        if isinstance(pixels, FrameRejected):
            return part, pixels
        size_px = (pixels.shape[1], pixels.shape[0])
        if size_px != part.frame.size_px:
            return part, SizeMismatch(size_px)
        if part.tiles is None:
            return part, None
        terrain = self._terrains[dem_id]
        return part, orthorectify_frame(
            header, exterior, pixels, terrain, tiles, part.tiles, part.blocks, part.lattices
        )

    def _read(self, frame: MergeFrame) -> Pixels | FrameRejected:
        """Return RGB, or the rejection as a result, for the flight goes on."""
        sha256 = frame.record.header.provenance.source_sha256
        try:
            return store_and_decode_original(self._workspace, frame.path, sha256)
        except FrameRejected as error:
            return error


def _batches(frames: Sequence[MergeFrame]) -> Iterator[list[MergeFrame]]:
    """Batch adjacent frames in their order, some hundreds of tiles each."""
    batch: list[MergeFrame] = []
    tiles = 0
    for frame in frames:
        if batch and tiles + len(frame.tiles) > _BATCH_TILES:
            yield batch
            batch, tiles = [], 0
        batch.append(frame)
        tiles += len(frame.tiles)
    if batch:
        yield batch


def _parts(due: RectifyTask) -> list[RectifyTask]:
    """Split a claim into parts of bounded size.

    One that claims nothing is one part, for its photo is read all the same.
    """
    found = list(due.winning_blocks.split())
    last = len(found) - 1
    return [
        replace(due, tiles=tiles, blocks=blocks, is_first=number == 0, is_last=number == last)
        for number, (tiles, blocks) in enumerate(found)
    ] or [due]


# -- Checkpoint of a merge: frames wholly in the tile log ------------------------------------------
#
#  <cache>/merging/<mosaic>.json   what is merged, the log's last line at that time, and the frames
#
# It is written after the log, so its frames are there: with every group of finished tiles, and where a frame
# has waited long for its tiles to be finished, after all of them were written as they are. It is valid where
# the same frames are merged into the same log: after an older backup was restored, or with other frames on
# the memory card, all is merged again, which changes nothing but takes its time.


MAX_INTERVAL_S = 5.0
"""Age at which a merged frame is written to the log, though its tiles are not finished."""
_SHARE = 20.0
"""Notes may take a twentieth of the time, and so may writing unfinished tiles."""

_FOLDER = "merging"


@dataclass(slots=True)
class _MergedFrame:
    """A frame with all its claims merged: its tiles not yet in the log, and when."""

    left: set[TileId]
    at_s: float


class Checkpoint:
    """Checkpoint of one merge.

    writer, records  of the merged frames' tiles, and of their records
    """

    def __init__(
        self,
        workspace: Workspace,
        mosaic: MosaicInfo,
        frames: Sequence[MergeFrame],
        writer: MosaicWriter,
        records: FrameRecordBuffer,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspace, self._mosaic, self._clock_s = workspace, mosaic, clock_s
        self._writer, self._records = writer, records
        self._path = workspace.cache_dir / _FOLDER / f"{mosaic.mosaic_id}.json"
        self._of = _digest(mosaic, frames)
        self._noted = set(self._read())
        self._laid: dict[str, _MergedFrame] = {}
        self._given: tuple[Collection[TileId], Collection[str]] = ((), ())
        self._note_due_s = self._write_due_s = float("-inf")

    def list_completed(self) -> frozenset[str]:
        """Return ids of frames wholly in the log, by an earlier run or this one."""
        return frozenset(self._noted)

    def mark_merged(self, frame_id: str, tiles: Iterable[TileId]) -> None:
        """Mark a frame's claims, on these tiles, as merged.

        When due, all that is merged is written to the log.
        """
        began_s = self._clock_s()
        if frame_id not in self._noted:
            self._laid.setdefault(frame_id, _MergedFrame(set(), began_s)).left.update(tiles)
        oldest = next(iter(self._laid.values()), None)
        if oldest is None or began_s < max(oldest.at_s + MAX_INTERVAL_S, self._write_due_s):
            return
        self.write()
        self._note(list(self._laid))
        self._write_due_s = self._due_s(began_s)

    def mark_writing(self, tiles: Collection[TileId]) -> None:
        """Mark tiles as being written; those given before are in the log.

        No frame comes to these tiles any more.
        """
        (logged, frame_ids), self._given = self._given, (frozenset(tiles), list(self._laid))
        for frame_id in frame_ids:
            if frame_id in self._laid:
                self._laid[frame_id].left.difference_update(logged)
        complete = [one for one in frame_ids if one in self._laid and not self._laid[one].left]
        began_s = self._clock_s()
        if not complete or began_s < self._note_due_s:
            return
        self._records.write()
        self._note(complete)
        self._note_due_s = self._due_s(began_s)

    def write(self) -> None:
        """Write all that is merged to the log."""
        self._writer.flush()
        # Where no tile changed, nothing was appended and no record written before it.
        self._records.write()

    def finish(self) -> None:
        """Delete the checkpoint: all is merged and in the log."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _due_s(self, began_s: float) -> float:
        """Return when a task begun then and ended now may run again."""
        now_s = self._clock_s()
        return now_s + _SHARE * (now_s - began_s)

    def _note(self, frame_ids: Iterable[str]) -> None:
        """Write the checkpoint; a failure only costs the next run its time."""
        for frame_id in frame_ids:
            self._noted.add(frame_id)
            del self._laid[frame_id]
        seq = self._workspace.catalog.tiles.last_seq(self._mosaic.mosaic_id)
        checkpoint = {"of": self._of, "seq": seq, "line": self._line(seq), "frames": sorted(self._noted)}
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(self._path) as file:
                file.write(json.dumps(checkpoint).encode())

    def _read(self) -> list[str]:
        try:
            checkpoint = json.loads(self._path.read_bytes())
            here = self._line(int(checkpoint["seq"]))
            if checkpoint["of"] == self._of and here is not None and here == checkpoint["line"]:
                return list(map(str, checkpoint["frames"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return []

    def _line(self, seq: int) -> str | None:
        """Return the tile and content that a line of the log names."""
        for line in self._workspace.catalog.tiles.log_since(self._mosaic.mosaic_id, seq - 1, 1):
            if line.seq == seq:
                return f"{line.tile_id} {line.content_hash}"
        return None


def _digest(mosaic: MosaicInfo, frames: Iterable[MergeFrame]) -> str:
    digest = hashlib.sha256(f"{mosaic.mosaic_id} {mosaic.base_zoom}".encode())
    for frame in frames:
        digest.update(str((frame.placement, frame.size_px)).encode())
    return digest.hexdigest()


# -- Plan of the blocks on which each frame is made ------------------------------------------------
#
# Claims of a flight's frames are solved as far ahead as they depend on each other, with their lattices.


# Frames whose promises are known before one is made, at most: some strips of a flight. Of these only up to
# the last that shares half its tiles: frames farther off seldom win what it can.
_FRAMES_AHEAD = 192
_SHARED_TILE_SHARE = 0.5
# Lattices of frames ahead held in memory; those that come when it is full are made again at their turn.
_LATTICE_BYTES_AHEAD = 64 << 20


class VisibilityPlanner:
    """Planner of the frames' claims.

    laid    merged blocks by frame id, kept up to date by the caller
    before  ids of frames of which an earlier run merged all claims
    """

    def __init__(
        self, maker: RectifyPool, amendments: Amendments, before: frozenset[str] = frozenset()
    ) -> None:
        self._before = set(before)
        self._maker = maker
        self._amendments = amendments
        self.laid: dict[str, WinningBlocks] = {}

    def plan_jobs(self, frames: Sequence[MergeFrame], countdown: TileCountdown) -> Iterator[RectifyTask]:
        """Yield what each frame claims and was not merged yet.

        Once the promises of enough frames ahead are known. Frames with all merged are left out.
        """
        claims, prepared, entered = VisibilitySolver(), _Prepared(), 0
        open_tiles: dict[str, Iterable[TileId]] = {frame.frame_id: frame.tiles for frame in frames}
        entering = [f for f in frames if not self._amendments.forbids_placement(*f.placement)]
        coming = zip(entering, self._maker.compute_bounds(entering), strict=True)
        for frame, due in zip(frames, _count_entering_before(frames, entering), strict=True):
            for one, (bounds, lattices) in islice(coming, max(due - entered, 0)):
                entered += 1
                claims.add_frame(one.frame_id, one.tiles, bounds)
                # all it can ever claim: promises only grow
                first = claims.solve(one.frame_id)
                countdown.settle(one.tiles, first)
                open_tiles[one.frame_id] = first.blocks.keys()
                prepared.add(one.frame_id, lattices and _only(lattices, one.tiles, first))
            claim = claims.solve(frame.frame_id)
            # Only once: where others break their promises it claims more.
            if frame.frame_id in self._before:
                self._before.discard(frame.frame_id)
                self.laid[frame.frame_id] = claim
            before = self.laid.get(frame.frame_id)
            claims.remove_frame(frame.frame_id)
            lattices = prepared.pop(frame.frame_id)
            rest = claim if before is None else claim.subtract(before)
            countdown.settle(open_tiles.pop(frame.frame_id), rest)
            if rest or before is None:
                yield RectifyTask(frame, rest, lattices)


def _count_entering_before(frames: Sequence[MergeFrame], entering: Sequence[MergeFrame]) -> Iterator[int]:
    """Yield for each frame how many entering frames must promise before it is made."""
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
        yield number + 1 + int(np.flatnonzero(shared >= _SHARED_TILE_SHARE * shared[0])[-1])


class _Prepared:
    """Frames with known promises, with as many of their lattices as fit in memory."""

    def __init__(self) -> None:
        self._lattices: dict[str, FrameLattices | None] = {}
        self._size_bytes = 0

    def add(self, frame_id: str, lattices: FrameLattices | None) -> None:
        """Add a frame; its lattices are dropped where there is no room for them."""
        size = lattices.size_bytes if lattices else 0
        fits = self._size_bytes + size <= _LATTICE_BYTES_AHEAD
        self._lattices[frame_id] = lattices if fits else None
        self._size_bytes += size if fits else 0

    def pop(self, frame_id: str) -> FrameLattices | None:
        """Remove a frame and return its lattices, if they are there."""
        lattices = self._lattices.pop(frame_id, None)
        self._size_bytes -= lattices.size_bytes if lattices else 0
        return lattices


def _only(lattices: FrameLattices, tiles: TileRange, claim: WinningBlocks) -> FrameLattices:
    """Return the lattices of the tiles that can still be claimed."""
    return lattices.restrict(tiles, tiles, np.array([tile in claim.blocks for tile in tiles], dtype=bool))


# -- Merge of frames into the mosaic ---------------------------------------------------------------


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
    frames: Sequence[MergeFrame],
    terrain: TerrainGrid,
    rejections: Rejections,
    progress: Progress,
) -> int:
    """Merge frames, each where it can win a pixel; return their number.

    A frame that turns out unreadable, or of another size than its header states, does not keep its promise:
    then visibility is solved again, and what is missing is made.
    """
    terrains = {terrain.dem_id: terrain}
    for dem_id in {frame.placement[2] for frame in frames} - terrains.keys():
        terrains[dem_id] = load_recorded_terrain(workspace, dem_id)
    amendments = load_amendments(workspace.catalog, mosaic)
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
        checkpoint = Checkpoint(workspace, mosaic, frames, writer, records)
        merging = _Merging(
            RectifyPool(workspace, terrains, count_workers()), writer, amendments, records, checkpoint
        )
        # Otherwise all is written at once.
        is_long = sum(len(frame.tiles) for frame in frames) > _GROUP_TILES
        if is_long and not workspace.catalog.tiles.last_seq(mosaic.mosaic_id):
            merging.merge_center(frames[0])
            checkpoint.write()
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
