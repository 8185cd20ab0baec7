"""Lines of the VN-2000 grid over a piece of ground, as printed maps carry them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from flycam.geodata.crs import WGS84, transform_points

Floats = NDArray[np.float64]

# of each side: a side of the sheet is no straight line in the grid
_EDGE_POINTS = 9
_LINE_POINTS = 17
# lines across the shorter side, about; across the longer side, at most
_MIN_LINES, _MAX_LINES = 4, 24
_MIN_STEP_M = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GridLine:
    """A line on which one coordinate has one value.

    axis       "x" where X (north) is constant, "y" where Y (east) is, as on Vietnamese sheets
    value_m    that coordinate, a multiple of the step
    lonlat     (n, 2) WGS 84 degrees, from south to north or from west to east
    """

    axis: Literal["x", "y"]
    value_m: float
    lonlat: Floats


def compute_grid_lines(
    bounds: tuple[float, float, float, float], zone_crs: str
) -> tuple[float, list[GridLine]]:
    """Compute the grid step and the lines that cross `bounds`.

    The step is in metres: 1, 2 or 5 times a power of ten.

    bounds    west, south, east, north in WGS 84 degrees
    zone_crs  a zone of VN-2000

    Lines reach a little beyond the bounds, for the grid is rotated against them. Raises CrsMissing where the
    zone cannot be transformed from WGS 84.
    """
    around = transform_points(_edge(bounds), WGS84, zone_crs)
    (west, south), (east, north) = around.min(axis=0), around.max(axis=0)
    step_m = _step_m(east - west, north - south)
    y_m, x_m = _multiples(west, east, step_m), _multiples(south, north, step_m)
    along_x, along_y = np.linspace(south, north, _LINE_POINTS), np.linspace(west, east, _LINE_POINTS)
    upright = np.stack(np.broadcast_arrays(y_m[:, None], along_x), axis=-1)
    level = np.stack(np.broadcast_arrays(along_y, x_m[:, None]), axis=-1)
    points = np.concatenate([upright, level]).reshape(-1, 2)
    lonlat = transform_points(points, zone_crs, WGS84).reshape(-1, _LINE_POINTS, 2)
    named: list[tuple[Literal["x", "y"], float]] = [("y", value) for value in y_m.tolist()]
    named += [("x", value) for value in x_m.tolist()]
    lines = [
        GridLine(axis=axis, value_m=value, lonlat=line)
        for (axis, value), line in zip(named, lonlat, strict=True)
    ]
    return step_m, lines


def _edge(bounds: tuple[float, float, float, float]) -> Floats:
    west, south, east, north = bounds
    lon, lat = np.linspace(west, east, _EDGE_POINTS), np.linspace(south, north, _EDGE_POINTS)
    lon_at = np.concatenate([lon, lon, np.full_like(lat, west), np.full_like(lat, east)])
    lat_at = np.concatenate([np.full_like(lon, south), np.full_like(lon, north), lat, lat])
    return np.stack([lon_at, lat_at], axis=-1)


def _step_m(width_m: float, height_m: float) -> float:
    """Return the largest round step with enough lines across the shorter side.

    Larger where the longer side would have too many.
    """
    shorter, longer = sorted((width_m, height_m))
    step_m = max(_MIN_STEP_M, _round_down(shorter / _MIN_LINES))
    while longer / step_m > _MAX_LINES:
        step_m = _round_down(step_m * 2.5)
    return step_m


def _round_down(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value)) if value > 0.0 else 1.0
    return power * max(one for one in (1.0, 2.0, 5.0) if one <= value / power or one == 1.0)


def _multiples(least: float, most: float, step: float) -> Floats:
    return step * np.arange(math.ceil(least / step), math.floor(most / step) + 1, dtype=np.float64)
