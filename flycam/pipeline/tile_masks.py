"""Which pixels of a tile are withheld; and looks at tiles from which they are taken out, for what is handed
on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from flycam.catalog.access_policy import AccessPolicy
from flycam.geometry.grid import TileId, compute_grid_pixel_m, get_tile_bounds
from flycam.mosaic.resampling import PixelsWithMask, TileDecoding


@dataclass(frozen=True, slots=True)
class TileMask:
    """Pixels of a tile that somebody must not see, 256×256, and a name for the rules that say so."""

    hidden: NDArray[np.bool_]
    name: str


def compute_tile_mask(tile_id: TileId, sees: AccessPolicy) -> TileMask | None:
    """What of a tile is withheld, of whatever flight and revision; None: nothing."""
    hidden = sees.get_tile_mask(tile_id)
    return None if hidden is None else TileMask(hidden, sees.fingerprint)


class MaskOverlay:
    """Masks over what is handed on, by the masks of the moment when it was made: all that one command writes
    is covered alike, whatever somebody draws meanwhile. Safe to use from several threads.

    has_covered  whether anything was taken out of what was looked at so far
    """

    def __init__(self, sees: AccessPolicy) -> None:
        """sees: what is withheld from whoever may come to hold it."""
        self._sees = sees
        self.has_covered = False

    def wrap_reader(self, reader: TileDecoding, within: BaseGeometry | None = None) -> TileDecoding:
        """A look at tiles that has no data where masks cover. within: of them only this ground is handed on
        (Web Mercator metres); None: all."""
        if self._sees.is_nothing:
            return reader
        if within is not None:
            shapely.prepare(within)

        def of(data: bytes, tile_id: TileId) -> PixelsWithMask:
            pixels, mask = reader.decode(data, tile_id)
            hidden = self._sees.get_tile_mask(tile_id)
            if hidden is None:
                return pixels, mask
            gone, seen = mask & hidden, mask & ~hidden
            if gone.any() and (within is None or _any_within(within, tile_id, gone)):
                self.has_covered = True
            return np.where(seen[..., None], pixels, np.zeros((), pixels.dtype)), seen

        return replace(reader, decode=of)


def _any_within(ground: BaseGeometry, tile_id: TileId, pixels: NDArray[np.bool_]) -> bool:
    """Whether the middle of any of a tile's pixels that are True lies on this ground (Mercator)."""
    west, _, _, north = get_tile_bounds(tile_id)
    rows, cols = np.nonzero(pixels)
    pixel_m = compute_grid_pixel_m(tile_id.z)
    return bool(
        shapely.contains_xy(ground, west + (cols + 0.5) * pixel_m, north - (rows + 0.5) * pixel_m).any()
    )
