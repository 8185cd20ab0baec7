"""The tiles of a finished revision: made from the plan, written in groups, none of them twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import TerrainPrior
from flycam.catalog.flights import format_finish_lock
from flycam.catalog.records import FrameRecord, MosaicInfo
from flycam.frame.flight import is_flat_datum
from flycam.frame.tile import OrthoPatch
from flycam.geodata.crs import fit_mercator_to_work
from flycam.geometry.expected_error import compute_tile_error, compute_tile_height_sigma, smooth_terrain
from flycam.geometry.grid import TileId, TileRange, get_range_bounds
from flycam.geometry.post_projection import PostView
from flycam.geometry.quality_bounds import crop_blocks
from flycam.geometry.terrain import TerrainGrid, make_flat_terrain
from flycam.mosaic.finished_tiles import finish_tiles, list_planned_tiles
from flycam.mosaic.occlusion_fill import OcclusionFill, find_inner_owners
from flycam.mosaic.radiometry import Radiometry
from flycam.mosaic.seamline import SeamPlan
from flycam.mosaic.writer import MosaicWriter
from flycam.pipeline.cluster.cluster_run import ClusterRun
from flycam.pipeline.cluster.fence import Fence
from flycam.pipeline.cluster.tile_blocks import (
    BlockAncestors,
    choose_block_zoom,
    find_block,
    sort_blocks,
    update_all_ancestors,
)
from flycam.pipeline.disk_space import GROUP_BYTES
from flycam.pipeline.finish.photo_cache import PhotoCache
from flycam.pipeline.finish.placement import PlacedFrame
from flycam.pipeline.finish.stages import FinishRun
from flycam.pipeline.orthorectification.rectification import build_post_view, orthorectify_frame
from flycam.pipeline.orthorectification.tile_rebuild import read_amendments
from flycam.pipeline.workspace import Progress, Workspace
from flycam.surface.surface import Surface

_NO_DEM_SIGMA_M = 30.0
_VIEWS_AT_ONCE, _THROUGH_AT_ONCE, _SIGMAS_AT_ONCE = 48, 8, 32
_COVERED = 0.5  # of the ground that a flight does not measure carries trees, about: so much of their variance


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
    """Make and write every planned tile of the revision that its log does not name yet; log lines.

    again  base tiles to be made although the log names them: their objects are lost or damaged
    """
    there = {
        head.tile_id
        for head in workspace.catalog.tiles.heads(mosaic.mosaic_id, mosaic.revision, z=mosaic.base_zoom)
    }
    planned = list_planned_tiles(plan, mosaic.base_zoom)
    missing = [tile for tile in planned if tile not in there or tile in again]
    run.originals.clear()  # from here on photos are wanted as developed
    given = BlendingInputs(
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
            lines = _blend_on_cluster(run.cluster_run, given, missing, progress)
        else:
            blender = TileBlender(workspace, given, run.workers)
            lines = blender.write(
                missing,
                mosaic.min_zoom,
                partial(progress, "blend"),
                held_lock=format_finish_lock(mosaic.flight_id),
            )
    if there and not again:  # of a revision that is mended all was joined, and what is damaged may lie above
        update_all_ancestors(workspace, mosaic)
    return lines


def _blend_on_cluster(
    cluster_run: ClusterRun, inputs: BlendingInputs, missing: Sequence[TileId], progress: Progress
) -> int:
    """The same by the workers of a cluster, square by square; lines by them."""
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
    """All that the tiles of a revision are made of.

    prior    what is believed of the terrain that the frames were recorded on
    terrain  that they are rectified on
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
    """Makes and writes tiles of one revision; by several threads where it is in a worker."""

    def __init__(self, workspace: Workspace, given: BlendingInputs, workers: int) -> None:
        self._workspace = workspace
        self._given = given
        self._workers = workers
        self._maker = _Maker(workspace, given)
        self._ground = find_inner_owners(given.plan)

    def write(
        self,
        tiles: Sequence[TileId],
        min_zoom: int,
        progress: Callable[[int, int], None] = lambda done, total: None,
        before_append: Callable[[], None] = lambda: None,
        held_lock: str | None = None,
    ) -> int:
        """Make these base tiles and their ancestors up to `min_zoom`; log lines. before_append: as of
        `MosaicWriter`; holding: as of `RoomWatch.require`."""
        given, maker, mosaic = self._given, self._maker, self._given.mosaic
        with MosaicWriter(
            self._workspace.store,
            self._workspace.catalog.tiles,
            replace(mosaic, min_zoom=min_zoom),
            origin=self._workspace.box,
            clock_ns=self._workspace.clock_ns,
            amendments=read_amendments(self._workspace, mosaic),
            damaged=given.damaged,
            before_append=before_append,
            before_group=partial(self._workspace.require_disk_space, GROUP_BYTES, held_lock=held_lock),
            workers=self._workers,
        ) as writer:
            return writer.place(
                finish_tiles(
                    given.plan,
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
    """In a worker: the tiles of one square after the other."""

    def __init__(self, workspace: Workspace, given: BlendingInputs) -> None:
        self._blender = TileBlender(workspace, given, workers=1)
        self._zoom = choose_block_zoom(given.mosaic)

    def __call__(self, tiles: Sequence[TileId], fence: Fence) -> int:
        """Make and write a square's tiles; log lines. Raises FlightBusy once it was given to another: a
        finished tile is put in place of whatever is there."""
        return self._blender.write(tiles, self._zoom, before_append=fence.require_current)


def compute_height_sigma(terrain: TerrainGrid, surface: Surface | None, prior: TerrainPrior) -> TerrainGrid:
    """1-sigma of the ground's height, as a grid: the surface's own where it has support.

    Elsewhere that of the terrain as the flight corrects it (as the model is believed, where it does not), and
    of what may stand on it: as much as views that were compared there differ by, else as the flight's ground
    carries on the whole.
    """
    usual_m = float(np.sqrt(_COVERED)) * prior.canopy_m
    bare = float(np.hypot(prior.sigma_height_m, usual_m))
    if is_flat_datum(terrain.vertical_datum):
        bare = _NO_DEM_SIGMA_M
    if surface is None:
        return make_flat_terrain(bare, terrain.work_crs, terrain.vertical_datum, terrain.bounds_m)
    known = surface.support & np.isfinite(surface.sigma_m)
    if surface.terrain_sigma_m is None or surface.unagreed_sigma_m is None:
        beside = np.full(known.shape, np.float32(bare))
    else:
        stands = np.fmax(surface.cover_m, usual_m)  # crowns are found in part only
        compared = np.isfinite(surface.unagreed_sigma_m)
        on_top = np.where(compared, surface.unagreed_sigma_m, np.float32(stands))
        beside = np.hypot(surface.terrain_sigma_m, on_top)
    sigma = np.where(known, surface.sigma_m, beside)
    if surface.laying_m is not None:
        sigma = np.hypot(sigma, surface.laying_m - surface.terrain.heights_m)
    return replace(surface.terrain, heights_m=sigma.astype(np.float32))


class _Maker:
    """Patches and errors of placed frames; asked for from several threads."""

    def __init__(self, workspace: Workspace, given: BlendingInputs) -> None:
        self._placed = {one.frame_id: one for one in given.placed}
        self._terrain = terrain = given.terrain
        self._measured = given.surface is not None
        self._sigma = compute_height_sigma(terrain, given.surface, given.prior)
        self._canopy_m = np.float32(given.prior.canopy_m)
        self._ground = smooth_terrain(terrain)
        self._developed = PhotoCache(workspace, given.records, develop=given.radiometry.correct)
        self._to_work = fit_mercator_to_work(terrain.work_crs, get_range_bounds(_around(given.planned)))
        self._sigmas = lru_cache(maxsize=_SIGMAS_AT_ONCE)(self._sigma_over)
        self._views = lru_cache(maxsize=_VIEWS_AT_ONCE)(self._view)
        self._views_through = lru_cache(maxsize=_THROUGH_AT_ONCE)(self._view_through)

    def patch(self, frame_id: str, tiles: TileRange, wanted: NDArray[np.bool_]) -> OrthoPatch | None:
        """The wanted blocks of a frame over these tiles, evened out; None where it has no ground there."""
        return self._patch(frame_id, tiles, wanted, through=False)

    def patch_through(self, frame_id: str, tiles: TileRange, wanted: NDArray[np.bool_]) -> OrthoPatch | None:
        """The same as if nothing hid the ground."""
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

    def _view(self, frame_id: str, size_px: tuple[int, int]) -> PostView | None:
        """A frame is asked for block by block; what it sees of the terrain is worked out once."""
        one = self._placed[frame_id]
        return build_post_view(one.header, one.exterior, size_px, self._terrain, one.tiles)

    def _view_through(self, frame_id: str, size_px: tuple[int, int]) -> PostView | None:
        """The same as if nothing hid anything; None on the terrain that the live mosaic was laid on, for it
        sees no more there either."""
        if not self._measured:
            return None
        one = self._placed[frame_id]
        posts = self._views(frame_id, size_px) or build_post_view(
            one.header, one.exterior, size_px, self._terrain, one.tiles, coarse_too=True
        )
        return None if posts is None else posts.without_occlusion()

    def error(self, frame_id: str, tile: TileId) -> NDArray[np.float32]:
        """Expected error of the frame's pixels over a tile, metres."""
        return self._error(frame_id, tile, self._sigmas(tile))

    def error_through(self, frame_id: str, tile: TileId) -> NDArray[np.float32]:
        """The same where the ground was believed hidden: a height is wrong by what may stand there."""
        return self._error(frame_id, tile, np.maximum(self._sigmas(tile), self._canopy_m))

    def _sigma_over(self, tile: TileId) -> NDArray[np.float32]:
        """Several frames own parts of a tile; the ground under them is one."""
        return compute_tile_height_sigma(tile, self._to_work, self._sigma)

    def _error(self, frame_id: str, tile: TileId, sigma_m: NDArray[np.float32]) -> NDArray[np.float32]:
        one = self._placed[frame_id]
        return compute_tile_error(one.exterior, tile, self._to_work, self._ground, sigma_m, one.covariance)


def _around(tiles: Sequence[TileId]) -> TileRange:
    return TileRange(
        z=tiles[0].z,
        x_start=min(tile.x for tile in tiles),
        y_start=min(tile.y for tile in tiles),
        x_stop=max(tile.x for tile in tiles) + 1,
        y_stop=max(tile.y for tile in tiles) + 1,
    )
