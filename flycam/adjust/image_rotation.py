"""Detection of images that were rotated after the flight without their metadata.

A viewer may do that. It shows in the images alone: rotated back by quarter turns, neighbours match, and
only with both rotated correctly are their matches on the same ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import BlockFrame
from flycam.adjust.match_views import MatchView, make_match_view
from flycam.adjust.pair_matching import HeightTolerance, filter_affine_matches, normalise_ground_points
from flycam.geometry.features import Features, rotate_descriptors
from flycam.geometry.matching import match_all_mutual_best
from flycam.geometry.quarter_turns import rotate_exterior, rotate_interior
from flycam.geometry.terrain import TerrainGrid

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
    size = [i.size for i, _ in found]
    best = int(np.argmax(size))
    if size[best] < _TIMES * sorted(size)[-2]:
        return 0, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return best, *found[best]


def _on_same_ground(a: MatchView, b: MatchView, i: Indices, j: Indices, plausible: HeightTolerance) -> int:
    pa, pb = normalise_ground_points(a, b, plausible)
    return int(filter_affine_matches(pa, pb, i, j, 1.0)[0].size)
