"""Tie points of a flight: features, pairs, matches, tracks.

Tie points are spread over every frame, each with its sigma. Images that were rotated after the flight are
detected first; features and matches are cached, so that an interrupted run resumes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.geometry.camera import rotate_exterior, rotate_interior
from flycam.geometry.features import (
    Features,
    compute_cell_index,
    find_features,
    label_components,
    match_all_mutual_best,
    rotate_descriptors,
)
from flycam.geometry.pose import ExteriorOrientation, Vec3
from flycam.geometry.terrain import TerrainGrid
from flycam.messages import Message, _, decode_message, encode_message
from flycam.mosaic.adjustment.block import BlockFrame, Ties
from flycam.mosaic.adjustment.matching import (
    HeightTolerance,
    MatchView,
    PairMatches,
    compute_north_deg,
    drop_descriptors,
    filter_affine_matches,
    make_match_view,
    match_pair,
    normalise_ground_points,
)
from flycam.mosaic.adjustment.observations import compute_corrections, resect_view
from flycam.mosaic.adjustment.tracks import (
    PairPlan,
    TrackObservations,
    build_tracks,
    drop_masked_matches,
    estimate_rough_poses,
    mask_plain_cells,
    mask_restless_cells,
    plan_pairs,
    refine_ties,
    select_tracks,
)

# -- Detection of images that were rotated after the flight without their metadata -----------------
#
# Image viewers do that. It shows in the images alone: rotated back by quarter turns, neighbours match, and
# only with both rotated correctly are their matches on the same ground.


Indices = NDArray[np.int64]

_SEARCHED = 2500
_MIN_MATCHES = 20
# The best rotation must have this many times the matches of the second best.
_TIMES = 2.0


def rotate_frame(frame: BlockFrame, quarters: int) -> BlockFrame:
    """Return the frame for an image that was rotated clockwise by quarters × 90°.

    The lens rotates with the image, so it becomes a camera of its own.
    """
    quarters %= 4
    if quarters == 0:
        return frame
    exterior = rotate_exterior(frame.exterior, quarters)
    # an image of unchanged size can only be rotated by 180°; other turns are errors of the metadata
    interior = rotate_interior(frame.interior, quarters) if quarters == 2 else frame.interior
    return replace(
        frame, exterior=exterior, interior=interior, camera=f"{frame.camera}:turned{90 * quarters}"
    )


def rotate_view(view: MatchView, quarters: int, terrain: TerrainGrid) -> MatchView:
    """Return the view of `rotate_frame`, from the features already found."""
    if quarters % 4 == 0:
        return view
    features = Features(
        uv_px=view.features.uv_px,
        size_px=view.features.size_px,
        descriptor=rotate_descriptors(view.features.descriptor, quarters),
    )
    return make_match_view(rotate_frame(view.frame, quarters), features, terrain)


def estimate_quarter_turns(
    views: Sequence[MatchView],
    links: Sequence[tuple[int, int]],
    terrain: TerrainGrid,
    plausible: HeightTolerance,
) -> list[int]:
    """Estimate quarter turns 0…3 of each view against its pose.

    Either the image or its recorded heading is rotated. Estimated from links (pairs of neighbours) that
    do not match as they are; 0 unless they give at least 20 matches, and twice as many as any other turn.
    """
    votes = np.zeros((len(views), 4))
    for a, b in links:
        first, second = _strong(views[a]), _strong(views[b])
        turn, i, j = _relative_turn(first, second)
        if i.size < _MIN_MATCHES:
            continue
        counts = [
            _on_same_ground(
                rotate_view(first, q, terrain), rotate_view(second, q + turn, terrain), i, j, plausible
            )
            for q in range(4)
        ]
        for q, count in enumerate(counts):
            votes[a, q] += count
            votes[b, (q + turn) % 4] += count
    best = votes.argmax(axis=1)
    most = votes.max(axis=1)
    votes[np.arange(len(views)), best] = 0.0
    sure = (most >= _MIN_MATCHES) & (most >= _TIMES * votes.max(axis=1))
    return [int(q) for q in np.where(sure, best, 0)]


def _strong(view: MatchView) -> MatchView:
    return replace(
        view,
        features=Features(
            uv_px=view.features.uv_px[:_SEARCHED],
            size_px=view.features.size_px[:_SEARCHED],
            descriptor=view.features.descriptor[:_SEARCHED],
        ),
        rays=view.rays[:_SEARCHED],
        ground=view.ground[:_SEARCHED],
    )


def _relative_turn(a: MatchView, b: MatchView) -> tuple[int, Indices, Indices]:
    """Return the turn of b against a that makes most features match.

    No matches if none does clearly.
    """
    found = [
        match_all_mutual_best(
            a.features.descriptor, rotate_descriptors(b.features.descriptor, turn), ratio=0.8
        )
        for turn in range(4)
    ]
    size = [i.size for i, __ in found]
    best = int(np.argmax(size))
    if size[best] < _TIMES * sorted(size)[-2]:
        return 0, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return best, *found[best]


def _on_same_ground(a: MatchView, b: MatchView, i: Indices, j: Indices, plausible: HeightTolerance) -> int:
    pa, pb = normalise_ground_points(a, b, plausible)
    return int(filter_affine_matches(pa, pb, i, j, 1.0)[0].size)


# -- Cache of features and matches as arrays, to resume an interrupted run -------------------------


Arrays = Mapping[str, NDArray[np.generic]]


class TieCache(Protocol):
    """Store of features and matches of an earlier, interrupted run.

    Keys are plain names. An implementation forgets everything when frames, poses, terrain or options change.
    Called by threads.
    """

    def get(self, key: str) -> Arrays | None:
        """Return the arrays stored under a key, or None."""

    def put(self, key: str, arrays: Arrays) -> None:
        """Store arrays under a key: completely or not at all."""


class NullTieCache:
    """Cache that stores nothing."""

    def get(self, key: str) -> Arrays | None:
        return None

    def put(self, key: str, arrays: Arrays) -> None:
        return None


def make_features_key(frame: BlockFrame) -> str:
    """Return the key of a frame's features."""
    return f"features-{frame.frame_id}"


