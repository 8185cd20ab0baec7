"""Blending of a finished revision's tiles, in groups, none written twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.flights import format_finish_lock
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.expected_error import compute_tile_error, compute_tile_height_sigma, smooth_terrain
from flycam.geometry.grid import TileId, TileRange, compute_tile_range, get_range_bounds
from flycam.geometry.orthorectification import create_post_view
from flycam.geometry.posts import PostView
from flycam.geometry.quality_bounds import crop_blocks
from flycam.geometry.terrain import TerrainGrid, make_flat_terrain
from flycam.model.flight import is_flat_datum
from flycam.model.frame import OrthoPatch
from flycam.model.records import FrameRecord, MosaicInfo
from flycam.mosaic.adjustment.block import TerrainPrior
from flycam.mosaic.cluster.run import (
    BlockAncestors,
    ClusterRun,
    Fence,
    choose_block_zoom,
    find_block,
    sort_blocks,
    update_all_ancestors,
)
from flycam.mosaic.finish.finished_tiles import (
    OcclusionFill,
    find_inner_owners,
    finish_tiles,
    list_planned_tiles,
)
from flycam.mosaic.finish.placement import PlacedFrame
from flycam.mosaic.finish.radiometry import Radiometry
from flycam.mosaic.finish.seamline import SeamPlan
from flycam.mosaic.finish.stages import FinishRun
from flycam.mosaic.orthorectify.rebuild import load_amendments
from flycam.mosaic.orthorectify.rectification import orthorectify_frame, view_frame
from flycam.mosaic.surface.surface import Surface
from flycam.mosaic.tiles.writer import MosaicWriter
from flycam.originals import PhotoCache
from flycam.storage.disk_space import GROUP_BYTES
from flycam.workspace import Progress, Workspace

_NO_DEM_SIGMA_M = 30.0
_VIEWS_AT_ONCE, _THROUGH_AT_ONCE, _SIGMAS_AT_ONCE = 48, 8, 32
# About half of the ground that a flight does not measure carries trees: so much of their variance.
_COVERED = 0.5


def blend_tiles(
    workspace: Workspace,
    run: FinishRun,
    mosaic: MosaicInfo,
    plan: SeamPlan,
    radiometry: Radiometry,
    placed: Sequence[PlacedFrame],
    terrain: TerrainGrid,
    surface: Surface | None,
    *,
    again: Collection[TileId] = (),
) -> int:
    """Make and write planned tiles that the revision's log lacks.

    Returns log lines.

    again  base tiles to be made although the log names them: their objects are lost or damaged
    """
    there = {
        head.tile_id
        for head in workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    }
    planned = list_planned_tiles(plan, mosaic.base_zoom)
    missing = [tile for tile in planned if tile not in there or tile in again]
    # From here on photos are read as developed.
    run.originals.clear()
    inputs = BlendingInputs(
        mosaic=mosaic,
        plan=plan,
        radiometry=radiometry,
        placed=tuple(placed),
        records=tuple(run.records),
        prior=run.terrain_prior,
        terrain=terrain,
        surface=surface,
        planned=tuple(planned),
        damaged=frozenset(again),
    )
    with run.progress.stage("blend") as progress:
        if run.cluster_run is not None:
            lines = _blend_on_cluster(run.cluster_run, inputs, missing, progress)
        else:
            blender = TileBlender(workspace, inputs, run.workers)
            lines = blender.write(
                missing,
                mosaic.min_zoom,
                partial(progress, "blend"),
                held_lock=format_finish_lock(mosaic.flight_id),
            )
    # In a repaired revision ancestors exist already, and damaged ones may lie above.
    if there and not again:
        update_all_ancestors(workspace, mosaic)
    return lines


def _blend_on_cluster(
    cluster_run: ClusterRun, inputs: BlendingInputs, missing: Sequence[TileId], progress: Progress
) -> int:
    """Blend on the workers of a cluster, block by block; return log lines."""
    members: dict[TileId, list[TileId]] = {}
    zoom = choose_block_zoom(inputs.mosaic)
    for tile in missing:
        members.setdefault(find_block(tile, zoom), []).append(tile)
    squares = sort_blocks(members)
    above, lines = BlockAncestors(cluster_run.workspace, inputs.mosaic), 0
    results = cluster_run.run_tasks(TileBlockBlender, inputs, [tuple(members[square]) for square in squares])
    for done, (number, written) in enumerate(results, start=1):
        lines += written
        above.mark_written(squares[number])
        progress("blend", done, len(squares))
    above.update()
    return lines


@dataclass(frozen=True, kw_only=True, slots=True)
class BlendingInputs:
    """Inputs of blending a revision's tiles.

    prior    the terrain that the frames were recorded on, with its sigmas
    terrain  that they are orthorectified on
    planned  all base tiles of the revision; damaged: those whose objects are lost or damaged
    """

    mosaic: MosaicInfo
    plan: SeamPlan
    radiometry: Radiometry
    placed: Sequence[PlacedFrame]
    records: Sequence[FrameRecord]
    prior: TerrainPrior
    terrain: TerrainGrid
    surface: Surface | None
    planned: Sequence[TileId]
    damaged: Collection[TileId]


class TileBlender:
    """Writer of one revision's blended tiles; in several threads unless a worker."""

    def __init__(self, workspace: Workspace, inputs: BlendingInputs, workers: int) -> None:
        self._workspace = workspace
        self._given = inputs
        self._workers = workers
        self._maker = _Maker(workspace, inputs)
        self._ground = find_inner_owners(inputs.plan)

    def write(
        self,
        tiles: Sequence[TileId],
        min_zoom: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
        before_append: Callable[[], None] = lambda: None,
        held_lock: str | None = None,
    ) -> int:
        """Make these base tiles and their ancestors up to `min_zoom`; return log lines.

        before_append: as of `MosaicWriter`; held_lock: as of `Workspace.require_disk_space`.
        """
        inputs, maker, mosaic = self._given, self._maker, self._given.mosaic
        with MosaicWriter(
            self._workspace.store,
            self._workspace.catalog.tiles,
            replace(mosaic, min_zoom=min_zoom),
            origin=self._workspace.box,
            clock_ns=self._workspace.clock_ns,
            amendments=load_amendments(self._workspace.catalog, mosaic),
            damaged=inputs.damaged,
            before_append=before_append,
            before_group=partial(self._workspace.require_disk_space, GROUP_BYTES, held_lock=held_lock),
            workers=self._workers,
        ) as writer:
            return writer.place(
                finish_tiles(
                    inputs.plan,
                    mosaic.base_zoom,
                    maker.patch,
                    maker.error,
                    occlusion_fill=OcclusionFill(patch_of=maker.patch_through, error_of=maker.error_through),
                    ground=self._ground,
                    tiles=tiles,
                    workers=self._workers,
                    progress=progress,
                )
            )


