"""Which pixels of a tile are withheld: masked ground as far around as the very pixels may be off; and looks
at tiles from which they are taken out, for what is handed on.

A mask's ground is where its photo says that it is; another photo, another flight, a film may have laid the
same home beside that. So each tile is asked what its own pixels err, absolutely: a live one by the poses of
its frames, a finished one by what it says itself and by what is unknown of the whole block's place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.records import MosaicInfo
from flycam.catalog.revision_stats import shift_error_m
from flycam.catalog.revisions import LIVE_REVISION
from flycam.catalog.withholding import Withholding
from flycam.frame.tile import MosaicTile, TileRecord
from flycam.frame.tilecodec import decode
from flycam.geometry.expected_error import UNKNOWN_M
from flycam.geometry.grid import TileId, grid_pixel_m, tile_bounds
from flycam.mosaic.finishing import error_of_quality
from flycam.mosaic.live_error import live_error_m
from flycam.mosaic.resample import Seen, TileLook
from flycam.pipeline.workspace import Workspace

GROUND_SIGMA_M = 6.0
"""Of the ground's height under a live frame: the terrain's own, and what stands on it (1-sigma)."""

Singles = NDArray[np.float32]
TakenOut = Callable[[TileId, NDArray[np.bool_]], None]


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

        def tile() -> MosaicTile:
            return decode(self._store.get(head.key), head.tile_id, head.content_hash)

        return self._over(info, head.tile_id, tile, sees)

    def covered(
        self, info: MosaicInfo, look: TileLook, sees: Withholding, taken_out: TakenOut | None = None
    ) -> TileLook:
        """A look at tiles of this revision that has no data where they are withheld. taken_out is told of
        each tile of which data were, and which pixels."""
        if sees.is_nothing:
            return look

        def of(data: bytes, tile_id: TileId) -> Seen:
            pixels, mask = look.of(data, tile_id)
            veil = None
            if sees.touches_tile(tile_id):
                veil = self._over(info, tile_id, lambda: decode(data, tile_id), sees)
            if veil is None:
                return pixels, mask
            seen = mask & ~veil.hidden
            if taken_out is not None and (gone := mask & veil.hidden).any():
                taken_out(tile_id, gone)
            return np.where(seen[..., None], pixels, np.zeros((), pixels.dtype)), seen

        return replace(look, of=of)

    def _over(
        self, info: MosaicInfo, tile_id: TileId, tile: Callable[[], MosaicTile], sees: Withholding
    ) -> Veil | None:
        error_m = self._error_m(info, tile()) if sees.is_masked_near(tile_id) else None
        hidden = sees.of_tile(tile_id, error_m)
        return None if hidden is None else Veil(hidden, sees.fingerprint)

    def _error_m(self, info: MosaicInfo, tile: MosaicTile) -> Singles:
        """How far off each pixel may be, radial 1-sigma; NaN: nobody knows."""
        error = self._of_live(tile) if info.revision == LIVE_REVISION else self._of_finished(info, tile)
        if tile.tile_id.z < info.base_zoom and tile.quality.any():  # a pixel there is of several
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


class Cover:
    """Masks over what is handed on, by the masks of the moment when it was made: all that one command writes
    is covered alike, whatever somebody draws meanwhile. Safe to use from several threads.

    has_covered  whether anything was taken out of what was looked at so far
    """

    def __init__(self, workspace: Workspace, sees: Withholding) -> None:
        """sees: what is withheld from whoever may come to hold it."""
        self._veils, self._sees = Veils(workspace), sees
        self.has_covered = False

    def look(self, info: MosaicInfo, look: TileLook, within: BaseGeometry | None = None) -> TileLook:
        """A look at tiles of this revision without what masks cover. within: of them only this ground is
        handed on (Web Mercator metres); None: all."""
        if within is not None:
            shapely.prepare(within)

        def taken_out(tile_id: TileId, gone: NDArray[np.bool_]) -> None:
            self.has_covered = self.has_covered or within is None or _any_within(within, tile_id, gone)

        return self._veils.covered(info, look, self._sees, taken_out)


def _any_within(ground: BaseGeometry, tile_id: TileId, pixels: NDArray[np.bool_]) -> bool:
    """Whether the middle of any of a tile's pixels that are True lies on this ground (Mercator)."""
    west, _, _, north = tile_bounds(tile_id)
    rows, cols = np.nonzero(pixels)
    pixel_m = grid_pixel_m(tile_id.z)
    return bool(
        shapely.contains_xy(ground, west + (cols + 0.5) * pixel_m, north - (rows + 0.5) * pixel_m).any()
    )


def block_error_m(stats: Mapping[str, Any]) -> float:
    """What is unknown of a finished revision's place as a whole (radial 1-sigma, metres), which its tiles do
    not tell; 0 where its poses are those that were known before, whose errors they tell whole."""
    if stats.get("accepted") is False:
        return 0.0
    shift_m = shift_error_m(stats)
    return UNKNOWN_M if shift_m is None else shift_m
