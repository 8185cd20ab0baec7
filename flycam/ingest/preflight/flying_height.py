"""Flying height from the flight itself: GNSS baselines against image motion.

Two photos of the same ground show by how much it moved between them, in units of the flying height: looking
down, base over height = shift over focal length. The base is known in metres from the positions, so the
height follows, without terrain, barometer or take-off. Errors come from the tilt of single photos and their
positions; both enter the shifts of neighbouring pairs with opposite signs, so that along a strip nearly all
of them cancel.

Sources: Kraus, Photogrammetry, 2007, 4.1 (normal case of stereo); Geman and McClure 1987 (robust weights).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameUnreadable
from flycam.geometry.camera import InteriorOrientation, compute_ray_directions, scale_interior
from flycam.geometry.features import Features, find_features, match_all_mutual_best
from flycam.ingest.preflight.flight_table import Bools, Floats, Index

GreyOf = Callable[[Path, int], NDArray[np.uint8]]
"""A photo's path and a longer side in pixels -> its grey image of about that size.

Raises FrameUnreadable.
"""

_SIDE_PX, _GLANCE_PX = 400, 200
_ENOUGH_TO_JUDGE, _ENOUGH_TO_FIND = 0.5, 0.9
"""Share of pairs that must match in small images, with stated heights and without.

