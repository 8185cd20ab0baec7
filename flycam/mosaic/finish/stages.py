"""Stages of `finish`: placed frames, stored results, progress, and cluster tasks.

A stage is a function of the run and of earlier stages' results; its result is kept on disk. Pixels are read
through `originals`; nothing here writes a tile or the catalogue.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.concurrency import map_ordered
from flycam.errors import Cancelled, DiskFull, FrameRejected, OutsideTerrain, StorageFailed
from flycam.geometry.camera import InteriorOrientation, LensModel, estimate_motion_px
from flycam.geometry.grid import TileRange, get_parent_range
from flycam.geometry.pose import CameraMotion, ExteriorOrientation, PoseSource
from flycam.geometry.terrain import TerrainGrid
from flycam.memory import release_free_pages
from flycam.messages import Message, _
from flycam.model.flight import Flight, is_flat_datum
from flycam.model.frame import FrameHeader
from flycam.model.records import FrameRecord, MosaicInfo, RevisionFrame
from flycam.mosaic.adjustment import block as adjustment_block
from flycam.mosaic.adjustment.block import (
    Adjustment,
    AdjustOptions,
    Block,
    BlockFrame,
    ControlPoint,
    FrameState,
    TerrainPrior,
)
from flycam.mosaic.adjustment.bundle_adjustment import adjust_block
from flycam.mosaic.adjustment.matching import MatchView
from flycam.mosaic.adjustment.ties import (
    TieOptions,
    TieReport,
    find_ties,
    make_view,
    match_cached_pair,
    plan_tie_pairs,
)
from flycam.mosaic.cluster.run import ClusterRun, Fence, StoreStages, read_serialized, write_serialized
from flycam.mosaic.finish.radiometry import (
    FrameOverview,
    FrameOverviewCache,
    PixelBox,
    Radiometry,
    keep_unshared_ground,
    make_frame_overview,
    make_place_image,
    solve_radiometry,
)
from flycam.mosaic.finish.seamline import SeamPlan, plan_seams
from flycam.mosaic.orthorectify.rectification import (
    FrameFootprint,
    find_frame_tiles,
    orthorectify_frame,
    project_frame,
)
from flycam.mosaic.surface.plane_sweep import MatchImageCache, SurfaceOptions, SurfaceView
from flycam.mosaic.surface.refinement import BlockSweep, SweepLevel, SweptBlock, refine_surface
from flycam.mosaic.surface.surface import Surface
from flycam.mosaic.terrain_codec import assign_content_id
from flycam.originals import PhotoCache
from flycam.storage.files import get_free_bytes, make_write_error, replace_file
from flycam.workspace import Progress, Workspace

# -- Placement of adjusted frames, and their reduced orthopatches ----------------------------------
#
# A placed frame has its adjusted pose, camera and tiles, and is ready to be orthorectified. Overviews are
# orthorectified the same way, from a reduced image.


Floats = NDArray[np.float64]

PRIOR_STATE = "prior"
"""State of a frame whose pose is the recorded one, because nothing better was found."""

_ALONE_SHARE = 0.1
"""An untied photo is placed if this share of its ground is seen by no tied one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedFrame:
    """One frame ready to be orthorectified.

    header      with the adjusted interior and exterior orientation
    camera      key of the interior orientation it shares with others
    tiles       base-zoom tiles its orthopatch may touch
    covariance  6×6 of its pose relative to the block, None: only its sigmas are known
    rows_px     by how much its first or last row would be off with a single pose; 0: it has one
    kept        its record in the catalogue
    """

    header: FrameHeader
    camera: str
    tiles: TileRange
    covariance: Floats | None
    rows_px: float
    kept: RevisionFrame

    @property
    def frame_id(self) -> str:
        return self.header.frame_id

    @property
    def exterior(self) -> ExteriorOrientation:
        return self.header.exterior_prior

    @property
    def is_untied(self) -> bool:
        """True if no tie supports its pose, as ties do that of others."""
        return self.kept.state == FrameState.CARRIED


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacementResult:
    """All frames to be orthorectified, and those left out.

    rejected: (name, why) of those that see no known ground, or that are untied while tied ones see theirs.
    """

    frames: tuple[PlacedFrame, ...]
    rejected: tuple[tuple[str, Message], ...]


def _rows_px(frame: FrameFootprint) -> float:
    header = frame.header
    range_m = frame.footprint.gsd_m * 0.5 * sum(header.interior.focal_length_px)
    return estimate_motion_px(header.interior, header.exterior_prior, range_m)


