"""Refinement of a track's observations in full-size images, against one view.

Features come from reduced images and each has its own error. Here the track's best view defines the point,
and least-squares matching finds exactly that in every other: a patch that is not similar is not the same
point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Ties
from flycam.adjust.epipolar import PosesWithPriors, rotate_rays
from flycam.adjust.match_views import MatchView, compute_unit_rays
from flycam.adjust.tracks import intersect_tracks
from flycam.geometry.camera import distort
from flycam.geometry.least_squares_matching import WINDOW_PX, cut_patch_windows, fit_patches, reduce_to_grey
from flycam.geometry.terrain import TerrainGrid, compute_normals

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
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
        told = partial(_report_progress, progress, sum(pictures[:number]), sum(pictures))
        parts.append(_refine_by_least_squares(one, views, poses, pixels_of, terrain, workers, told))
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
