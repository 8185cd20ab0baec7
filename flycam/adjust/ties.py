"""Tie points of a flight: features, pairs, matches, tracks; spread over every frame, each with its sigma."""

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
from flycam.adjust.choosing import cells_pct, kept, observed, spread_over_frames
from flycam.adjust.joining import meeting_tracks, settled_poses
from flycam.adjust.masks import plain_cells, restless_cells, without
from flycam.adjust.pairs import PairPlan, plan_pairs
from flycam.adjust.resected import corrections, resected_view
from flycam.adjust.sharpen import sharpen
from flycam.adjust.tie_store import (
    FeatureCache,
    Nothing,
    features_arrays,
    features_from,
    features_key,
    matches_arrays,
    matches_from,
    pair_key,
)
from flycam.adjust.turned import quarter_turns, turned_frame, turned_view
from flycam.adjust.twoview import PairMatches, Plausible, match_pair
from flycam.adjust.views import View, north_deg, view_of, without_descriptors
from flycam.geometry.exterior import ExteriorOrientation, Vec3
from flycam.geometry.features import find_features
from flycam.geometry.parts import connected_parts
from flycam.geometry.terrain import TerrainGrid

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class TieOptions:
    """How many ties, and how far ground may stand from the terrain.

    features      salient points a frame
    per_cell      tracks wanted in each cell of an 8×8 grid over a frame (6: up to 384 a frame)
    most_windows  windows of pictures held at once, 1.1 kB each: some 220 frames are sharpened in one go
    """

    features: int = 3000
    neighbours: int = 6
    across: int = 4
    least_share: float = 0.15
    per_cell: int = 6
    most_windows: int = 200_000
    plausible: Plausible = field(default_factory=Plausible)