def make_pair_key(a: BlockFrame, b: BlockFrame) -> str:
    """Return the key of a pair's matches, which includes each image's rotation."""
    turned = "-".join(frame.camera.rpartition(":turned")[2] for frame in (a, b) if ":turned" in frame.camera)
    return f"pair-{a.frame_id}-{b.frame_id}" + (f"-turned-{turned}" if turned else "")


def to_feature_arrays(features: Features) -> dict[str, NDArray[Any]]:
    """Convert features to arrays."""
    return {"uv_px": features.uv_px, "size_px": features.size_px, "descriptor": features.descriptor}


def from_feature_arrays(arrays: Arrays | None) -> Features | None:
    """Convert stored arrays to features; None where missing or of another form."""
    if arrays is None or not {"uv_px", "size_px", "descriptor"} <= set(arrays):
        return None
    uv, size, descriptor = (np.asarray(arrays[k]) for k in ("uv_px", "size_px", "descriptor"))
    if uv.shape != (len(size), 2) or descriptor.shape != (len(size), 128):
        return None
    return Features(
        uv_px=uv.astype(np.float64), size_px=size.astype(np.float32), descriptor=descriptor.astype(np.uint8)
    )


def to_match_arrays(matches: PairMatches) -> dict[str, NDArray[Any]]:
    """Convert matches of a pair to arrays; the reason as JSON in UTF-8."""
    reason = "" if matches.reason is None else json.dumps(encode_message(matches.reason))
    return {
        "i": matches.i,
        "j": matches.j,
        "cosine": matches.cosine,
        "miss_px": matches.miss_px,
        "sigma_px": np.array([matches.sigma_px]),
        "reason": np.frombuffer(reason.encode(), dtype=np.uint8),
    }


