"""`flycam finish`: a measurable revision beside the live mosaic, of its frames.

    frames as recorded -> ties -> adjust -> (control, reference: adjust again) -> surface -> radiometry
    -> seams -> tiles -> publish -> communes

Each layer of a flight is a block of its own. Every stage is kept on disk until the revision is published, so
that the same command continues where it was killed or stopped; nothing is shown before it is complete. The
same inputs and options make nothing new, but lost or damaged tiles are made again. Where the adjustment does
not improve on the priors by its own evidence they are kept, and the revision is balanced and blended with
them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.flights import format_finish_lock
from flycam.catalog.retention import make_original_purged
from flycam.concurrency import count_workers
from flycam.errors import InputUnusable, OptionUnusable
from flycam.geodata.crs import fit_mercator_to_work, to_lonlat
from flycam.geometry.expected_error import compute_tile_error, compute_tile_height_sigma, smooth_terrain
from flycam.geometry.grid import (
    TILE_SIZE_PX,
    TileId,
    TileRange,
    choose_zoom,
    compute_ground_pixel_m,
    compute_tile_range,
    get_range_bounds,
)
from flycam.geometry.orthorectification import create_post_view
from flycam.geometry.posts import PostView
from flycam.geometry.quality_bounds import crop_blocks
from flycam.geometry.terrain import TerrainGrid, make_flat_terrain
from flycam.messages import Message, _, ngettext
from flycam.model.flight import Flight, FlightState, Layer, is_flat_datum, name_layer
from flycam.model.frame import OrthoPatch
from flycam.model.records import Coverage, FrameRecord, FrameStatus, MosaicInfo, RevisionRecord
from flycam.model.revision_stats import get_refusal
from flycam.mosaic.adjustment.block import AdjustOptions, TerrainPrior
from flycam.mosaic.adjustment.bundle_adjustment import MIN_HELD_OUT
from flycam.mosaic.adjustment.ties import TieReport, apply_tie_turns
from flycam.mosaic.cluster.run import (
    FINISH,
    BlockAncestors,
    ClusterRun,
    Fence,
    choose_block_zoom,
    find_block,
    open_cluster_run,
    sort_blocks,
    update_all_ancestors,
)
from flycam.mosaic.coverage import measure_coverage
from flycam.mosaic.eviction import enable_eviction
from flycam.mosaic.finish.control import ControlledAdjustment, adjust_with_control, check_control
from flycam.mosaic.finish.finished_tiles import (
    OcclusionFill,
    compute_dsm_pct,
    find_inner_owners,
    finish_tiles,
    list_planned_tiles,
)
from flycam.mosaic.finish.radiometry import Radiometry
from flycam.mosaic.finish.report import (
    FinishReport,
    LayerReport,
    ReportFigures,
    add_report_statistics,
    build_block_frames,
    compile_statistics,
    hash_block_inputs,
    require_common_crs,
    select_terrain,
)
from flycam.mosaic.finish.seamline import SeamPlan
from flycam.mosaic.finish.stages import (
    FinishProgress,
    FinishRun,
    PlacedFrame,
    PlacementResult,
    StageFolder,
    WorkAhead,
    balance_radiometry,
    derive_surface,
    estimate_commune_cost,
    estimate_costs,
    find_tie_points,
    make_overviews,
    place_frames,
    plan_seamlines,
)
from flycam.mosaic.orthorectify.flight_session import check_gsd
from flycam.mosaic.orthorectify.rebuild import (
    find_moved_by_peers,
    find_remote_photos,
    list_live_mosaics,
    load_amendments,
)
from flycam.mosaic.orthorectify.rectification import (
    get_recorded_pose,
    orthorectify_frame,
    view_frame,
)
from flycam.mosaic.redaction import update_redaction_footprints
from flycam.mosaic.surface.surface import Surface
from flycam.mosaic.terrain import find_stated_sigma, load_recorded_terrain, store_terrain
from flycam.mosaic.terrain_codec import assign_content_id
from flycam.mosaic.tiles.writer import MosaicWriter, find_damaged_tiles, repair_parents
from flycam.originals import PhotoCache, find_flight_purged, store_original
from flycam.retry import check_store_writable
from flycam.storage import keys
from flycam.storage.files import GROUP_BYTES, compute_sha256
from flycam.storage.keys import STAGES_DIR
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Blending of a finished revision's tiles, in groups, none written twice ------------------------


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


# -- `flycam finish`: a measurable revision beside the live mosaic, of its frames ------------------


# -- Options of `finish`, and their validation against a flight ------------------------------------


_MAX_GSD_FACTOR = 16.0
_DSM_PER_GSD = 4.0
# At 1.7 cm GSD, surface and blend on 7 cm posts took 300 of 335 processor seconds.
_MIN_DSM_SPACING_M = 0.2
_MAX_DSM_SPACING_M = 100.0
_MAX_HELD_OUT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishRequest:
    """Options of a finish.

    surface          compute the DSM from the flight itself, and orthorectify on it
    dsm_spacing_m    distance of its posts; None: four ground samples, 0.2 m at least
    rolling_shutter  give every image row its own pose where the camera's readout is known
    held_out_share   share of the tie points kept out of the adjustment and reported
    gsd_m            of the revision; None: the live mosaic's
    reference        a map of the same ground that the block is tied to
    reference_sigma_m  how far off that map itself may be (radial 1-sigma); None: not known, and bounded by
        the flight's own positions
    gcp              ground control points, as OpenDroneMap's list writes them
    report           make the quality report
    redo             make a further revision even if one of the same inputs exists
    """

    surface: bool = True
    dsm_spacing_m: float | None = None
    rolling_shutter: bool = True
    held_out_share: float = AdjustOptions().held_out_share
    gsd_m: float | None = None
    reference: Path | None = None
    reference_sigma_m: float | None = None
    gcp: Path | None = None
    report: bool = True
    redo: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """Options that decide the result, as JSON values.

        Files by their content, which is read each time.

        Raises SourceUnreadable.
        """
        plain = {name: value for name, value in asdict(self).items() if name not in ("report", "redo")}
        for name in ("reference", "gcp"):
            path = getattr(self, name)
            plain[name] = None if path is None else {"name": path.name, "sha256": compute_sha256(path)}
        return plain

    def spacing_m(self, flight: Flight) -> float:
        """Return the post spacing of the DSM on this flight, metres."""
        return self.dsm_spacing_m or max(_DSM_PER_GSD * flight.gsd_m, _MIN_DSM_SPACING_M)

    @property
    def adjust_options(self) -> AdjustOptions:
        """Options of the adjustment."""
        return AdjustOptions(held_out_share=self.held_out_share)


def restore_request(options: Mapping[str, Any], find_file: Callable[[str, str], Path]) -> FinishRequest:
    """Restore the request from a revision's recorded options.

    find_file  a local copy of a file, by its SHA-256 and name; what it raises is passed on
    """
    values = {one.name: options[one.name] for one in fields(FinishRequest) if one.name in options}
    for name in ("reference", "gcp"):
        if values.get(name) is not None:
            values[name] = find_file(values[name]["sha256"], values[name]["name"])
    return FinishRequest(**values)


def check_request(flight: Flight, request: FinishRequest) -> None:
    """Raise unless the flight can be finished with the request.

    InputUnusable for the flight, OptionUnusable for an option's value.
    """
    if flight.state is FlightState.WITHDRAWN:
        raise InputUnusable(
            _("{name}: this flight was withdrawn; there is nothing to finish", name=flight.name)
        )
    if flight.state is FlightState.INGESTING:
        raise InputUnusable(
            _("{name}: its ingest is not complete; run 'flycam ingest' again first", name=flight.name)
        )
    if not MIN_HELD_OUT <= request.held_out_share <= _MAX_HELD_OUT:
        raise OptionUnusable(
            _(
                "--held-out {held_out_share:g}: give a share from {least_held_out:g} to "
                "{most_held_out:g}; without points held out nothing shows whether the "
                "adjustment is better than what it began with",
                held_out_share=request.held_out_share,
                least_held_out=MIN_HELD_OUT,
                most_held_out=_MAX_HELD_OUT,
            )
        )
    for option, path in (("--reference", request.reference), ("--gcp", request.gcp)):
        if path is not None and not path.is_file():
            raise InputUnusable(
                _("{option} {path}: there is no such file; check the path", option=option, path=path)
            )
    if request.gsd_m is not None:
        check_gsd(request.gsd_m, flight.gsd_m, _MAX_GSD_FACTOR * flight.gsd_m)
    if request.dsm_spacing_m is not None and not flight.gsd_m <= request.dsm_spacing_m <= _MAX_DSM_SPACING_M:
        raise OptionUnusable(
            _(
                "--dsm-spacing {dsm_spacing_m:g}: give metres, from the flight's ground "
                "sample ({gsd_m:.2g} m) to {coarsest_dsm_m:g}",
                dsm_spacing_m=request.dsm_spacing_m,
                gsd_m=flight.gsd_m,
                coarsest_dsm_m=_MAX_DSM_SPACING_M,
            )
        )


# -- Jobs, one for each layer of a flight ----------------------------------------------------------


_MIN_FRAMES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerJob:
    """One layer to be finished.

    mosaic   of the layer, with the requested base zoom
    records  its frames in use
    dem_id   recorded terrain that they lie on
    terrain_sigma_m  its stated sigma, as `DemRecord.sigma_m`
    options  what decides the result, as recorded; digest: of that and of all inputs
    skip_reason  why it cannot be finished; then there is no digest
    """

    flight: Flight
    mosaic: MosaicInfo
    records: Sequence[FrameRecord]
    request: FinishRequest
    options: dict[str, Any]
    work: WorkAhead
    dem_id: str = ""
    terrain_sigma_m: tuple[float, float | None] | None = None
    digest: str = ""
    skip_reason: Message | None = None

    @property
    def costs(self) -> dict[str, float]:
        """Estimated cost by stage; empty if skipped."""
        return {} if self.skip_reason else estimate_costs(self.work)

    @property
    def cost(self) -> float:
        return sum(self.costs.values())


def plan_layer_jobs(workspace: Workspace, flight: Flight, request: FinishRequest) -> list[LayerJob]:
    """Return a job for each layer, first the one that the flight is shown by.

    Raises InputUnusable for a flight without a mosaic, or with poses in several systems; SourceUnreadable for
    a file of the request.
    """
    every = workspace.catalog.tiles.mosaics(flight.flight_id)
    shown = {mosaic.mosaic_id for mosaic in every if mosaic.published}
    mosaics = [one for one in list_live_mosaics(workspace, flight.flight_id) if one.mosaic_id in shown]
    if not mosaics:
        raise InputUnusable(
            _("{name}: it has no mosaic yet; run 'flycam ingest' again to complete it", name=flight.name)
        )
    mosaics.sort(key=lambda mosaic: (mosaic.layer is not Layer.COLOUR, mosaic.layer))
    used = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    options = request.options
    jobs = []
    for number, mosaic in enumerate(mosaics):
        records = [record for record in used if record.header.layer is mosaic.layer]
        layer_request, recorded = request, options
        # Marks are made on the photos of the main layer.
        if number > 0:
            layer_request, recorded = replace(request, gcp=None), {**options, "gcp": None}
        jobs.append(_job(workspace, flight, mosaic, records, layer_request, recorded))
    return jobs


def _job(
    workspace: Workspace,
    flight: Flight,
    live: MosaicInfo,
    records: list[FrameRecord],
    request: FinishRequest,
    options: dict[str, Any],
) -> LayerJob:
    tiles = len(workspace.catalog.tiles.heads(live.mosaic_id, live.revision, z=live.base_zoom))
    mosaic = live
    if records and request.gsd_m is not None:
        mosaic = replace(live, base_zoom=choose_zoom(request.gsd_m, _latitude(records)))
    job = LayerJob(
        flight=flight,
        mosaic=mosaic,
        records=records,
        request=request,
        options=options,
        work=_work_ahead(flight, live, mosaic, records, request, tiles),
    )
    if len(records) < _MIN_FRAMES:
        why = ngettext(
            "its {layer} layer has {count} photo; {least} that overlap are needed",
            "its {layer} layer has {count} photos; {least} that overlap are needed",
            len(records),
            layer=name_layer(live.layer),
            least=_MIN_FRAMES,
        )
        return replace(job, skip_reason=why)
    require_common_crs(records)
    dem_id = select_terrain(records, flight.dem_id)
    centres = np.array([get_recorded_pose(record)[0].projection_centre_m[:2] for record in records])
    sigma_m = find_stated_sigma(workspace, centres, get_recorded_pose(records[0])[0].work_crs)
    if sigma_m is not None:
        options = {**options, "terrain_sigma_m": list(sigma_m)}
    return replace(
        job,
        dem_id=dem_id,
        options=options,
        terrain_sigma_m=sigma_m,
        digest=hash_block_inputs(mosaic, records, dem_id, options),
    )


def _work_ahead(
    flight: Flight,
    live: MosaicInfo,
    mosaic: MosaicInfo,
    records: Sequence[FrameRecord],
    request: FinishRequest,
    live_tiles: int,
) -> WorkAhead:
    posts = 0.0
    if request.surface and records:
        tile_m = TILE_SIZE_PX * compute_ground_pixel_m(live.base_zoom, _latitude(records))
        posts = live_tiles * (tile_m / request.spacing_m(flight)) ** 2
    return WorkAhead(
        frames=len(records),
        megapixels=sum(float(np.prod(one.header.interior.image_size_px)) for one in records) / 1e6,
        tiles=round(live_tiles * 4.0 ** (mosaic.base_zoom - live.base_zoom)),
        posts=posts,
        reference=request.reference is not None,
        report=request.report,
    )


def _latitude(records: Sequence[FrameRecord]) -> float:
    pose = get_recorded_pose(records[len(records) // 2])[0]
    return float(to_lonlat(np.array([pose.projection_centre_m[:2]]), pose.work_crs)[0, 1])


# -- Inputs of a revision's tiles, and their writing -----------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisionInputs:
    """All inputs of a revision's tiles.

    surface  None: not requested, or not available
    terrain  that the frames are orthorectified on: the DSM, else the one they were recorded on
    """

    ties: TieReport
    controlled: ControlledAdjustment
    surface: Surface | None
    terrain: TerrainGrid
    placing: PlacementResult
    radiometry: Radiometry
    seams: SeamPlan


def write_revision_tiles(
    workspace: Workspace,
    run: FinishRun,
    mosaic: MosaicInfo,
    inputs: RevisionInputs,
    damaged: Sequence[TileId] = (),
) -> int:
    """Write tiles that the revision's log lacks, and damaged base tiles again.

    Returns log lines.
    """
    return blend_tiles(
        workspace,
        run,
        mosaic,
        inputs.seams,
        inputs.radiometry,
        inputs.placing.frames,
        inputs.terrain,
        inputs.surface,
        again=damaged,
    )


def repair_overview_tiles(workspace: Workspace, mosaic: MosaicInfo, damaged: Sequence[TileId]) -> None:
    """Rebuild the overview tiles among these, once the base tiles below are intact."""
    repair_parents(
        workspace.store,
        workspace.catalog.tiles,
        mosaic,
        damaged,
        origin=workspace.box,
        now_ns=workspace.clock_ns(),
    )


def build_support_grid(surface: Surface) -> TerrainGrid:
    """Return the sigmas of a DSM as a grid; NaN where it is not the flight's own."""
    sigma = np.where(surface.support, surface.sigma_m, np.float32(np.nan))
    return assign_content_id(replace(surface.terrain, heights_m=sigma, dem_id="support"))


