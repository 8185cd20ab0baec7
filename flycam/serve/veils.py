"""Which pixels of a tile are withheld: masked ground as far around as the very pixels may be off.

A mask's ground is where its photo says that it is; another photo, another flight, a film may have laid the
same home beside that. So each tile is asked what its own pixels err, absolutely: a live one by the poses of
its frames, a finished one by what it says itself and by what is unknown of the whole block's place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flycam.catalog.records import MosaicInfo
from flycam.catalog.revision_stats import shift_error_m
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.withholding import Withholding
from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tilecodec import decode
from flycam.geometry.expected_error import UNKNOWN_M
from flycam.mosaic.finishing import error_of_quality
from flycam.mosaic.live_error import live_error_m
from flycam.pipeline.workspace import Workspace

GROUND_SIGMA_M = 6.0
"""Of the ground's height under a live frame: the terrain's own, and what stands on it (1-sigma)."""

Singles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Veil:
    """Pixels of a tile that somebody must not see, 256×256, and a name for the rules that say so."""

    hidden: NDArray[np.bool_]
    name: str


class Veils:
    """Veils over tiles of one house. Safe to use from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._store, self._catalog = workspace.store, workspace.catalog

    def over(self, info: MosaicInfo, head: TileRecord, sees: Withholding) -> Veil | None:
        """What of a tile of this revision is withheld; None: nothing. Raises what reading a tile raises."""
        if not sees.touches_tile(head.tile_id):
            return None
        error_m = self._error_m(info, head) if sees.is_masked_near(head.tile_id) else None
        hidden = sees.of_tile(head.tile_id, error_m)
        return None if hidden is None else Veil(hidden, sees.fingerprint)

    def _error_m(self, info: MosaicInfo, head: TileRecord) -> Singles:
        """How far off each pixel may be, radial 1-sigma; NaN: nobody knows."""
        tile = decode(self._store.get(head.key), head.tile_id, head.content_hash)
        error = self._of_live(tile) if info.revision == LIVE_REVISION else self._of_finished(info, tile)
        if head.tile_id.z < info.base_zoom and tile.quality.any():  # a pixel there is of several
            known = error[tile.quality > 0]
            error = np.full_like(error, np.nan if np.isnan(known).any() else known.max())
        return error

    def _of_live(self, tile: MosaicTile) -> Singles:
        error = np.full(tile.source.shape, np.nan, dtype=np.float32)
        frames = {one.frame_id: one for one in self._catalog.frames.some(tile.frames)}
        for number, name in enumerate(tile.frames, start=1):
            own = live_error_m(frames[name], tile.tile_id, GROUND_SIGMA_M) if name in frames else None
            if own is not None:
                np.copyto(error, own, where=tile.source == number)
        return error

    def _of_finished(self, info: MosaicInfo, tile: MosaicTile) -> Singles:
        block_m = block_error_m(self._catalog.revisions.get(info.mosaic_id, info.revision).stats)
        return np.hypot(error_of_quality(tile.quality), np.float32(block_m)).astype(np.float32)


def block_error_m(stats: Mapping[str, Any]) -> float:
    """What is unknown of a finished revision's place as a whole (radial 1-sigma, metres), which its tiles do
    not tell; 0 where its poses are those that were known before, whose errors they tell whole."""
    if stats.get("accepted") is False:
        return 0.0
    shift_m = shift_error_m(stats)
    return UNKNOWN_M if shift_m is None else shift_m
