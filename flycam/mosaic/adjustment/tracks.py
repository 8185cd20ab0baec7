"""Pairs to be matched, masks of cells without ties, and tracks from matches.

A track is one ground point seen by many frames, once in each. Union-find over all features at once; a
component that holds two features of one frame is split at its least similar links. Tracks whose rays do not
meet are cut; few are kept, evenly over every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from flycam.errors import FrameRejected
from flycam.geometry.camera import distort
from flycam.geometry.features import compute_cell_index, label_components, rank_in_group
from flycam.geometry.footprint import compute_footprint
from flycam.geometry.templates import WINDOW_PX, cut_patch_windows, fit_patches, reduce_to_grey
from flycam.geometry.terrain import TerrainGrid, compute_normals
from flycam.messages import Message, _
from flycam.mosaic.adjustment.block import BlockFrame, Ties
from flycam.mosaic.adjustment.matching import (
    MatchView,
    PairMatches,
    PosesWithPriors,
    RayMatches,
    compute_unit_rays,
    refine_poses,
    rotate_rays,
)

# -- Pairs of frames to be matched, and masks of image cells without ties --------------------------
#
# Pairs are planned from footprints on the terrain. Masked are cells that give no ties though others see the
# same ground: water, cloud, plants that move in the wind. They are measured, not recognised: features that
# exist and yet match in no other frame, cell by cell.


# -- Pairs of frames that may show the same ground -------------------------------------------------


Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

# Ground farther away than this many heights is a strip of haze: it adds no tie.
_REACH_PER_HEIGHT = 4.0
_SIGMAS = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PairPlan:
    """Pairs of frames, and the reasons of frames that have none.

    a, b       P frame numbers, a < b, sorted
    share      P float, shared ground over the smaller footprint
    outlines   one polygon a frame (work CRS; empty where it sees no ground)
    gsd_m      N, NaN where it sees no ground
    reasons    by frame number, why a frame has no pair
    """

    a: Indices
    b: Indices
    share: Floats
    outlines: Sequence[shapely.Geometry]
    gsd_m: Floats
    reasons: dict[int, Message]


def plan_pairs(
    frames: Sequence[BlockFrame],
    terrain: TerrainGrid,
    *,
    min_share: float = 0.15,
    neighbours: int = 6,
    across: int = 4,
) -> PairPlan:
    """Plan the pairs whose footprints share at least `min_share` of the smaller one.

    Each frame selects its `neighbours` best and its `across` best of other strips; a pair is made if either
    selects it. Footprints are grown by twice the error of the priors' sigmas on the ground.
    """
    outlines, gsd, reasons = _outlines(frames, terrain)
    a, b, share = _shared(outlines, min_share)
    strip = np.array([frame.strip for frame in frames])
    place = np.array([frame.exterior.projection_centre_m for frame in frames]).reshape(-1, 3)
    # two photos from one place determine no depth, so the base has a small weight
    base = np.linalg.norm(place[a] - place[b], axis=1)
    height = gsd[a] * np.array([np.mean(f.interior.focal_length_px) for f in frames])[a]
    worth = share * np.minimum(1.0, 0.5 + 5.0 * base / np.maximum(height, 1.0))
    selected = _best(len(frames), a, b, worth, neighbours)
    other = strip[a] != strip[b]
    selected[other] |= _best(len(frames), a[other], b[other], worth[other], across)
    a, b, share = a[selected], b[selected], share[selected]
    paired = np.union1d(a, b)
    for number in np.setdiff1d(np.arange(len(frames)), paired):
        reasons.setdefault(int(number), _("no other photo of this flight sees its ground"))
    return PairPlan(a=a, b=b, share=share, outlines=outlines, gsd_m=gsd, reasons=reasons)


def _outlines(
    frames: Sequence[BlockFrame], terrain: TerrainGrid
) -> tuple[list[shapely.Geometry], Floats, dict[int, Message]]:
    outlines: list[shapely.Geometry] = []
    gsd = np.full(len(frames), np.nan)
    reasons: dict[int, Message] = {}
    for number, frame in enumerate(frames):
        outline: shapely.Geometry = shapely.Polygon()
        try:
            reach = _REACH_PER_HEIGHT * _height_over(frame, terrain)
            seen = compute_footprint(frame.interior, frame.exterior, terrain, reach, samples_per_edge=6)
            gsd[number] = seen.gsd_m
            if len(seen.polygon_m) >= 3:
                margin = _SIGMAS * _ground_error(frame, seen.height_above_ground_m)
                hull = shapely.MultiPoint(seen.polygon_m).convex_hull
                outline = hull.buffer(min(margin, 0.25 * np.sqrt(hull.area)), quad_segs=2)
        except FrameRejected as error:
            reasons[number] = error.message
        outlines.append(outline)
    return outlines, gsd, reasons


def _height_over(frame: BlockFrame, terrain: TerrainGrid) -> float:
    lowest = float(np.nanmin(terrain.heights_m)) if np.isfinite(terrain.heights_m).any() else 0.0
    return max(frame.exterior.projection_centre_m[2] - lowest, 30.0)


def _ground_error(frame: BlockFrame, height_m: float) -> float:
    """Return a footprint's 1-sigma error, metres: position, and tilt over the height."""
    sigma = frame.exterior.sigma_position_m
    tilt = max(frame.exterior.sigma_attitude_rad[:2])
    return float(np.hypot(max(sigma[:2]), tilt * max(height_m, 0.0)))