# -- Run of `finish` over the layers of a flight ---------------------------------------------------


# Size of stage files, measured on 1.3 and 9 megapixels.
_FRAME_BYTES, _RUN_BYTES = 3_000_000, 300_000_000


DEFAULTS = FinishRequest()

ReportMaker: TypeAlias = Callable[
    [Workspace, Flight, MosaicInfo, RevisionRecord, Progress], tuple[dict[str, str], ReportFigures]
]
"""Makes and stores a revision's quality reports: store keys by language and kind, and the figures."""


def _never() -> bool:
    return False


def finish_flight(
    workspace: Workspace,
    ref: str,
    request: FinishRequest = DEFAULTS,
    progress: Progress = ignore_progress,
    cancelled: Callable[[], bool] = _never,
    *,
    make_reports: ReportMaker,
) -> FinishReport:
    """Finish a flight (id or name); idempotent and resumable.

    progress      gets the stage and the percent of the whole
    cancelled     called often; once it returns True the run stops cleanly and can be continued
    make_reports  makes the quality reports of a revision before it is published

    Raises NotFound, OriginalPurged, InputUnusable (nothing to finish, or invalid options), FlightBusy,
    StorageFailed (run again to continue), Cancelled.
    """
    began_ns = workspace.clock_ns()
    flight = workspace.catalog.flights.flight(ref)
    check_request(flight, request)
    workspace = enable_eviction(workspace)
    workspace.require_disk_space()
    check_store_writable(workspace)
    _require_photos(workspace, flight)
    # Not the flight's own lock: ingest and withdrawal are not held up meanwhile (decision 0014).
    with workspace.catalog.flights.lock(f"finish-{flight.flight_id}"):
        jobs = plan_layer_jobs(workspace, flight, request)
        last = estimate_commune_cost(jobs[0].work.tiles)
        total_cost = sum(job.cost for job in jobs) + last
        layers: list[LayerReport] = []
        done = 0.0
        for job in jobs:
            reporter = FinishProgress(progress, job.costs, cancelled, before=done, whole=total_cost)
            layers.append(_finish_layer(workspace, job, reporter, make_reports))
            done += job.cost
        if all(one.record is None for one in layers):
            raise InputUnusable(_("{name}: {why}", name=flight.name, why=layers[0].why))
        reporter = FinishProgress(progress, {"communes": last}, cancelled, before=done, whole=total_cost)
        communes = _cover(workspace, flight, reporter)
    return FinishReport(
        flight=flight,
        layers=tuple(layers),
        communes=tuple(communes),
        seconds=(workspace.clock_ns() - began_ns) / 1e9,
        notes=workspace.disk_space.notes,
    )


