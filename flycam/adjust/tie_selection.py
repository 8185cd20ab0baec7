"""Selection of few ties of many: the best of every 8×8 grid cell of every frame.

No corner gets thousands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame, Ties
from flycam.adjust.match_views import MatchView
from flycam.adjust.tracks import TrackObservations, select_tracks
from flycam.geometry.features import compute_cell_index

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
    _, track = np.unique(ties.track[still], return_inverse=True)
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