def from_match_arrays(arrays: Arrays | None, max_features: tuple[int, int]) -> PairMatches | None:
    """Convert stored arrays to matches; None where missing or out of range.

    Out of range: they refer to features that do not exist.
    """
    if arrays is None or not {"i", "j", "cosine", "miss_px", "sigma_px", "reason"} <= set(arrays):
        return None
    i, j = np.asarray(arrays["i"], dtype=np.int64), np.asarray(arrays["j"], dtype=np.int64)
    if (
        i.shape != j.shape
        or max(i.max(initial=-1) - max_features[0], j.max(initial=-1) - max_features[1]) >= 0
    ):
        return None
    reason = np.asarray(arrays["reason"], dtype=np.uint8).tobytes()
    return PairMatches(
        i=i,
        j=j,
        cosine=np.asarray(arrays["cosine"], dtype=np.float64),
        miss_px=np.asarray(arrays["miss_px"], dtype=np.float64),
        sigma_px=float(np.asarray(arrays["sigma_px"], dtype=np.float64)[0]),
        reason=decode_message(json.loads(reason)) if reason else None,
    )


# -- Selection of ties: the best few in every cell of an 8×8 grid over a frame ---------------------


CELLS = 8
# Cost of blob size against track length: longer tracks tie more, coarse blobs are less exact.
_BLOB_COST = 0.05


def make_ties(views: Sequence[MatchView], seen: TrackObservations) -> Ties:
    """Convert all observations of all tracks to ties, with sigmas by feature size."""
    uv = np.empty((seen.track.size, 2))
    size = np.empty(seen.track.size)
    for number in np.unique(seen.frame):
        here = seen.frame == number
        features = views[number].features
        uv[here] = features.uv_px[seen.feature[here]]
        size[here] = features.size_px[seen.feature[here]] / views[number].unit_px
    unit = np.array([v.unit_px for v in views])[seen.frame]
    return Ties(
        frame=seen.frame.astype(np.int32),
        track=seen.track.astype(np.int32),
        uv_px=uv,
        sigma_px=unit * np.clip(0.1 * size, 0.25, 1.0),
    )


def select_spread_ties(ties: Ties, frames: Sequence[BlockFrame], per_cell: int) -> Ties:
    """Select tracks so that every cell has `per_cell` where possible.

    Long ones first, then exact ones.
    """
    if ties.frame.size == 0:
        return ties
    cell = np.empty(ties.frame.size, dtype=np.int64)
    for number in np.unique(ties.frame):
        here = ties.frame == number
        size = frames[number].interior.image_size_px
        cell[here] = int(number) * CELLS * CELLS + compute_cell_index(ties.uv_px[here], size, CELLS)
    track = ties.track.astype(np.int64)
    length = np.bincount(track)
    blur = np.bincount(track, weights=ties.sigma_px) / length
    chosen = select_tracks(track, cell, length - _BLOB_COST * np.minimum(blur, 10.0), per_cell)
    return filter_ties(ties, chosen[track])


def filter_ties(ties: Ties, good: NDArray[np.bool_]) -> Ties:
    """Return the good observations of tracks that still have two.

    Tracks are renumbered.
    """
    count = np.bincount(ties.track[good], minlength=ties.tracks)
    still = good & (count[ties.track] >= 2)
    __, track = np.unique(ties.track[still], return_inverse=True)
    return Ties(
        frame=ties.frame[still],
        track=track.astype(np.int32),
        uv_px=ties.uv_px[still],
        sigma_px=ties.sigma_px[still],
    )


def compute_cells_pct(ties: Ties, frames: Sequence[BlockFrame]) -> list[float]:
    """Return, by frame, the share of its 8×8 cells that hold a tie, 0-100."""
    shares = []
    for number, frame in enumerate(frames):
        here = ties.frame == number
        cells = np.unique(compute_cell_index(ties.uv_px[here], frame.interior.image_size_px, CELLS))
        shares.append(100.0 * cells.size / (CELLS * CELLS))
    return shares


# -- Tie point search ------------------------------------------------------------------------------


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


def _ignore_progress(_stage: str, _done: int, _total: int) -> None:
    """Ignore progress."""