def _shared(outlines: Sequence[shapely.Geometry], least: float) -> tuple[Indices, Indices, Floats]:
    shapes = np.array(outlines, dtype=object)
    if len(shapes) < 2:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0)
    a, b = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    once = a < b
    order = np.lexsort((b[once], a[once]))
    a, b = a[once][order].astype(np.int64), b[once][order].astype(np.int64)
    area = shapely.area(shapes)
    common = shapely.area(shapely.intersection(shapes[a], shapes[b]))
    share = common / np.maximum(np.minimum(area[a], area[b]), 1e-9)
    enough = share >= least
    return a[enough], b[enough], share[enough]


def _best(frames: int, a: Indices, b: Indices, worth: Floats, most: int) -> NDArray[np.bool_]:
    """Return True for each pair among the `most` worthiest of one of its frames."""
    selected = np.zeros(a.size, dtype=bool)
    frame = np.concatenate([a, b])
    pair = np.tile(np.arange(a.size), 2)
    order = np.lexsort((pair, -worth[pair], frame))
    first = np.searchsorted(frame[order], np.arange(frames))
    rank = np.arange(order.size) - first[frame[order]]
    selected[pair[order[rank < most]]] = True
    return selected


# -- Masks of image cells without ties -------------------------------------------------------------


Bools = NDArray[np.bool_]

CELLS = 16
# A cell with at least this many features that another frame could show is masked if fewer than 4 % match.
_MIN_FEATURES = 6
_MIN_SHARE = 0.04


def mask_restless_cells(views: Sequence[MatchView], plan: PairPlan, matches: Sequence[PairMatches]) -> Bools:
    """Mask cells whose features match in none of the frames that see their ground.

    frames×16×16.
    """
    matched = [np.zeros(len(view.features), dtype=bool) for view in views]
    partners: list[list[int]] = [[] for __ in views]
    for a, b, found in zip(plan.a.tolist(), plan.b.tolist(), matches, strict=True):
        matched[a][found.i] = True
        matched[b][found.j] = True
        if found.i.size:
            partners[a].append(b)
            partners[b].append(a)
    cells = np.zeros((len(views), CELLS * CELLS), dtype=bool)
    for number, view in enumerate(views):
        if not partners[number]:
            continue
        shared = shapely.union_all([plan.outlines[other] for other in partners[number]])
        shapely.prepare(shared)
        could = shapely.contains_xy(shared, view.ground[:, 0], view.ground[:, 1])
        cell = compute_cell_index(view.features.uv_px, view.frame.interior.image_size_px, CELLS)
        possible = np.bincount(cell[could], minlength=CELLS * CELLS)
        did = np.bincount(cell[could & matched[number]], minlength=CELLS * CELLS)
        cells[number] = (possible >= _MIN_FEATURES) & (did < _MIN_SHARE * possible)
    return cells.reshape(len(views), CELLS, CELLS)


