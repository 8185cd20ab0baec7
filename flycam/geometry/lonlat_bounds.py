"""Bounds in longitude and latitude, as of flights and communes."""

from __future__ import annotations

import math

LonLatBox = tuple[float, float, float, float]
"""(west, south, east, north), degrees."""

_EARTH_M = 6_371_000.0
_ROUNDING_DEG = 1e-9


def compute_box_distance_m(one: LonLatBox, other: LonLatBox) -> float:
    """Return the distance between two bounds on a sphere, metres; 0 where they touch.

    From nearest corner to nearest corner, the shorter way round. Within 1 % over some hundreds of kilometres.
    """
    south, north = max(one[1], other[1]), min(one[3], other[3])
    # common parallels: the distance is shortest along the one nearest to a pole
    if south <= north:
        south = north = max(south, north, key=abs)
    lat_one, lat_other = math.radians(south), math.radians(north)
    lon = math.radians(_gap_deg(one[0::2], other[0::2]))
    haversine = (
        math.sin((lat_other - lat_one) / 2.0) ** 2
        + math.cos(lat_one) * math.cos(lat_other) * math.sin(lon / 2.0) ** 2
    )
    return 2.0 * _EARTH_M * math.asin(math.sqrt(min(haversine, 1.0)))


def _gap_deg(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return the gap between two intervals of longitudes, degrees."""
    eastward, westward = (other[0] - one[1]) % 360.0, (one[0] - other[1]) % 360.0
    whole = eastward + westward + (one[1] - one[0]) + (other[1] - other[0])
    # where they overlap, the two ways round add up to more than the circle
    is_apart = whole <= 360.0 + _ROUNDING_DEG
    return min(eastward, westward) if is_apart else 0.0
