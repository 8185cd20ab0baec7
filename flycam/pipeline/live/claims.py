"""Where a picture of a film can still win a pixel: only there it is made (decision 0012).

Unlike photos, pictures to come are not known: one is settled against those that were laid before. So more is
made than of a flight of photos, and nothing twice: the tiles come out the same to the last byte.
"""

from __future__ import annotations

from collections.abc import Iterator

from flycam.catalog.records import FrameRecord
from flycam.frame.tile import OrthoPatch
from flycam.geometry.terrain import TerrainGrid
from flycam.ingest.photo.judging import Pixels
from flycam.pipeline.laying.claims import Claims
from flycam.pipeline.laying.rectification import Prospect, bounds_of, parts_of, patch_of, recorded_pose

_MOST_TILES = 8192  # whose promises are remembered: 5 MB


class LiveClaims:
    """Of the pictures laid by one run. Promises are remembered of the tiles filmed last: on ground filmed
    again much later all is made."""

    def __init__(self) -> None:
        self._claims = Claims()

    def patches(self, record: FrameRecord, pixels: Pixels, terrain: TerrainGrid) -> Iterator[OrthoPatch]:
        """What a picture can win against those asked for before, in parts of bounded size; each has to be
        merged."""
        exterior, tiles, _ = recorded_pose(record)
        size_px = (pixels.shape[1], pixels.shape[0])
        ((bounds, lattices),) = bounds_of([Prospect(record.header, exterior, size_px, terrain, tiles)])
        self._claims.enter(record.frame_id, tiles, bounds)
        claim = self._claims.of(record.frame_id)
        self._claims.forget(record.frame_id)
        self._claims.forget_tiles(_MOST_TILES)
        for part in parts_of(claim.tiles) if claim.tiles else ():
            if (on := claim.on(part)) is not None:
                wanted, blocks = on
                yield patch_of(record.header, exterior, pixels, terrain, tiles, wanted, blocks, lattices)
