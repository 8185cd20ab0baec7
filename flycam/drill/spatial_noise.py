"""Noise tied to places: the same place has the same value in every window.

Integer hash: the "lowbias32" mixer (Chris Wellons, public domain constants). Smooth fields: uniform cubic
B-splines over a lattice of absolute positions (de Boor, A Practical Guide to Splines), so that a field is
twice continuously differentiable and independent of the window.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
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
