"""Robust fit of a smooth displacement field to windows of which many are wrong.

On top of a robust affine map, displacements of nodes minimise

    sum of w |S u - d|^2  +  stiffness (|second differences of u|^2 + c |first differences of u|^2)

with S bilinear weights, d the windows' displacements beyond the affine map, w their weights, updated by
Tukey's biweight from the residuals (iteratively reweighted least squares). The stiffness of the field, and
whether there is one at all, is decided by windows that it was not made from, so it is no livelier than they
support.

A live mosaic is made of pieces, each a photo off by metres of its own: a window is wrong where its neighbours
disagree (`find_supported_windows`), not where it is far from the rest.

Source: Terzopoulos, The computation of visible-surface representations, PAMI 1988 (thin plate under tension);
Beaton and Tukey, Technometrics 1974.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, diags_array, eye_array, kron, vstack
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from flycam.analysis.consensus import fit_affine
from flycam.analysis.warp import Warp, WarpLattice, find_lattice_corners
from flycam.analysis.window_matching import WindowMatches

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

STIFFNESSES = (100.0, 10.0, 1.0, 0.1, 0.01)
"""Candidate stiffnesses, from nearly affine to lively, in windows of mean weight a node."""
_TENSION = 0.01
_WARP_NEEDS = 40
_JUDGES = 3
_WRONG_PX = 10.0  # of the level: larger errors are cut to this
_BETTER_BY = (
    # a livelier field is taken only if held-out errors fall below this share of the stiffer one's
    0.97
)
# in the first rounds few windows are rejected, since the field is still far off
_CAUTION = (4.0, 2.0, 1.5, 1.0, 1.0, 1.0)
# Beaton and Tukey 1974: 95 % efficient for normal errors
_TUKEY = 4.685
# pixels of the level: pieces of a mosaic meet in steps, which must not count as errors
_SURE_PX = 0.7
_NEIGHBOURHOOD = 2.3  # windows' sides
_MIN_NEIGHBOURS, _MIN_AGREE = 3, 0.15
_FLOOR_PX = 0.1  # of the level: best precision of a window


@dataclass(frozen=True, kw_only=True, slots=True)
class WarpFit:
    """A field fitted to the windows of one level.

    made_from   M: the windows it was fitted to; none where it is the unchanged field of a coarser level
    stiffness   None where it is the affine map alone
    residual_px M×2: windows minus field, full pixels
    spread_px   robust 1-sigma of one coordinate of the windows that follow it
    """

    warp: Warp
    made_from: Mask
    stiffness: float | None
    residual_px: Floats
    spread_px: float


def find_supported_windows(
    windows: WindowMatches, used: Mask, start: Warp, side_px: float, tolerance_px: float
) -> Mask:
    """Return the mask (M) of `used` windows whose offset neighbours share.

    start         warp from which offsets count
    side_px       of a window, full pixels
    tolerance_px  maximum difference of neighbours, full pixels
    """
    kept = np.zeros(len(windows), np.bool_)
    index = np.flatnonzero(used)
    if index.size <= _MIN_NEIGHBOURS:
        return kept
    tree = cKDTree(windows.place_px[index])
    one, other = tree.query_pairs(_NEIGHBOURHOOD * side_px, output_type="ndarray").T
    moved = windows.displacement_px[index] - start.displacement(windows.place_px[index])
    alike = np.hypot(*(moved[one] - moved[other]).T) < tolerance_px
    ends = np.concatenate([one, other])
    around = np.bincount(ends, minlength=index.size)
    agree = np.bincount(ends, weights=np.tile(alike, 2), minlength=index.size)
    kept[index] = (agree >= _MIN_NEIGHBOURS) & (agree >= _MIN_AGREE * around)
    return kept


def fit_warp(
    windows: WindowMatches,
    lattice: WarpLattice,
    start: Warp,
    factor: int,
    stiffness: float | None,
    used: Mask,
) -> WarpFit:
    """Fit a field of one stiffness to the `used` windows (M) with a displacement.

    start   what holds where no window has weight
    factor  of the level the windows were found at
    """
    base = np.where(used, 1.0 / (windows.sigma_px**2 + (_FLOOR_PX * factor) ** 2), 0.0)
    base = np.nan_to_num(base) / max(float(np.nan_to_num(base)[used].mean()), 1e-12)
    corner, share = find_lattice_corners(lattice, windows.place_px)
    nodes_of = csr_matrix(
        (share.ravel(), (np.repeat(np.arange(len(windows)), 4), corner.ravel())),
        shape=(len(windows), lattice.rows * lattice.cols),
    )
    penalty = None if stiffness is None else stiffness * _bending(lattice)
    moved = np.nan_to_num(windows.displacement_px)
    warp, spread, weight = start, float(factor), base
    residual = np.zeros_like(moved)
    for cautious in _CAUTION:
        affine = fit_affine(windows, weight, start.affine)
        beyond = moved - (windows.place_px @ affine[:, :2].T + affine[:, 2])
        nodes = np.zeros((lattice.rows * lattice.cols, 2))
        if penalty is not None:
            weighted = nodes_of.T @ diags_array(weight)
            nodes = splu(csc_matrix(weighted @ nodes_of + penalty)).solve(weighted @ beyond)
        warp = Warp(affine=affine, lattice=lattice, nodes=np.reshape(nodes, (lattice.rows, lattice.cols, 2)))
        residual = moved - warp.displacement(windows.place_px)
        spread = _spread(residual, used, factor)
        weight = base * _biweight(residual, cautious * max(spread, _SURE_PX * factor))
    unknown = ~np.isfinite(windows.displacement_px[:, 0])
    residual[unknown] = np.nan
    return WarpFit(warp=warp, made_from=used, stiffness=stiffness, residual_px=residual, spread_px=spread)


def choose_stiffness(
    windows: WindowMatches, lattice: WarpLattice, start: Warp, factor: int, used: Mask
) -> float | None:
    """Choose the stiffness that the `used` windows support; None for affine alone.

    Each third of the windows judges the field made from the others.
    """
    if used.sum() < _WARP_NEEDS:
        return None
    fold = np.random.default_rng(1).permutation(len(windows)) % _JUDGES
    chosen, least = None, np.inf
    for stiffness in (None, *STIFFNESSES):
        errors = []
        for number in range(_JUDGES):
            makers, judges = used & (fold != number), used & (fold == number)
            residual = fit_warp(windows, lattice, start, factor, stiffness, makers).residual_px[judges]
            errors.append(np.minimum(np.hypot(*residual.T), _WRONG_PX * factor))
        error = float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))
        if error < _BETTER_BY * least:
            chosen, least = stiffness, error
    return chosen


def _spread(residual: Floats, used: Mask, factor: int) -> float:
    """Return the 1-sigma of one coordinate from the better half of the windows.

    Never below a tenth of a level's pixel.
    """
    off = np.hypot(*residual[used].T)
    # 1.1774 sigma is the median of a Rayleigh distribution
    return max(float(np.median(off)) / 1.1774, _FLOOR_PX * factor)


def _biweight(residual: Floats, spread_px: float) -> Floats:
    u = np.hypot(*residual.T) / (_TUKEY * spread_px)
    return np.asarray(np.where(u < 1.0, (1.0 - u**2) ** 2, 0.0))


def _bending(lattice: WarpLattice) -> csr_matrix:
    """Return the quadratic form of first and second differences of the nodes."""
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
