"""Comparison of two flights or images: changes by commune (`flycam compare`).

  sides ─ common grid (the coarser GSD, the work CRS) ─ both resampled to it
   ─ coregistered, or refused ─ AFTER warped onto BEFORE ─ clouds masked
   ─ candidates, where both have colours
   ─ cut to the requested area ─ communes ─ one file ─ the catalogue, where an event's analyst decides

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

from flycam.catalog.catalog import Catalog
from flycam.change.comparison_grid import (
    ImageSource,
    build_common_grid,
    clip_to_area,
    load_comparison_terrain,
    open_image_pair,
    read_source,
    select_comparison_crs,
)
from flycam.change.comparison_store import (
    EnqueueReport,
    PairWarnings,
    choose_review_event,
    enqueue_candidates,
    store_comparison,
)
from flycam.change.coregistration import Registration, coregister_images, resample_after
from flycam.change.image_pair import ColourFault, ImagePair, find_colour_fault, is_one_picture, mask_clouds
from flycam.change.outlines import (
    ChangePolygon,
    CommuneChanges,
    DetectedCandidate,
    extract_compared_ground,
    find_communes_in_grid,
    place_candidates,
    write_change_layers,
)
from flycam.geodata.communes import read_area_of_interest
from flycam.geodata.feature_file import require_feature_file
from flycam.geometry.grid import compute_box_distance_m
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_on_grid
from flycam.messages import Message, _
from flycam.model.flight import Event, FlightState
from flycam.model.records import BoundsLonLat, CommuneRecord
from flycam.model.text import format_shell_command
from flycam.mosaic.export import require_output_path
from flycam.mosaic.raster import OutputGrid
from flycam.mosaic.terrain import compute_lonlat_bounds
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Remarks on a comparison for its reader --------------------------------------------------------


_COLOUR_FAULTS: dict[ColourFault, Message] = {
    ColourFault.GREY: _("has no colours (grey, panchromatic or infrared)"),
    ColourFault.UNREAL: _("has not the colours of daylight (an infrared band?)"),
    ColourFault.DARK: _("is too dark to have colours (night?)"),
}


_MIN_UNKNOWN_SHARE = 0.01
_MIN_CLOUD_SHARE = 0.0005


def describe_clouds(share: float) -> list[Message]:
    """Return the remark that clouds hide a share (0 to 1) of common ground, if so.

    It also states which clouds are not recognised (`change.image_pair`).
    """
    if share < _MIN_CLOUD_SHARE:
        return []
    percent = 100.0 * float(share)
    return [
        _(
            "clouds hide {percent} % of the ground in common on one of the dates: nothing is said of it; "
            "only white clouds are recognised, look for grey ones yourself; fly there again under the clouds",
            percent=Message("{value:.0f}" if percent >= 1.0 else "{value:.1f}", {"value": percent}),
        )
    ]


# Share of the windows found; a remark is made where fewer agree.
_MIN_AGREEING_SHARE = 0.5


def list_pair_doubts(sources: tuple[ImageSource, ImageSource], registration: Registration) -> list[Message]:
    """Return why every change between two sides is less sure than elsewhere.

    Most of the ground disagrees with the registration, or a side's photos are not adjusted.
    """
    doubts: list[Message] = []
    if registration.agreed_share < _MIN_AGREEING_SHARE:
        doubts.append(
            _(
                "only {agreed} of {windows} windows found agree on how the pictures lie, the others are up "
                "to {off_m:.2f} m off: most of the ground changed or does not fit; look at the registration "
                "layer before you trust a change",
                agreed=int(registration.agreed.sum()),
                windows=registration.found,
                off_m=registration.found_p95_m,
            )
        )
    if live := " & ".join(side.name for side in sources if side.is_live):
        doubts.append(
            _(
                "{names}: not finished, its photos lie metres off each other, and so do changes at their "
                "seams; run 'flycam finish' first",
                names=live,
            )
        )
    return doubts


# Offset of AFTER as it came: more is worth an adjustment.
_FAR_PX = 2.0


def list_pair_remarks(
    sources: tuple[ImageSource, ImageSource],
    unfit: Message | None,
    came_off_px: float,
    without_heights: float,
) -> list[Message]:
    """Return remarks on the two sides and the terrain.

    unfit            why the comparison is not recorded, if so
    came_off_px      offset of AFTER from BEFORE before coregistration
    without_heights  share of the common ground whose height is not known, 0 to 1
    """
    remarks: list[Message] = []
    if unfit is not None:
        remarks.append(unfit)
    elif came_off_px > _FAR_PX and (tie_remark := _to_be_tied(*sources)):
        remarks.append(tie_remark)
    remarks += _without_terrain(without_heights)
    if not any(side.flight for side in sources):
        remarks.append(
            _("scores were fitted on drills of flights over mountains: of other pictures they are worth less")
        )
    return remarks


def list_commune_remarks(communes: Sequence[CommuneRecord]) -> list[Message]:
    """Return the remark that no boundaries are known there, if so.

    It concerns this node, not the two images.
    """
    if communes:
        return []
    return [_("no boundaries here: changes have no commune; register them with flycam communes add")]


def _without_terrain(share: float) -> list[Message]:
    """Return the remark on candidates without terrain, on a share (0-1) of ground.

    Slope distinguishes a landslide from a field and a flood from mud.
    """
    if share <= _MIN_UNKNOWN_SHARE:
        return []
    if share > 1.0 - _MIN_UNKNOWN_SHARE / 2:
        return [
            _(
                "no terrain: landslide, flood and other cannot be distinguished, each "
                "candidate may be any of them, and scores are not probabilities; register it "
                "with 'flycam dem add', or give it with --dem, and compare again"
            )
        ]
    return [
        _(
            "no terrain is known under {percent:.0f} % of the ground: there landslide, flood "
            "and other cannot be distinguished, and scores are not probabilities; register "
            "it with 'flycam dem add', or give it with --dem, and compare again",
            percent=100.0 * share,
        )
    ]


def _to_be_tied(before: ImageSource, after: ImageSource) -> Message | None:
    """Return the command that adjusts a finished flight to an earlier finished one."""
    if before.flight is None or after.flight is None or before.is_live or after.is_live:
        return None
    return _(
        "{after}: was displaced from {before} and was warped onto it; its photos are adjusted by: {command}",
        after=after.name,
        before=before.name,
        command=format_shell_command("finish", after.name, "--reference", before.name),
    )


def explain_unreviewable(sources: tuple[ImageSource, ImageSource]) -> Message | None:
    """Return the reason why a comparison must not be recorded, or None.

    Both sides are one flight or file, or the second was flown first: there "nothing was found" would be
    misread as "no damage".
    """
    before, after = sources
    if is_same_source(before, after):
        return _(
            "{name}: is given as both BEFORE and AFTER: nothing can have changed between the "
            "two; not put up for review, and its ground is not on record as compared; give "
            "two dates",
            name=after.name,
        )
    if before.flight is None or after.flight is None or after.flight.first_ns >= before.flight.first_ns:
        return None
    return _(
        "{after}: was flown before {before}, yet is given as AFTER: what healed is taken for "
        "damage; not put up for review, and its ground is not on record as compared; give "
        "the older one first",
        after=after.name,
        before=before.name,
    )


def describe_same_pixels(sources: tuple[ImageSource, ImageSource]) -> Message:
    """Return the remark that both sides are one image, which must not be recorded."""
    before, after = (side.name for side in sources)
    return _(
        "{before} and {after}: are alike to the pixel, one picture given twice: nothing can have changed "
        "between the two; not put up for review, and its ground is not on record as compared; give two dates",
        before=before,
        after=after,
    )


def describe_other_location(sources: tuple[ImageSource, ImageSource], event: str, off_m: float) -> Message:
    """Return the remark that the ground is too far off to be the event's.

    So far from all that is known of the event, the images are not those that were meant.
    """
    before, after = (side.name for side in sources)
    return _(
        "{before} and {after}: lie {off_km:,.0f} km from every flight of {event} and every commune known "
        "here: not put up for review, and their ground is not on record as compared; give pictures of that "
        "event, or register the boundaries of their ground with flycam communes add",
        before=before,
        after=after,
        off_km=off_m / 1e3,
        event=event,
    )


def is_same_source(before: ImageSource, after: ImageSource) -> bool:
    """Return True if both sides are one flight or file."""
    if before.flight is not None and after.flight is not None:
        return before.flight.flight_id == after.flight.flight_id
    return before.file is not None and before.file == after.file


# -- Distance from an event's flights and the known communes ---------------------------------------


MAX_EVENT_DISTANCE_M = 100_000.0
"""Farthest from all that is known of an event: neighbouring provinces and a river's upper reaches lie nearer.
Chosen, not fitted: what it catches is the wrong file, which lies anywhere on earth."""


def measure_event_distance(catalog: Catalog, event: Event, bounds: BoundsLonLat) -> float | None:
    """Return the metres from bounds to an event's nearest flight or commune.

    bounds: degrees.

    None if that is near enough to be the event's ground, or if neither flight nor commune is known.
    """
    known = [
        flight.bounds_lonlat_deg
        for flight in catalog.flights.flights(event.event_id)
        if flight.state is not FlightState.WITHDRAWN and flight.bounds_lonlat_deg is not None
    ]
    known += catalog.boundaries.boxes()
    nearest_m = min((compute_box_distance_m(bounds, one) for one in known), default=0.0)
    return nearest_m if nearest_m > MAX_EVENT_DISTANCE_M else None


# -- Comparison of two sides -----------------------------------------------------------------------


Mask = NDArray[np.bool_]
DetectorFactory = Callable[..., Callable[[], Sequence[DetectedCandidate]]]
"""`prepare_detection`: (pair, *, stable) to a function that returns candidates; the pair may be freed before
the call."""

FindTerrain = Callable[[], TerrainGrid | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparisonReport:
    """Result of a comparison.

    common_m2   ground imaged on both dates and free of clouds (inside the requested area): all that the
        result refers to
    is_detected  whether changes were looked for at all, which is impossible between an image and itself;
        the remarks say why not
    by_commune  every commune that the grid touches, the most changed first
    remarks     what the reader has to know
    enqueued    what was written to the catalogue for review; None: nothing, as there is no event, it
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

    They are also written to the catalogue for review: of the requested event, else of that of both flights;
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
    grid, grid_remarks = build_common_grid(*sides, crs, area, "" if aoi is None else aoi.name)
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
    pair_remarks = list_pair_remarks(sides, unfit, came_off_px, found.without_heights)
    warnings = PairWarnings(doubts=doubts, others=[*grid_remarks, *found.remarks, *pair_remarks])
    queue_report = None
    if reviewing is not None and unfit is None:
        queue_report = enqueue_candidates(workspace, reviewing, sides, changes, registration, crs)
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
        enqueued=queue_report,
        for_review=for_review,
        is_unfit=unfit is not None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Detected:
    """Candidates of the detector, in pixels of the grid.

    common           H×W: imaged on both dates, free of clouds, inside the requested area
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
    # both sides over the grid, AFTER coregistered onto BEFORE
    # each side in a thread of its own
    progress("lay", 0, 2)
    with ThreadPoolExecutor(2, thread_name_prefix="lay") as pool:
        both = list(pool.map(lambda side: read_source(side, grid, crs), sources))
    progress("lay", 2, 2)
    (before_rgb, before_seen), (after_rgb, after_seen) = both
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
    on_terrain = terrain is not None
    pair, hidden = mask_clouds(pair)
    colourless = _colourless(sources, pair)
    find: Callable[[], Sequence[DetectedCandidate]] = tuple
    if not colourless:
        find = detecting(pair, stable=registration.stable((grid.rows, grid.cols)))
    common = pair.both_seen
    # Only now: what is usual around is learnt outside of the area too.
    if area is not None:
        clip_to_area(area, grid, crs, common)
    # share of common ground without height; of all if none is common
    unknown = np.isnan(pair.heights_m)
    without_heights = float((unknown[common] if common.any() else unknown).mean())
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


def _colourless(sources: tuple[ImageSource, ImageSource], pair: ImagePair) -> list[Message]:
    """Return a remark on each side without the colours that detection takes."""
    common = pair.both_seen
    faults = [find_colour_fault(rgb, common, pair.gsd_m) for rgb in (pair.before_rgb, pair.after_rgb)]
    return [
        _(
            "{name}: {fault}: changes were not looked for, the pictures were only aligned; "
            "give a colour picture taken by day",
            name=side.name,
            fault=_COLOUR_FAULTS[fault],
        )
        for side, fault in zip(sources, faults, strict=True)
        if fault is not None
    ]


def _heights(terrain: TerrainGrid | None, grid: OutputGrid) -> NDArray[np.float32]:
    if terrain is None:
        return np.full((grid.rows, grid.cols), np.nan, np.float32)
    return interpolate_heights_on_grid(terrain, *grid.centres(0, 0, (grid.rows, grid.cols)))
