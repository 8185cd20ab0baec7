"""Rectangles of longitudes and latitudes, as flights and communes have them."""

from __future__ import annotations

import math

LonLatBox = tuple[float, float, float, float]
"""(west, south, east, north), degrees."""

_EARTH_M = 6_371_000.0
_ROUNDING_DEG = 1e-9


def compute_box_distance_m(one: LonLatBox, other: LonLatBox) -> float:
    """Metres between two boxes, from nearest corner to nearest corner the shorter way round a sphere; 0 where
    they touch. Within 1 % over some hundreds of kilometres."""
    south, north = max(one[1], other[1]), min(one[3], other[3])
    if south <= north:  # on the same parallels: of these the shortest is the one nearest to a pole
        south = north = max(south, north, key=abs)
    lat_one, lat_other = math.radians(south), math.radians(north)
    lon = math.radians(_gap_deg(one[0::2], other[0::2]))
    haversine = (
        math.sin((lat_other - lat_one) / 2.0) ** 2
        + math.cos(lat_one) * math.cos(lat_other) * math.sin(lon / 2.0) ** 2
    )
    return 2.0 * _EARTH_M * math.asin(math.sqrt(min(haversine, 1.0)))


def _gap_deg(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Between two intervals of longitudes."""
    eastward, westward = (other[0] - one[1]) % 360.0, (one[0] - other[1]) % 360.0
    whole = eastward + westward + (one[1] - one[0]) + (other[1] - other[0])
    is_apart = whole <= 360.0 + _ROUNDING_DEG  # where they overlap both ways lead round the earth
    return min(eastward, westward) if is_apart else 0.0
