"""Tracks from verified pairs, checked by a rough adjustment of the whole block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.epipolar import PosesWithPriors, RayMatches, refine_poses, rotate_rays
from flycam.adjust.match_views import MatchView
from flycam.adjust.pair_matching import PairMatches
from flycam.adjust.pairs import PairPlan
from flycam.adjust.tracks import (
    TrackObservations,
    compute_ray_errors_px,
    intersect_tracks,
    join_tracks,
    sort_observations,
)
from flycam.geometry.features import rank_in_group

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_SETTLE_MATCHES = 80


def estimate_rough_poses(
    views: Sequence[MatchView], plan: PairPlan, matches: Sequence[PairMatches]
) -> PosesWithPriors:
    """Estimate poses of the whole block from matches, good enough to check tracks."""
    a, b, *_ = _joined(plan, matches, _SETTLE_MATCHES)
    if not views:
        return _no_poses()
    poses = PosesWithPriors(
        centre=np.stack([v.centre for v in views]),
        rotation=np.stack([v.rotation for v in views]),
        position_information=np.stack(
            [1.0 / np.square(np.maximum(v.frame.exterior.sigma_position_m, 0.02)) for v in views]
        ),
        attitude_information=np.stack(
            [
                v.rotation.T
                @ np.diag(1.0 / np.square(np.maximum(v.frame.exterior.sigma_attitude_rad, 1e-4)))
                @ v.rotation
                for v in views
            ]
        ),
    )
    if a.size == 0:
        return poses
    unit = max(v.unit_px for v in views)
    focal = np.array([v.focal_px for v in views])
    rays = [v.rays for v in views]
    ray_a = np.concatenate(
        [rays[p][m.i[_spread(m, _SETTLE_MATCHES)]] for p, m in zip(plan.a, matches, strict=True)]
    )
    ray_b = np.concatenate(
        [rays[p][m.j[_spread(m, _SETTLE_MATCHES)]] for p, m in zip(plan.b, matches, strict=True)]
    )
    found = RayMatches(a=a, b=b, ray_a=ray_a, ray_b=ray_b, focal_a=focal[a], focal_b=focal[b])
    return refine_poses(poses, found, tuple(unit * s for s in (16, 8, 4, 2, 1.5, 1.5)))


def _no_poses() -> PosesWithPriors:
    return PosesWithPriors(
        centre=np.empty((0, 3)),
        rotation=np.empty((0, 3, 3)),
        position_information=np.empty((0, 3)),
        attitude_information=np.empty((0, 3, 3)),
    )


def _spread(m: PairMatches, max_count: int) -> Indices:
    """Return up to `max_count` matches of a pair, evenly spread through them."""
    return np.unique(np.linspace(0, m.i.size - 1, max_count).astype(np.int64)) if m.i.size else m.i


def _joined(
    plan: PairPlan, matches: Sequence[PairMatches], max_count: int | None = None
) -> tuple[Indices, Indices, Indices, Indices, Floats]:
    rows = [_spread(m, max_count) if max_count else np.arange(m.i.size) for m in matches]
    count = np.array([r.size for r in rows], dtype=np.int64)
    if count.sum() == 0:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, nothing, nothing, np.empty(0)
    return (
        np.repeat(plan.a, count),
        np.repeat(plan.b, count),
        np.concatenate([m.i[r] for m, r in zip(matches, rows, strict=True)]),
        np.concatenate([m.j[r] for m, r in zip(matches, rows, strict=True)]),
        np.concatenate([m.cosine[r] for m, r in zip(matches, rows, strict=True)]),
    )


def build_tracks(
    views: Sequence[MatchView], plan: PairPlan, matches: Sequence[PairMatches], poses: PosesWithPriors
) -> TrackObservations:
    """Build tracks whose rays meet by the rough poses; outlying observations are cut."""
    seen = join_tracks([len(v.features) for v in views], *_joined(plan, matches))
    unit = np.array([v.unit_px for v in views])
    for gate in (8.0, 5.0, 4.0):
        if seen.track.size == 0:
            break
        miss = _misses(views, poses, seen)
        off = miss > gate * unit[seen.frame]
        worst = np.zeros(seen.track.size, dtype=bool)
        order = np.lexsort((-miss, seen.track))
        worst[order[rank_in_group(seen.track[order]) == 0]] = True
        cut = off & worst
        seen = sort_observations(seen.track[~cut], seen.frame[~cut], seen.feature[~cut])
    if seen.track.size:
        miss = _misses(views, poses, seen)
        bad = np.zeros(int(seen.track[-1]) + 1, dtype=bool)
        bad[seen.track[miss > 4.0 * unit[seen.frame]]] = True
        good = ~bad[seen.track]
        seen = sort_observations(seen.track[good], seen.frame[good], seen.feature[good])
    return seen


def _misses(views: Sequence[MatchView], poses: PosesWithPriors, seen: TrackObservations) -> Floats:
    ray = np.empty((seen.track.size, 3))
    for number in np.unique(seen.frame):
        here = seen.frame == number
        ray[here] = views[number].rays[seen.feature[here]]
    ray = rotate_rays(poses.rotation[seen.frame], ray)
    centre = poses.centre[seen.frame]
    focal = np.array([v.focal_px for v in views])[seen.frame]
    points, _ = intersect_tracks(seen.track, centre, ray, int(seen.track[-1]) + 1)
    return compute_ray_errors_px(seen.track, centre, ray, focal, points)
