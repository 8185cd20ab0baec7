"""Stages of `finish` on a cluster: features, matches, DSM blocks, overviews.

Workers keep results in the store under the names by which the stages look them up. So a stage runs as without
a cluster and finds most of its work done; what it does not find it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame
from flycam.adjust.match_views import MatchView
from flycam.adjust.ties import TieOptions, make_view, match_cached_pair, plan_tie_pairs
from flycam.catalog.records import FrameRecord
from flycam.errors import StorageFailed
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import _
from flycam.mosaic.frame_overview import FrameOverview, PixelBox
from flycam.pipeline.cluster.cluster_run import ClusterRun, StoreStages
from flycam.pipeline.cluster.fence import Fence
from flycam.pipeline.finish.overviews import make_overview
from flycam.pipeline.finish.photo_cache import PhotoCache
from flycam.pipeline.finish.placement import PlacedFrame
from flycam.pipeline.workspace import Progress, Workspace
from flycam.surface.match_images import MatchImageCache
from flycam.surface.refinement import BlockSweep, SweepLevel, SweptBlock

OVERVIEW_KINDS = (FrameOverview, PixelBox)
_PARTS = (BlockSweep,)
_PAIRS_AT_ONCE = 8
# In a worker: 0.5 MB each, and neighbours are in a dozen pairs.
_MAX_VIEWS = 64
_OPTIONS = TieOptions()


class StageStore(Protocol):
    """Storage of values by name: a folder, or the store."""

    def load(self, name: str, kinds: Sequence[type]) -> Any | None:
        """Return the value kept, None if there is none intact."""

    def save(self, name: str, value: Any, *, synced: bool = True) -> None:
        """Keep a value, whole or not at all.

        Without `synced` a power cut may lose it.
        """


class FeatureFileCache:
    """Cache of features and matches by frame and pair, which survives a killed run."""

    def __init__(self, stages: StageStore) -> None:
        self._stages = stages

    def get(self, key: str) -> Mapping[str, NDArray[np.generic]] | None:
        """Return arrays kept under a key, None if there are none intact."""
        found: Mapping[str, NDArray[np.generic]] | None = self._stages.load(f"features/{key}", ())
        return found

    def put(self, key: str, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep arrays under a key, whole or not at all."""
        self._stages.save(f"features/{key}", dict(arrays), synced=False)


@dataclass(frozen=True, slots=True)
class TieJob:
    """Inputs of feature extraction and matching.

    run: name that results are kept under.
    """

    flight_id: str
    run: str
    frames: Sequence[BlockFrame]
    records: Sequence[FrameRecord]
    terrain: TerrainGrid


class FeatureFinder:
    """Worker task: features of a frame, by its number."""

    def __init__(self, workspace: Workspace, job: TieJob) -> None:
        self._job = job
        self._keep = FeatureFileCache(StoreStages(workspace.store, job.flight_id, job.run))
        self._originals = PhotoCache(workspace, job.records)

    def __call__(self, number: int, _fence: Fence) -> None:
        """Find and keep features, unless they were kept before."""
        self.view(number)

    def view(self, number: int) -> MatchView:
        """Return the frame with its features."""
        frame, job = self._job.frames[number], self._job
        return make_view(
            frame, lambda: self._originals.pixels(frame.frame_id), job.terrain, _OPTIONS, self._keep
        )


class PairMatcher:
    """Worker task: matches of some pairs, by their frames' numbers."""

    def __init__(self, workspace: Workspace, job: TieJob) -> None:
        self._job = job
        self._keep = FeatureFileCache(StoreStages(workspace.store, job.flight_id, job.run))
        self._view = lru_cache(maxsize=_MAX_VIEWS)(FeatureFinder(workspace, job).view)

    def __call__(self, pairs: Sequence[tuple[int, int]], _fence: Fence) -> None:
        """Find and keep matches, unless they were kept before."""
        for a, b in pairs:
            match_cached_pair(self._view(a), self._view(b), self._job.terrain, _OPTIONS, self._keep)