def mask_plain_cells(views: Sequence[MatchView]) -> Bools:
    """Mask cells without a single feature (still water, fog, a blown-out roof).

    frames×16×16.
    """
    cells = np.ones((len(views), CELLS * CELLS), dtype=bool)
    for number, view in enumerate(views):
        cells[number, compute_cell_index(view.features.uv_px, view.frame.interior.image_size_px, CELLS)] = (
            False
        )
    return cells.reshape(len(views), CELLS, CELLS)


def drop_masked_matches(
    views: Sequence[MatchView], plan: PairPlan, matches: Sequence[PairMatches], masked: Bools
) -> list[PairMatches]:
    """Drop matches in masked cells: the few on water are chance."""
    flat = masked.reshape(len(views), CELLS * CELLS)
    hidden = [
        flat[k][compute_cell_index(view.features.uv_px, view.frame.interior.image_size_px, CELLS)]
        for k, view in enumerate(views)
    ]
    cleared = []
    for a, b, found in zip(plan.a.tolist(), plan.b.tolist(), matches, strict=True):
        good = ~(hidden[a][found.i] | hidden[b][found.j])
        cleared.append(
            replace(
                found,
                i=found.i[good],
                j=found.j[good],
                cosine=found.cosine[good],
                miss_px=found.miss_px[good],
            )
        )
    return cleared


# -- Tracks from matches of pairs: joining, checking, refinement -----------------------------------


_ROUNDS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackObservations:
    """Observations of tracks, sorted by (track, frame).

    track N, frame N, feature N (of that frame).
    """

    track: Indices
    frame: Indices
    feature: Indices


def join_tracks(
    features_of: Sequence[int], frame_a: Indices, frame_b: Indices, i: Indices, j: Indices, cosine: Floats
) -> TrackObservations:
    """Join M matches to tracks: feature i of frame_a is feature j of frame_b.

    features_of  number of features of each frame
    cosine       similarity of the matches
    """
    offset = np.concatenate([[0], np.cumsum(np.asarray(features_of, dtype=np.int64))])
    nodes = int(offset[-1])
    frame_of = np.repeat(np.arange(len(features_of)), np.diff(offset))
    u, v = offset[frame_a] + i, offset[frame_b] + j
    label = label_components(nodes, u, v)
    for __ in range(_ROUNDS):
        torn = _in_conflict(label, frame_of)[label[u]]
        if not torn.any():
            break
        # a wrong link joins two points: drop the least similar third of a component's links, and test again
        weak = torn & _least_third(label[u], cosine)
        u, v, cosine = u[~weak], v[~weak], cosine[~weak]
        label = label_components(nodes, u, v)
    clean = ~_in_conflict(label, frame_of)[label[u]]
    used = np.unique(np.concatenate([u[clean], v[clean]]))
    return sort_observations(label[used], frame_of[used], used - offset[frame_of[used]])


def sort_observations(track: Indices, frame: Indices, feature: Indices) -> TrackObservations:
    """Sort observations and renumber tracks from 0.

    Tracks with fewer than two observations are dropped.
    """
    _, number, count = np.unique(track, return_inverse=True, return_counts=True)
    many = count[number] >= 2
    _, number = np.unique(track[many], return_inverse=True)
    order = np.lexsort((frame[many], number))
    return TrackObservations(
        track=number[order].astype(np.int64), frame=frame[many][order], feature=feature[many][order]
    )


