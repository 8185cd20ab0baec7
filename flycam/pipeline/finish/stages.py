"""The stages of `finish`: ties, adjustment, DSM, radiometric balance, seamlines.

A stage is a function of the run and of earlier stages' results; its result is kept on disk. Pixels are read
through `originals`; nothing here writes a tile or the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from flycam.adjust import block as nouns
from flycam.adjust.block import Adjustment, Block, BlockFrame, ControlPoint, TerrainPrior
from flycam.adjust.bundle_adjustment import AdjustOptions, adjust_block
from flycam.adjust.ties import TieReport, find_ties
from flycam.catalog.records import FrameRecord, MosaicInfo
from flycam.errors import OutsideTerrain
from flycam.frame.flight import Flight, is_flat_datum
from flycam.frame.terrain_codec import assign_content_id
from flycam.geometry.exterior import CameraMotion, ExteriorOrientation, PoseSource
from flycam.geometry.interior import InteriorOrientation, LensModel
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message
from flycam.mosaic.frame_overview import FrameOverview, FrameOverviewCache, keep_unshared_ground
from flycam.mosaic.radiometry import Radiometry, solve_radiometry
from flycam.mosaic.seamline import SeamPlan, plan_seams
from flycam.pipeline.cluster.cluster_run import ClusterRun
from flycam.pipeline.executor import map_ordered
from flycam.pipeline.finish.distributed_stages import (
    OVERVIEW_KINDS,
    FeatureFileCache,
    OverviewJob,
    find_features_on_cluster,
    format_overview_name,
    make_overviews_on_cluster,
    sweep_on_cluster,
)
from flycam.pipeline.finish.overviews import choose_overview_shrink, make_overview
from flycam.pipeline.finish.photo_cache import PhotoCache
from flycam.pipeline.finish.placement import PlacedFrame
from flycam.pipeline.finish.progress import FinishProgress
from flycam.pipeline.finish.stage_folder import StageFolder
from flycam.surface.match_images import SurfaceView
from flycam.surface.options import SurfaceOptions
from flycam.surface.refinement import refine_surface
from flycam.surface.surface import Surface

_TIE_KINDS = (TieReport, nouns.Ties, ExteriorOrientation, CameraMotion, PoseSource, Message)
_ADJUSTMENT_KINDS = (
    Adjustment,
    nouns.AdjustedFrame,
    nouns.Accuracy,
    nouns.FrameState,
    ExteriorOrientation,
    CameraMotion,
    PoseSource,
    InteriorOrientation,
    LensModel,
    Message,
)
_SURFACE_KINDS = (Surface, TerrainGrid)
_POSTS_PER_PIXEL = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishRun:
    """Inputs of every stage of one layer's run.

    records, frames  one per frame, in the same order
    terrain          that the frames were recorded on
    terrain_sigma_m  (vertical, horizontal) as stated for it; None: the default for any model
    workers          threads
    cluster_run      this run's part on a cluster, if there is one
    """

    flight: Flight
    mosaic: MosaicInfo
    records: Sequence[FrameRecord]
    frames: Sequence[BlockFrame]
    terrain: TerrainGrid
    originals: PhotoCache
    folder: StageFolder
    progress: FinishProgress
    workers: int = 2
    terrain_sigma_m: tuple[float, float | None] | None = None
    cluster_run: ClusterRun | None = None

    @property
    def terrain_prior(self) -> TerrainPrior:
        """The terrain with its sigmas."""
        return TerrainPrior.from_stated_sigma(self.terrain, self.terrain_sigma_m)


def find_tie_points(run: FinishRun) -> TieReport:
    """Find tie points between the frames in their full-size pixels."""

    def make() -> TieReport:
        if run.cluster_run is not None:
            with run.progress.stage("features"):
                find_features_on_cluster(run.cluster_run, run.frames, run.records, run.terrain, progress)
        return find_ties(
            run.frames,
            lambda number: run.originals.pixels(run.frames[number].frame_id),
            run.terrain,
            keep=FeatureFileCache(run.folder if run.cluster_run is None else run.cluster_run.stages),
            workers=run.workers,
            progress=progress,
        )

    with run.progress.stage("ties") as progress:
        return run.folder.load_or_make("ties", _TIE_KINDS, make)


def run_adjustment(
    run: FinishRun,
    ties: nouns.Ties,
    options: AdjustOptions,
    control: Sequence[ControlPoint],
    *,
    name: str = "adjust",
) -> Adjustment:
    """Adjust poses, cameras and common shift to ties, control and priors.

    Returns the priors, and why, if the adjustment is not accepted.
    """
    prior = None if is_flat_datum(run.terrain.vertical_datum) else run.terrain_prior
    block = Block(frames=run.frames, ties=ties, terrain=prior, control=control)
    with run.progress.stage("adjust") as progress:
        return run.folder.load_or_make(
            name, _ADJUSTMENT_KINDS, lambda: adjust_block(block, options, progress)
        )


def derive_surface(run: FinishRun, adjustment: Adjustment, spacing_m: float) -> Surface | None:
    """Derive the DSM from the frames; None if none of them sees the terrain."""

    def make() -> Surface | None:
        believed = run.terrain_prior.sigma_shift_m
        points = adjustment.points_m[np.isfinite(adjustment.points_m).all(axis=1)]
        try:
            surface = refine_surface(
                views,
                run.originals.pixels,
                run.terrain,
                ties_m=points if len(points) else None,
                spacing_m=spacing_m,
                options=SurfaceOptions(terrain_sigma_m=(believed[2], believed[0])),
                workers=run.workers,
                progress=progress,
                elsewhere=None
                if run.cluster_run is None
                else partial(sweep_on_cluster, run.cluster_run, run.records),
            )
        except OutsideTerrain:
            return None
        named = assign_content_id(surface.terrain)
        return replace(surface, terrain=named)

    views = [
        SurfaceView(
            frame_id=frame.frame_id,
            interior=adjustment.interiors[before.camera],
            exterior=frame.exterior,
        )
        for before, frame in zip(run.frames, adjustment.frames, strict=True)
        if frame.state is not nouns.FrameState.CARRIED
    ]
    with run.progress.stage("surface") as progress:
        return run.folder.load_or_make("surface", _SURFACE_KINDS, make)


def make_overviews(run: FinishRun, placed: Sequence[PlacedFrame], terrain: TerrainGrid) -> FrameOverviewCache:
    """Make and keep all frame overviews; they are read again on demand.

    An untied frame is reduced to ground that no tied one shows: it neither takes any from tied ones nor
    enters their radiometric balance.
    """
    by_id = {one.frame_id: one for one in placed}
    shrink = min(choose_overview_shrink(one.header.interior.image_size_px) for one in placed)
    coarse = _coarsen_terrain(terrain, _POSTS_PER_PIXEL * run.flight.gsd_m * 2.0**shrink)

    def make(frame_id: str) -> FrameOverview:
        pixels = run.originals.pixels(frame_id)
        one = by_id[frame_id]
        return make_overview(one.header, one.exterior, pixels, coarse, one.tiles, shrink, one.camera)

    def whole(frame_id: str) -> FrameOverview:
        name = format_overview_name(frame_id)
        return run.folder.load_or_make(name, OVERVIEW_KINDS, lambda: by_worker(name) or make(frame_id))

    def of_frame(frame_id: str) -> FrameOverview:
        own = by_id[frame_id]
        if not own.is_untied:
            return whole(frame_id)
        beside = (one for one in placed if not (one.is_untied or one.tiles.intersection(own.tiles).is_empty))
        return keep_unshared_ground(whole(frame_id), (whole(one.frame_id) for one in beside))

    def by_worker(name: str) -> FrameOverview | None:
        return None if run.cluster_run is None else run.cluster_run.stages.load(name, OVERVIEW_KINDS)

    ids = [one.frame_id for one in placed]
    with run.progress.stage("overviews") as progress:
        if run.cluster_run is not None:
            make_overviews_on_cluster(
                run.cluster_run, OverviewJob(run.records, placed, coarse, shrink), progress
            )
        for done, _ in enumerate(map_ordered(whole, ids, run.workers, 2 * run.workers), 1):
            progress("overviews", done, len(ids))
    return FrameOverviewCache(ids, of_frame)


def balance_radiometry(run: FinishRun, overviews: FrameOverviewCache) -> Radiometry:
    """Solve exposure, vignetting and haze of the block."""
    with run.progress.stage("radiometry") as progress:
        return run.folder.load_or_make(
            "radiometry",
            (Radiometry,),
            lambda: solve_radiometry(overviews, lambda done, total: progress("radiometry", done, total)),
        )


def _coarsen_terrain(terrain: TerrainGrid, spacing_m: float) -> TerrainGrid:
    """Return every n-th post of a terrain that is finer than `spacing_m`.

    Enough for an image of that resolution.
    """
    step = max(int(spacing_m / max(terrain.post_spacing_m)), 1)
    heights = terrain.heights_m[::step, ::step]
    if step == 1 or min(heights.shape) < 2:
        return terrain
    east, south = terrain.post_spacing_m
    return replace(
        terrain, heights_m=np.ascontiguousarray(heights), post_spacing_m=(step * east, step * south)
    )


def plan_seamlines(run: FinishRun, overviews: FrameOverviewCache, radiometry: Radiometry) -> SeamPlan:
    """Plan which frame shows which ground."""
    with run.progress.stage("seams") as progress:
        return run.folder.load_or_make(
            "seams",
            (SeamPlan,),
            lambda: plan_seams(
                overviews, radiometry, progress=lambda done, total: progress("seams", done, total)
            ),
        )