class TileBlockBlender:
    """Worker task: the tiles of one block."""

    def __init__(self, workspace: Workspace, inputs: BlendingInputs) -> None:
        self._blender = TileBlender(workspace, inputs, workers=1)
        self._zoom = choose_block_zoom(inputs.mosaic)

    def __call__(self, tiles: Sequence[TileId], fence: Fence) -> int:
        """Make and write a block's tiles; return log lines.

        Raises FlightBusy once the block was given to another worker: a finished tile replaces any that
        exists.
        """
        return self._blender.write(tiles, self._zoom, before_append=fence.require_current)


def compute_height_sigma(terrain: TerrainGrid, surface: Surface | None, prior: TerrainPrior) -> TerrainGrid:
    """Return the 1-sigma height error of the ground: the DSM's where supported.

    Elsewhere that of the terrain as corrected by the flight (else as stated for the model), combined with
    that of vegetation on it: the differences between views compared there, else the flight's average.
    """
    usual_m = float(np.sqrt(_COVERED)) * prior.canopy_m
    bare = float(np.hypot(prior.sigma_height_m, usual_m))
    if is_flat_datum(terrain.vertical_datum):
        bare = _NO_DEM_SIGMA_M
    if surface is None:
        return make_flat_terrain(bare, terrain.work_crs, terrain.vertical_datum, terrain.bounds_m)
    known = surface.support & np.isfinite(surface.sigma_m)
    if surface.terrain_sigma_m is None or surface.unagreed_sigma_m is None:
        fallback_sigma = np.full(known.shape, np.float32(bare))
    else:
        # crowns are found in part only
        crown_m = np.fmax(surface.cover_m, usual_m)
        compared = np.isfinite(surface.unagreed_sigma_m)
        on_top = np.where(compared, surface.unagreed_sigma_m, np.float32(crown_m))
        fallback_sigma = np.hypot(surface.terrain_sigma_m, on_top)
    sigma = np.where(known, surface.sigma_m, fallback_sigma)
    if surface.laying_m is not None:
        sigma = np.hypot(sigma, surface.laying_m - surface.terrain.heights_m)
    return replace(surface.terrain, heights_m=sigma.astype(np.float32))


