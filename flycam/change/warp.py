"""Warp from the before image to the after image, and its estimation.

The warp is an affine map, and a smooth field on it. Windows are matched level by level, their consensus gives
the affine map, and a robust fit the field.

Positions are pixels of the common grid at its full resolution, (column, row), centres at integers. A level of
the pyramid that is reduced by `factor` has its pixel c at (c + 0.5) * factor - 0.5 of the full one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix, diags_array, eye_array, kron, vstack
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree
from scipy.special import bdtrc

from flycam.geometry.correlation import WindowShifts, compute_edge_directions, match_windows

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class WarpLattice:
    """Lattice of a smooth field over an image.

    Node (r, c) is at (c * step_px, r * step_px).
    """

    rows: int
    cols: int
    step_px: float

    @classmethod
    def from_shape(cls, shape: tuple[int, int], step_px: float) -> WarpLattice:
        """Build the lattice for an image of `shape` (rows, columns).

        Every pixel lies between four nodes.
        """
        rows, cols = (max(int(np.ceil((size - 1) / step_px)), 1) + 1 for size in shape)
        return cls(rows=rows, cols=cols, step_px=step_px)


@dataclass(frozen=True, kw_only=True, slots=True)
class Warp:
    """Warp that maps p in the before image to p + displacement(p) in the after image.

    affine  2×3: displacement (columns, rows) = affine @ (column, row, 1)
    nodes   rows×cols×2 on `lattice`, added to it, bilinear between; all 0 where there is only the affine map
    """

    affine: Floats
    lattice: WarpLattice
    nodes: Floats

    @classmethod
    def identity(cls, shape: tuple[int, int], step_px: float) -> Warp:
        """Build a warp that moves nothing."""
        lattice = WarpLattice.from_shape(shape, step_px)
        return cls(affine=np.zeros((2, 3)), lattice=lattice, nodes=np.zeros((lattice.rows, lattice.cols, 2)))

    def displacement(self, points_px: Floats) -> Floats:
        """Return displacements N×2 at places N×2 (column, row)."""
        points = np.asarray(points_px, dtype=np.float64)
        moved = points @ self.affine[:, :2].T + self.affine[:, 2]
        corner, weight = find_lattice_corners(self.lattice, points)
        return np.asarray(moved + np.einsum("nk,nkd->nd", weight, self.nodes.reshape(-1, 2)[corner]))

    def positions(
        self, row: int, col: int, shape: tuple[int, int], factor: int = 1
    ) -> tuple[Singles, Singles]:
        """Return columns and rows in the after image, each of `shape`, for cv2.remap.

        They are those of the window of `shape` at (row, col) of the before image; both images at the level
        `factor`.
        """
        x = (col + np.arange(shape[1], dtype=np.float64) + 0.5) * factor - 0.5
        y = (row + np.arange(shape[0], dtype=np.float64) + 0.5) * factor - 0.5
        across, along = (
            _between(x, self.lattice.cols, self.lattice.step_px),
            _between(y, self.lattice.rows, self.lattice.step_px),
        )
        found = []
        for axis, own in ((0, x[None, :]), (1, y[:, None])):
            a, b, c = self.affine[axis]
            moved = along @ self.nodes[..., axis] @ across.T + (a * x + c)[None, :] + (b * y)[:, None]
            found.append(((own + moved + 0.5) / factor - 0.5).astype(np.float32))
        return found[0], found[1]


def find_lattice_corners(lattice: WarpLattice, points_px: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Find the four nodes around N places, and their bilinear weights (N×4 each).

    Nodes are counted row by row. Places beyond the nodes take those of the rim.
    """
    u = np.clip(points_px[:, 0] / lattice.step_px, 0.0, lattice.cols - 1.0)
    v = np.clip(points_px[:, 1] / lattice.step_px, 0.0, lattice.rows - 1.0)
    c = np.minimum(u.astype(np.int64), lattice.cols - 2)
    r = np.minimum(v.astype(np.int64), lattice.rows - 2)
    u, v = u - c, v - r
    first = r * lattice.cols + c
    corner = np.stack([first, first + 1, first + lattice.cols, first + lattice.cols + 1], axis=-1)
    weight = np.stack([(1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v], axis=-1)
    return corner, weight


def _between(at_px: NDArray[np.floating], count: int, step_px: float) -> Floats:
    """Return linear weights (places×nodes) of places along one axis."""
    u = np.clip(at_px / step_px, 0.0, count - 1.0)
    first = np.minimum(u.astype(np.int64), count - 2)
    weights = np.zeros((len(u), count))
    weights[np.arange(len(u)), first] = 1.0 - (u - first)
    weights[np.arange(len(u)), first + 1] = u - first
    return weights


# -- Matching of windows at one pyramid level, block by block --------------------------------------
#
# Bounded memory: only the reduced greys of a level are held whole (2 bytes a pixel and image), directions of
# edges are made for one block at a time.

Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
_Value = TypeVar("_Value", np.uint8, np.bool_)

WINDOW_PX = 64
_BLOCK_WINDOWS = 12
# seen share of a window; unseen ground has no edges, on either date
_SEEN_SHARE = 0.6
# reach of smoothing, gradient and erosion around a pixel
_RIM_PX = 6
_STRIP_ROWS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class PyramidLevel:
    """Both images reduced by `factor` on the common grid.

    Grey uint8 and seen bool, H×W.
    """

    factor: int
    before: Bytes
    after: Bytes
    before_seen: Mask
    after_seen: Mask

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the level: (rows, columns)."""
        rows, cols = self.before.shape
        return rows, cols


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowMatches:
    """Matches of the M windows of one level that were tried.

    place_px         M×2 middle of the window, full pixels of the common grid
    displacement_px  M×2 measured, full pixels; NaN where there is no clear match
    sigma_px         M, of one coordinate, full pixels
    margin           M, noise sigmas between the peak and the best other place
    score            M, correlation at the peak
    """

    place_px: Floats
    displacement_px: Floats
    sigma_px: Floats
    margin: Floats
    score: Floats

    def __len__(self) -> int:
        return len(self.place_px)

    def select_clear(self, min_margin: float) -> Mask:
        """Return the mask (M) of windows with one place that stands out."""
        return np.isfinite(self.displacement_px[:, 0]) & (self.margin >= min_margin)

    def take(self, chosen: Mask) -> WindowMatches:
        """Return the windows of a mask."""
        return WindowMatches(
            place_px=self.place_px[chosen],
            displacement_px=self.displacement_px[chosen],
            sigma_px=self.sigma_px[chosen],
            margin=self.margin[chosen],
            score=self.score[chosen],
        )


def reduce_image(rgb: Bytes, seen: Mask, factor: int) -> tuple[Bytes, Mask]:
    """Reduce an image H×W×3 to the grey (uint8) and seen mask of a level.

    Means over factor×factor pixels, without rows and columns that do not fill one; seen where all of them
    are.
    """
    rows, cols = seen.shape[0] // factor, seen.shape[1] // factor
    grey = np.empty((rows, cols), np.uint8)
    all_seen = np.empty((rows, cols), np.bool_)
    for top in range(0, rows, _STRIP_ROWS):
        stop = min(top + _STRIP_ROWS, rows)
        cut = (slice(top * factor, stop * factor), slice(0, cols * factor))
        strip = np.asarray(cv2.cvtColor(rgb[cut], cv2.COLOR_RGB2GRAY), np.uint8)
        grey[top:stop], all_seen[top:stop] = _averaged(strip, seen[cut], (cols, stop - top))
    return grey, all_seen


def halve_level(level: PyramidLevel) -> PyramidLevel:
    """Return the next coarser level."""
    rows, cols = level.shape[0] // 2, level.shape[1] // 2
    cut = (slice(0, 2 * rows), slice(0, 2 * cols))
    before, before_seen = _averaged(level.before[cut], level.before_seen[cut], (cols, rows))
    after, after_seen = _averaged(level.after[cut], level.after_seen[cut], (cols, rows))
    return PyramidLevel(
        factor=2 * level.factor,
        before=before,
        after=after,
        before_seen=before_seen,
        after_seen=after_seen,
    )


def match_level_windows(
    level: PyramidLevel, warp: Warp, *, reach_px: int, spacing_px: int, workers: int = 2
) -> WindowMatches:
    """Match windows that both images show, up to `reach_px` around their place.

    warp        gives their place
    spacing_px  distance of windows; like reach_px in pixels of the level
    """
    starts = list(_blocks(level.shape, spacing_px * _BLOCK_WINDOWS))
    with ThreadPoolExecutor(workers, thread_name_prefix="coregister") as pool:
        parts = list(pool.map(lambda at: _matched_in(level, warp, at, reach_px, spacing_px), starts))
    return WindowMatches(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("place_px", "displacement_px", "sigma_px", "margin", "score")
        }
    )


def _averaged(grey: Bytes, seen: Mask, size: tuple[int, int]) -> tuple[Bytes, Mask]:
    """Average whole pixel blocks to `size` (columns, rows).

    Seen where all pixels are.
    """
    data = seen.astype(np.uint8) * np.uint8(255)
    mean, all_seen = (cv2.resize(values, size, interpolation=cv2.INTER_AREA) for values in (grey, data))
    return np.asarray(mean, np.uint8), np.asarray(all_seen == 255)


def _blocks(shape: tuple[int, int], side: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0], side):
        for col in range(0, shape[1], side):
            yield slice(row, min(row + side, shape[0])), slice(col, min(col + side, shape[1]))


def _matched_in(
    level: PyramidLevel, warp: Warp, block: tuple[slice, slice], reach_px: int, spacing_px: int
) -> WindowMatches:
    """Match windows whose middle lies in the block; no data beyond the images."""
    room = WINDOW_PX // 2 + reach_px + _RIM_PX
    rows, cols = block
    row, col = rows.start - room, cols.start - room
    shape = (rows.stop - rows.start + 2 * room, cols.stop - cols.start + 2 * room)
    before, before_seen = _cut(level.before, row, col, shape), _cut(level.before_seen, row, col, shape)
    x, y = warp.positions(row, col, shape, level.factor)
    # cropped first, for cv2.remap takes at most 32,767 pixels a side
    left, top = int(np.floor(x.min())) - 2, int(np.floor(y.min())) - 2
    shape = (int(np.ceil(y.max())) + 3 - top, int(np.ceil(x.max())) + 3 - left)
    here = (x - np.float32(left), y - np.float32(top))
    picture = cv2.remap(_cut(level.after, top, left, shape), *here, cv2.INTER_LINEAR)
    data = _cut(level.after_seen, top, left, shape).astype(np.uint8) * np.uint8(255)
    after = np.asarray(picture, np.uint8)
    after_seen = np.asarray(cv2.remap(data, *here, cv2.INTER_LINEAR) == 255)
    centres = _centres(before_seen & after_seen, room, spacing_px)
    none = np.empty(0)
    shifts = WindowShifts(shift_px=np.empty((0, 2)), sigma_px=none, score=none, margin=none)
    if len(centres):
        first = compute_edge_directions(before.astype(np.float32), before_seen)
        second = compute_edge_directions(after.astype(np.float32), after_seen)
        shifts = match_windows(first, second, centres, window_px=WINDOW_PX, reach_px=reach_px)
    place = (centres + np.array([col, row]) + 0.5) * level.factor - 0.5
    return WindowMatches(
        place_px=place,
        displacement_px=warp.displacement(place) + shifts.shift_px * level.factor,
        sigma_px=shifts.sigma_px * level.factor,
        margin=shifts.margin,
        score=shifts.score,
    )


def _cut(picture: NDArray[_Value], row: int, col: int, shape: tuple[int, int]) -> NDArray[_Value]:
    """Cut a window that may reach beyond the image; 0 there."""
    out = np.zeros(shape, picture.dtype)
    top, left = max(row, 0), max(col, 0)
    stop_row, stop_col = min(row + shape[0], picture.shape[0]), min(col + shape[1], picture.shape[1])
    if top < stop_row and left < stop_col:
        out[top - row : stop_row - row, left - col : stop_col - col] = picture[top:stop_row, left:stop_col]
    return out


def _centres(both: Mask, room: int, spacing_px: int) -> NDArray[np.int64]:
    """Return middles (column, row) of a block's windows with data in both images."""
    rows, cols = (
        np.arange(room + spacing_px // 2, size - room, spacing_px, dtype=np.int64) for size in both.shape
    )
    share = cv2.blur(both.astype(np.float32), (WINDOW_PX, WINDOW_PX))
    grid = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)
    return np.asarray(grid[share[grid[:, 1], grid[:, 0]] >= _SEEN_SHARE], dtype=np.int64)


# -- Consensus: the affine move that most windows agree on, by random sampling ---------------------
#
# Source: Fischler and Bolles, Random sample consensus, CACM 1981; here every window proposes a shift and
# every drawn pair a similarity, and all proposals are counted at once. Agreement by chance is counted too:
# wrong windows fall anywhere in the search area.

Complex = NDArray[np.complex128]

_MAX_SHIFTS, _PAIRS = 400, 800
# of a similarity: radians, and change of scale
_MAX_TURN = 0.06
# distance of two windows that propose a turn, as a share of the ground's extent
_MIN_DISTANCE_SHARE = 0.25
_AFFINE_NEEDS = 12
_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Consensus:
    """Affine move (2×3 as `Warp.affine`), and the mask of windows that agree with it."""

    affine: Floats
    agreed: Mask


def find_consensus(windows: WindowMatches, tolerance_px: float) -> Consensus:
    """Find the affine move that most windows (all with a displacement) follow.

    tolerance_px  maximum residual of a window that agrees, full pixels
    """
    # the proposal, 2×3, that most windows follow; a plain shift is preferred to an equal similarity
    chance = np.random.default_rng(0)
    place = windows.place_px[:, 0] + 1j * windows.place_px[:, 1]
    goal = place + windows.displacement_px[:, 0] + 1j * windows.displacement_px[:, 1]
    middle = place.mean()
    place, goal = place - middle, goal - middle
    few = chance.permutation(len(place))[:_MAX_SHIFTS]
    turns, moves = np.ones(few.size, np.complex128), (goal - place)[few]
    paired = _pairs(place, goal, chance)
    turns, moves = np.concatenate([turns, paired[0]]), np.concatenate([moves, paired[1]])
    off = np.abs(turns[:, None] * place + moves[:, None] - goal)
    # the number of followers, and among equals their closeness
    worth = np.where(off < tolerance_px, 1.0 - 0.5 * (off / tolerance_px) ** 2, 0.0).sum(axis=1)
    best = int(worth.argmax())
    turn, move = turns[best] - 1.0, moves[best] - (turns[best] - 1.0) * middle
    start = np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])
    agreed = compute_residuals_px(windows, start) < tolerance_px
    affine = start
    for _ in range(_ROUNDS):
        affine = fit_affine(windows, agreed.astype(np.float64), start)
        again = compute_residuals_px(windows, affine) < tolerance_px
        if again.sum() < agreed.sum() or np.array_equal(again, agreed):
            break
        agreed = again
    return Consensus(affine=affine, agreed=agreed)


