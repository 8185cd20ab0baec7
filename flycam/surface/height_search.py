"""Height search ranges: around tie points first, then around the coarse sweep."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid, interpolate_heights
from flycam.surface.options import SurfaceOptions
from flycam.surface.post_grid import PostBlock, PostGrid

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Tie points are sparse: ground and objects between them may be lower or higher by this much.
_BELOW_TIES_M, _ABOVE_TIES_M = 5.0, 12.0
_TIES_WITHIN_M = 40.0
_FEW_TIES = 8
# The fine sweep extends this far beyond the coarse heights nearby, in coarse steps of about a post.
_BEYOND_SPACINGS = 4.0
# Trees and houses narrower than this do not bend the base that windows follow.
_OPENING_M, _SMOOTH_M = 12.0, 8.0


@dataclass(frozen=True, slots=True)
class SearchRange:
    """Heights over the base to search.

    In all of a block, and post by post (rows×cols; None: the same).
    """

    low_m: float
    high_m: float
    lows_m: Singles | None = None
    highs_m: Singles | None = None


@dataclass(frozen=True, slots=True)
class TieOffsets:
    """Heights of tie points above the terrain: places K×2 and offsets K, metres."""

    places_m: Floats
    offsets_m: Floats

    def around(self, posts: PostGrid, block: PostBlock, options: SurfaceOptions) -> SearchRange:
        """Return the range of the offsets near a block.

        Of all offsets where there are few; of the options without any.
        """
        if self.offsets_m.size < _FEW_TIES:
            return SearchRange(-options.below_m, options.above_m)
        east, north = posts.axes(block.rows, block.cols)
        e, n = self.places_m.T
        near = (e > east[0] - _TIES_WITHIN_M) & (e < east[-1] + _TIES_WITHIN_M)
        near &= (n < north[0] + _TIES_WITHIN_M) & (n > north[-1] - _TIES_WITHIN_M)
        offsets = self.offsets_m[near] if near.sum() >= _FEW_TIES else self.offsets_m
        low, high = np.percentile(offsets, (1.0, 99.0))
        return SearchRange(float(low) - _BELOW_TIES_M, float(high) + _ABOVE_TIES_M)


def compute_tie_offsets(terrain: TerrainGrid, ties_m: Floats | None) -> TieOffsets:
    """Return offsets of tie points N×3 from the terrain.

    Those without a position or terrain are left out.
    """
    if ties_m is None or not len(ties_m):
        return TieOffsets(np.empty((0, 2)), np.empty(0))
    offsets = ties_m[:, 2] - interpolate_heights(terrain, ties_m[:, :2])
    known = np.isfinite(offsets)
    return TieOffsets(ties_m[known, :2], offsets[known])


@dataclass(frozen=True, slots=True)
class FineSearch:
    """Search of the fine sweep, on its posts.

    base_m           base that the windows follow, over the terrain
    lows_m, highs_m  over that base
    """

    base_m: Singles
    lows_m: Singles
    highs_m: Singles

    def around(self, block: PostBlock) -> SearchRange:
        """Return the range in a block's window."""
        lows, highs = (extract_padded_window(a, block.rows, block.cols) for a in (self.lows_m, self.highs_m))
        return SearchRange(float(lows.min()), float(highs.max()), lows, highs)


def make_fine_search(coarse_dz_m: Singles, coarse: PostGrid, fine: PostGrid) -> FineSearch:
    """Make the fine search from the coarse sweep's heights over the terrain.

    NaN: none, the terrain is used.
    """
    dz = np.nan_to_num(coarse_dz_m, nan=0.0).astype(np.float32)
    dz = np.asarray(cv2.medianBlur(dz, 5), np.float32)
    width = 2 * max(round(_OPENING_M / coarse.spacing_m / 2.0), 1) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    opened = cv2.morphologyEx(dz, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_REPLICATE)
    base = cv2.GaussianBlur(opened, (0, 0), _SMOOTH_M / coarse.spacing_m, borderType=cv2.BORDER_REPLICATE)
    near = np.ones((5, 5), np.uint8)
    beyond = np.float32(_BEYOND_SPACINGS * fine.spacing_m)
    low = cv2.erode(dz, near, borderType=cv2.BORDER_REPLICATE) - beyond
    high = cv2.dilate(dz, near, borderType=cv2.BORDER_REPLICATE) + beyond
    base_f, low_f, high_f = (
        resample_posts(np.asarray(a, np.float32), coarse, fine) for a in (base, low, high)
    )
    return FineSearch(base_f, low_f - base_f, high_f - base_f)


def resample_posts(values: Singles, source: PostGrid, target: PostGrid) -> Singles:
    """Resample bilinearly from one post grid to another; the rim is extended."""
    scale = target.spacing_m / source.spacing_m
    col = (target.west_m - source.west_m) / source.spacing_m
    row = (source.north_m - target.north_m) / source.spacing_m
    matrix = np.array([[scale, 0.0, col], [0.0, scale, row]])
    rows, cols = target.shape
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(values, matrix, (cols, rows), flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def extract_padded_window(values: Singles, rows: slice, cols: slice) -> Singles:
    """Extract a window that may reach beyond the array; the rim is extended."""
    row = np.clip(np.arange(rows.start, rows.stop), 0, values.shape[0] - 1)
    col = np.clip(np.arange(cols.start, cols.stop), 0, values.shape[1] - 1)
    window: Singles = values[row[:, None], col[None, :]]
    return window
