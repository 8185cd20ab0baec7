"""Nadir-most view of each post, as a rule the one shown in a finished mosaic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.camera import is_in_image, project
from flycam.geometry.relief_displacement import WINDOW_PX, measure_bend_m
from flycam.surface.match_images import SurfaceView
from flycam.surface.post_grid import PostGrid

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_COARSER = 8
_MIN_SIDE = 4
_ROWS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class NadirViews:
    """View that looks most steeply down on each post.

    px_per_m  displacement of its image point by a metre of height, in its pixels (rows×cols of the posts; 0
              where no view looks)
    centre_m  its position (every `_COARSER`-th row and column ×3; NaN)
    pixel_m   typical side of a pixel on the ground
    """

    posts: PostGrid
    px_per_m: Singles
    centre_m: Floats
    pixel_m: float

    @property
    def side(self) -> int:
        """Posts along a window of `WINDOW_PX` pixels."""
        return max(round(WINDOW_PX * self.pixel_m / self.posts.spacing_m), _MIN_SIDE)

    def bends_px(self, height_m: Singles, trend_m: Singles) -> Singles:
        """Return the bend of an orthophoto by heights against their trend, by window.

        Heights and trend rows×cols; windows side by side: pixels RMS (rows×cols of windows; NaN where not
        all is known).
        """
        side, spacing = self.side, self.posts.spacing_m
        high, wide = (-(-count // side) for count in height_m.shape)
        step = spacing * np.arange(side)
        east, south = (axis.ravel() for axis in np.meshgrid(step, step))
        cols = side * np.arange(wide)
        bends = np.empty((high, wide), np.float32)
        for first in range(0, high, _ROWS_AT_ONCE):
            rows = side * np.arange(first, min(first + _ROWS_AT_ONCE, high))
            part = slice(rows[0], rows[-1] + side)
            windows = _windows(height_m[part] - trend_m[part], side)
            row, col = (grid.ravel() for grid in np.meshgrid(rows, cols, indexing="ij"))
            middle = [
                np.minimum(at + side // 2, n - 1) for at, n in zip((row, col), height_m.shape, strict=True)
            ]
            bends[first : first + len(rows)] = measure_bend_m(
                self.posts.west_m + spacing * col[:, None] + east,
                self.posts.north_m - spacing * row[:, None] - south,
                windows + trend_m[middle[0], middle[1], None],
                self.centre_m[middle[0] // _COARSER, middle[1] // _COARSER],
            ).reshape(len(rows), wide)
        return np.asarray(bends / np.float32(self.pixel_m), np.float32)

    def spread_to_posts(self, windows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Spread flags of windows to the posts in them."""
        rows, cols = self.posts.shape
        return windows.repeat(self.side, axis=0).repeat(self.side, axis=1)[:rows, :cols]


def _windows(values: Singles, side: int) -> Floats:
    """Cut squares of `side` posts, side by side: W×side², NaN beyond the posts."""
    high, wide = (-(-count // side) for count in values.shape)
    padded = np.full((high * side, wide * side), np.nan)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(high, side, wide, side).swapaxes(1, 2).reshape(-1, side * side)


def find_nadir_views(views: Sequence[SurfaceView], posts: PostGrid, height_m: Singles) -> NadirViews:
    """Find the view that looks most steeply down on each post at this height.

    height_m rows×cols. Focal length · horizontal distance / depth², the least of all views.
    """
    rows, cols = (slice(0, count, _COARSER) for count in posts.shape)
    east, north = (grid[rows, cols].ravel() for grid in posts.mesh(*(slice(0, n) for n in posts.shape)))
    places = np.column_stack([east, north, np.nan_to_num(height_m[rows, cols]).ravel()])
    least, pixel = np.full(len(places), np.inf), np.full(len(places), np.nan)
    centre = np.full((len(places), 3), np.nan)
    for view in views:
        uv, _ = project(view.interior, view.exterior, places)
        from_m = np.asarray(view.exterior.projection_centre_m)
        away, focal = places - from_m, view.interior.focal_length_px[0]
        with np.errstate(divide="ignore"):
            moved = focal * np.hypot(away[:, 0], away[:, 1]) / np.square(away[:, 2])
        sees = is_in_image(view.interior, uv[:, 0], uv[:, 1]) & (away[:, 2] < 0.0) & (moved < least)
        least[sees], centre[sees], pixel[sees] = moved[sees], from_m, -away[sees, 2] / focal
    shape = height_m[rows, cols].shape
    coarse = np.where(np.isfinite(least), least, 0.0).reshape(shape).astype(np.float32)
    return NadirViews(
        posts,
        np.asarray(cv2.resize(coarse, posts.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32),
        centre.reshape(*shape, 3),
        float(np.nanmedian(pixel)) if np.isfinite(pixel).any() else posts.spacing_m,
    )