def _require_photos(workspace: Workspace, flight: Flight) -> None:
    """Raise unless all photos of the flight are here.

    OriginalPurged where some were deleted under a retention term, InputUnusable where they are on the node
    that flew it and not here.
    """
    purged = find_flight_purged(workspace, flight.flight_id)
    used = workspace.catalog.frames.list_for_flight(flight.flight_id, FrameStatus.USED)
    lines = [purged[one] for record in used if (one := record.header.provenance.source_sha256) in purged]
    if lines:
        raise make_original_purged(lines[0], f"{flight.name}, {len(lines)} photos")
    if elsewhere := len(find_remote_photos(workspace, flight.flight_id)):
        raise InputUnusable(
            ngettext(
                "{name}: {count} photo of this flight is on another node, only its map is here; finish "
                "it there, or bring it with 'flycam bundle write --originals'",
                "{name}: {count} photos of this flight are on another node, only its map is here; finish "
                "it there, or bring them with 'flycam bundle write --originals'",
                elsewhere,
                name=flight.name,
            )
        )
    if moved := len(find_moved_by_peers(workspace.catalog, used)):
        raise InputUnusable(
            ngettext(
                "{name}: {count} photo was placed anew by another node, and nobody here agreed; finish it "
                "there, or allow that node first: flycam box list",
                "{name}: {count} photos were placed anew by another node, and nobody here agreed; finish it "
                "there, or allow that node first: flycam box list",
                moved,
                name=flight.name,
            )
        )


