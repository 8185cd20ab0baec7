"""Fill for ground inside a finished mosaic that every frame takes for hidden.

The heights in front of it are wrong there (a crown drawn too wide, a post too high), and the live mosaic
shows it. So the frame that owns the ground next to it fills it, as if nothing hid the ground, with the error
of a height that wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.grid import TileId
from flycam.mosaic.frame_overview import Words
from flycam.mosaic.seamline import SeamPlan
from flycam.mosaic.window_patches import PatchOf

ErrorOf = Callable[[str, TileId], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, slots=True)
class OcclusionFill:
    """Source of pixels for hidden ground.

    patch_of, error_of  as `finish_tiles` takes them, of frames as if nothing hid anything
    """

    patch_of: PatchOf
    error_of: ErrorOf


def find_inner_owners(plan: SeamPlan) -> Words:
    """Return H×W labels of who owns ground inside the mosaic, or the nearest owner.

    Inside is what has an owner or is enclosed by owned ground, without the outermost label pixels, which
    images cover in part. 0 elsewhere.
    """
    empty = (plan.owner == 0).astype(np.uint8)
    outside = np.pad(empty, 1, constant_values=1)
    cv2.floodFill(outside, None, (0, 0), 2)
    inside = cv2.erode((outside != 2).astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0
    _, next_to = cv2.distanceTransformWithLabels(
        empty, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    owner_of = np.zeros(int(next_to.max()) + 1, np.uint16)
    owner_of[next_to[empty == 0]] = plan.owner[empty == 0]
    return np.where(inside, owner_of[next_to], np.uint16(0))
