"""A frame seen from afar, for radiometry and seamlines: rectified like any patch, from a reduced picture."""

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
"""About the longer side of a picture reduced for its overview."""


def choose_overview_shrink(image_size_px: tuple[int, int]) -> int:
    """How many zooms above the base their overviews lie: 2 for 1.3 megapixels, 3 for 12, 4 for 20."""
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
    """The overview `shrink` zooms above `base_tiles`, the frame's tiles at the base zoom.

    pixels H×W×3 uint8 RGB, full size or reduced already. Raises what `rectify` raises.
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