def _finish_layer(
    workspace: Workspace, job: LayerJob, progress: FinishProgress, make_reports: ReportMaker
) -> LayerReport:
    """Return one layer's new or existing revision, or the reason why there is none."""
    layer = job.mosaic.layer.value
    if job.skip_reason:
        return LayerReport(layer=layer, record=None, why=job.skip_reason)
    existing = workspace.catalog.revisions.find_by_inputs(job.mosaic.mosaic_id, job.digest)
    if existing is not None and not job.request.redo:
        instead_of = _show(workspace, job.flight, existing)
        mended = _repair(workspace, job, existing, progress)
        # of a run that was killed after it published
        _stages(workspace, job).remove()
        return LayerReport(layer=layer, record=existing, repaired=mended, instead_of=instead_of)
    record = _make_revision(workspace, job, _prepare(workspace, job, progress), make_reports)
    return LayerReport(layer=layer, record=record, new=True)


def _prepare(workspace: Workspace, job: LayerJob, progress: FinishProgress) -> FinishRun:
    """Check disk space and control, and remove a killed run's partial files.

    All before the work begins.
    """
    folder = _stages(workspace, job)
    wanted_bytes = _RUN_BYTES + _FRAME_BYTES * len(job.records)
    workspace.disk_space.free_space(wanted_bytes)
    folder.require_free(wanted_bytes, job.flight.name)
    folder.remove_partial()
    progress.resume_from(
        folder.load("seconds", ()) or {}, lambda spent: folder.save("seconds", spent, synced=False)
    )
    run = FinishRun(
        flight=job.flight,
        mosaic=job.mosaic,
        records=job.records,
        frames=build_block_frames(job.records, rolling_shutter=job.request.rolling_shutter),
        terrain=load_recorded_terrain(workspace, job.dem_id),
        originals=PhotoCache(workspace, job.records),
        folder=folder,
        progress=progress,
        workers=count_workers(),
        terrain_sigma_m=job.terrain_sigma_m,
        cluster_run=open_cluster_run(workspace, job.flight.flight_id, FINISH + job.digest),
    )
    check_control(run.frames, job.request.reference, job.request.gcp)
    if job.request.gcp is not None:
        store_original(workspace, job.request.gcp)
    return run