def _least_third(group: Indices, cosine: Floats) -> Bools:
    """Return True for the least similar third of each group's links, one at least."""
    order = np.lexsort((cosine, group))
    least = np.zeros(group.size, dtype=bool)
    many = np.bincount(group)[group[order]]
    least[order] = rank_in_group(group[order]) < np.maximum(many // 3, 1)
    return least


def _in_conflict(label: Indices, frame_of: Indices) -> Bools:
    """Return True for each component that holds two features of one frame."""
    size = np.bincount(label)
    joined = size[label] > 1
    key = label[joined] * (int(frame_of.max(initial=0)) + 1) + frame_of[joined]
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    conflict = np.zeros(size.size, dtype=bool)
    conflict[label[joined][first[count > 1]]] = True
    return conflict


def intersect_tracks(track: Indices, centre: Floats, ray: Floats, tracks: int) -> tuple[Floats, Floats]:
    """Return points tracks×3 nearest to all rays of a track, and their widest angles.

    N×3 centres and unit world directions. The angle, as a sine, is between a track's first ray and another.
    NaN where the rays are parallel. Least squares of the distances across the rays: sum of (I - r r') (X -
    C) = 0.
    """
    across = np.eye(3) - ray[:, :, None] * ray[:, None, :]
    origin = centre.mean(axis=0) if len(centre) else np.zeros(3)
    start = np.searchsorted(track, np.arange(tracks))
    normal = np.add.reduceat(across, start, axis=0)
    right = np.add.reduceat(np.einsum("nij,nj->ni", across, centre - origin), start, axis=0)
    angle = np.linalg.norm(np.cross(ray, ray[start][track]), axis=1)
    widest = np.maximum.reduceat(angle, start)
    normal[widest < 1e-4] = np.nan
    normal[np.isnan(normal[:, 0, 0])] = np.eye(3)
    points = np.linalg.solve(normal, right[..., None])[..., 0] + origin
    points[widest < 1e-4] = np.nan
    return points, widest


def compute_ray_errors_px(
    track: Indices, centre: Floats, ray: Floats, focal_px: Floats, points: Floats
) -> Floats:
    """Return angles N between each ray and its track's point, in pixels.

    Infinite behind the camera or where the point is not known.
    """
    to = points[track] - centre
    distance = np.linalg.norm(to, axis=1)
    off = np.linalg.norm(np.cross(ray, to), axis=1) / np.maximum(distance, 1e-9)
    ahead = np.einsum("nk,nk->n", ray, to) > 0.0
    return np.where(ahead, off * focal_px, np.inf)


def select_tracks(track: Indices, cell: Indices, worth: Floats, per_cell: int) -> Bools:
    """Select tracks so that every cell has its `per_cell` best.

    track, cell  N, of each observation; a cell is a frame and a place in it
    worth        by track, larger is better

    Returns bool by track number. In rounds: every cell that has too few takes its best track not yet taken,
    which counts in all cells that it is seen in.
    """
    tracks = worth.size
    kept = np.zeros(tracks, dtype=bool)
    cell_count = np.zeros(int(cell.max(initial=0)) + 1, dtype=np.int64)
    order = np.lexsort((track, -worth[track], cell))
    t, c = track[order], cell[order]
    for __ in range(per_cell):
        open_ = ~kept[t] & (cell_count[c] < per_cell)
        if not open_.any():
            break
        t, c = t[open_], c[open_]
        taken = np.unique(t[rank_in_group(c) == 0])
        kept[taken] = True
        cell_count += np.bincount(cell[np.isin(track, taken)], minlength=cell_count.size)
    return kept


# -- Refinement of a track's observations in full-size images, against one view --------------------
#
# Features come from reduced images and each has its own error. Here the track's best view defines the point,
# and least-squares matching finds exactly that in every other: a patch that is not similar is not the same
# point.

Bytes = NDArray[np.uint8]

# Least correlation with the best view, and largest shift in searched pixels.
_MIN_CORRELATION = 0.7
_MAX_SHIFT = 2.5
_MAX_SLOPE = 1.0
# Image step of the central differences over the ground.
_STEP_PX = 5.0
_SIGMA_FLOOR_PX = 0.05
_BATCH = 4096


def refine_ties(
    ties: Ties,
    views: Sequence[MatchView],
    poses: PosesWithPriors,
    pixels_of: Callable[[int], Bytes],
    terrain: TerrainGrid,
    workers: int,
    progress: Callable[[str, int, int], None],
    max_windows: int,
) -> tuple[Ties, NDArray[np.bool_]]:
    """Return the refined observations, and flags N of those similar to the best view.

    Reads every frame's pixels once more, twice where slabs of a long flight's tracks share it; only about
    `max_windows` windows of 1.1 kB are held at once.
    """
    slabs = _slabs(ties, max_windows)
    pictures = [int(np.unique(one.frame).size) for one in slabs]
    parts = []
    for number, one in enumerate(slabs):
        slab_progress = partial(_report_progress, progress, sum(pictures[:number]), sum(pictures))
        parts.append(_refine_by_least_squares(one, views, poses, pixels_of, terrain, workers, slab_progress))
    if not parts:
        return ties, np.empty(0, dtype=bool)
    moved = Ties(
        frame=ties.frame,
        track=ties.track,
        uv_px=np.concatenate([one.uv_px for one, _ in parts]),
        sigma_px=np.concatenate([one.sigma_px for one, _ in parts]),
    )
    return moved, np.concatenate([good for _, good in parts])


def _report_progress(progress: Callable[[str, int, int], None], before: int, total: int, done: int) -> None:
    progress("sharpen", before + done, total)


def _slabs(ties: Ties, max_observations: int) -> list[Ties]:
    """Split ties into runs of whole tracks of about `max_observations` each.

    Their tracks are numbered from 0. Tracks are numbered by their first frame, so a run sees few frames.
    """
    slabs, start = [], 0
    while start < ties.frame.size:
        last = int(ties.track[min(start + max_observations, ties.frame.size) - 1])
        stop = int(np.searchsorted(ties.track, last, side="right"))
        k = slice(start, stop)
        slabs.append(
            Ties(
                frame=ties.frame[k],
                track=ties.track[k] - ties.track[start],
                uv_px=ties.uv_px[k],
                sigma_px=ties.sigma_px[k],
            )
        )
        start = stop
    return slabs


def _refine_by_least_squares(
    ties: Ties,
    views: Sequence[MatchView],
    poses: PosesWithPriors,
    pixels_of: Callable[[int], Bytes],
    terrain: TerrainGrid,
    workers: int,
    progress: Callable[[int], None],
) -> tuple[Ties, NDArray[np.bool_]]:
    """Refine one slab, as `refine_ties`."""
    frame, track = ties.frame.astype(np.int64), ties.track.astype(np.int64)
    # an image whose resolution is coarser than its pixels is measured in its resolved pixels
    reduced = np.array([float(int(v.unit_px)) for v in views])[frame][:, None]
    uv_small = (ties.uv_px + 0.5) / reduced - 0.5
    windows = _windows(uv_small, frame, views, pixels_of, workers, progress)
    jacobian, tilt = _jacobians(ties, frame, track, views, poses, terrain)
    jacobian /= reduced[:, :, None]
    first = np.lexsort((frame, tilt, track))
    first = first[np.diff(track[first], prepend=-1) != 0]
    unit = np.array([v.unit_px for v in views])[frame]
    affine = jacobian @ np.linalg.inv(jacobian[first][track])

    def part(k: slice) -> tuple[Floats, Floats, Floats]:
        cv2.setNumThreads(1)
        used = slice(int(track[k][0]), int(track[k][-1]) + 1)
        at = first[used]
        fit = fit_patches(
            windows[at], uv_small[at], track[k] - used.start, windows[k], uv_small[k], affine[k]
        )
        return fit.uv_px, fit.correlation, fit.sigma_px

    slices = [slice(s, min(s + _BATCH, track.size)) for s in range(0, track.size, _BATCH)]
    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(part, slices))
    uv, likeness, sigma = (np.concatenate(column) for column in zip(*parts, strict=True))
    uv = (uv + 0.5) * reduced - 0.5
    sigma = sigma * reduced[:, 0]
    own = np.zeros(track.size, dtype=bool)
    own[first] = True
    uv[own] = ties.uv_px[own]
    moved = np.linalg.norm(uv - ties.uv_px, axis=1)
    good = own | ((likeness >= _MIN_CORRELATION) & (moved <= _MAX_SHIFT * unit) & np.isfinite(sigma))
    sigma = np.maximum(np.where(np.isfinite(sigma), sigma, 1.0), _SIGMA_FLOOR_PX)
    # the best view's error is its own noise alone; the others' include it
    others = np.bincount(track[good & ~own], weights=sigma[good & ~own], minlength=ties.tracks)
    count = np.bincount(track[good & ~own], minlength=ties.tracks)
    sigma[own] = (others / np.maximum(count, 1))[track[own]]
    sigma = np.maximum(sigma, _SIGMA_FLOOR_PX)
    return Ties(frame=ties.frame, track=ties.track, uv_px=uv, sigma_px=sigma), good


