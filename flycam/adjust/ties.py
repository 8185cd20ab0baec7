"""Tie points of a flight: features, pairs, matches, tracks.

Spread over every frame, each with its sigma.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame, Ties
from flycam.adjust.image_rotation import estimate_quarter_turns, rotate_frame, rotate_view
from flycam.adjust.masks import drop_masked_matches, mask_plain_cells, mask_restless_cells
from flycam.adjust.match_views import MatchView, compute_north_deg, drop_descriptors, make_match_view
from flycam.adjust.pair_matching import HeightTolerance, PairMatches, match_pair
from flycam.adjust.pairs import PairPlan, plan_pairs
from flycam.adjust.resection import compute_corrections, resect_view
from flycam.adjust.tie_cache import (
    NullTieCache,
    TieCache,
    from_feature_arrays,
    from_match_arrays,
    make_features_key,
    make_pair_key,
    to_feature_arrays,
    to_match_arrays,
)
from flycam.adjust.tie_refinement import refine_ties
from flycam.adjust.tie_selection import compute_cells_pct, filter_ties, make_ties, select_spread_ties
from flycam.adjust.track_building import build_tracks, estimate_rough_poses
from flycam.geometry.connected_components import label_components
from flycam.geometry.exterior import ExteriorOrientation, Vec3
from flycam.geometry.features import find_features
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class TieOptions:
    """Numbers of ties, and tolerance of ground heights.

    features      features of a frame
    per_cell      tracks wanted in each cell of an 8×8 grid over a frame (6: up to 384 a frame)
    max_windows   image windows held at once, 1.1 kB each: some 220 frames are refined in one go
    """

    features: int = 3000
    neighbours: int = 6
    across: int = 4
    min_share: float = 0.15
    per_cell: int = 6
    max_windows: int = 200_000
    plausible: HeightTolerance = field(default_factory=HeightTolerance)


@dataclass(frozen=True, kw_only=True, slots=True)
class TieReport:
    """Ties and statistics of the search.

    turns                     by frame, quarter turns (clockwise) of its image after the flight, 0 or 2;
                              `apply_tie_turns` gives the frames that the ties belong to
    resected                  by frame number, the pose by its neighbours where they contradict the recorded
                              one
    pairs_tried, pairs_tied   pairs planned, and those with verified matches
    features, tracks          by frame
    cells_pct                 by frame, share of an 8×8 grid that holds a tie, 0-100
    masked_pct                by frame, share of a 16×16 grid that is restless (water, motion) or plain
    reasons                   by frame number, why a frame has no tie
    """

    turns: Sequence[int]
    ties: Ties
    pairs_tried: int
    pairs_tied: int
    features: Sequence[int]
    tracks: Sequence[int]
    cells_pct: Sequence[float]
    masked_pct: Sequence[float]
    reasons: Mapping[int, Message]
    resected: Mapping[int, ExteriorOrientation] = field(default_factory=dict)


def apply_tie_turns(frames: Sequence[BlockFrame], report: TieReport) -> tuple[BlockFrame, ...]:
    """Return the frames that the ties belong to, rotated and resected as reported.

    The sigmas of a frame without ties are widened by the errors found in the resected ones.
    """
    turned = [rotate_frame(f, turn) for f, turn in zip(frames, report.turns, strict=True)]
    off = [compute_corrections(turned[number].exterior, pose) for number, pose in report.resected.items()]
    off_m, off_rad = np.sqrt(np.square(off).mean(axis=0)) if off else (0.0, 0.0)
    read = []
    for number, frame in enumerate(turned):
        pose = report.resected.get(number, frame.exterior)
        if number in report.reasons:
            pose = replace(
                pose,
                sigma_position_m=_widened(pose.sigma_position_m, off_m),
                sigma_attitude_rad=_widened(pose.sigma_attitude_rad, off_rad),
            )
        read.append(replace(frame, exterior=pose))
    return tuple(read)


def _widened(sigma: Vec3, by: float) -> Vec3:
    x, y, z = (float(one) for one in np.hypot(sigma, by))
    return x, y, z


def ignore_progress(_stage: str, _done: int, _total: int) -> None:
    """Ignore progress."""


def find_ties(
    frames: Sequence[BlockFrame],
    pixels_of: Callable[[int], Bytes],
    terrain: TerrainGrid,
    *,
    options: TieOptions | None = None,
    keep: TieCache | None = None,
    workers: int = 2,
    progress: Callable[[str, int, int], None] = ignore_progress,
) -> TieReport:
    """Find tie points of all frames.

    The result does not depend on the number of workers.

    pixels_of  returns H×W×3 uint8 RGB of frame i, full size; called once for features and once more to
               refine their positions, from several threads
    terrain    that the priors refer to; a plane will do, NaN is not known
    keep       features and matches of an interrupted run
    progress   (stage, done, total); an exception it raises ends the search

    No flight raises: a frame without ties has its reason in the report. Raises what pixels_of raises.
    """
    options = options or TieOptions()
    keep = NullTieCache() if keep is None else keep
    seek = _TieSearch(terrain=terrain, options=options, keep=keep, workers=workers, progress=progress)
    views = _views(frames, pixels_of, seek)
    turns, known = _turns(views, seek)
    views = [rotate_view(view, turn, terrain) for view, turn in zip(views, turns, strict=True)]
    plan = _plan([view.frame for view in views], seek)
    matches = _matches(views, plan, known, seek)
    # an image of unchanged size can only be rotated by 180°: at 90° its recorded heading is wrong
    resected = {number: views[number].frame.exterior for number, turn in enumerate(turns) if turn % 2}
    turns = [0 if turn % 2 else turn for turn in turns]
    for __ in range(_RETRIES):
        views, plan, matches, found = _tried_again(views, plan, matches, pixels_of, seek)
        if not found:
            break
        resected |= found
    restless = mask_restless_cells(views, plan, matches)
    matches = drop_masked_matches(views, plan, matches, restless)
    poses = estimate_rough_poses(views, plan, matches)
    views = [drop_descriptors(view) for view in views]
    seen = make_ties(views, build_tracks(views, plan, matches, poses))
    many = select_spread_ties(seen, frames, round(_SURPLUS * options.per_cell))
    sharp, alike = refine_ties(many, views, poses, pixels_of, terrain, workers, progress, options.max_windows)
    ties = select_spread_ties(filter_ties(sharp, alike), frames, options.per_cell)
    return _report(views, turns, plan, matches, ties, restless | mask_plain_cells(views), resected)


# Ties that are refined, over those wanted: refinement drops some.
_SURPLUS = 1.7
_RETRIES = 3
"""Photos resected in one round are neighbours in the next."""
_AROUND = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class _TieSearch:
    """State that every step of one search shares."""

    terrain: TerrainGrid
    options: TieOptions
    keep: TieCache
    workers: int
    progress: Callable[[str, int, int], None]


def _views(
    frames: Sequence[BlockFrame], pixels_of: Callable[[int], Bytes], seek: _TieSearch
) -> list[MatchView]:
    def one(number: int) -> MatchView:
        return make_view(frames[number], lambda: pixels_of(number), seek.terrain, seek.options, seek.keep)

    return _in_threads(one, range(len(frames)), "features", seek)


def _turns(
    views: Sequence[MatchView], seek: _TieSearch
) -> tuple[list[int], dict[tuple[int, int], PairMatches]]:
    """Estimate quarter turns of each image by its neighbours in time.

    Also returns the matches that are already valid.
    """
    frames = [view.frame for view in views]
    plan = _plan(frames, seek)
    links = _only(plan, _neighbours(frames))
    found = _matches(views, links, {}, seek, stage="neighbours")
    pairs = list(zip(links.a.tolist(), links.b.tolist(), strict=True))
    failing = [pair for pair, m in zip(pairs, found, strict=True) if m.i.size == 0]
    turns = estimate_quarter_turns(views, failing, seek.terrain, seek.options.plausible)
    known = {p: m for p, m in zip(pairs, found, strict=True) if not turns[p[0]] and not turns[p[1]]}
    return turns, known


def _tried_again(
    views: Sequence[MatchView],
    plan: PairPlan,
    matches: Sequence[PairMatches],
    pixels_of: Callable[[int], Bytes],
    seek: _TieSearch,
) -> tuple[list[MatchView], PairPlan, list[PairMatches], dict[int, ExteriorOrientation]]:
    """Resect photos that are not connected to the block, and match them again.

    Returns views, pairs, matches, and the new poses.
    """
    inside = _largest_part(len(views), plan, matches)

    def placed(number: int) -> MatchView | None:
        around = [views[k] for k in _nearest(views[number], views, np.flatnonzero(inside))]
        view = resect_view(views[number], around, pixels_of(number), seek.terrain)
        if view is None:
            return None
        pairs = (match_pair(view, other, seek.terrain, seek.options.plausible) for other in around)
        return view if any(pair.i.size for pair in pairs) else None

    apart = np.flatnonzero(~inside & _may_meet(plan, inside)).tolist() if inside.any() else []
    tried = zip(apart, _in_threads(placed, apart, "resection", seek), strict=True)
    moved = {number: view for number, view in tried if view is not None}
    if not moved:
        return list(views), plan, list(matches), {}
    now = [moved.get(number, view) for number, view in enumerate(views)]
    again = _plan([view.frame for view in now], seek)
    pairs = zip(plan.a.tolist(), plan.b.tolist(), strict=True)
    known = {p: m for p, m in zip(pairs, matches, strict=True) if not moved.keys() & set(p)}
    # cached matches of resected photos were found from their recorded poses
    found = _matches(now, again, known, replace(seek, keep=NullTieCache()))
    return now, again, found, {number: view.frame.exterior for number, view in moved.items()}


def _largest_part(count: int, plan: PairPlan, matches: Sequence[PairMatches]) -> NDArray[np.bool_]:
    """Return True for frames of the largest component of verified pairs.

    False for all where there is none.
    """
    tied = np.array([m.i.size > 0 for m in matches], dtype=bool)
    if not tied.any():
        return np.zeros(count, dtype=bool)
    part = label_components(count, plan.a[tied], plan.b[tied])
    inside: NDArray[np.bool_] = part == np.bincount(part).argmax()
    return inside


def _may_meet(plan: PairPlan, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return True for frames that should see the ground of frames inside.

    A distant strip of its own should not.
    """
    meets = np.zeros(inside.size, dtype=bool)
    meets[plan.a[inside[plan.b]]] = True
    meets[plan.b[inside[plan.a]]] = True
    return meets