def _stages(workspace: Workspace, job: LayerJob) -> StageFolder:
    name = f"{job.mosaic.layer.value}-{job.digest}"
    return StageFolder(workspace.cache_dir / STAGES_DIR / job.flight.flight_id / name, job.digest)


def _make_revision(
    workspace: Workspace, job: LayerJob, run: FinishRun, make_reports: ReportMaker
) -> RevisionRecord:
    """Run all stages of one layer, up to the published revision."""
    made = _make_stages(run, job.request)
    revisions = workspace.catalog.revisions
    number = revisions.open(run.mosaic, job.digest, job.options, workspace.clock_ns())
    revisions.put_frames(run.mosaic.mosaic_id, number, [one.kept for one in made.placing.frames])
    mosaic = replace(run.mosaic, revision=number, published=False)
    write_revision_tiles(workspace, run, mosaic, made)
    record = _describe_revision(workspace, run, made, revisions.get(mosaic.mosaic_id, number))
    if job.request.report:
        with run.progress.stage("report") as report_progress:
            reports, figures = make_reports(workspace, run.flight, mosaic, record, report_progress)
        stats = add_report_statistics(record.stats, figures, run.progress.seconds)
        record = replace(record, reports=reports, stats=stats)
    shown = _publish(workspace, run.flight, record)
    run.folder.remove()
    _forget_spread(run)
    return shown


