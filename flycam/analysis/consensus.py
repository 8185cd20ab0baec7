"""Consensus: the affine move that most windows agree on, found among wrong ones by random sampling.

Source: Fischler and Bolles, Random sample consensus, CACM 1981; here every window proposes a shift and every
drawn pair a similarity, and all proposals are counted at once. Agreement by chance is counted too: wrong
windows fall anywhere in the search area.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc

from flycam.analysis.window_matching import WindowMatches

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
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
    start = _most_followed(windows, tolerance_px)
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


def _most_followed(windows: WindowMatches, tolerance_px: float) -> Floats:
    """Return the proposal, 2×3, that most windows follow.

    A plain shift is preferred to an equal similarity.
    """
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
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def _pairs(place: Complex, goal: Complex, chance: np.random.Generator) -> tuple[Complex, Complex]:
    """Return turns and moves that drawn pairs of windows propose, within _MAX_TURN.

    Larger ones are dropped: no map is off by so much.
    """
    one, two = chance.integers(0, len(place), (2, _PAIRS))
    apart = place[one] - place[two]
    far = np.abs(apart) > max(_MIN_DISTANCE_SHARE * float(np.ptp(np.abs(place))), 1e-9)
    one, two, apart = one[far], two[far], apart[far]
    turn = (goal[one] - goal[two]) / apart
    likely = np.abs(turn - 1.0) < _MAX_TURN
    one, turn = one[likely], turn[likely]
    return turn, goal[one] - turn * place[one]


def compute_residuals_px(windows: WindowMatches, affine: Floats) -> Floats:
    """Compute each window's distance from its place under an affine move (2×3).

    M values, full pixels.
    """
    expected = windows.place_px @ affine[:, :2].T + affine[:, 2]
    return np.asarray(np.hypot(*(windows.displacement_px - expected).T))