def _nearest(view: MatchView, views: Sequence[MatchView], among: NDArray[np.int64]) -> list[int]:
    """Return the nearest views, half in place and half in time.

    After a jump of the receiver only the second are right.
    """
    away = [float(np.linalg.norm(views[k].centre - view.centre)) for k in among]
    later = [abs(views[k].frame.captured_ns - view.frame.captured_ns) for k in among]
    half = _AROUND // 2
    chosen = {*np.argsort(away, kind="stable")[:half], *np.argsort(later, kind="stable")[:half]}
    return [int(among[k]) for k in sorted(chosen)]


def _neighbours(frames: Sequence[BlockFrame]) -> set[tuple[int, int]]:
    order = sorted(range(len(frames)), key=lambda k: (frames[k].captured_ns, k))
    return {(min(a, b), max(a, b)) for a, b in pairwise(order)}


def _only(plan: PairPlan, wanted: set[tuple[int, int]]) -> PairPlan:
    chosen = np.array([p in wanted for p in zip(plan.a.tolist(), plan.b.tolist(), strict=True)], dtype=bool)
    return replace(plan, a=plan.a[chosen], b=plan.b[chosen], share=plan.share[chosen])


def _matches(
    views: Sequence[MatchView],
    plan: PairPlan,
    known: Mapping[tuple[int, int], PairMatches],
    seek: _TieSearch,
    stage: str = "matches",
) -> list[PairMatches]:
    def one(pair: tuple[int, int]) -> PairMatches:
        if pair in known:
            return known[pair]
        return match_cached_pair(views[pair[0]], views[pair[1]], seek.terrain, seek.options, seek.keep)

    return _in_threads(one, list(zip(plan.a.tolist(), plan.b.tolist(), strict=True)), stage, seek)


