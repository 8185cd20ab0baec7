"""Ingest on a cluster.

Originals go into the store, winning blocks are computed here, and workers make the tile blocks.

Which frame can win a pixel is geometry, and is computed in one place, as without a cluster. A worker is given
a tile block with the winning blocks in it, reads the originals from the store, and merges through the one
write path; orthopatches and merge rule are the same, so the tiles are the same to the last byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from flycam.concurrency import count_workers, map_ordered
from flycam.errors import FlightBusy, FrameRejected, FrameUnreadable, SourceUnreadable
from flycam.geometry.grid import TileId
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.model.records import MosaicInfo
from flycam.mosaic.cluster.run import (
    INGEST,
    BlockAncestors,
    ClusterRun,
    Fence,
    choose_block_zoom,
    find_block,
    open_cluster_run,
    sort_blocks,
)
from flycam.mosaic.orthorectify.frame_merge import (
    FrameRecordBuffer,
    MergeFrame,
    RectifyPool,
    RectifyTask,
    Rejections,
    SizeMismatch,
    VisibilityPlanner,
)
from flycam.mosaic.orthorectify.rebuild import load_amendments
from flycam.mosaic.orthorectify.rectification import get_recorded_pose, orthorectify_frame
from flycam.mosaic.orthorectify.visibility import NO_BLOCKS, TileCountdown, WinningBlocks
from flycam.mosaic.terrain import load_recorded_terrain
from flycam.mosaic.tiles.merge import Amendments
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.originals import PhotoCache, store_original
from flycam.storage.files import GROUP_BYTES
from flycam.workspace import Progress, Workspace

_MAX_TERRAINS = 2

FrameFailure = FrameRejected | SizeMismatch
"""Reason why no orthopatch was made of a frame."""


@dataclass(frozen=True, slots=True)
class TileBlockTask:
    """A worker's task: a tile block, and what frames claim in it.

    root: a tile some zooms above the base. A frame that claims nothing is only read and recorded.
    """

    root: TileId
    shares: tuple[RectifyTask, ...]


def merge_frames_on_cluster(
    workspace: Workspace,
    mosaic: MosaicInfo,
    frames: Sequence[MergeFrame],
    terrain: TerrainGrid,
    rejections: Rejections,
    progress: Progress,
) -> int:
    """Merge frames as `merge_frames` does, by the cluster's workers.

    Returns their number. Also raises ClusterUnavailable and WorkerIncompatible; run again, it completes.
    """
    frames = _store_originals(workspace, frames, rejections, progress)
    spread = open_cluster_run(workspace, mosaic.flight_id, _run_of(mosaic, frames))
    if spread is None or not frames:
        return 0
    terrains = {terrain.dem_id: terrain}
    for dem_id in {frame.placement[2] for frame in frames} - terrains.keys():
        terrains[dem_id] = load_recorded_terrain(workspace, dem_id)
    maker = RectifyPool(workspace, terrains, count_workers())
    claiming = VisibilityPlanner(maker, load_amendments(workspace.catalog, mosaic))
    while frames:
        frames = _round(spread, mosaic, frames, claiming, rejections, progress)
    spread.clear()
    return len(claiming.laid)


def _store_originals(
    workspace: Workspace,
    frames: Sequence[MergeFrame],
    rejections: Rejections,
    progress: Progress,
) -> list[MergeFrame]:
    """Store the originals, where workers read them.

    Returns the frames whose original could be read.
    """

    def store(frame: MergeFrame) -> FrameRejected | None:
        try:
            # made durable by one flush for all photos below
            sha256 = frame.record.header.provenance.source_sha256
            store_original(workspace, frame.path, sha256, durable=False)
        except SourceUnreadable as error:
            return FrameUnreadable.from_error(error)
        return None

    workers = count_workers()
    stored: list[MergeFrame] = []
    for frame, lost in zip(frames, map_ordered(store, frames, workers, 2 * workers), strict=True):
        if lost is None:
            stored.append(frame)
        else:
            rejections.add(frame.record.header, lost)
        progress("keep", len(stored), len(frames))
    workspace.store.flush()
    return stored


def _run_of(mosaic: MosaicInfo, frames: Iterable[MergeFrame]) -> str:
    digest = hashlib.sha256(f"{mosaic.mosaic_id} {mosaic.base_zoom}".encode())
    for frame in frames:
        digest.update(str(frame.placement).encode())
    return INGEST + digest.hexdigest()[:32]


def _round(
    cluster_run: ClusterRun,
    mosaic: MosaicInfo,
    frames: Sequence[MergeFrame],
    claiming: VisibilityPlanner,
    rejections: Rejections,
    progress: Progress,
) -> list[MergeFrame]:
    """Settle winning blocks and have them merged; return the frames to settle again.

    None are returned if every frame had the expected size and could be read.
    """
    countdown = TileCountdown(frame.tiles for frame in frames)
    due = [replace(one, lattices=None) for one in claiming.plan_jobs(frames, countdown)]
    squares = group_by_tile_block(due, choose_block_zoom(mosaic))
    good, refused = {frame.frame_id: frame for frame in frames}, dict[str, FrameFailure]()
    above = BlockAncestors(cluster_run.workspace, mosaic)
    results = cluster_run.run_tasks(TileBlockMerger, mosaic, squares)
    for done, (number, found) in enumerate(results, start=1):
        refused.update(found)
        above.mark_written(squares[number].root)
        progress("rectify", done, len(squares))
    above.update()
    for frame_id, why in refused.items():
        if isinstance(why, SizeMismatch):
            good[frame_id] = replace(good[frame_id], size_px=why.size_px)
        else:
            rejections.add(good.pop(frame_id).record.header, why)
    for one in due:
        frame_id = one.frame.frame_id
        if frame_id not in refused:
            claiming.laid[frame_id] = one.winning_blocks.union(claiming.laid.get(frame_id, NO_BLOCKS))
    return list(good.values()) if refused else []


def group_by_tile_block(due: Iterable[RectifyTask], zoom: int) -> list[TileBlockTask]:
    """Group jobs by tile block.

    A frame without winning blocks goes where its middle is.
    """
    shares: dict[TileId, list[RectifyTask]] = {}
    for one in due:
        for root, claim in _by_square(one, zoom).items():
            shares.setdefault(root, []).append(replace(one, winning_blocks=claim))
    return [TileBlockTask(root, tuple(shares[root])) for root in sort_blocks(shares)]


def _by_square(due: RectifyTask, zoom: int) -> Mapping[TileId, WinningBlocks]:
    if not due.winning_blocks:
        tiles = due.frame.tiles
        middle = TileId(
            z=tiles.z, x=(tiles.x_start + tiles.x_stop - 1) // 2, y=(tiles.y_start + tiles.y_stop - 1) // 2
        )
        return {find_block(middle, zoom): NO_BLOCKS}
    parts: dict[TileId, dict[TileId, NDArray[np.bool_]]] = {}
    for tile, blocks in due.winning_blocks.blocks.items():
        parts.setdefault(find_block(tile, zoom), {})[tile] = blocks
    return {root: WinningBlocks(blocks) for root, blocks in parts.items()}


class TileBlockMerger:
    """Merges a tile block in a worker. Thread-safe."""

    def __init__(self, workspace: Workspace, mosaic: MosaicInfo) -> None:
        self._workspace = workspace
        self._mosaic = mosaic
        self._originals = PhotoCache(workspace, ())
        self._terrain = lru_cache(maxsize=_MAX_TERRAINS)(partial(load_recorded_terrain, workspace))

    def __call__(self, square: TileBlockTask, fence: Fence) -> dict[str, FrameFailure]:
        """Merge the shares of a tile block; return the frames that failed.

        Each failed frame has its reason. Raises FlightBusy where the flight was amended, or the tile block
        given to another worker, meanwhile, and what store and catalogue raise.
        """
        amendments = load_amendments(self._workspace.catalog, self._mosaic)
        records = FrameRecordBuffer(self._workspace)
        refused: dict[str, FrameFailure] = {}
        with MosaicWriter(
            self._workspace.store,
            self._workspace.catalog.tiles,
            replace(self._mosaic, min_zoom=square.root.z),
            origin=self._workspace.box,
            clock_ns=self._workspace.clock_ns,
            amendments=amendments,
            before_append=partial(self._before_append, records, amendments, fence),
            before_group=partial(self._workspace.require_disk_space, GROUP_BYTES),
            # blocks are merged in parallel by the worker's own threads
            workers=1,
        ) as writer:
            for share in square.shares:
                why = self._merge(share, writer, records)
                if why is not None:
                    refused[share.frame.frame_id] = why
        records.write()
        return refused

    def _merge(
        self, share: RectifyTask, writer: MosaicWriter, records: FrameRecordBuffer
    ) -> FrameFailure | None:
        record = share.frame.record
        try:
            pixels = self._originals.read(record)
        except FrameRejected as error:
            return error
        if (pixels.shape[1], pixels.shape[0]) != share.frame.size_px:
            return SizeMismatch((pixels.shape[1], pixels.shape[0]))
        exterior, tiles, dem_id = get_recorded_pose(record)
        records.add(record)
        for on in share.winning_blocks.split():
            writer.add(orthorectify_frame(record.header, exterior, pixels, self._terrain(dem_id), tiles, *on))
        return None

    def _before_append(self, records: FrameRecordBuffer, amendments: Amendments, fence: Fence) -> None:
        """Raise FlightBusy if the flight was amended.

        Its lock may have gone with the process that held it.
        """
        if load_amendments(self._workspace.catalog, self._mosaic) != amendments:
            raise FlightBusy(
                _(
                    "mosaic {mosaic_id}: its flight was amended while workers wrote it; run again",
                    mosaic_id=self._mosaic.mosaic_id,
                )
            )
        # the fence, then the records, before the log line that names their tiles (decision 0030)
        fence.require_current()
        records.write()
