"""Land of the synthetic valley: cell windows, noise, shape and land cover.

The valley has a river, a flat floor, a 45° side with a cliff, a terraced side, ridges. Everything is a
formula of the place and the seed, evaluated on a 2 m lattice and interpolated to finer cells by cubic
B-splines. Valley coordinates: `along` runs downstream, `across` to the left of it, metres from the centre of
the drill.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

# -- Rectangles of the synthetic world's cells, addressed by absolute cell numbers -----------------
#
# Cell (i, j) has its centre at east = i * cell_m, north = j * cell_m of the work CRS in every window: two
# windows that overlap show the same ground.


Floats = NDArray[np.floating]
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class CellWindow:
    """A window of cells; rows run south, columns run east.

    cell_m      side of a cell, metres
    west_cell   absolute number of column 0
    north_cell  absolute number of row 0
    shape       (rows, columns)
    """

    cell_m: float
    west_cell: int
    north_cell: int
    shape: tuple[int, int]

    @property
    def eastings(self) -> Floats:
        """Eastings of the columns' centres, shape (columns,)."""
        return (self.west_cell + np.arange(self.shape[1])) * self.cell_m

    @property
    def northings(self) -> Floats:
        """Northings of the rows' centres, descending, shape (rows,)."""
        return (self.north_cell - np.arange(self.shape[0])) * self.cell_m

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """GDAL affine (a, b, c, d, e, f): pixel corner (column, row) to (east, north)."""
        west = (self.west_cell - 0.5) * self.cell_m
        north = (self.north_cell + 0.5) * self.cell_m
        return (self.cell_m, 0.0, west, 0.0, -self.cell_m, north)

    @property
    def bounds(self) -> Bounds:
        """(west, south, east, north) of the outermost centres."""
        return (
            self.west_cell * self.cell_m,
            (self.north_cell - self.shape[0] + 1) * self.cell_m,
            (self.west_cell + self.shape[1] - 1) * self.cell_m,
            self.north_cell * self.cell_m,
        )

    def to_cells(self, east: Floats, north: Floats) -> tuple[Floats, Floats]:
        """Return (column, row) positions, centres at integers, of points of any shape."""
        return east / self.cell_m - self.west_cell, self.north_cell - north / self.cell_m

    def band(self, start: int, stop: int) -> CellWindow:
        """Return rows start to stop (exclusive) of this window."""
        rows = min(stop, self.shape[0]) - start
        return CellWindow(
            cell_m=self.cell_m,
            west_cell=self.west_cell,
            north_cell=self.north_cell - start,
            shape=(rows, self.shape[1]),
        )


def make_cell_window(bounds: Bounds, cell_m: float) -> CellWindow:
    """Return the smallest window whose outermost centres enclose `bounds`.

    bounds  (west, south, east, north)
    """
    west, south, east, north = bounds
    first, last = math.floor(west / cell_m), math.ceil(east / cell_m)
    top, bottom = math.ceil(north / cell_m), math.floor(south / cell_m)
    return CellWindow(
        cell_m=cell_m, west_cell=first, north_cell=top, shape=(top - bottom + 1, last - first + 1)
    )


# -- Noise tied to places, the same in every window ------------------------------------------------
#
# Integer hash: the "lowbias32" mixer (Chris Wellons, public domain constants). Smooth fields: uniform cubic
# B-splines over a lattice of absolute positions (de Boor, A Practical Guide to Splines), so that a field is
# twice continuously differentiable and independent of the window.

Doubles = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.signedinteger]

_CHUNK_COLUMNS = 256
_GRAIN_CELLS = 1024
# a bicubic B-spline of uniform [-1, 1] numbers has a standard deviation of about 0.28
_NORMALISE = 3.5
# rows of the noise this far apart are independent
_ROW_SPACING = 1e4


def hash_unit(i: Ints, j: Ints, seed: int, name: str) -> Doubles:
    """Return uniform numbers in [0, 1) for integer places (i, j) of any equal shape.

    name  separates the uses
    """
    salt = (zlib.crc32(name.encode()) ^ (seed * 0x9E3779B1)) & 0xFFFFFFFF
    x = (i.astype(np.uint64) * np.uint64(0x85EBCA6B) + j.astype(np.uint64) * np.uint64(0xC2B2AE35)).astype(
        np.uint32
    ) ^ np.uint32(salt)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return (x ^ (x >> np.uint32(16))).astype(np.float64) / 4294967296.0