Below it larger images are matched.
"""
_FEATURES = 1200
_UNSURE_YAW_DEG = 4.0
"""Yaw sigma above which features are oriented by their gradients: upright ones would not match."""
_TURN_SIGMA_RAD = 0.03
_TURNED_RAD = 1.2
"""A pair whose images are turned against each other by more than this was turned after the flight."""
_HORIZON = 3.0
"""Ground farther away than this many flying heights does not determine the height."""
_PARALLAX = 0.05
"""Largest shift by relief relative to a plane, in flying heights."""
_MIN_MATCHES, _MIN_SHARE = 16, 0.3
_BEST_SHIFT, _MAX_STEP = 0.35, 8
_SHIFT_SIGMA = 0.01
_SHIFT_SIGMA_SHARE = 0.04
_BACKWARDS = -0.85
_CLIMB = 0.15
"""Relative change of height over a distance of one height (1 sigma), by terrain or by the aircraft."""
_LENS_SIGMA = 0.03
_VAGUE = 0.35
_GROSS_SIGMAS = 4.0
_HEADING_ROUNDS = 6
_MIN_INFORMATION = 1e-2
_STIFFNESS = (0.03,) * 6 + (0.2, 0.5) + (1.0,) * 4
"""Stiffness of the heights by round: at first nearly constant, so that jumps of the receiver stand out."""


@dataclass(frozen=True, kw_only=True)
class PoseEstimates:
    """Photos of a flight before their heights are known, N rows.

    xy_m           N×2 true metres (of the work CRS, without its scale)
    rotations      N×3×3 world to camera
    position_sigma_m  N×2; attitude_sigma_deg N×2 (heading, tilt)
    """

    paths: Sequence[Path]
    interiors: Sequence[InteriorOrientation]
    xy_m: Floats
    rotations: Floats
    position_sigma_m: Floats
    attitude_sigma_deg: Floats


@dataclass(frozen=True, kw_only=True)
class FlyingHeights:
    """Heights above ground N with their 1-sigma; NaN where the images show none.

    visible_m  N×2, east and north from the camera to the ground over which the height was measured
    measured   N, True where the photo itself was matched; the others are interpolated
    turn_deg   N×2, clockwise turn by which headings fit the images, and their sigma then
    """

    above_ground_m: Floats
    sigma_m: Floats
    visible_m: Floats
    measured: Bools
    turn_deg: Floats


def make_unknown_heights(count: int) -> FlyingHeights:
    """Return heights of a flight whose images show none."""
    nothing = np.full(count, np.nan)
    return FlyingHeights(
        above_ground_m=nothing,
        sigma_m=nothing.copy(),
        visible_m=np.full((count, 2), np.nan),
        measured=np.zeros(count, dtype=bool),
        turn_deg=np.full((count, 2), np.nan),
    )


def estimate_flying_heights(
    poses: PoseEstimates,
    sorties: Sequence[Index],
    usable: Bools,
    grey_of: GreyOf,
    *,
    max_pairs: int,
    stated_m: Floats | None = None,
) -> FlyingHeights:
    """Estimate the heights above ground of all photos, sortie by sortie.

    max_pairs  approximate limit of the photo pairs that are matched
    usable     rows whose pixels can be read
    stated_m   heights above ground N that are to be checked

    Small images are matched first, larger ones only if too few pairs match. Between matched photos heights
    are interpolated along the flight path; their sigma grows with the distance.
    """
    found = make_unknown_heights(len(poses.paths))
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4), thread_name_prefix="height") as pool:
        for rows in sorties:
            shown = rows[usable[rows] & np.isfinite(poses.rotations[rows]).all(axis=(1, 2))]
            quota = max(2, round(max_pairs * len(rows) / len(poses.paths)))
            usual = None if stated_m is None else _usual_step(poses, shown, stated_m)
            shifts, share = ImageMatcher(poses, grey_of, pool, _GLANCE_PX).measure_shifts(shown, quota, usual)
            if share <= (_ENOUGH_TO_FIND if usual is None else _ENOUGH_TO_JUDGE):
                shifts, _ = ImageMatcher(poses, grey_of, pool).measure_shifts(shown, quota, None)
            if not shifts:
                continue
            nodes, height, sigma, seen = _adjusted(poses, shifts)
            found.turn_deg[nodes] = _turned(poses, nodes, shifts)
            sure = np.isfinite(height) & (height > 0.0) & (sigma < _VAGUE * height)
            if sure.any():
                _fill(poses, rows, nodes[sure], height[sure], sigma[sure], seen[sure], found)
    return found


@dataclass(frozen=True, slots=True)
class GroundFeatures:
    """Features of a photo, and the ground position of each.

    East and north of the camera, in flying heights.
    """

    features: Features
    ground: Floats


@dataclass(frozen=True, slots=True)
class _GroundShift:
    """Shift of the ground between photos a and b.

    moved  2, flying heights
    seen   2×2, position of the common ground in each
    turn   anticlockwise turn of b, radians, that aligns it with a
    """

    a: int
    b: int
    moved: Floats
    seen: Floats
    turn: float


class ImageMatcher:
    """Matcher of a flight's images, each read once, `side_px` on the longer side."""

    def __init__(
        self, poses: PoseEstimates, grey_of: GreyOf, pool: ThreadPoolExecutor, side_px: int = _SIDE_PX
    ) -> None:
        self._poses, self._grey_of, self._pool, self._side_px = poses, grey_of, pool, side_px
        self._sight = cache(self._look)

    def measure_shifts(
        self, rows: Index, max_pairs: int, usual: float | None
    ) -> tuple[list[_GroundShift], float]:
        """Return shifts of photo pairs of one sortie, and the share of pairs that match.

        Up to `max_pairs` pairs are chosen evenly, with bases long enough.

        usual  shift from one photo to the next, in flying heights; None: as three pairs show it
        """
        first: list[_GroundShift] = []
        if usual is None:
            first = self.match_pairs(_pairs(rows, 1, min(max_pairs, 3)))
            usual = float(np.median([np.hypot(*one.moved) for one in first])) if first else _BEST_SHIFT
        pairs = _pairs(rows, _best_step(usual, rows), max_pairs)
        found = self.match_pairs(pairs)
        return found or first, len(found) / max(len(pairs), 1)

    def detect_features(self, rows: Sequence[int]) -> dict[int, GroundFeatures | None]:
        """Return the features of photos by row; None for one that cannot be read."""
        return dict(zip(rows, self._pool.map(self._sight, rows), strict=True))

    def match_pairs(self, pairs: Sequence[tuple[int, int]]) -> list[_GroundShift]:
        """Return the shifts of those pairs that have enough in common."""
        sights = self.detect_features(sorted({row for pair in pairs for row in pair}))
        found = self._pool.map(lambda pair: _shift(*pair, *map(sights.get, pair)), pairs)
        return [one for one in found if one is not None]

    def _look(self, row: int) -> GroundFeatures | None:
        poses = self._poses
        try:
            grey = self._grey_of(poses.paths[row], self._side_px)
        except FrameUnreadable:
            return None
        cv2.setNumThreads(1)
        lens = scale_interior(poses.interiors[row], (grey.shape[1], grey.shape[0]))
        turned = poses.rotations[row]
        # over all photos: both images of a pair need the same descriptors
        unsure = poses.attitude_sigma_deg[:, 0].max() > _UNSURE_YAW_DEG
        up = None if unsure else float(np.degrees(np.arctan2(turned[1, 1], turned[0, 1])))
        features = find_features(grey, max_features=_FEATURES, up_deg=up)
        rays = np.stack(compute_ray_directions(lens, *features.uv_px.T), axis=-1) @ turned
        with np.errstate(divide="ignore", invalid="ignore"):
            ground = np.where(rays[:, 2:] < 0.0, rays[:, :2] / -rays[:, 2:], np.nan)
        near = np.flatnonzero(np.hypot(*ground.T) < _HORIZON)
        kept = Features(
            uv_px=features.uv_px[near],
            size_px=features.size_px[near],
            descriptor=features.descriptor[near],
        )
        return GroundFeatures(kept, ground[near])


