"""Reduced orthopatches of frames, for radiometric balance and seamlines.

Orthorectified like any orthopatch, from a reduced image.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.frame.frame import FrameHeader
from flycam.geometry.exterior import ExteriorOrientation
from flycam.geometry.grid import TileRange, get_parent_range
from flycam.geometry.terrain import TerrainGrid
from flycam.mosaic.frame_overview import FrameOverview, make_frame_overview, make_place_image
from flycam.pipeline.orthorectification.rectification import orthorectify_frame

OVERVIEW_SIDE_PX = 400
"""Approximate longer side of the reduced image."""


def choose_overview_shrink(image_size_px: tuple[int, int]) -> int:
    """Return how many zooms above the base the overviews lie.

    2 for 1.3 megapixels, 3 for 12, 4 for 20.
    """
    return int(np.clip(round(np.log2(max(image_size_px) / OVERVIEW_SIDE_PX)), 1, 5))


def make_overview(
    header: FrameHeader,
    exterior: ExteriorOrientation,
    pixels: NDArray[np.uint8],
    terrain: TerrainGrid,
    base_tiles: TileRange,
    shrink: int,
    camera: str,
) -> FrameOverview:
    """Make the overview `shrink` zooms above `base_tiles`, the frame's base tiles.

    pixels H×W×3 uint8 RGB, full size or reduced already. Raises what `orthorectify_frame` raises.
    """
    width, height = header.interior.image_size_px
    size = (max(-(-width >> shrink), 1), max(-(-height >> shrink), 1))
    if (pixels.shape[1], pixels.shape[0]) != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    tiles = base_tiles
    for _ in range(shrink):
        tiles = get_parent_range(tiles)
    patch = orthorectify_frame(header, exterior, pixels, terrain, tiles)
    place = orthorectify_frame(header, exterior, make_place_image(size), terrain, tiles)
    return make_frame_overview(patch, place.rgb[..., :2], camera)
