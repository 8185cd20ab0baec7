"""Tracks from matches of pairs.

A track is one ground point seen by many frames, once in each. Union-find over all features at once; a
component that holds two features of one frame is split at its least similar links. Tracks whose rays do
not meet are cut; few are kept, evenly over every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.connected_components import label_components
from flycam.geometry.features import rank_in_group

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]

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
    for _ in range(_ROUNDS):
        torn = _in_conflict(label, frame_of, nodes)[label[u]]
        if not torn.any():
            break
        # a wrong link joins two points: drop the least similar third of a component's links, and test again
        weak = torn & _least_third(label[u], cosine)
        u, v, cosine = u[~weak], v[~weak], cosine[~weak]
        label = label_components(nodes, u, v)
    clean = ~_in_conflict(label, frame_of, nodes)[label[u]]
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


def _in_conflict(label: Indices, frame_of: Indices, nodes: int) -> Bools:
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
    held = np.zeros(int(cell.max(initial=0)) + 1, dtype=np.int64)
    order = np.lexsort((track, -worth[track], cell))
    t, c = track[order], cell[order]
    for _ in range(per_cell):
        open_ = ~kept[t] & (held[c] < per_cell)
        if not open_.any():
            break
        t, c = t[open_], c[open_]
        taken = np.unique(t[rank_in_group(c) == 0])
        kept[taken] = True
        held += np.bincount(cell[np.isin(track, taken)], minlength=held.size)
    return kept