@dataclass(frozen=True, kw_only=True, slots=True)
class TieReport:
    """The ties and what was seen on the way.

    turns                     by frame, quarter turns (clockwise) its picture was given after the flight, 0 or
                              2; `as_read` gives the frames that the ties belong to
    resected                  by frame number, the pose that its neighbours show where they contradict the
                              recorded one
    pairs_tried, pairs_tied   pairs planned, and those with verified matches
    features, tracks          by frame
    cells_pct                 by frame, share of an 8×8 grid that holds a tie, 0-100
    masked_pct                by frame, share of a 16×16 grid that is restless (water, what moves) or plain
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
    reasons: Mapping[int, str]
    resected: Mapping[int, ExteriorOrientation] = field(default_factory=dict)


def as_read(frames: Sequence[BlockFrame], report: TieReport) -> tuple[BlockFrame, ...]:
    """The frames that the ties belong to: as given, but turned where their pictures had been turned, and
    where their neighbours show them to have been taken.

    A frame without ties is believed no better than those were off that could be looked into.
    """
    turned = [turned_frame(f, turn) for f, turn in zip(frames, report.turns, strict=True)]
    off = [corrections(turned[number].exterior, pose) for number, pose in report.resected.items()]
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


def silent(_stage: str, _done: int, _total: int) -> None:
    """No one to tell."""


def find_ties(
    frames: Sequence[BlockFrame],
    pixels_of: Callable[[int], Bytes],
    terrain: TerrainGrid,
    *,
    options: TieOptions | None = None,
    keep: FeatureCache | None = None,
    workers: int = 2,
    progress: Callable[[str, int, int], None] = silent,
) -> TieReport:
    """Tie points of all frames, deterministic whatever the number of workers.

    pixels_of  gives H×W×3 uint8 RGB of frame i, full size; asked once for features and once more to measure
               their places exactly, from several threads
    terrain    what the priors stand on; a plane will do, NaN is not known
    keep       features and matches of a run that was interrupted
    progress   (stage, done, of how many); what it raises ends the search

    No flight raises: a frame without ties has its reason in the report. Raises what pixels_of raises.
    """
    options = options or TieOptions()
    keep = Nothing() if keep is None else keep
    seek = _Seek(terrain=terrain, options=options, keep=keep, workers=workers, progress=progress)
    views = _views(frames, pixels_of, seek)
    turns, known = _turns(views, seek)
    views = [turned_view(view, turn, terrain) for view, turn in zip(views, turns, strict=True)]
    plan = _plan([view.frame for view in views], seek)
    matches = _matches(views, plan, known, seek)
    # a picture of the same size can only have been turned by 180°: by 90° its recorded heading is wrong
    resected = {number: views[number].frame.exterior for number, turn in enumerate(turns) if turn % 2}
    turns = [0 if turn % 2 else turn for turn in turns]
    for _ in range(_RETRIES):
        views, plan, matches, found = _tried_again(views, plan, matches, pixels_of, seek)
        if not found:
            break
        resected |= found
    restless = restless_cells(views, plan, matches)
    matches = without(views, plan, matches, restless)
    poses = settled_poses(views, plan, matches)
    views = [without_descriptors(view) for view in views]
    seen = observed(views, meeting_tracks(views, plan, matches, poses))
    many = spread_over_frames(seen, frames, round(_SURPLUS * options.per_cell))
    sharp, alike = sharpen(many, views, poses, pixels_of, terrain, workers, progress, options.most_windows)
    ties = spread_over_frames(kept(sharp, alike), frames, options.per_cell)
    return _report(views, turns, plan, matches, ties, restless | plain_cells(views), resected)


_SURPLUS = 1.7
_RETRIES = 3
"""Photos found in one round are neighbours in the next."""
_AROUND = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seek:
    """What every step of one search shares."""

    terrain: TerrainGrid
    options: TieOptions
    keep: FeatureCache
    workers: int
    progress: Callable[[str, int, int], None]


def _views(frames: Sequence[BlockFrame], pixels_of: Callable[[int], Bytes], seek: _Seek) -> list[View]:
    def one(number: int) -> View:
        return seen_in(frames[number], lambda: pixels_of(number), seek.terrain, seek.options, seek.keep)

    return _in_threads(one, range(len(frames)), "features", seek)


def _turns(views: Sequence[View], seek: _Seek) -> tuple[list[int], dict[tuple[int, int], PairMatches]]:
    """Quarter turns of each picture, told by neighbours in time; and the matches that hold already."""
    frames = [view.frame for view in views]
    plan = _plan(frames, seek)
    links = _only(plan, _neighbours(frames))
    found = _matches(views, links, {}, seek, stage="neighbours")
    pairs = list(zip(links.a.tolist(), links.b.tolist(), strict=True))
    failing = [pair for pair, m in zip(pairs, found, strict=True) if m.i.size == 0]
    turns = quarter_turns(views, failing, seek.terrain, seek.options.plausible)
    known = {p: m for p, m in zip(pairs, found, strict=True) if not turns[p[0]] and not turns[p[1]]}
    return turns, known


def _tried_again(
    views: Sequence[View],
    plan: PairPlan,
    matches: Sequence[PairMatches],
    pixels_of: Callable[[int], Bytes],
    seek: _Seek,
) -> tuple[list[View], PairPlan, list[PairMatches], dict[int, ExteriorOrientation]]:
    """Views, pairs and matches, photos apart from the block laid where it shows them; and their new poses."""
    inside = _largest_part(len(views), plan, matches)

    def placed(number: int) -> View | None:
        around = [views[k] for k in _nearest(views[number], views, np.flatnonzero(inside))]
        view = resected_view(views[number], around, pixels_of(number), seek.terrain)
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
    # what is kept of the photos that moved was found from where they were recorded
    found = _matches(now, again, known, replace(seek, keep=Nothing()))
    return now, again, found, {number: view.frame.exterior for number, view in moved.items()}


def _largest_part(count: int, plan: PairPlan, matches: Sequence[PairMatches]) -> NDArray[np.bool_]:
    """Which frames belong to the largest part that verified pairs hold together; none where there is none."""
    tied = np.array([m.i.size > 0 for m in matches], dtype=bool)
    if not tied.any():
        return np.zeros(count, dtype=bool)
    part = connected_parts(count, plan.a[tied], plan.b[tied])
    inside: NDArray[np.bool_] = part == np.bincount(part).argmax()
    return inside


def _may_meet(plan: PairPlan, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which frames were to see ground that frames inside see: a strip of its own far off is none."""
    meets = np.zeros(inside.size, dtype=bool)
    meets[plan.a[inside[plan.b]]] = True
    meets[plan.b[inside[plan.a]]] = True
    return meets