Item = TypeVar("Item")
Result = TypeVar("Result")


def _in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], stage: str, seek: _TieSearch
) -> list[Result]:
    """Return results in the order of the items, for any number of threads."""
    results: list[Result] = []
    pool = ThreadPoolExecutor(seek.workers, thread_name_prefix="ties")
    try:
        for done, result in enumerate(pool.map(work, items), start=1):
            results.append(result)
            seek.progress(stage, done, len(items))
    finally:
        # progress may raise to stop the run: work that has not started is cancelled
        pool.shutdown(cancel_futures=True)
    return results


def _plan(frames: Sequence[BlockFrame], seek: _TieSearch) -> PairPlan:
    return plan_tie_pairs(frames, seek.terrain, seek.options)


def plan_tie_pairs(frames: Sequence[BlockFrame], terrain: TerrainGrid, options: TieOptions) -> PairPlan:
    """Plan the pairs to be matched, from the priors alone."""
    return plan_pairs(
        frames,
        terrain,
        min_share=options.min_share,
        neighbours=options.neighbours,
        across=options.across,
    )


def make_view(
    frame: BlockFrame,
    pixels: Callable[[], Bytes],
    terrain: TerrainGrid,
    options: TieOptions,
    keep: TieCache,
) -> MatchView:
    """Make a frame's view, with cached features or new ones of its pixels.

    pixels returns H×W×3 uint8 RGB.
    """
    found = from_feature_arrays(keep.get(make_features_key(frame)))
    if found is None:
        cv2.setNumThreads(1)
        found = find_features(pixels(), max_features=options.features, up_deg=compute_north_deg(frame))
        keep.put(make_features_key(frame), to_feature_arrays(found))
    return make_match_view(frame, found, terrain)


