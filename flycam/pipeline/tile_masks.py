"""Pixels of a tile that an account must not see, and their removal from tiles that leave the node."""

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
    """Pixels of a tile to be hidden, 256×256.

    name: fingerprint of the policy that hides them.
    """

    hidden: NDArray[np.bool_]
    name: str


def compute_tile_mask(tile_id: TileId, policy: AccessPolicy) -> TileMask | None:
    """Return the mask of a tile for all flights and revisions.

    None if nothing is hidden.
    """
    hidden = policy.get_tile_mask(tile_id)
    return None if hidden is None else TileMask(hidden, policy.fingerprint)


class MaskOverlay:
    """Masks over tiles that leave the node, as of the moment when it was made.

    All that one command writes is covered alike, whatever redactions are drawn meanwhile. Thread-safe.

    has_covered  whether any pixel was removed so far
    """

    def __init__(self, policy: AccessPolicy) -> None:
        """Cover what this policy hides from the recipients."""
        self._policy = policy
        self.has_covered = False

    def wrap_reader(self, reader: TileDecoding, within: BaseGeometry | None = None) -> TileDecoding:
        """Wrap a tile decoding so that it has no data under masks.

        within: the ground that leaves the node (Web Mercator metres), for `has_covered`; None: all.
        """
        if self._policy.is_nothing:
            return reader
        if within is not None:
            shapely.prepare(within)

        def of(data: bytes, tile_id: TileId) -> PixelsWithMask:
            pixels, mask = reader.decode(data, tile_id)
            hidden = self._policy.get_tile_mask(tile_id)
            if hidden is None:
                return pixels, mask
            gone, seen = mask & hidden, mask & ~hidden
            if gone.any() and (within is None or _any_within(within, tile_id, gone)):
                self.has_covered = True
            return np.where(seen[..., None], pixels, np.zeros((), pixels.dtype)), seen

        return replace(reader, decode=of)


def _any_within(ground: BaseGeometry, tile_id: TileId, pixels: NDArray[np.bool_]) -> bool:
    """Return True if the centre of any True pixel is on this ground.

    ground: Web Mercator.
    """
    west, _, _, north = get_tile_bounds(tile_id)
    rows, cols = np.nonzero(pixels)
    pixel_m = compute_grid_pixel_m(tile_id.z)
    return bool(
        shapely.contains_xy(ground, west + (cols + 0.5) * pixel_m, north - (rows + 0.5) * pixel_m).any()
    )
