"""The one tile grid (Web Mercator, XYZ, 256-pixel tiles), box distances, and planar maps.

Ground metres per pixel are grid metres times cos(latitude). That is computed here and nowhere else.
Lengths and areas are never measured on this grid: they are measured in the work CRS.

Coordinates named `mercator` are EPSG:3857 metres. A *global pixel* (column, row) at zoom z counts from
the north-west corner of the world; its centre is at +0.5 of its corner (the half-pixel shift between
OpenCV's pixel centres at integers and GDAL's corners is written in `compute_pixel_centres` only).

Source of the formulas: OGC 17-083r4 (Two Dimensional Tile Matrix Set), WebMercatorQuad; Snyder, Map
Projections (USGS PP 1395), eqs. 7-1, 7-2, 7-4 for the sphere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILE_SIZE_PX = 256
SPHERE_RADIUS_M = 6378137.0
HALF_WORLD_M = math.pi * SPHERE_RADIUS_M
MAX_ZOOM = 26

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class TileId:
    """Address of one tile: zoom z, column x from the west, row y from the north."""

    z: int
    x: int
    y: int

    def parent(self) -> TileId:
        """Return the tile one zoom up that contains this one."""
        return TileId(z=self.z - 1, x=self.x >> 1, y=self.y >> 1)

    def children(self) -> tuple[TileId, TileId, TileId, TileId]:
        """Return the four tiles one zoom down.

        North-west, north-east, south-west, south-east.
        """
        z, x, y = self.z + 1, self.x << 1, self.y << 1
        return (
            TileId(z=z, x=x, y=y),
            TileId(z=z, x=x + 1, y=y),
            TileId(z=z, x=x, y=y + 1),
            TileId(z=z, x=x + 1, y=y + 1),
        )

    def __str__(self) -> str:
        return f"{self.z}/{self.x}/{self.y}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TileRange:
    """Rectangle of tiles of one zoom; `x_stop` and `y_stop` are exclusive."""

    z: int
    x_start: int
    y_start: int
    x_stop: int
    y_stop: int

    @property
    def shape_tiles(self) -> tuple[int, int]:
        """(rows, columns) in tiles."""
        return self.y_stop - self.y_start, self.x_stop - self.x_start

    @property
    def shape_px(self) -> tuple[int, int]:
        """(rows, columns) in pixels."""
        rows, cols = self.shape_tiles
        return rows * TILE_SIZE_PX, cols * TILE_SIZE_PX

    @property
    def is_empty(self) -> bool:
        return self.x_stop <= self.x_start or self.y_stop <= self.y_start

    def __iter__(self) -> Iterator[TileId]:
        """Yield tiles row by row from the north-west."""
        for y in range(self.y_start, self.y_stop):
            for x in range(self.x_start, self.x_stop):
                yield TileId(z=self.z, x=x, y=y)

    def __len__(self) -> int:
        rows, cols = self.shape_tiles
        return max(rows, 0) * max(cols, 0)

    def __contains__(self, tile: object) -> bool:
        return (
            isinstance(tile, TileId)
            and tile.z == self.z
            and self.x_start <= tile.x < self.x_stop
            and self.y_start <= tile.y < self.y_stop
        )

    def select(self, tiles: Collection[TileId]) -> set[TileId]:
        """Return those of `tiles` that lie inside; as many steps as the smaller of both has."""
        if len(tiles) < len(self):
            return {tile for tile in tiles if tile in self}
        return {tile for tile in self if tile in tiles}

    def window_px(self, tile: TileId) -> tuple[slice, slice]:
        """Return the (rows, columns) slices of `tile` inside an array of `shape_px`."""
        row = (tile.y - self.y_start) * TILE_SIZE_PX
        col = (tile.x - self.x_start) * TILE_SIZE_PX
        return slice(row, row + TILE_SIZE_PX), slice(col, col + TILE_SIZE_PX)

    def intersection(self, other: TileRange) -> TileRange:
        """Return the tiles in both ranges; may be empty.

        Raises ValueError if the zooms differ.
        """
        if self.z != other.z:
            raise ValueError(f"zooms differ: {self.z} and {other.z}")
        return TileRange(
            z=self.z,
            x_start=max(self.x_start, other.x_start),
            y_start=max(self.y_start, other.y_start),
            x_stop=min(self.x_stop, other.x_stop),
            y_stop=min(self.y_stop, other.y_stop),
        )


def make_tile_range(tile: TileId) -> TileRange:
    """Return the range that holds just `tile`."""
    return TileRange(z=tile.z, x_start=tile.x, y_start=tile.y, x_stop=tile.x + 1, y_stop=tile.y + 1)


def compute_tile_range(tiles: Collection[TileId]) -> TileRange:
    """Return the smallest range that holds tiles (one at least) of one zoom."""
    x, y = [tile.x for tile in tiles], [tile.y for tile in tiles]
    zoom = next(iter(tiles)).z
    return TileRange(z=zoom, x_start=min(x), y_start=min(y), x_stop=max(x) + 1, y_stop=max(y) + 1)


def compute_grid_pixel_m(z: int) -> float:
    """Return the side of a pixel at zoom `z` in grid (projected) metres."""
    return 2.0 * HALF_WORLD_M / float(TILE_SIZE_PX << z)


def compute_ground_pixel_m(z: int, lat_deg: float) -> float:
    """Return the side of a pixel at zoom `z` on the ground at `lat_deg`, metres."""
    return compute_grid_pixel_m(z) * math.cos(math.radians(lat_deg))


def choose_zoom(gsd_m: float, lat_deg: float) -> int:
    """Return the zoom whose ground pixel is nearest (in ratio) to `gsd_m`.

    Raises ValueError unless gsd_m > 0.
    """
    if not gsd_m > 0:
        raise ValueError(f"gsd_m must be positive, not {gsd_m}")
    exact = math.log2(compute_ground_pixel_m(0, lat_deg) / gsd_m)
    return min(max(round(exact), 0), MAX_ZOOM)


def lonlat_to_mercator(lonlat_deg: Floats) -> Floats:
    """Convert WGS 84 degrees (N×2: lon, lat) to EPSG:3857 metres (N×2)."""
    lonlat = np.asarray(lonlat_deg, dtype=np.float64)
    x = np.radians(lonlat[..., 0]) * SPHERE_RADIUS_M
    y = np.arctanh(np.sin(np.radians(lonlat[..., 1]))) * SPHERE_RADIUS_M
    return np.stack([x, y], axis=-1)


def mercator_to_lonlat(mercator_m: Floats) -> Floats:
    """Convert EPSG:3857 metres (N×2) to WGS 84 degrees (N×2: lon, lat)."""
    xy = np.asarray(mercator_m, dtype=np.float64)
    lon = np.degrees(xy[..., 0] / SPHERE_RADIUS_M)
    lat = np.degrees(np.arctan(np.sinh(xy[..., 1] / SPHERE_RADIUS_M)))
    return np.stack([lon, lat], axis=-1)


def get_range_bounds(tiles: TileRange) -> Bounds:
    """Return (west, south, east, north) of the outer pixel edges, EPSG:3857 metres."""
    side = compute_grid_pixel_m(tiles.z) * TILE_SIZE_PX
    return (
        tiles.x_start * side - HALF_WORLD_M,
        HALF_WORLD_M - tiles.y_stop * side,
        tiles.x_stop * side - HALF_WORLD_M,
        HALF_WORLD_M - tiles.y_start * side,
    )


def get_tile_bounds(tile: TileId) -> Bounds:
    """Return (west, south, east, north) of the outer pixel edges, EPSG:3857 metres."""
    return get_range_bounds(make_tile_range(tile))


def find_range_for_bounds(z: int, bounds_m: Bounds) -> TileRange:
    """Return the tiles of zoom `z` that touch bounds (west, south, east, north).

    Bounds in EPSG:3857.
    """
    west, south, east, north = bounds_m
    side = compute_grid_pixel_m(z) * TILE_SIZE_PX
    last = (1 << z) - 1

    def clamp(value: float) -> int:
        return min(max(math.floor(value), 0), last)

    return TileRange(
        z=z,
        x_start=clamp((west + HALF_WORLD_M) / side),
        y_start=clamp((HALF_WORLD_M - north) / side),
        x_stop=clamp((east + HALF_WORLD_M) / side) + 1,
        y_stop=clamp((HALF_WORLD_M - south) / side) + 1,
    )


def get_parent_range(tiles: TileRange) -> TileRange:
    """Return the tiles one zoom up that cover `tiles`."""
    return TileRange(
        z=tiles.z - 1,
        x_start=tiles.x_start >> 1,
        y_start=tiles.y_start >> 1,
        x_stop=(tiles.x_stop + 1) >> 1,
        y_stop=(tiles.y_stop + 1) >> 1,
    )


def find_tile_at(z: int, mercator_m: tuple[float, float]) -> tuple[TileId, int, int]:
    """Return the tile, and (row, column) in it, of the pixel at an EPSG:3857 point."""
    res = compute_grid_pixel_m(z)
    last = (TILE_SIZE_PX << z) - 1
    col = min(max(math.floor((mercator_m[0] + HALF_WORLD_M) / res), 0), last)
    row = min(max(math.floor((HALF_WORLD_M - mercator_m[1]) / res), 0), last)
    tile = TileId(z=z, x=col // TILE_SIZE_PX, y=row // TILE_SIZE_PX)
    return tile, row % TILE_SIZE_PX, col % TILE_SIZE_PX


def compute_pixel_centres(tiles: TileRange, rows_px: Floats, cols_px: Floats) -> Floats:
    """Return EPSG:3857 metres of array positions in a raster of `tiles.shape_px`.

    `rows_px` and `cols_px` are array positions with pixel centres at integers (any equal shape S);
    returns S×2 (x, y). Array position -0.5 is the outer edge of the range.
    """
    res = compute_grid_pixel_m(tiles.z)
    x = -HALF_WORLD_M + (tiles.x_start * TILE_SIZE_PX + np.asarray(cols_px) + 0.5) * res
    y = HALF_WORLD_M - (tiles.y_start * TILE_SIZE_PX + np.asarray(rows_px) + 0.5) * res
    return np.stack([x, y], axis=-1)


def order_along_morton_curve(rows: Indices, cols: Indices) -> Indices:
    """Return the order of non-negative rows and columns along Morton's curve.

    Neighbours come together, and each quadrant of a pyramid after the other.
    """
    return np.argsort(_spread_bits(rows) << 1 | _spread_bits(cols), kind="stable")


def _spread_bits(value: Indices) -> Indices:
    spread = np.zeros_like(value)
    for bit in range(24):
        spread |= (value >> bit & 1) << 2 * bit
    return spread


# -- Distance between bounds in longitude and latitude, as of flights and communes -----------------


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
    total = eastward + westward + (one[1] - one[0]) + (other[1] - other[0])
    # where they overlap, the two ways round add up to more than the circle
    is_apart = total <= 360.0 + _ROUNDING_DEG
    return min(eastward, westward) if is_apart else 0.0


# -- Polynomial maps between the grid and other planes ---------------------------------------------
#
# Fitted once per flight, evaluated on every lattice. Between Web Mercator and a transverse Mercator zone a
# low-degree polynomial is exact to far less than a millimetre over a flight, and a hundred times cheaper than
# the projection itself. The residual is measured on points that were not used in the fit, and is kept with
# the map.


_DEGREES = (3, 5, 7)
_FIT_POINTS = 16
_CHECK_POINTS = 23


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanarMap:
    """Polynomial map of the plane, valid inside `bounds`.

    bounds        (xmin, ymin, xmax, ymax) in source units; outside them the map is not reliable
    coefficients  2×(d+1)×(d+1): target = sum c[k, i, j] s^i t^j with s, t the source coordinates scaled
                  to [-1, 1] over `bounds`
    residual_m    largest error at the check points, target units
    """

    bounds: Bounds
    coefficients: Floats
    residual_m: float

    def __call__(self, source: Floats) -> Floats:
        """Map points of any shape S×2 to S×2."""
        source = np.asarray(source, dtype=np.float64)
        s, t = _normalised(source, self.bounds)
        return np.stack([np.polynomial.polynomial.polyval2d(s, t, c) for c in self.coefficients], -1)

    def grid(self, x: Floats, y: Floats) -> Floats:
        """Map the grid of N abscissae and M ordinates to M×N×2.

        Much faster than M·N single points. Horner's scheme element by element and not a matrix product: the
        same abscissa and ordinate give the same bits in any grid.
        """
        return np.stack(self.mesh(np.asarray(x)[None, :], np.asarray(y)[:, None]), -1)

    def mesh(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Map abscissae and ordinates of shapes that broadcast, e.g. T×1×N and T×M×1."""
        xmin, ymin, xmax, ymax = self.bounds
        s = (2.0 * x - xmin - xmax) / (xmax - xmin)
        t = (2.0 * y - ymin - ymax) / (ymax - ymin)
        first, second = (_horner(c, s, t) for c in self.coefficients)
        return first, second