def match_cached_pair(
    a: MatchView, b: MatchView, terrain: TerrainGrid, options: TieOptions, keep: TieCache
) -> PairMatches:
    """Return the matches of a pair, from the cache or found now."""
    key = make_pair_key(a.frame, b.frame)
    found = from_match_arrays(keep.get(key), (len(a.features), len(b.features)))
    if found is None:
        cv2.setNumThreads(1)
        found = match_pair(a, b, terrain, options.plausible)
        keep.put(key, to_match_arrays(found))
    return found


def _report(
    views: Sequence[MatchView],
    turns: Sequence[int],
    plan: PairPlan,
    matches: Sequence[PairMatches],
    ties: Ties,
    masked: NDArray[np.bool_],
    resected: Mapping[int, ExteriorOrientation],
) -> TieReport:
    count = np.bincount(ties.frame, minlength=len(views))
    return TieReport(
        ties=ties,
        turns=tuple(int(t) for t in turns),
        pairs_tried=len(matches),
        pairs_tied=sum(m.i.size > 0 for m in matches),
        features=tuple(len(view.features) for view in views),
        tracks=tuple(int(c) for c in count),
        cells_pct=tuple(compute_cells_pct(ties, [view.frame for view in views])),
        masked_pct=tuple(100.0 * float(m.mean()) for m in masked),
        reasons=_reasons(plan, matches, count),
        resected=dict(resected),
    )


def _reasons(plan: PairPlan, matches: Sequence[PairMatches], count: NDArray[np.int64]) -> dict[int, Message]:
    """Return the reason of each frame without a tie: the commonest of its pairs'."""
    reasons = dict(plan.reasons)
    said: dict[int, list[Message]] = {}
    for a, b, found in zip(plan.a.tolist(), plan.b.tolist(), matches, strict=True):
        for number in (a, b):
            why = found.reason or _("its matches agree with no third photo")
            said.setdefault(number, []).append(why)
    for number in np.flatnonzero(count == 0).tolist():
        words = sorted(said.get(number, [_("no photo to pair it with")]), key=str)
        reasons.setdefault(number, max(words, key=words.count))
    return {number: reasons[number] for number in sorted(reasons)}
