"""Shape of the synthetic valley.

A river, a flat floor, a 45° side with a cliff, a terraced side, ridges. Everything is a formula of the
place and the seed, evaluated on a 2 m lattice and interpolated to finer cells by cubic B-splines. Valley
coordinates: `along` runs downstream, `across` to the left of it, metres from the centre of the drill.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.drill.spatial_noise import (
    Floats,
    Singles,
    compute_lattice_span,
    generate_smooth_noise,
    hash_unit,
    interpolate_spline,
)

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
    height = valley.river_height(along) + _floor(river) + _sides(valley, left, right, noise)
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


def _floor(river: Floats) -> Floats:
    """Return the valley floor's height above the water: bed, banks, gentle rise."""
    distance = np.abs(river)
    bank = np.clip((distance - 0.8 * RIVER_HALF_WIDTH_M) / 9.0, 0.0, 1.0)
    floor = -0.9 + 3.1 * bank * bank * (3.0 - 2.0 * bank) + 0.016 * np.minimum(distance, 90.0)
    return np.asarray(floor)


def _sides(valley: Valley, left: Floats, right: Floats, noise: Callable[[float, str], Singles]) -> Floats:
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
    return np.asarray(rise + rough * waves)


def _bend(x: Floats, at: float, change: float, width: float) -> Floats:
    """Return heights whose slope changes by `change` at `at`, rounded over `width`.

    An integral of a logistic step.
    """
    return np.asarray(change * width * np.logaddexp(0.0, (x - at) / width))