def fit_planar_map(
    transform: Callable[[Floats], Floats], bounds: Bounds, tolerance_m: float = 1e-3
) -> PlanarMap:
    """Fit `transform` over `bounds` with the lowest degree that meets `tolerance_m`.

    transform maps N×2 to N×2. Chebyshev nodes for the fit, a denser regular grid (edges included) for the
    check. Raises ValueError if no degree meets the tolerance: the region is too large for one map.
    """
    fit_xy = _grid_points(bounds, np.cos(np.pi * (np.arange(_FIT_POINTS) + 0.5) / _FIT_POINTS))
    check_xy = _grid_points(bounds, np.linspace(-1.0, 1.0, _CHECK_POINTS))
    fit_target, check_target = transform(fit_xy), transform(check_xy)
    residual = float("inf")
    for degree in _DEGREES:
        s, t = _normalised(fit_xy, bounds)
        design = np.polynomial.polynomial.polyvander2d(s, t, [degree, degree])
        solution, *_ = np.linalg.lstsq(design, fit_target, rcond=None)
        coefficients = np.asarray(solution.T.reshape(2, degree + 1, degree + 1), dtype=np.float64)
        trial = PlanarMap(bounds=bounds, coefficients=coefficients, residual_m=0.0)
        residual = float(np.abs(trial(check_xy) - check_target).max())
        if residual <= tolerance_m:
            return PlanarMap(bounds=bounds, coefficients=coefficients, residual_m=residual)
    raise ValueError(f"no polynomial meets {tolerance_m} m over {bounds}: residual {residual:.3g} m")


def _normalised(source: Floats, bounds: Bounds) -> tuple[Floats, Floats]:
    xmin, ymin, xmax, ymax = bounds
    s = (2.0 * source[..., 0] - xmin - xmax) / (xmax - xmin)
    t = (2.0 * source[..., 1] - ymin - ymax) / (ymax - ymin)
    return s, t


def _horner(coefficients: Floats, s: Floats, t: Floats) -> Floats:
    """Return the sum of c[i, j] s^i t^j for s and t that broadcast.

    Degree 1 at least.
    """
    factors = []
    for of_t in coefficients[::-1]:
        factor = of_t[-1] * t + of_t[-2]
        for c in of_t[-3::-1]:
            factor = factor * t + c
        factors.append(factor)
    value: Floats = factors[0] * s
    value += factors[1]
    for factor in factors[2:]:
        value *= s
        value += factor
    return value


def _grid_points(bounds: Bounds, nodes: Floats) -> Floats:
    xmin, ymin, xmax, ymax = bounds
    x = (xmin + xmax + nodes * (xmax - xmin)) / 2.0
    y = (ymin + ymax + nodes * (ymax - ymin)) / 2.0
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