def _windows(
    uv: Floats,
    frame: Indices,
    views: Sequence[MatchView],
    pixels_of: Callable[[int], Bytes],
    workers: int,
    progress: Callable[[int], None],
) -> Bytes:
    windows = np.empty((frame.size, WINDOW_PX, WINDOW_PX), dtype=np.uint8)
    order = np.argsort(frame, kind="stable")
    start = np.searchsorted(frame[order], np.arange(len(views) + 1))

    def one(number: int) -> None:
        here = order[start[number] : start[number + 1]]
        times = int(views[number].unit_px)
        windows[here] = cut_patch_windows(reduce_to_grey(pixels_of(number), times), uv[here])

    with ThreadPoolExecutor(workers) as pool:
        for done, _ in enumerate(pool.map(one, np.unique(frame).tolist()), start=1):
            progress(done)
    return windows


def _jacobians(
    ties: Ties,
    frame: Indices,
    track: Indices,
    views: Sequence[MatchView],
    poses: PosesWithPriors,
    terrain: TerrainGrid,
) -> tuple[Floats, Floats]:
    """Return derivatives of observations over the ground, and off-nadir angles.

    N×2×2 pixels a metre of a step (east, north, along the terrain's slope); an angle for each view.
    """
    ray = np.empty((frame.size, 3))
    for number in np.unique(frame):
        here = frame == number
        ray[here] = compute_unit_rays(views[number].frame, ties.uv_px[here])
    ray = rotate_rays(poses.rotation[frame], ray)
    centre = poses.centre[frame]
    points, _ = intersect_tracks(track, centre, ray, ties.tracks)
    known = np.isfinite(points[track][:, 0])
    distance = np.where(known, np.linalg.norm(np.nan_to_num(points[track]) - centre, axis=1), np.nan)
    for number in np.unique(frame):
        # where parallel rays give no point, use the distance of the ground
        here = (frame == number) & ~np.isfinite(distance)
        distance[here] = views[number].height_m if np.isfinite(views[number].height_m) else 100.0
    at = centre + ray * distance[:, None]
    normal = np.nan_to_num(compute_normals(terrain, at[:, :2]), nan=0.0)
    flat = normal[:, 2] < 0.1
    rise = np.where(flat[:, None], 0.0, -normal[:, :2] / np.where(flat, 1.0, normal[:, 2])[:, None])
    rise = np.clip(rise, -_MAX_SLOPE, _MAX_SLOPE)
    focal = np.array([v.focal_px for v in views])[frame]
    step = _STEP_PX * distance / focal
    columns = []
    for axis in range(2):
        along = np.zeros((frame.size, 3))
        along[:, axis] = 1.0
        along[:, 2] = rise[:, axis]
        along *= step[:, None]
        ahead, behind = (_seen(views, poses, frame, at + sign * along) for sign in (1.0, -1.0))
        columns.append((ahead - behind) / (2.0 * step[:, None]))
    jacobian = np.stack(columns, axis=-1)
    bad = ~np.isfinite(jacobian).all(axis=(1, 2)) | (np.abs(np.linalg.det(np.nan_to_num(jacobian))) < 1e-9)
    jacobian[bad] = np.eye(2)
    return jacobian, np.arccos(np.clip(-ray[:, 2], -1.0, 1.0))


def _seen(views: Sequence[MatchView], poses: PosesWithPriors, frame: Indices, points: Floats) -> Floats:
    local = np.einsum("nij,nj->ni", poses.rotation[frame], points - poses.centre[frame])
    uv = np.full((frame.size, 2), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
    for number in np.unique(frame):
        here = (frame == number) & (local[:, 2] > 0.0)
        uv[here] = np.stack(distort(views[number].frame.interior, x[here], y[here]), axis=-1)
    return uv


# -- Tracks from verified pairs, checked by a rough adjustment of the whole block ------------------


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
