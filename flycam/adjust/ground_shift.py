"""Mean shift of the ground that a block shows, by small changes of its frames.

A block that is rotated about a horizontal axis, or whose cameras all look a little aside, shows its ground
displaced by height times angle, everywhere alike, though its projection centres are unchanged. For places
on the ground that is a part of the common shift. So uncertainties on the ground are relative to this mean,
and not to the mean of the projection centres.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.adjust.block import Floats
from flycam.geometry.projection import compute_rotation_derivative

# Least downward component of a ray: the far ground of flatter views would dominate the mean.
_MIN_DOWN = 0.2


def compute_ground_derivatives(
    centre: Floats,
    rotation: Floats,
    point: Floats,
    frame: NDArray[np.int32],
    observed: NDArray[np.integer[Any]],
) -> Floats:
    """Return derivatives n×6×3 of the block's mean position by each frame's pose.

    The mean is (east, north of the ground at the image centres, height of the projection centres); the
    pose is centre and rotation about the camera's axes. centre n×3, rotation n×3×3, points P×3 in one
    system; observation k is of point observed[k] in frame[k], at least one in all. The ground under a
    frame is at the mean height of the points that it sees, or of all points where it sees none.
    """
    count = len(centre)
    height = point[observed, 2]
    seen = np.bincount(frame, minlength=count)
    level = np.where(
        seen > 0, np.bincount(frame, height, minlength=count) / np.maximum(seen, 1), height.mean()
    )
    # viewing axis in world axes
    ray = rotation[:, 2]
    down = np.minimum(ray[:, 2], -_MIN_DOWN)
    away = (level - centre[:, 2]) / down
    in_camera = np.zeros((count, 3))
    in_camera[:, 2] = away
    # negative as in geometry.expected_error: the image point is fixed, the camera rotates
    turned = -rotation.transpose(0, 2, 1) @ compute_rotation_derivative(in_camera)
    moved = np.concatenate([np.broadcast_to(np.eye(3), (count, 3, 3)), turned], axis=2)
    on_ground = moved[:, :2] - (ray[:, :2] / down[:, None])[:, :, None] * moved[:, 2:]
    functional = np.zeros((count, 6, 3))
    functional[:, :, :2] = on_ground.transpose(0, 2, 1)
    functional[:, 2, 2] = 1.0
    return functional / count
