"""What workers of a cluster find for `finish` frame by frame or block by block: features, matches, heights of
the surface, overviews.

They keep it in the store under the names that the stages look it up by. So a stage runs on as without a
cluster and finds most of its work done; what it does not find it makes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame
from flycam.adjust.ties import TieOptions, matched, pairs_of, seen_in
from flycam.adjust.views import View
from flycam.catalog.records import FrameRecord
from flycam.errors import StorageTrouble
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.mosaic.overview import Box, Overview
from flycam.pipeline.cluster.fence import Fence
from flycam.pipeline.cluster.spread import Spread, StoreStages
from flycam.pipeline.finish.originals import Originals
from flycam.pipeline.finish.overviews import make_overview
from flycam.pipeline.finish.placing import Placed
from flycam.pipeline.workspace import Progress, Workspace
from flycam.surface.pictures import PictureShelf
from flycam.surface.refine import Level, Parts, Swept

OVERVIEW_KINDS = (Overview, Box)
_PARTS = (Parts,)
_PAIRS_AT_ONCE = 8
_VIEWS_KEPT = 64  # in a worker: 0.5 MB each, and neighbours are in a dozen pairs
_OPTIONS = TieOptions()


class Stages(Protocol):
    """Where values are kept by name: a folder, or the store."""

    def load(self, name: str, kinds: Sequence[type]) -> Any | None:
        """What was kept, None if there is nothing whole."""

    def save(self, name: str, value: Any, *, synced: bool = True) -> None:
        """Keep a value, whole or not at all; not synced, a power cut may cost it."""


class FeatureFiles:
    """Features and matches of single frames and pairs, kept so that a killed run does not seek them again."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages

    def get(self, key: str) -> Mapping[str, NDArray[np.generic]] | None:
        """Arrays kept under a key, None if there are none whole."""
        found: Mapping[str, NDArray[np.generic]] | None = self._stages.load(f"features/{key}", ())
        return found

    def put(self, key: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep arrays under a key, whole or not at all."""
        self._stages.save(f"features/{key}", dict(arrays), synced=False)


@dataclass(frozen=True, slots=True)
class TieJob:
    """What features and matches are found from. run: what they are kept under."""

    flight_id: str
    run: str
    frames: Sequence[BlockFrame]
    records: Sequence[FrameRecord]
    terrain: TerrainGrid


class FeatureFinder:
    """In a worker: features of a frame, told by its number."""

    def __init__(self, workspace: Workspace, job: TieJob) -> None:
        self._job = job
        self._keep = FeatureFiles(StoreStages(workspace.store, job.flight_id, job.run))
        self._originals = Originals(workspace, job.records)

    def __call__(self, number: int, _fence: Fence) -> None:
        """Find and keep them, unless they were kept before."""
        self.view(number)

    def view(self, number: int) -> View:
        """The frame with its features."""
        frame, job = self._job.frames[number], self._job
        return seen_in(
            frame, lambda: self._originals.pixels(frame.frame_id), job.terrain, _OPTIONS, self._keep
        )


class PairMatcher:
    """In a worker: matches of some pairs, told by their frames' numbers."""

    def __init__(self, workspace: Workspace, job: TieJob) -> None:
        self._job = job
        self._keep = FeatureFiles(StoreStages(workspace.store, job.flight_id, job.run))
        self._view = lru_cache(maxsize=_VIEWS_KEPT)(FeatureFinder(workspace, job).view)

    def __call__(self, pairs: Sequence[tuple[int, int]], _fence: Fence) -> None:
        """Find and keep them, unless they were kept before."""
        for a, b in pairs:
            matched(self._view(a), self._view(b), self._job.terrain, _OPTIONS, self._keep)


def seek_by_workers(
    spread: Spread,
    frames: Sequence[BlockFrame],
    records: Sequence[FrameRecord],
    terrain: TerrainGrid,
    progress: Progress,
) -> None:
    """Have the features of all frames and the matches of all pairs found and kept.

    Pairs are those of the pictures as they are; what is turned by hand is told later, and matched anew there.
    """
    job = TieJob(spread.flight_id, spread.run, frames, records, terrain)
    for done, __ in enumerate(spread.work_off(FeatureFinder, job, range(len(frames))), start=1):
        progress("features", done, len(frames))
    plan = pairs_of(frames, terrain, _OPTIONS)
    pairs = list(zip(plan.a.tolist(), plan.b.tolist(), strict=True))
    tasks = [pairs[at : at + _PAIRS_AT_ONCE] for at in range(0, len(pairs), _PAIRS_AT_ONCE)]
    for done, __ in enumerate(spread.work_off(PairMatcher, job, tasks), start=1):
        progress("matches", done, len(tasks))


@dataclass(frozen=True, slots=True)
class OverviewJob:
    """What overviews are made from: frames as they were laid, terrain as coarse as they are."""

    records: Sequence[FrameRecord]
    placed: Sequence[Placed]
    terrain: TerrainGrid
    shrink: int


class OverviewMaker:
    """In a worker: the overview of a frame."""

    def __init__(self, workspace: Workspace, given: tuple[str, str, OverviewJob]) -> None:
        flight_id, run, self._job = given
        self._stages = StoreStages(workspace.store, flight_id, run)
        self._placed = {one.frame_id: one for one in self._job.placed}
        self._originals = Originals(workspace, self._job.records)

    def __call__(self, frame_id: str, _fence: Fence) -> None:
        """Make and keep it, unless it was kept before."""
        name = overview_name(frame_id)
        if self._stages.load(name, OVERVIEW_KINDS) is None:
            self._stages.save(name, self._made(frame_id))

    def _made(self, frame_id: str) -> Overview:
        one, job = self._placed[frame_id], self._job
        pixels = self._originals.pixels(frame_id)
        return make_overview(one.header, one.exterior, pixels, job.terrain, one.tiles, job.shrink, one.camera)


def overview_name(frame_id: str) -> str:
    """What a frame's overview is kept under."""
    return f"overviews/{frame_id}"


def overviews_by_workers(spread: Spread, job: OverviewJob, progress: Progress) -> None:
    """Have the overviews of all placed frames made and kept."""
    ids = [one.frame_id for one in job.placed]
    results = spread.work_off(OverviewMaker, (spread.flight_id, spread.run, job), ids)
    for done, __ in enumerate(results, start=1):
        progress("overviews", done, len(ids))


@dataclass(frozen=True, slots=True)
class SweepJob:
    """One sweep of the surface. run: what its blocks are kept under."""

    flight_id: str
    run: str
    level: Level
    records: Sequence[FrameRecord]


class BlockSweeper:
    """In a worker: a block of a sweep, told by its number."""

    def __init__(self, workspace: Workspace, job: SweepJob) -> None:
        level = self._level = job.level
        self._blocks = level.blocks
        self._stages = StoreStages(workspace.store, job.flight_id, job.run)
        pixels_of = Originals(workspace, job.records).pixels
        self._shelf = PictureShelf(level.views, pixels_of, level.plan.finest_px, level.options.shelf_bytes)

    def __call__(self, number: int, _fence: Fence) -> bool:
        """Sweep and keep it, unless it was kept before; False where there was nothing to try."""
        name = _block_name(self._level, number)
        if self._stages.load(name, _PARTS) is None:
            parts = self._level.sweep(self._blocks[number], self._shelf)
            if parts is None:
                return False
            self._stages.save(name, parts, synced=False)
        return True


def sweep_by_workers(spread: Spread, records: Sequence[FrameRecord], level: Level) -> Iterator[Swept]:
    """The blocks of a sweep, as they come. Raises StorageTrouble where one is not in the store any more."""
    blocks, stages = level.blocks, spread.stages
    job = SweepJob(spread.flight_id, spread.run, level, records)
    for number, is_kept in spread.work_off(BlockSweeper, job, range(len(blocks))):
        parts = stages.load(_block_name(level, number), _PARTS) if is_kept else None
        if is_kept and parts is None:
            raise StorageTrouble(
                _("the store lost what a worker had just kept there; check the store, and run again")
            )
        yield blocks[number], parts


def _block_name(level: Level, number: int) -> str:
    return f"surface/{level.name}-{number}"
