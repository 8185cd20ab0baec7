"""`flycam compare`: changes between two flights or images, by commune.

  sides ─ common grid (the coarser GSD, the work CRS) ─ both resampled to it
   ─ coregistered, or refused ─ AFTER warped onto BEFORE ─ clouds masked
   ─ candidates, where both have colours
   ─ cut to the area asked for ─ communes ─ one file ─ the catalogue, where an event's analyst decides

The detector is passed in: this module does not know what a landslide looks like.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.analysis.cloud_mask import mask_clouds
from flycam.analysis.colour_check import find_colour_fault
from flycam.analysis.coregistration import Registration, coregister_images, resample_after
from flycam.analysis.image_pair import ImagePair, is_one_picture
from flycam.frame.flight import Event
from flycam.geodata.feature_file import require_feature_file
from flycam.geometry.height_raster import interpolate_heights_on_grid
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message
from flycam.mosaic.output_grid import OutputGrid
from flycam.pipeline.change.candidate_queue import EnqueueReport, choose_review_event, enqueue_candidates
from flycam.pipeline.change.change_polygons import (
    ChangePolygon,
    CommuneChanges,
    DetectedCandidate,
    extract_compared_ground,
    find_communes_in_grid,
    place_candidates,
    write_change_layers,
)
from flycam.pipeline.change.comparison_findings import (
    describe_clouds,
    describe_missing_detection,
    describe_other_location,
    describe_same_pixels,
    explain_unreviewable,
    is_same_source,
    list_commune_remarks,
    list_pair_doubts,
    list_pair_remarks,
)
from flycam.pipeline.change.comparison_grid import build_common_grid, clip_to_area, select_comparison_crs
from flycam.pipeline.change.comparison_store import PairWarnings, store_comparison
from flycam.pipeline.change.comparison_terrain import load_comparison_terrain
from flycam.pipeline.change.event_location import measure_event_distance
from flycam.pipeline.change.image_sources import ImageSource, open_image_pair, read_source
from flycam.pipeline.mosaic_export import require_output_path
from flycam.pipeline.preflight_report import read_area_of_interest
from flycam.pipeline.terrain import compute_lonlat_bounds
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress

Mask = NDArray[np.bool_]
DetectorFactory = Callable[..., Callable[[], Sequence[DetectedCandidate]]]
"""`prepare_detection`: (pair, *, stable) to a function that returns candidates; the pair may be freed before
the call."""

FindTerrain = Callable[[], TerrainGrid | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonReport:
    """Result of a comparison.

    common_m2   ground imaged on both dates and free of clouds (inside the area asked for): all that the
        result refers to
    is_detected  whether changes were looked for at all, which is impossible between an image and itself;
        the remarks say why not
    by_commune  every commune that the grid touches, the most changed first
    remarks     what the reader has to know
    enqueued    what was written to the catalogue for review; None: nothing, as no event asks for it, it
        was not requested, or the pair is unfit
    for_review  whether review was requested
    is_unfit    whether it may not be reviewed: the two are one flight or image, in the wrong order, or lie
        far from the event; a remark says which
    """

    path: Path
    crs: str
    gsd_m: float
    common_m2: float
    registration: Registration
    is_detected: bool
    changes: tuple[ChangePolygon, ...]
    by_commune: tuple[CommuneChanges, ...]
    remarks: tuple[Message, ...]
    seconds: float
    enqueued: EnqueueReport | None = None
    for_review: bool = True
    is_unfit: bool = False


def compare_sources(
    workspace: Workspace,
    before: str,
    after: str,
    out: Path,
    make_detector: DetectorFactory,
    *,
    dem: Path | None = None,
    aoi: Path | None = None,
    event: str | None = None,
    for_review: bool = True,
    progress: Progress = ignore_progress,
) -> ComparisonReport:
    """Compare two flights (id or name) or images (path); write candidates to `out`.

    They are also written to the catalogue for review: of the event asked for, else of that of both flights;
    but not those of a flight or image beside itself, of two in the wrong order, or of ground far from all
    that is known of the event.

    dem  terrain to judge slopes by; None: what a flight was orthorectified on, else what is registered here
    aoi  polygons to stay inside; the ground around them helps to coregister and to learn what is usual

    Raises OptionUnusable (out; a real event where a side is a drill's), NotFound, SourceUnreadable,
    CrsMissing, InputUnusable (no such folder, area beside the images), what `load_comparison_terrain` raises;
    CoregistrationFailed where the registration is not certain; StorageFailed (a flight was moved to another
    event meanwhile: StoreConflict).
    """
    started = time.monotonic()
    require_output_path(out)
    require_feature_file(out)
    sides = open_image_pair(workspace, before, after)
    reviewing = choose_review_event(workspace, sides, event) if for_review else None
    area = None if aoi is None else read_area_of_interest(aoi)
    crs = select_comparison_crs(*sides)
    grid, said_of_grid = build_common_grid(*sides, crs, area, "" if aoi is None else aoi.name)
    unfit = explain_unreviewable(sides) or _describe_other_location(workspace, reviewing, sides, grid, crs)
    find_terrain = partial(load_comparison_terrain, workspace, sides, dem, grid, crs)
    found = _detect(sides, grid, crs, make_detector, find_terrain, area=area, progress=progress)
    if unfit is None and found.is_one_picture:
        unfit = describe_same_pixels(sides)
    looked_for = found.has_colours and not (found.is_one_picture or is_same_source(*sides))
    registration, common = found.registration, found.common
    is_drill = any(side.is_drill for side in sides) or (reviewing is not None and reviewing.is_drill)
    communes = find_communes_in_grid(workspace.catalog, sides[1].flight, grid, crs, is_drill=is_drill)
    compared = extract_compared_ground(common & looked_for, grid)
    changes, by_commune = place_candidates(
        found.candidates, grid, common, compared, communes, crs, registration, on_terrain=found.on_terrain
    )
    write_change_layers(out, changes, compared, registration, grid, crs)
    doubts = list_pair_doubts(sides, registration)
    came_off_px = float(np.hypot(*registration.shift_m)) / registration.gsd_m
    said_of_sides = list_pair_remarks(sides, unfit, came_off_px, found.without_heights)
    warnings = PairWarnings(doubts=doubts, others=[*said_of_grid, *found.remarks, *said_of_sides])
    kept = None
    if reviewing is not None and unfit is None:
        kept = enqueue_candidates(workspace, reviewing, sides, changes, registration, crs)
        # After its candidates: a comparison recorded without them would read as nothing found.
        store_comparison(workspace, reviewing, sides, compared, registration, grid, crs, warnings)
    return ComparisonReport(
        path=out,
        crs=crs,
        gsd_m=grid.step_x,
        common_m2=float(np.count_nonzero(common)) * grid.step_x**2,
        registration=registration,
        is_detected=looked_for,
        changes=tuple(changes),
        by_commune=tuple(by_commune),
        remarks=(*warnings.all, *list_commune_remarks(communes)),
        seconds=time.monotonic() - started,
        enqueued=kept,
        for_review=for_review,
        is_unfit=unfit is not None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Detected:
    """Candidates of the detector, in pixels of the grid.

    common           H×W: imaged on both dates, free of clouds, inside the area asked for
    has_colours      whether both have the colours that detection takes
    without_heights  share of the common ground whose height is not known; on_terrain: whether any is known
    is_one_picture   whether both sides are the same, pixel by pixel
    remarks          why changes were not looked for, and what clouds hide
    """

    candidates: Sequence[DetectedCandidate]
    registration: Registration
    common: Mask
    has_colours: bool
    on_terrain: bool
    is_one_picture: bool
    without_heights: float
    remarks: list[Message]


def _detect(
    sources: tuple[ImageSource, ImageSource],
    grid: OutputGrid,
    crs: str,
    detecting: DetectorFactory,
    find_terrain: FindTerrain,
    *,
    area: BaseGeometry | None,
    progress: Progress,
) -> _Detected:
    """Detect candidates where both sides are valid and have colours.

    Raises CoregistrationFailed, and what `find_terrain` raises.
    """
    pair, registration, on_terrain, is_one = _coregister(sources, grid, crs, find_terrain, progress)
    pair, hidden = mask_clouds(pair)
    colourless = _colourless(sources, pair)
    find: Callable[[], Sequence[DetectedCandidate]] = tuple
    if not colourless:
        find = detecting(pair, stable=registration.stable((grid.rows, grid.cols)))
    common = pair.both_seen
    # Only now: what is usual around is learnt outside of the area too.
    if area is not None:
        clip_to_area(area, grid, crs, common)
    without_heights = _compute_unknown_share(pair.heights_m, common)
    # Large images leave no memory for the pair beside what is made of it now.
    del pair
    progress("change", 0, 1)
    candidates = find()
    progress("change", 1, 1)
    return _Detected(
        candidates=candidates,
        registration=registration,
        common=common,
        has_colours=not colourless,
        on_terrain=on_terrain,
        is_one_picture=is_one,
        without_heights=without_heights,
        remarks=[*colourless, *describe_clouds(hidden)],
    )


def _describe_other_location(
    workspace: Workspace,
    event: Event | None,
    sources: tuple[ImageSource, ImageSource],
    grid: OutputGrid,
    crs: str,
) -> Message | None:
    """Return a remark if the compared ground is too far off to be the event's."""
    if event is None:
        return None
    off_m = measure_event_distance(workspace.catalog, event, compute_lonlat_bounds(grid.bounds, crs))
    return None if off_m is None else describe_other_location(sources, event.name, off_m)


def _coregister(
    sources: tuple[ImageSource, ImageSource],
    grid: OutputGrid,
    crs: str,
    find_terrain: FindTerrain,
    progress: Progress,
) -> tuple[ImagePair, Registration, bool, bool]:
    """Read both sides over the grid and coregister AFTER onto BEFORE.

    Returns the pair, the registration, whether terrain is known, and whether both are one image. Raises
    CoregistrationFailed, and what `find_terrain` raises.
    """
    (before_rgb, before_seen), (after_rgb, after_seen) = _read_both(sources, grid, crs, progress)
    registration = coregister_images(
        before_rgb,
        before_seen,
        after_rgb,
        after_seen,
        gsd_m=grid.step_x,
        names=(sources[0].name, sources[1].name),
        progress=progress,
    )
    is_one = is_one_picture(before_rgb, after_rgb, before_seen & after_seen)
    after_rgb, after_seen = resample_after(registration, after_rgb, after_seen)
    terrain = find_terrain()
    pair = ImagePair(
        before_rgb=before_rgb,
        after_rgb=after_rgb,
        before_seen=before_seen,
        after_seen=after_seen,
        gsd_m=grid.step_x,
        heights_m=_heights(terrain, grid),
    )
    return pair, registration, terrain is not None, is_one


def _read_both(
    sources: tuple[ImageSource, ImageSource], grid: OutputGrid, crs: str, progress: Progress
) -> list[tuple[NDArray[np.uint8], Mask]]:
    """Read both sides over the grid, each in a thread of its own."""
    progress("lay", 0, 2)
    with ThreadPoolExecutor(2, thread_name_prefix="lay") as pool:
        both = list(pool.map(lambda side: read_source(side, grid, crs), sources))
    progress("lay", 2, 2)
    return both


def _colourless(sources: tuple[ImageSource, ImageSource], pair: ImagePair) -> list[Message]:
    """Return a remark on each side without the colours that detection takes."""
    common = pair.both_seen
    faults = [find_colour_fault(rgb, common, pair.gsd_m) for rgb in (pair.before_rgb, pair.after_rgb)]
    return [
        describe_missing_detection(side.name, fault)
        for side, fault in zip(sources, faults, strict=True)
        if fault is not None
    ]


def _compute_unknown_share(heights: NDArray[np.float32], common: Mask) -> float:
    """Return the share of common ground without height; of all if none is common."""
    unknown = np.isnan(heights)
    return float((unknown[common] if common.any() else unknown).mean())


def _heights(terrain: TerrainGrid | None, grid: OutputGrid) -> NDArray[np.float32]:
    if terrain is None:
        return np.full((grid.rows, grid.cols), np.nan, np.float32)
    return interpolate_heights_on_grid(terrain, *grid.centres(0, 0, (grid.rows, grid.cols)))