class _Maker:
    """Source of orthopatches and expected errors of placed frames; thread-safe."""

    def __init__(self, workspace: Workspace, inputs: BlendingInputs) -> None:
        self._placed = {one.frame_id: one for one in inputs.placed}
        self._terrain = terrain = inputs.terrain
        self._measured = inputs.surface is not None
        self._sigma = compute_height_sigma(terrain, inputs.surface, inputs.prior)
        self._canopy_m = np.float32(inputs.prior.canopy_m)
        self._ground = smooth_terrain(terrain)
        self._developed = PhotoCache(workspace, inputs.records, develop=inputs.radiometry.correct)
        self._to_work = fit_mercator_to_work(
            terrain.work_crs, get_range_bounds(compute_tile_range(inputs.planned))
        )
        self._sigmas = lru_cache(maxsize=_SIGMAS_AT_ONCE)(self._sigma_over)
        self._views = lru_cache(maxsize=_VIEWS_AT_ONCE)(self._view)
        self._views_through = lru_cache(maxsize=_THROUGH_AT_ONCE)(self._view_through)

    def patch(self, frame_id: str, tiles: TileRange, wanted: NDArray[np.bool_]) -> OrthoPatch | None:
        """Return the wanted blocks of a balanced frame over these tiles, or None.

        None where it has no ground there.
        """
        return self._patch(frame_id, tiles, wanted, through=False)

    def patch_through(self, frame_id: str, tiles: TileRange, wanted: NDArray[np.bool_]) -> OrthoPatch | None:
        """Return the same as if nothing hid the ground."""
        return self._patch(frame_id, tiles, wanted, through=True)

    def _patch(
        self, frame_id: str, tiles: TileRange, wanted: NDArray[np.bool_], *, through: bool
    ) -> OrthoPatch | None:
        one = self._placed[frame_id]
        own = one.tiles.intersection(tiles)
        if own.is_empty:
            return None
        blocks = crop_blocks(tiles, wanted, own)
        if not blocks.any():
            return None
        pixels = self._developed.pixels(frame_id)
        size = (pixels.shape[1], pixels.shape[0])
        if through:
            posts = self._views_through(frame_id, size)
            if posts is None:
                return None
        else:
            posts = self._views(frame_id, size)
        return orthorectify_frame(
            one.header,
            one.exterior,
            pixels,
            self._terrain,
            one.tiles,
            own,
            blocks,
            posts=posts,
            is_sharp=True,
        )

    def _view(
        self, frame_id: str, size_px: tuple[int, int], *, include_coarse: bool = False
    ) -> PostView | None:
        """Compute a frame's view of the terrain once: it is read block by block."""
        one = self._placed[frame_id]
        view = view_frame(one.header, one.exterior, size_px, self._terrain, one.tiles)
        return create_post_view(view, include_coarse=include_coarse)

    def _view_through(self, frame_id: str, size_px: tuple[int, int]) -> PostView | None:
        """Return the view without occlusion, or None.

        None on the terrain of the live mosaic, where it would see no more either.
        """
        if not self._measured:
            return None
        posts = self._views(frame_id, size_px) or self._view(frame_id, size_px, include_coarse=True)
        return None if posts is None else posts.without_occlusion()

    def error(self, frame_id: str, tile: TileId) -> NDArray[np.float32]:
        """Return the expected error of the frame's pixels over a tile, metres."""
        return self._error(frame_id, tile, self._sigmas(tile))

    def error_through(self, frame_id: str, tile: TileId) -> NDArray[np.float32]:
        """Return the error where ground was believed hidden.

        Heights there may be off by what may stand on the ground.
        """
        return self._error(frame_id, tile, np.maximum(self._sigmas(tile), self._canopy_m))

    def _sigma_over(self, tile: TileId) -> NDArray[np.float32]:
        """Return the height sigma over a tile; cached, as several frames share a tile."""
        return compute_tile_height_sigma(tile, self._to_work, self._sigma)

    def _error(self, frame_id: str, tile: TileId, sigma_m: NDArray[np.float32]) -> NDArray[np.float32]:
        one = self._placed[frame_id]
        return compute_tile_error(one.exterior, tile, self._to_work, self._ground, sigma_m, one.covariance)
