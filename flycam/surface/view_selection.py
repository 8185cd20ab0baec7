"""Selection of the views of a ground block: near nadir, and from different sides.

Two views from one place agree on every height; two from far apart see different sides of a tree. So views
are selected one after the other, each the one that adds most: by the difference of its direction from those
selected, its steepness, and its share of the block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import is_in_image, project
from flycam.surface.match_images import SurfaceView

Floats = NDArray[np.float64]

# A larger angle between directions (base over height) is no better.
_MAX_USEFUL_ANGLE = 0.25
# A view this far off nadir (tangent) counts half.
_HALF_WORTH_TANGENT = 0.45
# A smaller spread of directions determines no height.
MIN_SPREAD = 0.04
# A view that shows a smaller share of the block is not used.
_MIN_COVER = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewSelection:
    """Views of a block (ascending indices) and the spread of their directions.

    RMS distance from their mean, in metres of base per metre of height.
    """

    views: tuple[int, ...]
    spread: float


def choose_views(
    views: Sequence[SurfaceView], candidates: Sequence[int], points_m: Floats, max_views: int
) -> ViewSelection | None:
    """Choose the best `max_views` views for a block; None where no two make a base.

    points_m M×3: places all over the block, at the heights known so far.
    """
    middle = points_m.mean(axis=0)
    numbers, cover, tangents = [], [], []
    for number in candidates:
        view = views[number]
        uv, _ = project(view.interior, view.exterior, points_m)
        share = float(is_in_image(view.interior, uv[:, 0], uv[:, 1]).mean())
        east, north, height = view.exterior.projection_centre_m
        drop = height - middle[2]
        if share < _MIN_COVER or drop <= 0.0:
            continue
        numbers.append(number)
        cover.append(share)
        tangents.append(((east - middle[0]) / drop, (north - middle[1]) / drop))
    if len(numbers) < 2:
        return None
    taken = _greedy(np.array(cover), np.array(tangents), max_views)
    directions = np.array(tangents)[taken]
    spread = float(np.sqrt(np.square(directions - directions.mean(axis=0)).sum(axis=1).mean()))
    if spread < MIN_SPREAD:
        return None
    return ViewSelection(views=tuple(sorted(numbers[k] for k in taken)), spread=spread)


def _greedy(cover: Floats, tangents: Floats, most: int) -> list[int]:
    steepness = np.linalg.norm(tangents, axis=1)
    worth = cover / (1.0 + ((steepness - steepness.min()) / _HALF_WORTH_TANGENT) ** 2)
    taken = [int(np.argmax(worth))]
    apart = np.linalg.norm(tangents - tangents[taken[0]], axis=1)
    while len(taken) < min(most, cover.size):
        gain = worth * np.minimum(apart / _MAX_USEFUL_ANGLE, 1.0)
        gain[taken] = -1.0
        best = int(np.argmax(gain))
        if gain[best] <= 0.0:
            break
        taken.append(best)
        apart = np.minimum(apart, np.linalg.norm(tangents - tangents[best], axis=1))
    return taken