def hash_table(i: Ints, j: Ints, seed: int, name: str) -> Singles:
    """Return `hash_unit` for many cells that share few places.

    Hashes the range of (i, j) once, then looks up.
    """
    low_i, low_j = int(i.min()), int(j.min())
    table = hash_unit(
        *np.meshgrid(np.arange(low_i, int(i.max()) + 1), np.arange(low_j, int(j.max()) + 1), indexing="ij"),
        seed,
        name,
    ).astype(np.float32)
    return table[i - low_i, j - low_j]


def compute_lattice_span(coords: Floats, step: float) -> tuple[int, int]:
    """Return first lattice number and node count of a spline over `coords` (1-D)."""
    first = int(np.floor(coords.min() / step)) - 1
    last = int(np.floor(coords.max() / step)) + 2
    return first, last - first + 1


def interpolate_spline(
    lattice: Singles, first: tuple[int, int], step: float, east: Floats, north: Floats
) -> Singles:
    """Evaluate a cubic B-spline on a grid, len(north)×len(east) float32.

    lattice  coefficients, north nodes × east nodes; must hold the nodes of `compute_lattice_span`
    first    absolute numbers (north, east) of lattice[0, 0]; node n is at n * step
    east     ascending
    """
    index_n, weights_n = _taps(north / step - first[0])
    index_e, weights_e = _taps(east / step - first[1])
    rows = np.zeros((len(north), lattice.shape[1]), np.float32)
    for k in range(4):
        rows += weights_n[:, k, None] * lattice[index_n + k]
    out = np.empty((len(north), len(east)), np.float32)
    # a few hundred columns depend on a few dozen nodes: a small dense product is faster than four gathers
    for start in range(0, len(east), _CHUNK_COLUMNS):
        columns = slice(start, start + _CHUNK_COLUMNS)
        index, weights = index_e[columns], weights_e[columns]
        low, high = int(index[0]), int(index[-1]) + 4
        matrix = np.zeros((high - low, len(index)), np.float32)
        for k in range(4):
            matrix[index - low + k, np.arange(len(index))] += weights[:, k]
        np.matmul(rows[:, low:high], matrix, out=out[:, columns])
    return out


def generate_smooth_noise(east: Floats, north: Floats, wavelength_m: float, seed: int, name: str) -> Singles:
    """Return smooth noise of mean 0 and standard deviation about 1 on a grid.

    Shape len(north)×len(east).
    """
    step = wavelength_m / 2.0
    first_n, count_n = compute_lattice_span(north, step)
    first_e, count_e = compute_lattice_span(east, step)
    j, i = np.meshgrid(first_n + np.arange(count_n), first_e + np.arange(count_e), indexing="ij")
    values = ((hash_unit(i, j, seed, name) * 2.0 - 1.0) * _NORMALISE).astype(np.float32)
    return interpolate_spline(values, (first_n, first_e), step, east, north)


