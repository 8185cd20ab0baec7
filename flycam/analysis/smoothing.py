"""A smooth field of displacements through windows of which many are wrong, no livelier than they support.

On top of a robust affine map, displacements of nodes minimise

    sum of w |S u - d|^2  +  stiffness (|second differences of u|^2 + c |first differences of u|^2)

with S bilinear weights, d what windows say beyond the affine map, w their weights, made anew by Tukey's
biweight from the residuals (iteratively reweighted least squares). How stiff the field is, or whether there
is one at all, is decided by windows that it was not made from.

Source: Terzopoulos, The computation of visible-surface representations, PAMI 1988 (thin plate under tension);
Beaton and Tukey, Technometrics 1974.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, diags_array, eye_array, kron, vstack
from scipy.sparse.linalg import splu

from flycam.analysis.consensus import fitted_affine
from flycam.analysis.levels import Evidence
from flycam.analysis.warp import Lattice, Warp, corners

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

STIFFNESSES = (100.0, 10.0, 1.0, 0.1)
"""What a field may be, from all but affine to lively, in windows of mean weight a node."""
_TENSION = 0.01
_WARP_NEEDS = 40
_BETTER_BY = (
    0.97  # a livelier field is taken only if others' errors fall below this share of the stiffer one's
)
_ROUNDS = 8
_TUKEY = 4.685
_FLOOR_PX = 0.1  # of the level: no window is better than that


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """A field through the windows of one level.

    stiffness   None where it is the affine map alone
    residual_px M×2: windows minus field, full pixels
    spread_px   robust 1-sigma of one coordinate of the windows that follow it
    """

    warp: Warp
    stiffness: float | None
    residual_px: Floats
    spread_px: float

    def agreed(self, gate_px: float) -> Mask:
        """M: windows within `gate_px` of the field; NaN windows are not."""
        return np.asarray(np.hypot(*self.residual_px.T) < gate_px)


def fit_warp(
    windows: Evidence, lattice: Lattice, start: Warp, factor: int, stiffness: float | None, used: Mask
) -> Fit:
    """The field of one stiffness through the `used` windows (M), those with a displacement.

    start   where windows are expected; far outliers are judged from there in the first round
    factor  of the level the windows were found at: 1 px of it is the least that counts as off
    """
    base = np.where(used, 1.0 / (windows.sigma_px**2 + (_FLOOR_PX * factor) ** 2), 0.0)
    base = np.nan_to_num(base) / max(float(np.nan_to_num(base)[used].mean()), 1e-12)
    corner, share = corners(lattice, windows.place_px)
    nodes_of = csr_matrix(
        (share.ravel(), (np.repeat(np.arange(len(windows)), 4), corner.ravel())),
        shape=(len(windows), lattice.rows * lattice.cols),
    )
    penalty = None if stiffness is None else stiffness * _bending(lattice)
    moved = np.nan_to_num(windows.displacement_px)
    residual = moved - start.at(windows.place_px)
    warp, spread = start, float(factor)
    for _ in range(_ROUNDS):
        spread = _spread(residual, used, factor)
        weight = base * _biweight(residual, spread)
        affine = fitted_affine(windows, weight, start.affine)
        beyond = moved - (windows.place_px @ affine[:, :2].T + affine[:, 2])
        nodes = np.zeros((lattice.rows * lattice.cols, 2))
        if penalty is not None:
            weighted = nodes_of.T @ diags_array(weight)
            nodes = splu(csc_matrix(weighted @ nodes_of + penalty)).solve(weighted @ beyond)
        warp = Warp(affine=affine, lattice=lattice, nodes=np.reshape(nodes, (lattice.rows, lattice.cols, 2)))
        residual = moved - warp.at(windows.place_px)
    unknown = ~np.isfinite(windows.displacement_px[:, 0])
    residual[unknown] = np.nan
    return Fit(warp=warp, stiffness=stiffness, residual_px=residual, spread_px=spread)


def choose_stiffness(
    windows: Evidence, lattice: Lattice, start: Warp, factor: int, used: Mask
) -> float | None:
    """How stiff a field the `used` windows support, told by every fifth of them that it is not made from;
    None for the affine map alone."""
    if used.sum() < _WARP_NEEDS:
        return None
    judge = used & (np.random.default_rng(1).random(len(windows)) < 0.2)
    makers = used & ~judge
    gate = 3.0 * factor
    chosen, least = None, np.inf
    for stiffness in (None, *STIFFNESSES):
        fit = fit_warp(windows, lattice, start, factor, stiffness, makers)
        off = np.minimum(np.hypot(*fit.residual_px[judge].T), gate)
        error = float(np.sqrt(np.mean(off**2)))
        if error < _BETTER_BY * least:
            chosen, least = stiffness, error
    return chosen


def _spread(residual: Floats, used: Mask, factor: int) -> float:
    """1-sigma of one coordinate of the better half, never below a tenth of a level's pixel."""
    off = np.hypot(*residual[used].T)
    return max(float(np.median(off)) / 1.1774, _FLOOR_PX * factor)  # the median of a Rayleigh distribution


def _biweight(residual: Floats, spread_px: float) -> Floats:
    u = np.hypot(*residual.T) / (_TUKEY * spread_px)
    return np.asarray(np.where(u < 1.0, (1.0 - u**2) ** 2, 0.0))


def _bending(lattice: Lattice) -> csr_matrix:
    """The quadratic form of first and second differences of the nodes."""
    along, across = eye_array(lattice.rows), eye_array(lattice.cols)
    first_r, first_c = _differences(lattice.rows), _differences(lattice.cols)
    second_r, second_c = _second(lattice.rows), _second(lattice.cols)
    bends = vstack(
        [kron(second_r, across), kron(along, second_c), np.sqrt(2.0) * kron(first_r, first_c)], format="csr"
    )
    slopes = vstack([kron(first_r, across), kron(along, first_c)], format="csr")
    ridge = 1e-6 * eye_array(lattice.rows * lattice.cols)
    return csr_matrix(bends.T @ bends + _TENSION * (slopes.T @ slopes) + ridge)


def _differences(count: int) -> csr_matrix:
    return csr_matrix(
        diags_array([-np.ones(count - 1), np.ones(count - 1)], offsets=[0, 1], shape=(count - 1, count))
    )


def _second(count: int) -> csr_matrix:
    if count < 3:
        return csr_matrix((0, count))
    ones = np.ones(count - 2)
    return csr_matrix(diags_array([ones, -2.0 * ones, ones], offsets=[0, 1, 2], shape=(count - 2, count)))
