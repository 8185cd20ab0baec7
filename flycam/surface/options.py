"""Options of a surface refinement, with the values that measured best."""

from __future__ import annotations

from dataclasses import dataclass


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