def _forget_spread(run: FinishRun) -> None:
    if run.cluster_run is not None:
        run.cluster_run.clear()


def _make_stages(run: FinishRun, request: FinishRequest) -> RevisionInputs:
    """Compute all inputs of the tiles: poses, ground, radiometry and seamlines."""
    ties = find_tie_points(run)
    run = replace(run, frames=apply_tie_turns(run.frames, ties))
    controlled = adjust_with_control(
        run, ties.ties, request.adjust_options, request.reference, request.gcp, request.reference_sigma_m
    )
    adjustment = controlled.adjustment
    wanted = request.surface and adjustment.accepted
    surface = derive_surface(run, adjustment, request.spacing_m(run.flight)) if wanted else None
    terrain = run.terrain if surface is None else assign_content_id(surface.rectification_terrain())
    placing = place_frames(run.records, run.frames, adjustment, terrain, run.mosaic.base_zoom)
    if not placing.frames:
        raise InputUnusable(
            _(
                "{name}: none of its photos sees known ground: {left_out}",
                name=run.flight.name,
                left_out=placing.rejected[0][1],
            )
        )
    seen = make_overviews(run, placing.frames, terrain)
    # From here on photos are read as developed.
    run.originals.clear()
    radiometry = balance_radiometry(run, seen)
    return RevisionInputs(
        ties=ties,
        controlled=controlled,
        surface=surface,
        terrain=terrain,
        placing=placing,
        radiometry=radiometry,
        seams=plan_seamlines(run, seen, radiometry),
    )


