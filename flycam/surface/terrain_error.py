"""Terrain model error, predicted from where the flight shows the ground.

A terrain model is shifted as a whole, and its errors are correlated over hundreds of metres. So its error
on supported ground holds a good way beyond:

    surface - terrain = up - slope · (east, north) + field + ground cover

The shift moves heights by the terrain's slope (Nuth and Kääb, Co-registration and bias corrections of
satellite elevation data sets, The Cryosphere 5, 2011). Shift and field are predicted together by universal
kriging (Cressie, Statistics for Spatial Data, 1993), so that far from all support both return to the prior,
as the sigma shows. Trees and roofs are above the ground, never under it: cells above the field have a
weight that falls with the square of their height (one-sided, reweighted).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Prior of a terrain model beside its shift: the spatially correlated height error as a share of that of the
# whole, and its correlation length.
_FIELD_SHARE, LENGTH_M = 0.5, 200.0
# One median a cell; a cell counts from this share of supported posts.
_CELL_M, _MAX_CELLS = 24.0, 1500
_MIN_SHARE = 0.1
_MIN_CELLS = 6
_MIN_NOISE_M, _BEND = 0.3, 1.5
_ROUNDS = 12
# Distance over which the cells' own errors are correlated.
_ALIKE_M = 48.0
_SLOPE_POSTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class TerrainErrorPrior:
    """Prior 1-sigma of a terrain model, metres: height as a whole, horizontal shift."""

    up_m: float
    shift_m: float

    @property
    def field_m(self) -> float:
        """1-sigma of the correlated height error, metres."""
        return _FIELD_SHARE * self.up_m


@dataclass(frozen=True, slots=True)
class TerrainCorrection:
    """Correction to add to the terrain at every post, and its sigma.

    rows×cols, metres. 1-sigma of the correlated error, and of the posts' own errors (a grid over rough
    ground).
    """

    dz_m: Singles
    sigma_m: Singles


def correct_terrain(
    dz_m: Singles, sigma_m: Singles, ground_m: Singles, spacing_m: float, prior: TerrainErrorPrior
) -> TerrainCorrection:
    """Predict the terrain's error from supported heights dz over it.

    dz_m, ground_m  rows×cols: heights found over the terrain, and the terrain (NaN: not known)
    sigma_m         rows×cols: of dz, NaN without support. Errors of a cell's heights are correlated (a weak
                    base, a pose), so its median has the sigma of one of them.

    Without enough support there is no correction, and its sigma is the prior's.
    """
    slopes = _slopes(ground_m, spacing_m)
    cells = _cells(dz_m, sigma_m, slopes, spacing_m)
    if cells.height.size < _MIN_CELLS:
        before = np.sqrt(prior.up_m**2 + prior.field_m**2 + prior.shift_m**2 * np.square(slopes).sum(axis=0))
        return TerrainCorrection(np.zeros_like(dz_m), before.astype(np.float32))
    inside = _covariance(prior, cells.place, cells.slope, cells.place, cells.slope)
    noisy, weights = _fitted(inside, cells.height, _alike(cells))
    nodes, shape = cells.nodes, cells.shape
    field = _field(prior, nodes, cells.place)
    # at every post: the smooth part between nodes, the shift by each post's own slope
    smooth = _to_posts((field @ weights).reshape(shape), cells.posts, dz_m.shape)
    east, north = prior.shift_m**2 * (cells.slope.T @ weights)
    up = prior.up_m**2 * weights.sum()
    across = field + prior.up_m**2 + prior.shift_m**2 * (cells.node_slope @ cells.slope.T)
    whole = prior.up_m**2 + prior.field_m**2
    before = whole + prior.shift_m**2 * np.square(cells.node_slope).sum(axis=1)
    left = before - np.einsum("ij,ji->i", across, np.linalg.solve(noisy, across.T))
    sigma = _to_posts(np.sqrt(np.maximum(left, 0.0)).reshape(shape), cells.posts, dz_m.shape)
    dz = smooth + np.float32(up) + np.float32(east) * slopes[0] + np.float32(north) * slopes[1]
    alone = _alone(dz_m - dz, sigma_m)
    return TerrainCorrection(np.asarray(dz, np.float32), np.hypot(sigma, alone).astype(np.float32))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells with support, and all cells as nodes.

    place K×2 (metres from the first post), slope K×2, height and its sigma K.
    """

    place: Floats
    slope: Floats
    height: Floats
    sigma: Floats
    nodes: Floats
    node_slope: Floats
    shape: tuple[int, int]
    posts: int


def _slopes(ground_m: Singles, spacing_m: float) -> Singles:
    """Return the fall of the terrain to the east and to the north, 2×rows×cols.

    A shift by it raises heights.
    """
    filled = np.where(np.isfinite(ground_m), ground_m, np.float32(np.nanmean(ground_m)))
    smooth = cv2.blur(filled, (_SLOPE_POSTS, _SLOPE_POSTS))
    down, right = np.gradient(smooth, spacing_m)
    slopes = np.stack([-right, down]).astype(np.float32)
    slopes[:, ~np.isfinite(ground_m)] = 0.0
    return slopes


