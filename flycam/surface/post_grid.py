"""Post grid of the refined surface, and its blocks.

Work is done block by block: memory does not grow with the flight.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PostGrid:
    """Regular grid of posts: (r, c) is at (west + c * spacing, north - r * spacing)."""

    west_m: float
    north_m: float
    spacing_m: float
    shape: tuple[int, int]

    def axes(self, rows: slice, cols: slice) -> tuple[Floats, Floats]:
        """Return eastings and northings of rows and columns.

        They may be outside the grid.
        """
        east = self.west_m + self.spacing_m * np.arange(cols.start, cols.stop)
        north = self.north_m - self.spacing_m * np.arange(rows.start, rows.stop)
        return east, north

    def mesh(self, rows: slice, cols: slice) -> tuple[Floats, Floats]:
        """Return eastings and northings of every post of a window, rows×cols each."""
        east, north = np.meshgrid(*self.axes(rows, cols))
        return east, north


@dataclass(frozen=True, slots=True)
class PostBlock:
    """Rows and columns of posts: the core that is written, in the window of work."""

    rows: slice
    cols: slice
    core_rows: slice
    core_cols: slice

    @property
    def core(self) -> tuple[slice, slice]:
        """Core in the whole grid."""
        return self.core_rows, self.core_cols

    @property
    def core_in_window(self) -> tuple[slice, slice]:
        """Core in the window."""
        return (
            slice(self.core_rows.start - self.rows.start, self.core_rows.stop - self.rows.start),
            slice(self.core_cols.start - self.cols.start, self.core_cols.stop - self.cols.start),
        )


def make_post_grid(bounds_m: Bounds, spacing_m: float, max_posts: int) -> PostGrid:
    """Make posts over (west, south, east, north), on multiples of the spacing.

    The spacing is doubled while there would be more than `max_posts`.
    """
    west, south, east, north = bounds_m
    while (np.ceil((east - west) / spacing_m) + 2) * (np.ceil((north - south) / spacing_m) + 2) > max_posts:
        spacing_m *= 2.0
    first_col, last_col = int(np.floor(west / spacing_m)), int(np.ceil(east / spacing_m))
    first_row, last_row = int(np.ceil(north / spacing_m)), int(np.floor(south / spacing_m))
    return PostGrid(
        west_m=first_col * spacing_m,
        north_m=first_row * spacing_m,
        spacing_m=spacing_m,
        shape=(max(first_row - last_row + 1, 2), max(last_col - first_col + 1, 2)),
    )


def split_blocks(posts: PostGrid, core: int, margin: int) -> list[PostBlock]:
    """Split the grid into blocks, in rows of alternating direction.

    So neighbours follow each other.
    """
    rows, cols = posts.shape
    blocks = []
    for turn, row in enumerate(range(0, rows, core)):
        across = range(0, cols, core)
        for col in across if turn % 2 == 0 else reversed(across):
            core_rows, core_cols = slice(row, min(row + core, rows)), slice(col, min(col + core, cols))
            blocks.append(
                PostBlock(
                    slice(core_rows.start - margin, core_rows.stop + margin),
                    slice(core_cols.start - margin, core_cols.stop + margin),
                    core_rows,
                    core_cols,
                )
            )
    return blocks


def count_odd_posts(length_m: float, spacing_m: float, min_posts: int = 3) -> int:
    """Return the side of a square of about `length_m` around a post, in posts.

    Odd, `min_posts` at least.
    """
    return max(2 * round(length_m / spacing_m / 2.0) + 1, min_posts)
