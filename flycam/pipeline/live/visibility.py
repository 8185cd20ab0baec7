"""Visibility of live frames, made only where they can win a pixel.

See decision 0012.

Unlike photos, frames to come are unknown: each is solved against those before. So more is made than of a
flight of photos, but the tiles come out the same to the last byte.
"""

from __future__ import annotations

from collections.abc import Iterator

from flycam.catalog.records import FrameRecord
from flycam.frame.tile import OrthoPatch
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.photo.pixel_checks import Pixels
from flycam.pipeline.orthorectification.rectification import (
    FrameGeometry,
    compute_frame_quality_bounds,
    get_recorded_pose,
    orthorectify_frame,
    split_tiles,
)
from flycam.pipeline.orthorectification.visibility import VisibilitySolver

# Tiles whose promises are kept: 5 MB.
_MAX_TILES = 8192


class LiveVisibility:
    """Visibility solver for the frames of one run.

    Promises are kept for the latest tiles: on ground that is imaged again much later all is made.
    """

    def __init__(self) -> None:
        self._claims = VisibilitySolver()

    def make_patches(self, record: FrameRecord, pixels: Pixels, terrain: TerrainGrid) -> Iterator[OrthoPatch]:
        """Yield orthopatches where a frame can win against earlier ones, in parts.

        Parts are of bounded size. Each has to be merged.
        """
        exterior, tiles, _ = get_recorded_pose(record)
        size_px = (pixels.shape[1], pixels.shape[0])
        ((bounds, lattices),) = compute_frame_quality_bounds(
            [FrameGeometry(record.header, exterior, size_px, terrain, tiles)]
        )
        self._claims.add_frame(record.frame_id, tiles, bounds)
        claim = self._claims.solve(record.frame_id)
        self._claims.remove_frame(record.frame_id)
        self._claims.forget_tiles(_MAX_TILES)
        for part in split_tiles(claim.tiles) if claim.tiles else ():
            if (on := claim.crop(part)) is not None:
                wanted, blocks = on
                yield orthorectify_frame(
                    record.header, exterior, pixels, terrain, tiles, wanted, blocks, lattices
                )