def find_ties(
    frames: Sequence[BlockFrame],
    pixels_of: Callable[[int], Bytes],
    terrain: TerrainGrid,
    *,
    options: TieOptions | None = None,
    keep: TieCache | None = None,
    workers: int = 2,
    progress: Callable[[str, int, int], None] = _ignore_progress,
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
    sharp, similar = refine_ties(
        many, views, poses, pixels_of, terrain, workers, progress, options.max_windows
    )
    ties = select_spread_ties(filter_ties(sharp, similar), frames, options.per_cell)
    return _report(views, turns, plan, matches, ties, restless | mask_plain_cells(views), resected)


# Ties that are refined, over those wanted: refinement drops some.
_SURPLUS = 1.7
_RETRIES = 3
"""Photos resected in one round are neighbours in the next."""
_JUMP_M = 100.0
"""Photos are tried on ground this far from where they claim to be: receivers jump by less."""
_CANDIDATES, _BESIDE = 40, 6
"""Photos that an unconnected one is compared with: evenly among those within reach, and nearest in time."""


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
    possible = _find_candidates(views, plan, matches, inside)

    def placed(number: int) -> MatchView | None:
        found = resect_view(
            views[number], [views[k] for k in possible[number]], pixels_of(number), seek.terrain
        )
        if found is None:
            return None
        view, around = found
        pairs = (match_pair(view, other, seek.terrain, seek.options.plausible) for other in around)
        return view if any(pair.i.size for pair in pairs) else None

    unconnected = list(possible)
    tried = zip(unconnected, _in_threads(placed, unconnected, "resection", seek), strict=True)
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


def _find_candidates(
    views: Sequence[MatchView],
    plan: PairPlan,
    matches: Sequence[PairMatches],
    inside: NDArray[np.bool_],
) -> dict[int, list[int]]:
    """Return, by frame outside the block, frames inside that may show its ground.

    These are nearest in time or, wherever it claims to be, within a receiver's jump of it. Not tried are
    frames that are tied to each other at a distance: a strip of its own is where it says.
    """
    if not inside.any() or inside.all():
        return {}
    order = np.array(sorted(range(len(views)), key=lambda k: (views[k].frame.captured_ns, k)))
    block = order[inside[order]]
    times = np.array([view.frame.captured_ns for view in views])
    outlines = np.array(plan.outlines, dtype=object)[block]
    height_m = float(np.median([views[k].height_m for k in block]))
    tried = _may_meet(plan, inside) | ~_have_ties(len(views), plan, matches)
    adjacent = np.zeros(len(views), dtype=bool)
    adjacent[order[1:]] |= inside[order[:-1]]
    adjacent[order[:-1]] |= inside[order[1:]]
    possible = {}
    for number in np.flatnonzero((tried | adjacent) & ~inside).tolist():
        view = views[number]
        half_m = np.hypot(*view.frame.interior.image_size_px) / 2.0 / view.focal_px * height_m
        near = block[shapely.distance(outlines, shapely.Point(view.centre[:2])) <= _JUMP_M + half_m]
        if not (near.size or adjacent[number]):
            continue
        evenly = near[:: max(-(-near.size // _CANDIDATES), 1)]
        beside = block[np.argsort(np.abs(times[block] - times[number]), kind="stable")[:_BESIDE]]
        possible[number] = np.union1d(evenly, beside).tolist()
    return possible


def _have_ties(count: int, plan: PairPlan, matches: Sequence[PairMatches]) -> NDArray[np.bool_]:
    """Return True for frames of a verified pair."""
    tied = np.array([m.i.size > 0 for m in matches], dtype=bool)
    return np.asarray(np.isin(np.arange(count), np.concatenate([plan.a[tied], plan.b[tied]])))


def _may_meet(plan: PairPlan, inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return True for frames that should see the ground of frames inside.

    A distant strip of its own should not.
    """
    meets = np.zeros(inside.size, dtype=bool)
    meets[plan.a[inside[plan.b]]] = True
    meets[plan.b[inside[plan.a]]] = True
    return meets


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
    by_frame: dict[int, list[Message]] = {}
    for a, b, found in zip(plan.a.tolist(), plan.b.tolist(), matches, strict=True):
        for number in (a, b):
            why = found.reason or _("its matches agree with no third photo")
            by_frame.setdefault(number, []).append(why)
    for number in np.flatnonzero(count == 0).tolist():
        words = sorted(by_frame.get(number, [_("no photo to pair it with")]), key=str)
        reasons.setdefault(number, max(words, key=words.count))
    return {number: reasons[number] for number in sorted(reasons)}