def find_features_on_cluster(
    cluster_run: ClusterRun,
    frames: Sequence[BlockFrame],
    records: Sequence[FrameRecord],
    terrain: TerrainGrid,
    progress: Progress,
) -> None:
    """Find and keep features of all frames and matches of all pairs on the cluster.

    Pairs are those of the images as they are; images rotated by hand are known only later, and matched anew
    then.
    """
    job = TieJob(cluster_run.flight_id, cluster_run.run, frames, records, terrain)
    for done, __ in enumerate(cluster_run.run_tasks(FeatureFinder, job, range(len(frames))), start=1):
        progress("features", done, len(frames))
    plan = plan_tie_pairs(frames, terrain, _OPTIONS)
    pairs = list(zip(plan.a.tolist(), plan.b.tolist(), strict=True))
    tasks = [pairs[at : at + _PAIRS_AT_ONCE] for at in range(0, len(pairs), _PAIRS_AT_ONCE)]
    for done, __ in enumerate(cluster_run.run_tasks(PairMatcher, job, tasks), start=1):
        progress("matches", done, len(tasks))


@dataclass(frozen=True, slots=True)
class OverviewJob:
    """Inputs of overviews: frames as placed, terrain at their resolution."""

    records: Sequence[FrameRecord]
    placed: Sequence[PlacedFrame]
    terrain: TerrainGrid
    shrink: int


class OverviewMaker:
    """Worker task: the overview of a frame."""

    def __init__(self, workspace: Workspace, given: tuple[str, str, OverviewJob]) -> None:
        flight_id, run, self._job = given
        self._stages = StoreStages(workspace.store, flight_id, run)
        self._placed = {one.frame_id: one for one in self._job.placed}
        self._originals = PhotoCache(workspace, self._job.records)

    def __call__(self, frame_id: str, _fence: Fence) -> None:
        """Make and keep an overview, unless it was kept before."""
        name = format_overview_name(frame_id)
        if self._stages.load(name, OVERVIEW_KINDS) is None:
            self._stages.save(name, self._made(frame_id))

    def _made(self, frame_id: str) -> FrameOverview:
        one, job = self._placed[frame_id], self._job
        pixels = self._originals.pixels(frame_id)
        return make_overview(one.header, one.exterior, pixels, job.terrain, one.tiles, job.shrink, one.camera)


def format_overview_name(frame_id: str) -> str:
    """Return the name that a frame's overview is kept under."""
    return f"overviews/{frame_id}"


def make_overviews_on_cluster(cluster_run: ClusterRun, job: OverviewJob, progress: Progress) -> None:
    """Make and keep the overviews of all placed frames on the cluster."""
    ids = [one.frame_id for one in job.placed]
    results = cluster_run.run_tasks(OverviewMaker, (cluster_run.flight_id, cluster_run.run, job), ids)
    for done, __ in enumerate(results, start=1):
        progress("overviews", done, len(ids))


@dataclass(frozen=True, slots=True)
class SweepJob:
    """One sweep of the DSM. run: name that its blocks are kept under."""

    flight_id: str
    run: str
    level: SweepLevel
    records: Sequence[FrameRecord]


class BlockSweeper:
    """Worker task: a block of a sweep, by its number."""

    def __init__(self, workspace: Workspace, job: SweepJob) -> None:
        level = self._level = job.level
        self._blocks = level.blocks
        self._stages = StoreStages(workspace.store, job.flight_id, job.run)
        pixels_of = PhotoCache(workspace, job.records).pixels
        self._shelf = MatchImageCache(level.views, pixels_of, level.plan.finest_px, level.options.cache_bytes)

    def __call__(self, number: int, _fence: Fence) -> bool:
        """Sweep and keep it, unless kept before; False if there was nothing to try."""
        name = _block_name(self._level, number)
        if self._stages.load(name, _PARTS) is None:
            parts = self._level.sweep(self._blocks[number], self._shelf)
            if parts is None:
                return False
            self._stages.save(name, parts, synced=False)
        return True


def sweep_on_cluster(
    cluster_run: ClusterRun, records: Sequence[FrameRecord], level: SweepLevel
) -> Iterator[SweptBlock]:
    """Yield the blocks of a sweep as they come.

    Raises StorageFailed if one is no longer in the store.
    """
    blocks, stages = level.blocks, cluster_run.stages
    job = SweepJob(cluster_run.flight_id, cluster_run.run, level, records)
    for number, is_kept in cluster_run.run_tasks(BlockSweeper, job, range(len(blocks))):
        parts = stages.load(_block_name(level, number), _PARTS) if is_kept else None
        if is_kept and parts is None:
            raise StorageFailed(
                _("the store lost what a worker had just kept there; check the store, and run again")
            )
        yield blocks[number], parts


def _block_name(level: SweepLevel, number: int) -> str:
    return f"surface/{level.name}-{number}"
