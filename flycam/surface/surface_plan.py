"""Plan of a surface: posts over all visible ground, reach and scale of the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.errors import FrameRejected, OutsideTerrain
from flycam.geometry.footprint import Footprint, compute_footprint
from flycam.geometry.terrain import TerrainGrid, interpolate_heights_en
from flycam.messages import _
from flycam.surface.match_images import SurfaceView
from flycam.surface.post_grid import PostGrid, make_post_grid

Floats = NDArray[np.float64]
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
