"""How the ground that a block shows moves as a whole with small changes of its frames.

A block that is turned about a level axis, or whose cameras all look a little aside, shows its ground
elsewhere by height times angle, everywhere alike, though its cameras stand where they stood. For places on
the ground that is a part of the common shift. So what frames are uncertain of on the ground is counted from
here, and not from the mean of the projection centres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats
from flycam.geometry.projection import compute_rotation_derivative

_MIN_DOWN = 0.2  # down part of a ray; a flatter view counts as this: its ground is too far to speak for all


def compute_ground_derivatives(
    centre: Floats,
    rotation: Floats,
    point: Floats,
    frame: NDArray[np.int32],
    observed: NDArray[np.integer[Any]],
) -> Floats:
    """n×6×3: derivatives of the mean (east, north of the ground in the middle of the pictures, height of the
    projection centres) by each frame's centre and turn about its camera's axes.

    centre n×3, rotation n×3×3, points P×3 in one system; observation k is of point observed[k] in
    frame[k], at least one in all. The ground under a frame lies as high as the points it sees on the average,
    under one that sees none as high as all of them.
    """
    count = len(centre)
    height = point[observed, 2]
    seen = np.bincount(frame, minlength=count)
    level = np.where(
        seen > 0, np.bincount(frame, height, minlength=count) / np.maximum(seen, 1), height.mean()
    )
    ray = rotation[:, 2]  # of the picture's middle, in world axes
    down = np.minimum(ray[:, 2], -_MIN_DOWN)
    away = (level - centre[:, 2]) / down
    in_camera = np.zeros((count, 3))
    in_camera[:, 2] = away
    # against the turn, as in geometry.expected_error: the picture's point stays, the camera turns
    turned = -rotation.transpose(0, 2, 1) @ compute_rotation_derivative(in_camera)
    moved = np.concatenate([np.broadcast_to(np.eye(3), (count, 3, 3)), turned], axis=2)
    on_ground = moved[:, :2] - (ray[:, :2] / down[:, None])[:, :, None] * moved[:, 2:]
    functional = np.zeros((count, 6, 3))
    functional[:, :, :2] = on_ground.transpose(0, 2, 1)
    functional[:, 2, 2] = 1.0
    return functional / count