def _usual_step(poses: PoseEstimates, rows: Index, stated_m: Floats) -> float | None:
    """Return the usual shift between photos of a sortie, in stated flying heights.

    None where the heights are not stated.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.hypot(*np.diff(poses.xy_m[rows], axis=0).T) / stated_m[rows[:-1]]
    usual = float(np.median(steps)) if steps.size else 0.0
    return usual if usual > 0.0 else None


def _best_step(usual: float, rows: Index) -> int:
    """Return how many photos apart the two of a pair should be."""
    return int(np.clip(round(_BEST_SHIFT / max(usual, 1e-3)), 1, min(_MAX_STEP, len(rows) - 1)))


def _pairs(rows: Index, step: int, max_pairs: int) -> list[tuple[int, int]]:
    """Return up to `max_pairs` pairs of photos `step` apart in time, evenly chosen."""
    first = np.arange(len(rows) - step)
    if not first.size:
        return []
    chosen = np.unique(np.linspace(0, first[-1], min(max_pairs, len(first))).astype(np.intp))
    return list(zip(rows[chosen].tolist(), rows[chosen + step].tolist(), strict=True))


def match_ground(one: GroundFeatures | None, other: GroundFeatures | None) -> tuple[Floats, Floats] | None:
    """Return ground positions common to two photos, N×2 of each, or None."""
    if one is None or other is None:
        return None
    i, j = match_all_mutual_best(one.features.descriptor, other.features.descriptor, ratio=0.8)
    if i.size < _MIN_MATCHES:
        return None
    pa, pb = one.ground[i], other.ground[j]
    plane, agree = cv2.findHomography(pa, pb, cv2.RANSAC, _PARALLAX, maxIters=2000, confidence=0.999)
    if plane is None:
        return None
    kept = agree.reshape(-1) != 0
    if kept.sum() < max(_MIN_MATCHES, _MIN_SHARE * i.size):
        return None
    return pa[kept], pb[kept]


def _shift(a: int, b: int, one: GroundFeatures | None, other: GroundFeatures | None) -> _GroundShift | None:
    """Return the ground shift between two photos, or None with too little in common."""
    if (common := match_ground(one, other)) is None:
        return None
    pa, pb = common
    turn = _turn_between(pb, pa)
    c, s = np.cos(turn), np.sin(turn)
    moved = np.median(pa - pb @ np.array([[c, s], [-s, c]]), axis=0)
    return _GroundShift(a, b, moved, np.stack([np.median(pa, axis=0), np.median(pb, axis=0)]), turn)


def _turn_between(source: Floats, target: Floats) -> float:
    """Return the angle (anticlockwise, radians) that turns points N×2 onto N×2.

    Both about their means.
    """
    s, t = source - source.mean(axis=0), target - target.mean(axis=0)
    return float(np.arctan2((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum(), (s * t).sum()))


def _adjusted(poses: PoseEstimates, shifts: Sequence[_GroundShift]) -> tuple[Index, Floats, Floats, Floats]:
    """Adjust heights to the shifts.

    Returns the photos of the shifts M, their heights M with sigma M, and the ground seen M×2 (metres from the
    camera).

    Least squares over u = 1 / height of every photo, in units of the usual one, and e, the shift of its image
    by tilt and position error: shift = (u_a + u_b)/2 · base + e_b - e_a, with e held at 0 by its sigma and u
    by its neighbours; robust weights, so that neither a jump of the receiver nor a false pair has influence.
    """
    nodes = np.unique([row for one in shifts for row in (one.a, one.b)])
    a = np.searchsorted(nodes, [one.a for one in shifts])
    b = np.searchsorted(nodes, [one.b for one in shifts])
    base = poses.xy_m[nodes[b]] - poses.xy_m[nodes[a]]
    moved = _upright(np.array([one.moved for one in shifts]), base)
    sigma_shift = np.hypot(_SHIFT_SIGMA, _SHIFT_SIGMA_SHARE * np.hypot(*moved.T))
    tilt = np.radians(poses.attitude_sigma_deg[nodes, 1])
    place = poses.position_sigma_m[nodes].max(axis=1)
    n, u = len(nodes), 1.0
    unit, trust_shift = _consensus(
        moved, base, sigma_shift, np.hypot(tilt[a], tilt[b]), np.hypot(place[a], place[b])
    )
    place = place * unit
    way = np.hypot(*np.diff(poses.xy_m[nodes], axis=0).T) * unit
    design, observed = _equations(a, b, moved, base * unit, n)
    trust_node = np.ones(n)
    for stiffness in _STIFFNESS:
        sigma_node = np.hypot(tilt, place * u)
        sigma_climb = stiffness * _CLIMB * u * np.sqrt(np.maximum(way * u, 0.1))
        weight = np.concatenate(
            [
                np.tile(trust_shift / sigma_shift**2, 2),
                np.tile(trust_node / sigma_node**2, 2),
                1.0 / sigma_climb**2,
            ]
        )
        covariance = np.linalg.inv((design.T * weight) @ design + _MIN_INFORMATION * np.eye(3 * n))
        solution = covariance @ (design.T @ (weight * observed))
        left = design @ solution - observed
        trust_shift = _trust(np.hypot(*left[: moved.size].reshape(2, -1)) / sigma_shift)
        trust_node = _trust(np.hypot(*solution[n:].reshape(2, n)) / sigma_node)
        u = max(float(np.median(solution[:n])), _MIN_INFORMATION)
    spread = max(1.0, float(weight @ np.square(left)) / max(len(left) - 3 * n, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        height = np.where(solution[:n] > 0.0, 1.0 / (unit * solution[:n]), np.nan)
    share = np.sqrt(spread * np.diag(covariance)[:n]) * unit * height
    sigma = height * np.hypot(share, _LENS_SIGMA)
    seen = np.zeros((n, 2))
    for side, at in enumerate((a, b)):
        seen[at] = [one.seen[side] for one in shifts]
    return nodes, height, sigma, seen * height[:, None]


def _equations(a: Index, b: Index, moved: Floats, base: Floats, n: int) -> tuple[Floats, Floats]:
    """Return design and observations over (u, e east, e north) of n photos.

    P shifts east and north, n times e = 0 east and north, n - 1 times that neighbours have one u.
    """
    pairs, eye, zero = len(a), np.eye(n), np.zeros((n, n))
    mean = (eye[a] + eye[b]) / 2.0
    step, none = eye[b] - eye[a], np.zeros((pairs, n))
    climb = eye[1:] - eye[:-1]
    design = np.block(
        [
            [mean * base[:, :1], step, none],
            [mean * base[:, 1:], none, step],
            [zero, eye, zero],
            [zero, zero, eye],
            [climb, np.zeros((n - 1, 2 * n))],
        ]
    )
    return design, np.concatenate([moved[:, 0], moved[:, 1], np.zeros(3 * n - 1)])


def _turned(poses: PoseEstimates, nodes: Index, shifts: Sequence[_GroundShift]) -> Floats:
    """Return clockwise heading corrections of photos M and their sigma then, degrees.

    Least squares: each heading with its own sigma, the images of each pair against each other, and their
    shift against the base.
    """
    n = len(nodes)
    shifts = [one for one in shifts if abs(one.turn) < _TURNED_RAD]
    a = np.searchsorted(nodes, [one.a for one in shifts])
    b = np.searchsorted(nodes, [one.b for one in shifts])
    turn = np.array([one.turn for one in shifts])
    base = poses.xy_m[nodes[b]] - poses.xy_m[nodes[a]]
    moved = _upright(np.array([one.moved for one in shifts]).reshape(-1, 2), base)
    off = np.arctan2(moved[:, 0] * base[:, 1] - moved[:, 1] * base[:, 0], np.einsum("nk,nk->n", moved, base))
    tilt = np.radians(poses.attitude_sigma_deg[nodes, 1])
    place = poses.position_sigma_m[nodes].max(axis=1)
    length, way = np.hypot(*moved.T), np.hypot(*base.T)
    sigma_off = np.hypot(
        np.hypot(tilt[a], tilt[b]) / np.maximum(length, 1e-3),
        np.hypot(place[a], place[b]) / np.maximum(way, 0.1),
    )
    eye = np.eye(n)
    design = np.concatenate([eye, eye[b] - eye[a], eye[a]])
    observed = np.concatenate([np.zeros(n), turn, off])
    sigma = np.concatenate(
        [np.radians(poses.attitude_sigma_deg[nodes, 0]), np.full(len(turn), _TURN_SIGMA_RAD), sigma_off]
    )
    trust = np.ones(len(sigma))
    for _ in range(_HEADING_ROUNDS):
        weight = trust / sigma**2
        covariance = np.linalg.inv((design.T * weight) @ design)
        solution = covariance @ (design.T @ (weight * observed))
        trust[n:] = _trust((design @ solution - observed)[n:] / sigma[n:])
    found: Floats = np.degrees(np.stack([-solution, np.sqrt(np.diag(covariance))], axis=1))
    return found


def _upright(moved: Floats, base: Floats) -> Floats:
    """Return shifts N×2 of images in their original orientation.

    Where both images of a pair were turned upside down later, the ground seems to move backwards.
    """
    length = np.hypot(*moved.T) * np.hypot(*base.T)
    back = np.einsum("nk,nk->n", moved, base) < _BACKWARDS * length
    return np.where(back[:, None], -moved, moved)


def _consensus(
    moved: Floats, base: Floats, sigma_shift: Floats, tilt: Floats, place: Floats
) -> tuple[float, Floats]:
    """Return the shift per metre of base on which most pairs agree, and weights N.

    Each pair's own value is tried: a jump of the receiver spoils two pairs, so that no mean would do.
    """
    way = np.maximum(np.einsum("nk,nk->n", base, base), 1e-6)
    shift_per_m = np.maximum(np.einsum("nk,nk->n", moved, base) / way, 1e-6)
    off = np.linalg.norm(moved[None] - shift_per_m[:, None, None] * base[None], axis=-1)
    trust = _trust(off / np.hypot(sigma_shift, np.hypot(tilt, place * shift_per_m[:, None])))
    best = int(trust.sum(axis=1).argmax())
    return float(shift_per_m[best]), trust[best]


def _trust(ratio: Floats) -> Floats:
    """Return Geman-McClure weights of residuals in units of their sigma.

    Near zero for a gross error.
    """
    weight: Floats = (1.0 + np.square(ratio / _GROSS_SIGMAS)) ** -2
    return weight


def _fill(
    poses: PoseEstimates,
    rows: Index,
    nodes: Index,
    height: Floats,
    sigma: Floats,
    seen: Floats,
    into: FlyingHeights,
) -> None:
    """Interpolate heights of all photos of a sortie along the flight path."""
    way = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(poses.xy_m[rows], axis=0).T))])
    at = way[np.searchsorted(rows, nodes)]
    tall = np.interp(way, at, height)
    nearest = np.abs(way[:, None] - at[None]).min(axis=1)
    into.above_ground_m[rows] = tall
    into.sigma_m[rows] = np.hypot(
        np.interp(way, at, sigma), _CLIMB * tall * np.sqrt(nearest / np.maximum(tall, 1.0))
    )
    for axis in (0, 1):
        into.visible_m[rows, axis] = np.interp(way, at, seen[:, axis])
    into.measured[nodes] = True
