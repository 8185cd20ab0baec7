"""Refined surface: heights, support by the flight, sigmas, contour lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.geometry.terrain import TerrainGrid, find_nearest_posts
from flycam.mosaic.surface.gap_filling import FilledHeights, pull_push
from flycam.mosaic.surface.plan import PostGrid

# -- Contour lines of a height grid ----------------------------------------------------------------


Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ContourLine:
    """Line at one height: points K×2 (east, north) of the work CRS.

    A closed line repeats its first point.
    """

    height_m: float
    points_m: Floats
    closed: bool

    def split(self, is_own: NDArray[np.bool_]) -> list[tuple[ContourLine, bool]]:
        """Split into pieces along which `is_own` (K, of every point) is the same.

        Neighbouring pieces share the point between.
        """
        changes = np.flatnonzero(is_own[1:] != is_own[:-1]) + 1
        if not changes.size:
            return [(self, bool(is_own[0]))]
        starts, stops = [0, *changes.tolist()], [*(changes + 1).tolist(), len(self.points_m)]
        return [
            (replace(self, points_m=self.points_m[i:j], closed=False), bool(is_own[i]))
            for i, j in zip(starts, stops, strict=True)
            if j - i > 1
        ]


def trace_contour_lines(terrain: TerrainGrid, interval_m: float, min_points: int = 2) -> list[ContourLine]:
    """Trace contour lines at all multiples of an interval, in ascending order.

    Unknown posts end a line. Lines of fewer than `min_points` points are left out. Along a line the higher
    ground is on its right. A post exactly at a level counts as above it. Raises ValueError where the
    interval is not positive.
    """
    if not interval_m > 0.0:
        raise ValueError(f"the contour interval must be positive, it is {interval_m}")
    from contourpy import LineType, contour_generator  # noqa: PLC0415  only an export needs it

    heights = terrain.heights_m.astype(np.float64)
    known = heights[np.isfinite(heights)]
    if not known.size:
        return []
    # of depths: the library counts a post exactly at a level as below it
    depths = np.ma.masked_invalid(-heights)
    generator = contour_generator(z=depths, line_type=LineType.Separate, corner_mask=False)
    (east, north), (step_e, step_s) = terrain.origin_m, terrain.post_spacing_m
    lines: list[ContourLine] = []
    numbers = np.arange(np.floor(known.min() / interval_m) + 1.0, np.floor(known.max() / interval_m) + 1.0)
    for height_m in (interval_m * numbers).tolist():
        for line in generator.lines(-height_m):
            points = np.asarray(line)
            if len(points) < min_points:
                continue
            east_m, north_m = east + points[::-1, 0] * step_e, north - points[::-1, 1] * step_s
            placed = np.stack([east_m, north_m], axis=-1)
            closed = bool((points[0] == points[-1]).all())
            lines.append(ContourLine(height_m=height_m, points_m=placed, closed=closed))
    return lines


# -- Refined surface: heights, support by the flight, and sigmas -----------------------------------


Singles = NDArray[np.float32]

_STRAIGHTEN_POSTS = 0.7
# Shorter lines are stones and leaves.
_MIN_LINE_POINTS = 8
_HALF = 0.5
# of the Gaussian over heights before contours are traced
_CONTOUR_SIGMA_M = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """DSM where the flight shows it; elsewhere the terrain as the flight corrects it.

    terrain  heights on fine posts, blended into the terrain it was refined from; NaN where neither is known
    support  rows×cols bool: the height is the flight's own
    sigma_m  rows×cols float32, 1-sigma of the height against the flight's poses; NaN without support
    terrain_sigma_m  rows×cols float32, 1-sigma of bare ground where there is no support: of the terrain as
                     corrected by the supported ground; ground cover is not included. None: not known
    unagreed_sigma_m rows×cols float32, added where views were compared and did not agree; NaN where none
                     were. None: not known
    cover_m          RMS height of ground cover where it was compared; NaN: too little was
    laying_m         rows×cols float32, laying surface: heights to orthorectify on (`laying_surface`). None:
                     those of `terrain`
    """

    terrain: TerrainGrid
    support: NDArray[np.bool_]
    sigma_m: Singles
    terrain_sigma_m: Singles | None = None
    unagreed_sigma_m: Singles | None = None
    cover_m: float = float("nan")
    laying_m: Singles | None = None

    @property
    def supported_pct(self) -> float:
        """Share of the posts that have support, 0-100."""
        return 100.0 * float(self.support.mean())

    def rectification_terrain(self) -> TerrainGrid:
        """Return the heights to orthorectify on, with straightened roof edges.

        For `geometry.orthorectification`. A step that is off by single posts tears a roof's edge in the
        image; a Gaussian of less than a post removes the teeth. A median removes crowns too: measured
        worse.
        """
        laying_heights = self.terrain.heights_m if self.laying_m is None else self.laying_m
        return _with_heights(self.terrain, _straightened(laying_heights))


def extract_contours(
    surface: Surface, interval_m: float, within: NDArray[np.bool_] | None = None
) -> list[tuple[ContourLine, bool]]:
    """Extract contour lines (`trace_contour_lines`), split by the flight's support.

    Heights are smoothed by a Gaussian; support is that of most posts around.

    within  rows×cols: posts elsewhere are not contoured. None: all

    Each piece comes with True if it is on the flight's own heights.
    """
    terrain, own = surface.terrain, surface.support
    sigma = _CONTOUR_SIGMA_M / terrain.post_spacing_m[0]
    smooth, share = (
        cv2.GaussianBlur(np.asarray(grid, np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        for grid in (terrain.heights_m, own)
    )
    terrain, own = _with_heights(terrain, np.asarray(smooth, np.float32)), np.asarray(share) > _HALF
    if within is not None:
        terrain = _with_heights(terrain, np.where(within, terrain.heights_m, np.float32(np.nan)))
    lines = trace_contour_lines(terrain, interval_m, _MIN_LINE_POINTS)
    own_posts = np.asarray(own, np.bool_).reshape(-1)
    pieces: list[tuple[ContourLine, bool]] = []
    for line in lines:
        post, _ = find_nearest_posts(terrain, line.points_m[:, 0], line.points_m[:, 1])
        pieces += line.split(own_posts[post])
    return pieces


def assemble_surface(
    terrain: TerrainGrid, posts: PostGrid, ground_m: Singles, finished: FilledHeights, laying_m: Singles
) -> Surface:
    """Assemble a surface from the terrain at the posts and the heights over it.

    finished and laying_m both count from the terrain.
    """
    refined = TerrainGrid(
        heights_m=np.ascontiguousarray(ground_m + finished.dz_m, np.float32),
        origin_m=(posts.west_m, posts.north_m),
        post_spacing_m=(posts.spacing_m, posts.spacing_m),
        work_crs=terrain.work_crs,
        vertical_datum=terrain.vertical_datum,
        dem_id="",
    )
    refined = _with_heights(refined, refined.heights_m)
    return Surface(
        terrain=refined,
        support=finished.support,
        sigma_m=finished.sigma_m,
        terrain_sigma_m=finished.terrain_sigma_m,
        unagreed_sigma_m=finished.unagreed_sigma_m,
        cover_m=finished.cover_m,
        laying_m=np.asarray(ground_m + laying_m, np.float32),
    )


def _with_heights(terrain: TerrainGrid, heights_m: Singles) -> TerrainGrid:
    """Return the same posts with other heights.

    The id is derived from the heights and the position of the posts.
    """
    place = np.array([*terrain.origin_m, *terrain.post_spacing_m])
    digest = hashlib.sha256(place.tobytes() + np.ascontiguousarray(heights_m).tobytes())
    return replace(terrain, heights_m=heights_m, dem_id=f"surface:{digest.hexdigest()[:32]}")


def _straightened(heights_m: Singles) -> Singles:
    """Apply a narrow Gaussian; unknown posts stay unknown and affect no others."""
    known = np.isfinite(heights_m)
    if not known.any():
        return heights_m
    filled = heights_m if known.all() else pull_push(np.nan_to_num(heights_m), known)
    smooth = cv2.GaussianBlur(filled, (0, 0), _STRAIGHTEN_POSTS, borderType=cv2.BORDER_REPLICATE)
    return np.where(known, np.asarray(smooth, np.float32), np.float32(np.nan))