def _nearest(view: View, views: Sequence[View], among: NDArray[np.int64]) -> list[int]:
    """The nearest in place, half of them, and in time: a receiver that jumped is told by the second."""
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
    views: Sequence[View],
    plan: PairPlan,
    known: Mapping[tuple[int, int], PairMatches],
    seek: _Seek,
    stage: str = "matches",
) -> list[PairMatches]:
    def one(pair: tuple[int, int]) -> PairMatches:
        if pair in known:
            return known[pair]
        return matched(views[pair[0]], views[pair[1]], seek.terrain, seek.options, seek.keep)

    return _in_threads(one, list(zip(plan.a.tolist(), plan.b.tolist(), strict=True)), stage, seek)


Item = TypeVar("Item")
Result = TypeVar("Result")


def _in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], stage: str, seek: _Seek
) -> list[Result]:
    """Results in the order of the items, whatever the number of threads."""
    results: list[Result] = []
    pool = ThreadPoolExecutor(seek.workers, thread_name_prefix="ties")
    try:
        for done, result in enumerate(pool.map(work, items), start=1):
            results.append(result)
            seek.progress(stage, done, len(items))
    finally:
        # whoever tells of progress may also stop it: what has not begun is not begun any more
        pool.shutdown(cancel_futures=True)
    return results


def _plan(frames: Sequence[BlockFrame], seek: _Seek) -> PairPlan:
    return pairs_of(frames, seek.terrain, seek.options)


def pairs_of(frames: Sequence[BlockFrame], terrain: TerrainGrid, options: TieOptions) -> PairPlan:
    """The pairs that are looked for ties in, from the priors alone."""
    return plan_pairs(
        frames,
        terrain,
        least_share=options.least_share,
        neighbours=options.neighbours,
        across=options.across,
    )


def seen_in(
    frame: BlockFrame,
    pixels: Callable[[], Bytes],
    terrain: TerrainGrid,
    options: TieOptions,
    keep: FeatureCache,
) -> View:
    """A frame with its features, those that were kept or found now in its pixels (H×W×3 uint8 RGB)."""
    found = features_from(keep.get(features_key(frame)))
    if found is None:
        cv2.setNumThreads(1)
        found = find_features(pixels(), most=options.features, up_deg=north_deg(frame))
        keep.put(features_key(frame), features_arrays(found))
    return view_of(frame, found, terrain)


def matched(a: View, b: View, terrain: TerrainGrid, options: TieOptions, keep: FeatureCache) -> PairMatches:
    """The matches of a pair, those that were kept or found now."""
    key = pair_key(a.frame, b.frame)
    found = matches_from(keep.get(key), (len(a.features), len(b.features)))
    if found is None:
        cv2.setNumThreads(1)
        found = match_pair(a, b, terrain, options.plausible)
        keep.put(key, matches_arrays(found))
    return found


def _report(
    views: Sequence[View],
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
        cells_pct=tuple(cells_pct(ties, [view.frame for view in views])),
        masked_pct=tuple(100.0 * float(m.mean()) for m in masked),
        reasons=_reasons(plan, matches, count),
        resected=dict(resected),
    )


def _reasons(plan: PairPlan, matches: Sequence[PairMatches], count: NDArray[np.int64]) -> dict[int, str]:
    """Why a frame has no tie: what most of its pairs say."""
    reasons = dict(plan.reasons)
    said: dict[int, list[str]] = {}
    for a, b, found in zip(plan.a.tolist(), plan.b.tolist(), matches, strict=True):
        for number in (a, b):
            said.setdefault(number, []).append(found.reason or "its matches agree with no third view")
    for number in np.flatnonzero(count == 0).tolist():
        words = sorted(said.get(number, ["no pair"]))
        reasons.setdefault(number, max(words, key=words.count))
    return {number: reasons[number] for number in sorted(reasons)}