def _describe_revision(
    workspace: Workspace, run: FinishRun, made: RevisionInputs, record: RevisionRecord
) -> RevisionRecord:
    """Return the record of a revision whose tiles are written, with its statistics."""
    surface = made.surface
    support = None if surface is None else build_support_grid(surface)
    own_pct = None
    if support is not None:
        mosaic = replace(run.mosaic, revision=record.revision)
        own_pct = compute_dsm_pct(workspace.store, workspace.catalog.tiles, mosaic, support)
    return replace(
        record,
        made_ns=workspace.clock_ns(),
        dem_id=store_terrain(workspace, made.terrain),
        support_key=None if support is None else keys.format_terrain_key(store_terrain(workspace, support)),
        stats=compile_statistics(
            ties=made.ties,
            frames=run.frames,
            adjustment=made.controlled.adjustment,
            control=made.controlled.stats,
            surface=surface,
            surface_id=None if surface is None else store_terrain(workspace, surface.terrain),
            own_pct=own_pct,
            placing=made.placing,
            rolling_shutter=bool(record.options["rolling_shutter"]),
            radiometry=made.radiometry,
            plan=made.seams,
            seconds=run.progress.seconds,
        ),
    )


def _repair(workspace: Workspace, job: LayerJob, existing: RevisionRecord, progress: FinishProgress) -> int:
    """Repair lost or damaged tiles of an existing revision; return their number."""
    damaged = _damaged(workspace, existing, progress)
    if damaged:
        mosaic = replace(job.mosaic, revision=existing.revision, published=False)
        base = [tile for tile in damaged if tile.z == mosaic.base_zoom]
        if base:
            run = _prepare(workspace, job, progress)
            write_revision_tiles(workspace, run, mosaic, _make_stages(run, job.request), base)
            _forget_spread(run)
        repair_overview_tiles(workspace, mosaic, damaged)
    return len(damaged)


def _damaged(workspace: Workspace, existing: RevisionRecord, progress: FinishProgress) -> Sequence[TileId]:
    heads = workspace.catalog.tiles.heads(existing.mosaic_id, existing.revision)
    with progress.stage("check") as report_progress:
        return find_damaged_tiles(
            workspace.store, heads, lambda done: report_progress("check", done, len(heads)), count_workers()
        )


def _publish(workspace: Workspace, flight: Flight, record: RevisionRecord) -> RevisionRecord:
    """Publish the revision, with an entry in the audit log."""
    shown = workspace.catalog.revisions.publish(record)
    # Until then all that a redacted photo shows is withheld.
    update_redaction_footprints(workspace)
    what = "accepted" if record.stats["accepted"] else f"priors kept: {get_refusal(record.stats)}"
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "finish",
        flight.flight_id,
        f"{record.mosaic_id} revision {record.revision}: {what}",
    )
    return shown


def _show(workspace: Workspace, flight: Flight, existing: RevisionRecord) -> int | None:
    """Publish an existing revision unless it is; return the one it replaces.

    With an entry in the audit log.
    """
    tiles = workspace.catalog.tiles
    shown = tiles.mosaic(existing.mosaic_id).revision
    if shown == existing.revision:
        return None
    tiles.publish(existing.mosaic_id, existing.revision)
    workspace.catalog.audit.append(
        workspace.operator or workspace.box,
        "finish",
        flight.flight_id,
        f"{existing.mosaic_id} revision {existing.revision}: on show again instead of {shown}",
    )
    return shown


def _cover(workspace: Workspace, flight: Flight, progress: FinishProgress) -> list[Coverage]:
    """Measure the published revision's coverage by commune.

    Under the flight's lock: a concurrent ingest or withdrawal decides on coverage too, and must not be
    overwritten.
    """
    with workspace.catalog.flights.lock(flight.flight_id), progress.stage("communes") as report_progress:
        return measure_coverage(workspace, flight, report_progress, changed=False)