def place_frames(
    records: Sequence[FrameRecord],
    block: Sequence[BlockFrame],
    adjustment: Adjustment,
    terrain: TerrainGrid,
    base_zoom: int,
) -> PlacementResult:
    """Place every frame with its adjusted pose and camera.

    A frame that sees no known ground is left out, and so is an untied one where tied ones see its ground:
    nothing confirms that it shows that place.
    """
    placed: list[PlacedFrame] = []
    outlines: list[shapely.Polygon] = []
    left_out: list[tuple[str, Message]] = []
    covariances = adjustment.frame_covariance
    for number, (record, before, after) in enumerate(zip(records, block, adjustment.frames, strict=True)):
        interior = adjustment.interiors[before.camera]
        header = replace(record.header, interior=interior, exterior_prior=after.exterior)
        try:
            seen = project_frame(header, terrain)
        except FrameRejected as error:
            left_out.append((record.header.provenance.source_name, error.message))
            continue
        outlines.append(seen.outline_lonlat)
        placed.append(
            PlacedFrame(
                header=header,
                camera=before.camera,
                tiles=find_frame_tiles(seen, base_zoom),
                covariance=None if covariances is None else covariances[number],
                rows_px=_rows_px(seen),
                kept=RevisionFrame(
                    frame_id=record.frame_id,
                    exterior=after.exterior,
                    interior=interior,
                    state=after.state.value if adjustment.accepted else PRIOR_STATE,
                    ties=after.ties,
                    rms_px=after.rms_px,
                    cells_pct=after.cells_pct,
                ),
            )
        )
    known = shapely.union_all(
        [outline for one, outline in zip(placed, outlines, strict=True) if not one.is_untied]
    )
    needed = [
        not one.is_untied or outline.difference(known).area > _ALONE_SHARE * outline.area
        for one, outline in zip(placed, outlines, strict=True)
    ]
    left_out += [
        (one.header.provenance.source_name, _SHOWN_BY_OTHERS)
        for one, is_needed in zip(placed, needed, strict=True)
        if not is_needed
    ]
    frames = tuple(one for one, is_needed in zip(placed, needed, strict=True) if is_needed)
    return PlacementResult(frames=frames, rejected=tuple(left_out))


_SHOWN_BY_OTHERS = _(
    "could not be tied to the photos around it, which show the same ground: where it was really taken is not "
    "known"
)


# -- Overviews: reduced orthopatches for radiometric balance and seamlines -------------------------


OVERVIEW_SIDE_PX = 400
"""Approximate longer side of the reduced image."""


def choose_overview_shrink(image_size_px: tuple[int, int]) -> int:
    """Return how many zooms above the base the overviews lie.

    2 for 1.3 megapixels, 3 for 12, 4 for 20.
    """
    return int(np.clip(round(np.log2(max(image_size_px) / OVERVIEW_SIDE_PX)), 1, 5))


def make_overview(
    header: FrameHeader,
    exterior: ExteriorOrientation,
    pixels: NDArray[np.uint8],
    terrain: TerrainGrid,
    base_tiles: TileRange,
    shrink: int,
    camera: str,
) -> FrameOverview:
    """Make the overview `shrink` zooms above `base_tiles`, the frame's base tiles.

    pixels H×W×3 uint8 RGB, full size or reduced already. Raises what `orthorectify_frame` raises.
    """
    width, height = header.interior.image_size_px
    size = (max(-(-width >> shrink), 1), max(-(-height >> shrink), 1))
    if (pixels.shape[1], pixels.shape[0]) != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    tiles = base_tiles
    for __ in range(shrink):
        tiles = get_parent_range(tiles)
    patch = orthorectify_frame(header, exterior, pixels, terrain, tiles)
    place = orthorectify_frame(header, exterior, make_place_image(size), terrain, tiles)
    return make_frame_overview(patch, place.rgb[..., :2], camera)


# -- Stages of `finish`, their stored results, progress, and cluster tasks -------------------------


# -- Cluster tasks: features, matches, DSM blocks, overviews ---------------------------------------
#
# Workers keep results in the store under the names by which the stages look them up. So a stage runs as
# without a cluster and finds most of its work done; what it does not find it computes.


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

    def __init__(self, workspace: Workspace, inputs: tuple[str, str, OverviewJob]) -> None:
        flight_id, run, self._job = inputs
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


# -- Progress of a run, weighted by stage costs ----------------------------------------------------
#
# A run is also stopped here: every stage reports often, and a report after cancellation was requested ends
# the run. Completed work is on disk, so the next run continues.


PERCENT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkAhead:
    """Size of one layer's run.

    frames      photos; megapixels: of all of them
    tiles       base tiles that the revision will have
    posts       of the DSM, 0 without one
    reference, report  whether they are requested
    """

    frames: int
    megapixels: float
    tiles: int
    posts: float
    reference: bool
    report: bool