def fit_affine(windows: WindowMatches, weight: Floats, otherwise: Floats) -> Floats:
    """Fit an affine displacement (2×3) to weighted windows.

    Only its shift where they are few or lie on a line; `otherwise` where all weights are zero.
    """
    used = weight > 1e-6
    if not used.any():
        return otherwise
    place, moved, w = windows.place_px[used], windows.displacement_px[used], weight[used]
    middle = np.average(place, axis=0, weights=w)
    shift = np.average(moved, axis=0, weights=w)
    affine = np.zeros((2, 3))
    spread = np.linalg.eigvalsh(np.cov((place - middle).T)) if used.sum() >= _AFFINE_NEEDS else np.zeros(2)
    if spread[0] > 0.02 * spread[1] > 0.0:
        root = np.sqrt(w)[:, None]
        slope = np.linalg.lstsq(root * (place - middle), root * (moved - shift), rcond=None)[0]
        affine[:, :2] = slope.T
    affine[:, 2] = shift - affine[:, :2] @ middle
    return affine


def count_chance_agreements(tried: float, share: float, risk: float) -> int:
    """Return the number of `tried` windows that agree by chance at most.

    Each agrees with probability `share`; more of them agree with a probability below `risk` only.
    """
    counts = np.arange(int(tried) + 1)
    return int(np.argmax(bdtrc(counts, int(tried), min(share, 1.0)) < risk))


