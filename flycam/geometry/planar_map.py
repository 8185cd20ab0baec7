"""Polynomial map between two planes.

Fitted once per flight, evaluated on every lattice. Between Web Mercator and a transverse Mercator zone a
low-degree polynomial is exact to far less than a millimetre over a flight, and a hundred times cheaper
than the projection itself. The residual is measured on points that were not used in the fit, and is kept
with the map.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bounds = tuple[float, float, float, float]

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