def estimate_costs(work: WorkAhead) -> dict[str, float]:
    """Estimate the seconds on two cores by stage, in execution order.

    Names of parts follow the dot. The rates were measured on runs of 15 synthetic photos of 0.3 MP, 95 of
    1.3 MP, and 18 real ones of 9 MP. Only their ratios count: a slower machine is slower at every stage.
    """
    photos = work.frames
    costs = {
        "ties.features": 0.25 * photos + 0.05 * work.megapixels,
        "ties.neighbours": 0.06 * photos,
        "ties.matches": 0.12 * photos,
        "adjust": 0.1 * photos,
        "reference": 0.15 * photos if work.reference else 0.0,
        "surface.coarse": 4e-6 * work.posts,
        "surface.fine": 14e-6 * work.posts,
        "overviews": 0.03 * photos + 0.018 * work.megapixels,
        "radiometry": 0.03 * photos + 0.009 * work.megapixels,
        "seams": 0.1 * photos + 0.055 * work.megapixels,
        "blend": 0.2 * work.megapixels + 0.007 * work.tiles,
        "report": 1.6 + 0.003 * work.tiles if work.report else 0.0,
    }
    return {stage: cost for stage, cost in costs.items() if cost > 0.0}


def estimate_commune_cost(tiles: int) -> float:
    """Estimate the cost of measuring and clipping the communes, in the same unit."""
    return 0.3 + 0.004 * tiles


class FinishProgress:
    """Progress of the whole run from that of its stages; it never decreases.

    costs      of the stages reported here, in their order
    before     cost done before them; whole: the cost of all; both in the unit of `costs`
    cancelled  called at every report; once it returns True, the report raises Cancelled
    seconds    by stage: (wall, processor) seconds spent in it, by runs that were killed or stopped too, as
       far as a stage of them ended
    """

    def __init__(
        self,
        progress: Progress,
        costs: Mapping[str, float],
        cancelled: Callable[[], bool] = lambda: False,
        *,
        before: float = 0.0,
        whole: float | None = None,
    ) -> None:
        self._progress = progress
        self._costs = dict(costs)
        self._cancelled = cancelled
        self._done_before = before
        self._whole = max(sum(self._costs.values()) if whole is None else whole, 1e-9)
        self._reached = 0.0
        self.seconds: dict[str, tuple[float, float]] = {}
        self._keep: Callable[[Mapping[str, tuple[float, float]]], None] = lambda _: None

    def resume_from(
        self,
        seconds: Mapping[str, tuple[float, float]],
        keep: Callable[[Mapping[str, tuple[float, float]]], None],
    ) -> None:
        """Continue an earlier run's times; `keep` gets the seconds after every stage."""
        self.seconds, self._keep = dict(seconds), keep

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Yield a listener for one stage and time it; a normal exit completes the stage."""
        began, cpu = time.monotonic(), time.process_time()
        self._tell(name, self._before(name))
        try:
            yield lambda part, done, total: self._part(name, part, done, total)
            self._tell(name, self._before(name) + self._of_stage(name))
        finally:
            wall, spent = self.seconds.get(name, (0.0, 0.0))
            self.seconds[name] = (
                wall + time.monotonic() - began,
                spent + time.process_time() - cpu,
            )
            self._keep(self.seconds)
            release_free_pages()

    def _part(self, stage: str, part: str, done: int, total: int) -> None:
        key = f"{stage}.{part}" if f"{stage}.{part}" in self._costs else stage
        cost = self._costs.get(key, 0.0)
        self._tell(stage, self._before(key) + cost * min(done / max(total, 1), 1.0))

    def _tell(self, stage: str, reached: float) -> None:
        if self._cancelled():
            raise Cancelled(_("stopped as asked; what is done is kept: run the same command again to resume"))
        self._reached = max(self._reached, reached)
        share = min((self._done_before + self._reached) / self._whole + 1e-9, 1.0)
        self._progress(stage, int(PERCENT * share), PERCENT)

    def _before(self, key: str) -> float:
        """Return the cost of all that comes before a stage's first part, or this part."""
        before = 0.0
        for name, cost in self._costs.items():
            if name == key or name.startswith(f"{key}."):
                return before
            before += cost
        return self._reached

    def _of_stage(self, stage: str) -> float:
        own = (cost for name, cost in self._costs.items() if name == stage or name.startswith(f"{stage}."))
        return sum(own)