def _pairs(place: Complex, goal: Complex, chance: np.random.Generator) -> tuple[Complex, Complex]:
    """Return turns and moves that drawn pairs of windows propose, within _MAX_TURN.

    Larger ones are dropped: no map is off by so much.
    """
    one, two = chance.integers(0, len(place), (2, _PAIRS))
    offset = place[one] - place[two]
    far = np.abs(offset) > max(_MIN_DISTANCE_SHARE * float(np.ptp(np.abs(place))), 1e-9)
    one, two, offset = one[far], two[far], offset[far]
    turn = (goal[one] - goal[two]) / offset
    likely = np.abs(turn - 1.0) < _MAX_TURN
    one, turn = one[likely], turn[likely]
    return turn, goal[one] - turn * place[one]


def compute_residuals_px(windows: WindowMatches, affine: Floats) -> Floats:
    """Compute each window's distance from its place under an affine move (2×3).

    M values, full pixels.
    """
    expected = windows.place_px @ affine[:, :2].T + affine[:, 2]
    return np.asarray(np.hypot(*(windows.displacement_px - expected).T))


# -- Robust fit of a smooth displacement field -----------------------------------------------------
#
# On top of a robust affine map, displacements of nodes minimise
#
#     sum of w |S u - d|^2  +  stiffness (|second differences of u|^2 + c |first differences of u|^2)
#
# with S bilinear weights, d the windows' displacements beyond the affine map, w their weights, updated by
# Tukey's biweight from the residuals (iteratively reweighted least squares). The stiffness of the field, and
# whether there is one at all, is decided by windows that it was not made from, so it is no livelier than they
# support.
#
# A live mosaic is made of pieces, each a photo off by metres of its own: a window is wrong where its
# neighbours disagree (`find_supported_windows`), not where it is far from the rest.
#
# Source: Terzopoulos, The computation of visible-surface representations, PAMI 1988 (thin plate under
# tension); Beaton and Tukey, Technometrics 1974.


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
    supported = np.zeros(len(windows), np.bool_)
    index = np.flatnonzero(used)
    if index.size <= _MIN_NEIGHBOURS:
        return supported
    tree = cKDTree(windows.place_px[index])
    one, other = tree.query_pairs(_NEIGHBOURHOOD * side_px, output_type="ndarray").T
    moved = windows.displacement_px[index] - start.displacement(windows.place_px[index])
    is_consistent = np.hypot(*(moved[one] - moved[other]).T) < tolerance_px
    ends = np.concatenate([one, other])
    around = np.bincount(ends, minlength=index.size)
    agree = np.bincount(ends, weights=np.tile(is_consistent, 2), minlength=index.size)
    supported[index] = (agree >= _MIN_NEIGHBOURS) & (agree >= _MIN_AGREE * around)
    return supported


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
        # 1-sigma of one coordinate from the better half of the windows, never below a tenth of a level's
        # pixel
        off = np.hypot(*residual[used].T)
        # 1.1774 sigma is the median of a Rayleigh distribution
        spread = max(float(np.median(off)) / 1.1774, _FLOOR_PX * factor)
        spread_px = cautious * max(spread, _SURE_PX * factor)
        u = np.hypot(*residual.T) / (_TUKEY * spread_px)
        weight = base * np.asarray(np.where(u < 1.0, (1.0 - u**2) ** 2, 0.0))
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
