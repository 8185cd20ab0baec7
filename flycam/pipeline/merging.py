"""Frames into the mosaic: read and rectified in threads, recorded, then merged in order."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord, FrameStatus, MosaicInfo
from flycam.errors import FrameRejected, FrameUnreadable, SourceUnreadable
from flycam.frame.frame import FrameHeader
from flycam.frame.tile import OrthoPatch
from flycam.geometry.grid import TileRange
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.diagnosis import Rejection
from flycam.ingest.pixels import open_pixels
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.evidence import keep
from flycam.pipeline.executor import ordered_map, workers_here
from flycam.pipeline.rectification import parts_of, patch_of, recorded_pose
from flycam.pipeline.refolding import amendments_of
from flycam.pipeline.terrain import recorded_terrain
from flycam.pipeline.workspace import Progress, Workspace

_Item = TypeVar("_Item")
_GROUP = 32


@dataclass(slots=True)
class Rejections:
    """Frames left out on the way, each with its error."""

    errors: list[tuple[FrameHeader, FrameRejected]] = field(default_factory=list)

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
    """Rectify in threads; record each frame, then merge it. The number of frames merged."""
    workers = workers_here()
    merged = done = 0
    terrains = {terrain.dem_id: terrain}
    for dem_id in {record.dem_id for record, _ in todo if record.dem_id} - terrains.keys():
        terrains[dem_id] = recorded_terrain(workspace, dem_id)
    with MosaicWriter(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        origin=workspace.box,
        clock_ns=workspace.clock_ns,
        amendments=amendments_of(workspace, mosaic),
        workers=workers,
    ) as writer:
        photos = _Photos(workspace, workers + 1)
        parts = [
            (record, path, part, number == 0)
            for record, path in spread(todo)
            for number, part in enumerate(parts_of(recorded_pose(record)[1]))
        ]
        results = ordered_map(
            partial(_patch, photos, terrains, writer.floors), parts, workers, in_flight=workers + 1
        )
        for (record, _, _, is_first), result in zip(parts, results, strict=True):
            if isinstance(result, FrameRejected):
                if is_first:
                    rejections.errors.append((record.header, result))
            else:
                if is_first:
                    workspace.catalog.frames.put([record])
                    merged += 1
                writer.add(result)
            done += is_first
            if is_first:
                progress("rectify", done, len(todo))
    return merged


def spread(frames: Sequence[_Item]) -> list[_Item]:
    """Frames in an order in which each covers ground that the next ones then need not be made for.

    Every eighth frame first, then those half-way between, and so on: neighbours in flight overlap most. In
    groups of 32, so that the tiles at work stay in memory. The mosaic does not depend on the order.
    """
    order: list[_Item] = []
    for start in range(0, len(frames), _GROUP):
        group = frames[start : start + _GROUP]
        taken: set[int] = set()
        for stride in (8, 4, 2, 1):
            for index in range(0, len(group), stride):
                if index not in taken:
                    taken.add(index)
                    order.append(group[index])
    return order


class _Photos:
    """Pixels of the photos at work; each is read and kept as evidence once, then shared by its parts."""

    def __init__(self, workspace: Workspace, at_once: int) -> None:
        self._workspace = workspace
        self.read = lru_cache(maxsize=at_once)(self._read)

    def _read(self, path: Path, sha256: str) -> NDArray[np.uint8] | FrameRejected:
        """RGB, or why the frame is left out: a result, for the flight goes on."""
        try:
            pixels = open_pixels(path)
        except FrameRejected as error:
            return error
        try:
            keep(self._workspace, path, sha256)
        except SourceUnreadable as error:
            return FrameUnreadable(str(error))
        return pixels


def _patch(
    photos: _Photos,
    terrains: dict[str, TerrainGrid],
    floors: Callable[[TileRange], NDArray[np.uint16]],
    item: tuple[FrameRecord, Path, TileRange, bool],
) -> OrthoPatch | FrameRejected:
    """One part of a frame's patch, less the tiles on which it can win nothing."""
    record, path, part, _ = item
    exterior, tiles, dem_id = recorded_pose(record)
    pixels = photos.read(path, record.header.provenance.source_sha256)
    if isinstance(pixels, FrameRejected):
        return pixels
    return patch_of(record.header, exterior, pixels, terrains[dem_id], tiles, part, floors)
