"""Plan of a surface: options, posts and blocks, reach and scale of views.

The posts cover all visible ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameRejected, OutsideTerrain
from flycam.geometry.footprint import Footprint, compute_footprint
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_en
from flycam.messages import _
from flycam.mosaic.surface.plane_sweep import SurfaceView

# -- Options of a surface refinement, by default those that measured best --------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class SurfaceOptions:
    """Options of `refine_surface`.

    views             most views that are used for a block of ground
    window_posts      side of the square of posts that is compared (odd)
    below_m, above_m  search range below and above the terrain where there are no tie points
    min_agreement     correlation of the views below which a post has no support
    blend_m           distance from the support within which the surface is blended into the terrain
    max_posts         the spacing is doubled while the area has more posts
    cache_bytes       memory for images prepared for matching
    terrain_sigma_m   (vertical, horizontal) 1-sigma of the terrain as a whole: its height and its horizontal
                      shift
    """

    views: int = 8
    window_posts: int = 5
    below_m: float = 10.0
    above_m: float = 25.0
    min_agreement: float = 0.2
    blend_m: float = 4.0
    max_posts: int = 16_000_000
    cache_bytes: int = 300_000_000
    terrain_sigma_m: tuple[float, float] = (3.0, 5.0)


# -- Post grid of the refined surface, and its blocks ----------------------------------------------
#
# Work is done block by block: memory does not grow with the flight.


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


# -- Surface plan: posts of both sweeps, reach and scale of the views ------------------------------

Singles = NDArray[np.float32]

COARSER = 2
# Ground farther from a view than this many times its height gives no useful height.
_REACH_HEIGHTS = 1.73
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class SurfacePlan:
    """Posts of both sweeps, and the views' scale and useful ground.

    finest_px  sufficient columns of pixels of every view
    reach_m    V×4 (west, south, east, north), NaN for a view that sees no terrain
    """

    fine: PostGrid
    coarse: PostGrid
    finest_px: tuple[int, ...]
    reach_m: Floats

    def find_views(self, places_m: Floats) -> list[int]:
        """Return the views whose useful ground touches the bounds of places M×(2 or 3)."""
        west, south = places_m[:, :2].min(axis=0)
        east, north = places_m[:, :2].max(axis=0)
        box = self.reach_m
        with np.errstate(invalid="ignore"):
            touch = (box[:, 0] <= east) & (box[:, 2] >= west) & (box[:, 1] <= north) & (box[:, 3] >= south)
        return [int(n) for n in np.flatnonzero(touch)]


def plan_surface(
    views: Sequence[SurfaceView], terrain: TerrainGrid, spacing_m: float, max_posts: int
) -> SurfacePlan:
    """Plan a surface. Raises OutsideTerrain where no view sees the terrain."""
    seen = [_seen(view, terrain) for view in views]
    known = [f.bounds_m for f in seen if f is not None]
    if not known:
        raise OutsideTerrain(
            _("no frame of the flight looks at ground that the terrain knows; register a DEM that covers it")
        )
    boxes = np.array(known)
    west, south, east, north = terrain.bounds_m
    bounds = (
        max(float(boxes[:, 0].min()), west),
        max(float(boxes[:, 1].min()), south),
        min(float(boxes[:, 2].max()), east),
        min(float(boxes[:, 3].max()), north),
    )
    fine = make_post_grid(bounds, spacing_m, max_posts)
    coarse = make_post_grid(bounds, fine.spacing_m * COARSER, max_posts)
    return SurfacePlan(
        fine=fine,
        coarse=coarse,
        finest_px=tuple(_enough_px(v, f, fine.spacing_m) for v, f in zip(views, seen, strict=True)),
        reach_m=np.array([_reach(v, f) for v, f in zip(views, seen, strict=True)]),
    )


def sample_terrain_posts(terrain: TerrainGrid, posts: PostGrid) -> Singles:
    """Return heights of the terrain at the posts, rows×cols; NaN where not known."""
    rows, cols = posts.shape
    heights = np.empty(posts.shape, np.float32)
    for row in range(0, rows, _ROWS_AT_ONCE):
        part = slice(row, min(row + _ROWS_AT_ONCE, rows))
        heights[part] = interpolate_heights_en(terrain, *posts.mesh(part, slice(0, cols)))
    return heights


def _seen(view: SurfaceView, terrain: TerrainGrid) -> Footprint | None:
    try:
        return compute_footprint(view.interior, view.exterior, terrain)
    except FrameRejected:
        return None


def _enough_px(view: SurfaceView, seen: Footprint | None, spacing_m: float) -> int:
    """Return the columns at which a pixel is half a spacing on the ground.

    At the image centre.
    """
    width = view.interior.image_size_px[0]
    if seen is None:
        return width
    return min(max(round(width * seen.gsd_m / (0.5 * spacing_m)), 1), width)


def _reach(view: SurfaceView, seen: Footprint | None) -> tuple[float, float, float, float]:
    if seen is None:
        return (np.nan, np.nan, np.nan, np.nan)
    (east, north, _), far = view.exterior.projection_centre_m, _REACH_HEIGHTS * seen.height_above_ground_m
    west_m, south_m, east_m, north_m = seen.bounds_m
    return (
        max(west_m, east - far),
        max(south_m, north - far),
        min(east_m, east + far),
        min(north_m, north + far),
    )
