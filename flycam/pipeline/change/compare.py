"""`flycam compare`: what changed between two flights, or a flight and any picture, commune by commune.

    sides ─ common grid (the coarser GSD, the work CRS) ─ both laid on it by their coordinates
          ─ coregistered, or refused ─ AFTER laid onto BEFORE ─ what clouds hide is not seen
          ─ candidates, where both have colours
          ─ cut to the area asked for ─ communes ─ one file ─ the catalogue, where an event's analyst decides

The detector is handed in: this recipe knows where things lie, not what a
landslide looks like.
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

from flycam.analysis.cloud import without_clouds
from flycam.analysis.colour import colour_fault
from flycam.analysis.coregister import Registration, coregister, laid_on
from flycam.analysis.pair import ImagePair, is_one_picture
from flycam.frame.flight import Event
from flycam.geodata.feature_file import require_feature_file
from flycam.geometry.gridded import gridded_heights
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.extent import OutputGrid
from flycam.pipeline.change.compare_changes import (
    Candidate,
    Change,
    CommuneChanges,
    communes_here,
    compared_ground,
    placed,
    write_changes,
)
from flycam.pipeline.change.compare_grid import common_grid, keep_inside, work_crs
from flycam.pipeline.change.compare_remarks import (
    clouds_said,
    communes_said,
    doubts_of,
    is_one,
    lies_elsewhere,
    not_for_review,
    not_looked_for,
    remarks_on,
    same_pixels,
)
from flycam.pipeline.change.compare_sides import Said, Side, laid, open_sides
from flycam.pipeline.change.compare_terrain import terrain_under
from flycam.pipeline.change.compared_keeping import PairWarnings, keep_compared
from flycam.pipeline.change.event_ground import far_off_m
from flycam.pipeline.change.keeping import Kept, event_for, keep
from flycam.pipeline.export import require_place
from flycam.pipeline.inspection import read_area
from flycam.pipeline.terrain import lonlat_bounds
from flycam.pipeline.workspace import Progress, Workspace, silent

Mask = NDArray[np.bool_]
Detecting = Callable[..., Callable[[], Sequence[Candidate]]]
"""`flycam.analysis.change.detecting`: (pair, *, stable) to what gives the candidates once the pair itself may
be let go of."""

FindTerrain = Callable[[], TerrainGrid | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """What was found.

    common_m2   ground imaged on both dates and hidden by no cloud (inside the area asked for), all that is
                spoken of
    looked_for  whether changes were looked for at all, which between one picture and itself they cannot be;
                the remarks say why not
    by_commune  every commune that the grid touches, the most changed first
    remarks     what the reader has to know
    kept        what was put into the catalogue for review; None: nothing, for no event asks for it, it was
                not to be put up, or it is unfit
    for_review  whether it was to be put up
    is_unfit    whether it may not be: the two are one flight or picture, stand the wrong way round, or lie
                far from the event; a remark says which
    """

    path: Path
    crs: str
    gsd_m: float
    common_m2: float
    registration: Registration
    looked_for: bool
    changes: tuple[Change, ...]
    by_commune: tuple[CommuneChanges, ...]
    remarks: tuple[Said, ...]
    seconds: float
    kept: Kept | None = None
    for_review: bool = True
    is_unfit: bool = False


def compare(
    workspace: Workspace,
    before: str,
    after: str,
    out: Path,
    detecting: Detecting,
    *,
    dem: Path | None = None,
    aoi: Path | None = None,
    event: str | None = None,
    for_review: bool = True,
    progress: Progress = silent,
) -> Compared:
    """Compare two flights (id or name) or pictures (path) and write the candidates to `out`.

    They are put into the catalogue too, for review: of the event asked for, else of that of both flights; but
    nothing of a flight or picture beside itself, of two the wrong way round, or of ground far from all that
    is known of the event.

    dem  terrain to judge slopes by; None: what a flight was laid on, else what is registered here. aoi
    polygons to stay inside; what lies around them helps to lay the pictures and to learn what is usual.

    Raises OptionUnusable (out; an event that is real where a side is a drill's), NotFound, SourceUnreadable,
    CrsMissing, InputUnusable (no such folder, area beside the pictures), what `terrain_under` raises;
    NotRegistered where the two do not surely lie on each other; StorageTrouble (a flight was
    moved to another event meanwhile: StoreConflict).
    """
    started = time.monotonic()
    require_place(out)
    require_feature_file(out)
    sides = open_sides(workspace, before, after)
    reviewing = event_for(workspace, sides, event) if for_review else None
    area = None if aoi is None else read_area(aoi)
    crs = work_crs(*sides)
    grid, said_of_grid = common_grid(*sides, crs, area, "" if aoi is None else aoi.name)
    unfit = not_for_review(sides) or _elsewhere(workspace, reviewing, sides, grid, crs)
    find_terrain = partial(terrain_under, workspace, sides, dem, grid, crs)
    found = _detected(sides, grid, crs, detecting, find_terrain, area=area, progress=progress)
    if unfit is None and found.is_one_picture:
        unfit = same_pixels(sides)
    looked_for = found.has_colours and not (found.is_one_picture or is_one(*sides))
    registration, common = found.registration, found.common
    is_drill = any(side.is_drill for side in sides) or (reviewing is not None and reviewing.is_drill)
    communes = communes_here(workspace.catalog, sides[1].flight, grid, crs, is_drill=is_drill)
    compared = compared_ground(common & looked_for, grid)
    changes, by_commune = placed(
        found.candidates, grid, common, compared, communes, crs, registration, on_terrain=found.on_terrain
    )
    write_changes(out, changes, compared, registration, grid, crs)
    doubts = doubts_of(sides, registration)
    came_off_px = float(np.hypot(*registration.shift_m)) / registration.gsd_m
    said_of_sides = remarks_on(sides, unfit, came_off_px, found.without_heights)
    warnings = PairWarnings(doubts=doubts, others=[*said_of_grid, *found.remarks, *said_of_sides])
    kept = None
    if reviewing is not None and unfit is None:
        kept = keep(workspace, reviewing, sides, changes, registration, crs)
        # after what was found in it: without that it would read as nothing found
        keep_compared(workspace, reviewing, sides, compared, registration, grid, crs, warnings)
    return Compared(
        path=out,
        crs=crs,
        gsd_m=grid.step_x,
        common_m2=float(np.count_nonzero(common)) * grid.step_x**2,
        registration=registration,
        looked_for=looked_for,
        changes=tuple(changes),
        by_commune=tuple(by_commune),
        remarks=(*warnings.all, *communes_said(communes)),
        seconds=time.monotonic() - started,
        kept=kept,
        for_review=for_review,
        is_unfit=unfit is not None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Detected:
    """What the detector found, in pixels of the grid.

    common           H×W: imaged on both dates, hidden by no cloud, inside the area asked for
    has_colours      whether both have those that it takes
    without_heights  share of the common ground whose height is not known; on_terrain: whether any terrain is
    is_one_picture   whether both sides show the same, pixel by pixel
    remarks          why changes were not looked for, and what clouds hide
    """

    candidates: Sequence[Candidate]
    registration: Registration
    common: Mask
    has_colours: bool
    on_terrain: bool
    is_one_picture: bool
    without_heights: float
    remarks: list[Said]


def _detected(
    sides: tuple[Side, Side],
    grid: OutputGrid,
    crs: str,
    detecting: Detecting,
    find_terrain: FindTerrain,
    *,
    area: BaseGeometry | None,
    progress: Progress,
) -> _Detected:
    """Candidates where both sides are seen and have colours. Raises NotRegistered, and what `find_terrain`
    raises."""
    pair, registration, on_terrain, is_one = _coregistered(sides, grid, crs, find_terrain, progress)
    pair, hidden = without_clouds(pair)
    colourless = _colourless(sides, pair)
    find: Callable[[], Sequence[Candidate]] = tuple
    if not colourless:
        find = detecting(pair, stable=registration.stable((grid.rows, grid.cols)))
    common = pair.both_seen
    if area is not None:  # only now: what is usual around is learnt outside of the area too
        keep_inside(area, grid, crs, common)
    without_heights = _without(pair.heights_m, common)
    del pair  # of large ground there is no room for it beside what is made of it now
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
        remarks=[*colourless, *clouds_said(hidden)],
    )


def _elsewhere(
    workspace: Workspace, event: Event | None, sides: tuple[Side, Side], grid: OutputGrid, crs: str
) -> Said | None:
    """That the ground compared is not the event's, where it lies too far off for that."""
    if event is None:
        return None
    off_m = far_off_m(workspace.catalog, event, lonlat_bounds(grid.bounds, crs))
    return None if off_m is None else lies_elsewhere(sides, event.name, off_m)


def _coregistered(
    sides: tuple[Side, Side], grid: OutputGrid, crs: str, find_terrain: FindTerrain, progress: Progress
) -> tuple[ImagePair, Registration, bool, bool]:
    """Both sides over the grid, AFTER laid onto BEFORE; how it lies there, whether terrain is known, and
    whether both are one picture.

    Raises NotRegistered, and what `find_terrain` raises.
    """
    (before_rgb, before_seen), (after_rgb, after_seen) = _both_laid(sides, grid, crs, progress)
    registration = coregister(
        before_rgb,
        before_seen,
        after_rgb,
        after_seen,
        gsd_m=grid.step_x,
        names=(sides[0].name, sides[1].name),
        progress=progress,
    )
    is_one = is_one_picture(before_rgb, after_rgb, before_seen & after_seen)
    after_rgb, after_seen = laid_on(registration, after_rgb, after_seen)
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


def _both_laid(
    sides: tuple[Side, Side], grid: OutputGrid, crs: str, progress: Progress
) -> list[tuple[NDArray[np.uint8], Mask]]:
    """Both sides over the grid, each in a thread of its own."""
    progress("lay", 0, 2)
    with ThreadPoolExecutor(2, thread_name_prefix="lay") as pool:
        both = list(pool.map(lambda side: laid(side, grid, crs), sides))
    progress("lay", 2, 2)
    return both


def _colourless(sides: tuple[Side, Side], pair: ImagePair) -> list[Said]:
    """Why changes cannot be told: a remark on each side without the colours it takes."""
    common = pair.both_seen
    faults = [colour_fault(rgb, common, pair.gsd_m) for rgb in (pair.before_rgb, pair.after_rgb)]
    return [
        not_looked_for(side.name, fault)
        for side, fault in zip(sides, faults, strict=True)
        if fault is not None
    ]


def _without(heights: NDArray[np.float32], common: Mask) -> float:
    """Share of the common ground that has no height; of all there is, where nothing is common."""
    unknown = np.isnan(heights)
    return float((unknown[common] if common.any() else unknown).mean())


def _heights(terrain: TerrainGrid | None, grid: OutputGrid) -> NDArray[np.float32]:
    if terrain is None:
        return np.full((grid.rows, grid.cols), np.nan, np.float32)
    return gridded_heights(terrain, *grid.centres(0, 0, (grid.rows, grid.cols)))
