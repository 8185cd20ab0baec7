"""The refined surface as a noun: heights, where the flight supports them, and how far they may be off."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid
from flycam.surface.blocks import Posts
from flycam.surface.filling import Finished

Singles = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """The ground with all that stands on it (a DSM) where the flight shows it, the terrain elsewhere.

    terrain  heights on fine posts, blended into the terrain it was refined from; NaN where neither knows
    support  rows×cols bool: the height is the flight's own
    sigma_m  rows×cols float32, 1-sigma of the height against the flight's poses; NaN without support
    """

    terrain: TerrainGrid
    support: NDArray[np.bool_]
    sigma_m: Singles

    @property
    def supported_pct(self) -> float:
        """Share of the posts that have support, 0-100."""
        return 100.0 * float(self.support.mean())


def surface_of(terrain: TerrainGrid, posts: Posts, ground_m: Singles, finished: Finished) -> Surface:
    """Put a surface together from the terrain at the posts and what was finished over it."""
    heights = ground_m + finished.dz_m
    heights = np.where(finished.support, heights, np.where(np.isnan(ground_m), ground_m, heights))
    heights = np.ascontiguousarray(heights, np.float32)
    refined = TerrainGrid(
        heights_m=heights,
        origin_m=(posts.west_m, posts.north_m),
        post_spacing_m=(posts.spacing_m, posts.spacing_m),
        work_crs=terrain.work_crs,
        vertical_datum=terrain.vertical_datum,
        dem_id="surface:" + hashlib.sha256(heights.tobytes()).hexdigest()[:32],
    )
    return Surface(terrain=refined, support=finished.support, sigma_m=finished.sigma_m)