def _cells(dz_m: Singles, sigma_m: Singles, slopes: Singles, spacing_m: float) -> _Cells:
    """Return medians over square cells.

    The cells are doubled while too many of them have support.
    """
    support = np.isfinite(sigma_m) & np.isfinite(dz_m)
    posts = max(round(_CELL_M / spacing_m), 1)
    while True:
        share = _squares(support.astype(np.float32), posts).mean(axis=-1)
        used = share >= _MIN_SHARE
        if used.sum() <= _MAX_CELLS:
            break
        posts *= 2
    rows, cols = used.shape
    height, sigma = (
        np.nanmedian(_squares(np.where(support, one, np.float32(np.nan)), posts)[used], axis=-1)
        if used.any()
        else np.empty(0)
        for one in (dz_m, sigma_m)
    )
    row, col = np.mgrid[:rows, :cols] * (posts * spacing_m)
    node_slope = np.stack([_squares(one, posts).mean(axis=-1) for one in slopes], axis=-1).astype(np.float64)
    nodes = np.stack([col.ravel(), row.ravel()], axis=-1)
    return _Cells(
        place=nodes[used.ravel()],
        slope=node_slope[used],
        height=height.astype(np.float64),
        sigma=sigma.astype(np.float64),
        nodes=nodes,
        node_slope=node_slope.reshape(-1, 2),
        shape=(rows, cols),
        posts=posts,
    )


def _squares(values: Singles, posts: int) -> Singles:
    """Group values by square cell, R×C×posts²; the rim is padded with 0."""
    rows, cols = (-(-n // posts) for n in values.shape)
    padded = np.zeros((rows * posts, cols * posts), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    by_cell = padded.reshape(rows, posts, cols, posts).transpose(0, 2, 1, 3)
    return by_cell.reshape(rows, cols, posts * posts)


def _field(believed: TerrainErrorPrior, one: Floats, other: Floats) -> Floats:
    """Return the covariance of the correlated height error."""
    square = np.square(one[:, None] - other[None]).sum(axis=-1)
    return np.asarray(believed.field_m**2 * np.exp(-square / LENGTH_M**2))


def _covariance(
    believed: TerrainErrorPrior, one: Floats, one_slope: Floats, other: Floats, other_slope: Floats
) -> Floats:
    shift: Floats = believed.shift_m**2 * (one_slope @ other_slope.T)
    return _field(believed, one, other) + believed.up_m**2 + shift


def _alike(cells: _Cells) -> Floats:
    """Return the covariance of the cells' own errors.

    With a weak base neighbouring cells have the same error.
    """
    square = np.square(cells.place[:, None] - cells.place[None]).sum(axis=-1)
    near: Floats = np.exp(-square / _ALIKE_M**2)
    return near * np.outer(cells.sigma, cells.sigma)


def _fitted(covariance: Floats, height: Floats, alike: Floats) -> tuple[Floats, Floats]:
    """Return the covariance with the cells' noise K×K, and prediction weights K."""
    trust = np.where(height <= np.median(height), 1.0, 0.01)
    noise = 1.0
    for _ in range(_ROUNDS):
        variance = noise**2 + np.diag(alike)
        noisy = covariance + alike + np.diag(variance / trust - np.diag(alike))
        weights = np.asarray(np.linalg.solve(noisy, height), np.float64)
        above = height - covariance @ weights
        under = -above[above < 0.0]
        noise = max(1.4826 * float(np.median(under)) if under.size else 0.0, _MIN_NOISE_M)
        trust = np.square(np.minimum(_BEND * np.sqrt(variance) / np.maximum(above, 1e-6), 1.0))
    return noisy, weights


def _alone(left_m: Singles, sigma_m: Singles) -> np.float32:
    """Estimate the 1-sigma of single posts about the prediction, from those under it.

    Above it are objects. The heights' own sigma is subtracted.
    """
    with np.errstate(invalid="ignore"):
        under = np.isfinite(sigma_m) & (left_m < 0.0)
    if not under.any():
        return np.float32(0.0)
    spread = 1.4826 * float(np.median(-left_m[under]))
    measured = float(np.median(sigma_m[under]))
    return np.float32(np.sqrt(max(spread**2 - measured**2, 0.0)))


def _to_posts(nodes: Floats, posts: int, shape: tuple[int, ...]) -> Singles:
    """Interpolate bilinearly from the cells' centres to the posts.

    The rim is extended.
    """
    scale, start = 1.0 / posts, 0.5 / posts - 0.5
    matrix = np.array([[scale, 0.0, start], [0.0, scale, start]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (shape[1], shape[0])
    moved = cv2.warpAffine(nodes.astype(np.float32), matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)