def generate_temporal_noise(
    time_s: Floats, wavelength_s: float, sigmas: tuple[float, ...], seed: int, name: str
) -> Doubles:
    """Return smooth noise at ascending times (N), one column a sigma: N×len(sigmas)."""
    columns = [
        sigma * generate_smooth_noise(time_s, np.array([_ROW_SPACING * k]), wavelength_s, seed, name)[0]
        for k, sigma in enumerate(sigmas)
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def generate_white_noise(
    west_cell: int, north_cell: int, shape: tuple[int, int], seed: int, name: str
) -> Singles:
    """Return white noise of standard deviation 1 per cell, float32 of `shape`.

    It repeats every 1,024 cells.
    """
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    tile = generator.standard_normal((_GRAIN_CELLS, _GRAIN_CELLS), dtype=np.float32)
    rows = (north_cell - np.arange(shape[0])) % _GRAIN_CELLS
    cols = (west_cell + np.arange(shape[1])) % _GRAIN_CELLS
    return tile[np.ix_(rows, cols)]


def _taps(position: Floats) -> tuple[NDArray[np.intp], Singles]:
    base = np.floor(position).astype(np.intp)
    t = position - base
    weights = np.stack(
        [
            (1 - t) ** 3,
            3 * t**3 - 6 * t**2 + 4,
            -3 * t**3 + 3 * t**2 + 3 * t + 1,
            t**3,
        ],
        axis=-1,
    )
    return base - 1, np.asarray(weights / 6.0, np.float32)


# -- Shape of the valley ---------------------------------------------------------------------------


WORK_CRS = "EPSG:32648"
VERTICAL_DATUM = "EGM96"
CENTRE_M = (479_400.0, 2_421_800.0)
RIVER_HEIGHT_M = 140.0
RIVER_SLOPE = 0.011
RIVER_HALF_WIDTH_M = 7.0
FIELD_STEP_M = 2.0
_NOMINAL_RELIEF_M = 180.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Valley:
    """A valley, chosen by `seed`.

    relief_m  height of its sides above the river
    """

    seed: int
    relief_m: float = _NOMINAL_RELIEF_M

    @property
    def azimuth_rad(self) -> float:
        """Azimuth of the downstream direction, clockwise from grid north."""
        turn = float(hash_unit(np.array([7]), np.array([7]), self.seed, "azimuth")[0])
        return math.radians(45.0 + 35.0 * turn)

    def to_valley(self, east: Floats, north: Floats) -> tuple[Floats, Floats]:
        """Return (along, across) of work-CRS points of any equal shape."""
        x, y = east - CENTRE_M[0], north - CENTRE_M[1]
        sine, cosine = math.sin(self.azimuth_rad), math.cos(self.azimuth_rad)
        return x * sine + y * cosine, y * sine - x * cosine

    def to_work_crs(self, along: Floats, across: Floats) -> tuple[Floats, Floats]:
        """Return (east, north) of valley coordinates: the inverse of `to_valley`."""
        sine, cosine = math.sin(self.azimuth_rad), math.cos(self.azimuth_rad)
        return CENTRE_M[0] + along * sine - across * cosine, CENTRE_M[1] + along * cosine + across * sine

    def river_across(self, along: Floats) -> Floats:
        """Return `across` of the river's middle."""
        phase = 2.0 * math.pi * float(hash_unit(np.array([1]), np.array([2]), self.seed, "river")[0])
        return np.asarray(26.0 * np.sin(along / 78.0 + phase) + 9.0 * np.sin(along / 29.0 + 2.0 * phase))

    def river_height(self, along: Floats) -> Floats:
        """Return the water level before the storm, metres."""
        return RIVER_HEIGHT_M - RIVER_SLOPE * along


@dataclass(frozen=True, kw_only=True, slots=True)
class ValleyFields:
    """Smooth fields on the 2 m lattice.

    first  absolute number (north, east) of node [0, 0]
    """

    valley: Valley
    first: tuple[int, int]
    values: dict[str, Singles]

    def interpolate(self, name: str, east: Floats, north: Floats) -> Singles:
        """Interpolate field `name` on the grid of 1-D coordinates, len(north)×len(east)."""
        return interpolate_spline(self.values[name], self.first, FIELD_STEP_M, east, north)

    def sample(self, name: str, east: Floats, north: Floats) -> Floats:
        """Return field `name` at scattered points, by nearest node.

        For choosing places, not for geometry.
        """
        field = self.values[name]
        row = np.clip(np.rint(north / FIELD_STEP_M).astype(int) - self.first[0], 0, field.shape[0] - 1)
        col = np.clip(np.rint(east / FIELD_STEP_M).astype(int) - self.first[1], 0, field.shape[1] - 1)
        return np.asarray(field[row, col], np.float64)

    def with_values(self, **more: NDArray[np.float32]) -> ValleyFields:
        """Return a copy with more fields."""
        return ValleyFields(valley=self.valley, first=self.first, values={**self.values, **more})

    @property
    def node_coordinates(self) -> tuple[Floats, Floats]:
        """1-D eastings and (rising) northings of the nodes."""
        rows, cols = self.values["height"].shape
        return (
            (self.first[1] + np.arange(cols)) * FIELD_STEP_M,
            (self.first[0] + np.arange(rows)) * FIELD_STEP_M,
        )


def build_valley_fields(valley: Valley, bounds: tuple[float, float, float, float]) -> ValleyFields:
    """Build fields over `bounds` (west, south, east, north) with a margin.

    height  smooth ground before terraces, embankments and the storm, metres
    slope   tangent of its steepest slope
    river   distance from the river's middle, positive to the left
    left, right  distance beyond the foot of either slope, positive on the slope
    """
    west, south, east, north = bounds
    first_e, count_e = compute_lattice_span(np.array([west - 8.0, east + 8.0]), FIELD_STEP_M)
    first_n, count_n = compute_lattice_span(np.array([south - 8.0, north + 8.0]), FIELD_STEP_M)
    easts = (first_e + np.arange(count_e)) * FIELD_STEP_M
    norths = (first_n + np.arange(count_n)) * FIELD_STEP_M
    along, across = valley.to_valley(easts[None, :], norths[:, None])

    def noise(wavelength: float, name: str) -> Singles:
        return generate_smooth_noise(easts, norths, wavelength, valley.seed, name)

    river = across - valley.river_across(along)
    left = river - (44.0 + 7.0 * noise(170.0, "left foot")) + 16.0 * noise(120.0, "spurs")
    right = -river - (66.0 + 9.0 * noise(190.0, "right foot")) + 13.0 * noise(150.0, "knolls")
    # the valley floor's height above the water: bed, banks, gentle rise
    distance = np.abs(river)
    bank = np.clip((distance - 0.8 * RIVER_HALF_WIDTH_M) / 9.0, 0.0, 1.0)
    floor = -0.9 + 3.1 * bank * bank * (3.0 - 2.0 * bank) + 0.016 * np.minimum(distance, 90.0)
    scale = valley.relief_m / _NOMINAL_RELIEF_M
    foot_of_cliff, cliff = 84.0 * scale, 42.0 * scale
    cliff_here = 0.15 + 0.85 / (1.0 + np.exp(-1.5 - 2.6 * noise(210.0, "cliff")))
    steep = (
        _bend(left, 0.0, 1.0, 3.5)
        + _bend(left, foot_of_cliff, -0.85, 3.0)
        + _bend(left, foot_of_cliff + 40.0, 0.25, 12.0)
        + _bend(left, foot_of_cliff + 150.0, -0.75, 25.0)
        + _bend(left, foot_of_cliff + 310.0, 0.35, 25.0)
        + cliff * cliff_here / (1.0 + np.exp(np.clip((foot_of_cliff + 9.0 - left) / 1.5, -60.0, 60.0)))
    )
    gentle = scale * (
        _bend(right, 0.0, 0.27, 6.0)
        + _bend(right, 120.0, 0.38, 14.0)
        + _bend(right, 265.0, -1.1, 25.0)
        + _bend(right, 405.0, 0.45, 25.0)
    )
    rise = steep + gentle
    rough = np.clip(rise / 35.0, 0.0, 1.0) * np.clip(scale, 0.4, 2.0)
    ravines = np.sqrt(noise(85.0, "ravines") ** 2 + 0.12)
    waves = (
        3.5 * noise(125.0, "hills")
        + 6.0 * ravines
        - 5.0
        + 1.8 * noise(46.0, "gullies")
        + 0.5 * noise(24.0, "hummocks")
    )
    height = valley.river_height(along) + np.asarray(floor) + np.asarray(rise + rough * waves)
    gradient_n, gradient_e = np.gradient(height, FIELD_STEP_M)
    values = {
        "height": height,
        "slope": np.hypot(gradient_n, gradient_e),
        "river": river,
        "left": left,
        "right": right,
    }
    return ValleyFields(
        valley=valley, first=(first_n, first_e), values={k: v.astype(np.float32) for k, v in values.items()}
    )


def _bend(x: Floats, at: float, change: float, width: float) -> Floats:
    """Return heights whose slope changes by `change` at `at`, rounded over `width`.

    An integral of a logistic step.
    """
    return np.asarray(change * width * np.logaddexp(0.0, (x - at) / width))


# -- Land cover of the synthetic valley, cell by cell ----------------------------------------------
#
# The classes follow the smooth fields (distance to the river, to the foot of a slope, steepness) with a
# ragged edge; parcels, terraces and rows of tea come from contours and valley coordinates.


Bools = NDArray[np.bool_]
Reals = TypeVar("Reals", Floats, Singles)

TERRACE_STEP_M = 1.3
ROAD_WIDTH_M = 5.0


class LandCover(IntEnum):
    """Land cover of a cell; the numbers are those of truth/cover.tif."""

    FOREST = 1
    SCRUB = 2
    PADDY = 3
    TERRACE = 4
    RISER = 5
    PLOUGHED = 6
    MAIZE = 7
    TEA = 8
    ROAD = 9
    TRACK = 10
    YARD = 11
    WATER = 12
    GRAVEL = 13
    ROCK = 14
    GARDEN = 15
    BUND = 16
    ROOF = 17
    CROWN = 18
    SCAR = 19
    FLOOD = 20
    CUTTING = 21


@dataclass(frozen=True, kw_only=True, slots=True)
class BareGround:
    """Bare ground of one band of cells, all arrays rows×columns.

    height  metres, terraces and embankments included
    cover   LandCover numbers, uint8
    parcel  a number in [0, 1) that is the same all over one parcel of land
    """

    height: Singles
    cover: NDArray[np.uint8]
    parcel: Singles


def build_bare_ground(fields: ValleyFields, window: CellWindow) -> BareGround:
    """Build height, cover and parcels of the cells of `window`, without objects."""
    east, north = window.eastings, window.northings
    seed = fields.valley.seed
    height = fields.interpolate("height", east, north)
    slope, river = fields.interpolate("slope", east, north), fields.interpolate("river", east, north)
    left, right = fields.interpolate("left", east, north), fields.interpolate("right", east, north)
    ragged = generate_smooth_noise(east, north, 9.0, seed, "ragged") + generate_smooth_noise(
        east, north, 3.0, seed, "frayed"
    )
    broad = generate_smooth_noise(east, north, 75.0, seed, "patches")
    along, across = (a.astype(np.float32) for a in fields.valley.to_valley(east[None, :], north[:, None]))

    cover = np.full(window.shape, LandCover.SCRUB, np.uint8)
    cover[(left > 2 + 1.5 * ragged) | (right > 165 + 25 * broad + 3 * ragged)] = LandCover.FOREST
    cover[(left > 95) & (slope < 0.45) & (broad + 0.1 * ragged > 0.4)] = LandCover.MAIZE
    cover[(left > 95) & (slope < 0.45) & (broad + 0.1 * ragged < -0.9)] = LandCover.PLOUGHED

    slope_side = (right > 3) & (right < 165 + 25 * broad + 3 * ragged)
    terraced = slope_side & (slope < 0.5) & (broad < 0.75 + 0.05 * ragged)
    cover[slope_side & (broad >= 0.75 + 0.05 * ragged)] = LandCover.TEA
    ploughed, _ = _plots(along, across, seed, "hill fields", (46.0, 27.0))
    upper = slope_side & (right > 95 + 12 * broad) & ((broad < -0.35) | (slope >= 0.5))
    cover[upper] = np.where(ploughed[upper] < 0.5, LandCover.PLOUGHED, LandCover.MAIZE)
    terraced &= ~upper
    height, terrace_cover, terrace_parcel = _terraces(height, terraced, along, seed)
    cover[terraced] = terrace_cover[terraced]

    floor = (left <= 2 + 1.5 * ragged) & (right <= 3) & (np.abs(river) > 16.0)
    paddy, plot_edge = _plots(along, across, seed, "paddies", (31.0, 17.0))
    cover[floor] = np.where(plot_edge[floor] < 0.45, LandCover.BUND, LandCover.PADDY)
    parcel = np.where(terraced, terrace_parcel, np.where(floor, paddy, ploughed)).astype(np.float32)
    stepped = floor & (right < -17.0)
    height = height + np.where(stepped, 0.25 * (np.floor(paddy * 3.0) - 1.0), 0.0).astype(np.float32)

    cover[slope > 1.45 + 0.12 * ragged] = LandCover.ROCK
    cover[np.abs(river) < 15.0 + 2.5 * ragged] = LandCover.GRAVEL
    cover[(np.abs(river) >= 12.5 + 2.0 * ragged) & (np.abs(river) < 18.0 + ragged)] = LandCover.SCRUB
    height, cover = _roads(fields, window, height, cover, ragged)
    water = np.asarray(fields.valley.river_height(along), np.float32)
    wet = (height < water) & (np.abs(river) < 2.0 * RIVER_HALF_WIDTH_M)
    cover[wet] = LandCover.WATER
    return BareGround(height=np.where(wet, water, height), cover=cover, parcel=parcel)


def compute_road_distance(right: Reals) -> Reals:
    """Return the distance from the road's middle, positive uphill.

    The road follows the foot of the terraced side.
    """
    return right + 9.0


def _terraces(
    height: Singles, where: Bools, along: Singles, seed: int
) -> tuple[Singles, NDArray[np.uint8], Singles]:
    """Return heights, cover and parcels of terraces: level treads, steep risers.

    They follow the contours.
    """
    steps = height / TERRACE_STEP_M
    tread = np.floor(steps)
    part = steps - tread
    rise = np.clip((part - 0.72) / 0.28, 0.0, 1.0)
    terraced = TERRACE_STEP_M * (tread + rise * rise * (3.0 - 2.0 * rise)) + 0.1
    cover = np.where(part > 0.74, LandCover.RISER, LandCover.TERRACE).astype(np.uint8)
    level = tread.astype(np.int32)
    shift = 60.0 * hash_table(level, np.zeros_like(level), seed, "shift")
    piece = np.floor((along + shift) / 38.0).astype(np.int32)
    parcel = hash_table(level // 2, piece, seed, "terrace")
    return np.where(where, terraced, height).astype(np.float32), cover, parcel


def _plots(
    along: Singles, across: Singles, seed: int, name: str, size_m: tuple[float, float]
) -> tuple[Singles, Singles]:
    """Return (plot number, distance to its edge in metres) of rectangular plots.

    The number is in [0, 1). The plots of `size_m` (length, breadth) form a gently bent brickwork.
    """
    length, breadth = size_m
    v = (across + 6.0 * np.sin(along / 57.0)) / breadth
    row = np.floor(v)
    number_v = row.astype(np.int32)
    offset = hash_table(number_v, np.zeros_like(number_v), seed, name)
    u = (along + 4.0 * np.sin(across / 23.0)) / length + offset
    col = np.floor(u)
    number = hash_table(col.astype(np.int32), number_v, seed, name + " plot")
    u -= col
    v -= row
    edge = np.minimum(np.minimum(u, 1.0 - u) * length, np.minimum(v, 1.0 - v) * breadth)
    return number, edge


def _roads(
    fields: ValleyFields, window: CellWindow, height: Singles, cover: NDArray[np.uint8], ragged: Singles
) -> tuple[Singles, NDArray[np.uint8]]:
    """Add a paved road along the foot of the slope and a track up the terraces.

    The road is on a low bank. Returns (height, cover).
    """
    east, north = window.eastings, window.northings
    along, _ = fields.valley.to_valley(east[None, :], north[:, None])
    right = fields.interpolate("right", east, north)
    middle = np.abs(compute_road_distance(right))
    bank = np.clip((7.0 - middle) / 4.0, 0.0, 1.0).astype(np.float32)
    height = height + 0.9 * bank * bank * (3.0 - 2.0 * bank)
    cover[(middle < 6.5 + 0.6 * ragged) & (middle >= ROAD_WIDTH_M / 2)] = LandCover.SCRUB
    cover[(middle < 3.4 + 0.25 * ragged) & (middle >= ROAD_WIDTH_M / 2)] = LandCover.TRACK
    cover[middle < ROAD_WIDTH_M / 2] = LandCover.ROAD
    winding = along + 75.0 * np.sin(right / 24.0) - 20.0
    steepness = np.sqrt(1.0 + (75.0 / 24.0 * np.cos(right / 24.0)) ** 2)
    on_track = (np.abs(winding) / steepness < 1.5 + 0.2 * ragged) & (right > -8.0) & (right < 190.0)
    cover[on_track & (cover != LandCover.ROAD)] = LandCover.TRACK
    return height.astype(np.float32), cover