# -- Stage results on disk, from which a killed run continues --------------------------------------
#
#  <cache>/finish/<flight>/<layer>-<hash of inputs and options>/<stage>.stage
#
# A stage's file is written under another name, synced and renamed: it is complete or absent. A file that is
# damaged, or of other inputs, counts as absent. The folder can be deleted at any time.


Made = TypeVar("Made")

_SUFFIX = ".stage"
_PARTIAL = ".part"


class StageFolder:
    """Stage files of one run.

    Safe between threads; one process at a time, which the caller ensures.
    """

    def __init__(self, folder: Path, inputs_hash: str) -> None:
        self.folder = folder
        self._hash = inputs_hash

    def remove_partial(self) -> None:
        """Remove partial files of a killed run. Only while nobody else writes here."""
        for leftover in self.folder.glob(f"**/*{_PARTIAL}"):
            leftover.unlink(missing_ok=True)

    def load_or_make(self, stage: str, kinds: Iterable[type], make: Callable[[], Made]) -> Made:
        """Load this stage's result, else make it and keep it for the next run.

        Raises DiskFull or StorageFailed if it cannot be kept, and whatever `make` raises.
        """
        found = self.load(stage, kinds)
        if found is None:
            found = make()
            self.save(stage, found)
        value: Made = found
        return value

    def load(self, stage: str, kinds: Iterable[type]) -> Any | None:
        """Load what a run of the same inputs kept; None if there is nothing intact."""
        path = self._path(stage)
        with _translated(path):
            try:
                data = bytearray(path.stat().st_size)
                with path.open("rb") as file:
                    if file.readinto(data) != len(data):
                        return None
            except FileNotFoundError:
                return None
        return read_serialized(data, kinds, self._stamp(stage))

    def save(self, stage: str, value: Any, *, synced: bool = True) -> None:
        """Keep a value.

        synced=False for many small ones: a power cut may lose them, never damage them.
        """
        path = self._path(stage)
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replace_file(path, durable=synced) as file:
                write_serialized(file, value, self._stamp(stage))

    def remove(self) -> None:
        """Delete all of it, the run's folder included."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def require_free(self, wanted_bytes: int, name: str) -> None:
        """Raise DiskFull, naming the shortage, unless that much can be written here."""
        with _translated(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            free = get_free_bytes(self.folder)
        if free < wanted_bytes:
            raise DiskFull(
                _(
                    "{name}: finishing it takes about {wanted_bytes:.1f} GB in {parent}, and "
                    "{free:.1f} GB are free; free some space there and run again",
                    name=name,
                    wanted_bytes=wanted_bytes / 1000000000.0,
                    parent=self.folder.parent,
                    free=free / 1000000000.0,
                )
            )

    def _path(self, stage: str) -> Path:
        return self.folder / f"{stage}{_SUFFIX}"

    def _stamp(self, stage: str) -> str:
        return f"{self._hash} {stage}"


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise make_write_error(
            error,
            _(
                "{path}: cannot be written or read ({strerror}); free some space there, or "
                "make the folder writable, and run again",
                path=path,
                strerror=error.strerror,
            ),
        ) from error


# -- Stages: ties, adjustment, DSM, radiometric balance, seamlines ---------------------------------


_TIE_KINDS = (TieReport, adjustment_block.Ties, ExteriorOrientation, CameraMotion, PoseSource, Message)
_ADJUSTMENT_KINDS = (
    Adjustment,
    adjustment_block.AdjustedFrame,
    adjustment_block.Accuracy,
    adjustment_block.FrameState,
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
    ties: adjustment_block.Ties,
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
        if frame.state is not adjustment_block.FrameState.CARRIED
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

    def load_full(frame_id: str) -> FrameOverview:
        name = format_overview_name(frame_id)
        return run.folder.load_or_make(name, OVERVIEW_KINDS, lambda: by_worker(name) or make(frame_id))

    def of_frame(frame_id: str) -> FrameOverview:
        own = by_id[frame_id]
        if not own.is_untied:
            return load_full(frame_id)
        others = (one for one in placed if not (one.is_untied or one.tiles.intersection(own.tiles).is_empty))
        return keep_unshared_ground(load_full(frame_id), (load_full(one.frame_id) for one in others))

    def by_worker(name: str) -> FrameOverview | None:
        return None if run.cluster_run is None else run.cluster_run.stages.load(name, OVERVIEW_KINDS)

    ids = [one.frame_id for one in placed]
    with run.progress.stage("overviews") as progress:
        if run.cluster_run is not None:
            make_overviews_on_cluster(
                run.cluster_run, OverviewJob(run.records, placed, coarse, shrink), progress
            )
        for done, __ in enumerate(map_ordered(load_full, ids, run.workers, 2 * run.workers), 1):
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
