"""Thread pool that reads, stores and orthorectifies photos.

Only where they claim ground; results come in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import FrameRecord
from flycam.errors import FrameRejected
from flycam.frame.tile import OrthoPatch
from flycam.geometry.grid import TileRange
from flycam.geometry.lattice import FrameLattices
from flycam.geometry.quality_bounds import QualityBounds
from flycam.geometry.terrain import TerrainGrid
from flycam.pipeline.executor import map_ordered
from flycam.pipeline.original_store import store_and_decode_original
from flycam.pipeline.orthorectification.rectification import (
    FrameGeometry,
    compute_frame_quality_bounds,
    get_recorded_pose,
    orthorectify_frame,
    split_tiles,
)
from flycam.pipeline.orthorectification.visibility import WinningBlocks
from flycam.pipeline.workspace import Workspace

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
class RectifyJob:
    """Part of a frame to orthorectify.

    lattices: of the claimed tiles, numbered in the frame's, if any.
    """

    frame: MergeFrame
    winning_blocks: WinningBlocks
    lattices: FrameLattices | None


@dataclass(frozen=True, slots=True)
class SizeMismatch:
    """Pixels of another size (width, height) than known: visibility is solved again."""

    size_px: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RectifyTask:
    """Some of the tiles that a frame claims, made at once; no tiles: it is only read."""

    frame: MergeFrame
    winning_blocks: WinningBlocks
    tiles: TileRange | None
    blocks: NDArray[np.bool_] | None
    lattices: FrameLattices | None
    is_first: bool
    is_last: bool


RectifyResult = OrthoPatch | FrameRejected | SizeMismatch | None
"""An orthopatch; the reason for a rejection; the reason for another round; None if nothing was claimed."""


class RectifyPool:
    """Thread pool that orthorectifies frames."""

    def __init__(self, workspace: Workspace, terrains: Mapping[str, TerrainGrid], workers: int) -> None:
        self._terrains = terrains
        self._photos = _Photos(workspace, workers + 1)
        self._workers = workers

    def compute_bounds(
        self, frames: Sequence[MergeFrame]
    ) -> Iterator[tuple[QualityBounds, FrameLattices | None]]:
        """Return bounds of each frame's qualities on its tiles, and their lattices."""
        # In one thread: many short calls of numpy, of which two wait for each other longer than they gain.
        batches = map_ordered(self._bounds, _batches(frames), 1, in_flight=self._workers + 1)
        return chain.from_iterable(batches)

    def rectify(self, due: Iterable[RectifyJob]) -> Iterator[tuple[RectifyTask, RectifyResult]]:
        """Read every frame and make what it claims, part by part.

        `due` is consumed only as far as work is in flight.
        """
        parts = (part for one in due for part in _parts(one))
        return map_ordered(self._rectify, parts, self._workers, in_flight=self._workers + 1)

    def _bounds(self, frames: Sequence[MergeFrame]) -> list[tuple[QualityBounds, FrameLattices | None]]:
        seen = []
        for frame in frames:
            exterior, tiles, dem_id = get_recorded_pose(frame.record)
            terrain = self._terrains[dem_id]
            seen.append(FrameGeometry(frame.record.header, exterior, frame.size_px, terrain, tiles))
        return compute_frame_quality_bounds(seen)

    def _rectify(self, part: RectifyTask) -> tuple[RectifyTask, RectifyResult]:
        header = part.frame.record.header
        exterior, tiles, dem_id = get_recorded_pose(part.frame.record)
        pixels = self._photos.read(part.frame.path, header.provenance.source_sha256)
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


def _parts(due: RectifyJob) -> list[RectifyTask]:
    """Split a claim into parts of bounded size.

    One that claims nothing is one part, for its photo is read all the same.
    """
    places = split_tiles(due.winning_blocks.tiles) if due.winning_blocks.tiles else []
    found: list[tuple[TileRange | None, NDArray[np.bool_] | None]] = []
    found += [on for place in places if (on := due.winning_blocks.crop(place)) is not None]
    found = found or [(None, None)]
    last = len(found) - 1
    return [
        RectifyTask(
            due.frame,
            due.winning_blocks,
            tiles,
            blocks,
            due.lattices,
            is_first=number == 0,
            is_last=number == last,
        )
        for number, (tiles, blocks) in enumerate(found)
    ]


class _Photos:
    """Pixels of photos in work; each is read and stored once, for all its parts."""

    def __init__(self, workspace: Workspace, at_once: int) -> None:
        self._workspace = workspace
        self.read = lru_cache(maxsize=at_once)(self._read)

    def _read(self, path: Path, sha256: str) -> Pixels | FrameRejected:
        """Return RGB, or the rejection as a result, for the flight goes on."""
        try:
            return store_and_decode_original(self._workspace, path, sha256)
        except FrameRejected as error:
            return error
