"""The one move that most windows agree on: found among wrong ones by trying what each few of them say.

Source: Fischler and Bolles, Random sample consensus, CACM 1981; here every window proposes a shift and every
drawn pair a similarity, and all of them are counted at once. What chance alone would bring together is
counted too: wrong windows fall anywhere in the search area.
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
_MAX_TURN = 0.06  # of a similarity: radians, and change of scale
_MIN_DISTANCE_SHARE = 0.25  # of the ground's extent, two windows that propose a turn
_AFFINE_NEEDS = 12
_ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Consensus:
    """affine 2×3 as `Warp.affine`; agreed: mask of the windows within tolerance of it."""

    affine: Floats
    agreed: Mask


def find_consensus(windows: WindowMatches, tolerance_px: float) -> Consensus:
    """The affine move that most of the windows (all of them with a displacement) follow.

    tolerance_px  how far a window that agrees may be off, full pixels
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
    """The affine displacement (2×3) that fits windows best, weighted; only its shift where they are few or
    lie on a line; `otherwise` where nothing has weight."""
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
    """How many of `tried` windows agree at most by chance, each with probability `share`; more than that
    comes with a probability below `risk` only."""
    counts = np.arange(int(tried) + 1)
    return int(np.argmax(bdtrc(counts, int(tried), min(share, 1.0)) < risk))


def _most_followed(windows: WindowMatches, tolerance_px: float) -> Floats:
    """The proposal, 2×3, that the most windows follow; a plain shift goes before an equal similarity."""
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
    # how many follow, and among equals how closely
    worth = np.where(off < tolerance_px, 1.0 - 0.5 * (off / tolerance_px) ** 2, 0.0).sum(axis=1)
    best = int(worth.argmax())
    turn, move = turns[best] - 1.0, moves[best] - (turns[best] - 1.0) * middle
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])


def _pairs(place: Complex, goal: Complex, chance: np.random.Generator) -> tuple[Complex, Complex]:
    """Turns and moves that drawn pairs of windows propose, but for those that no map is off by."""
    one, two = chance.integers(0, len(place), (2, _PAIRS))
    apart = place[one] - place[two]
    far = np.abs(apart) > max(_MIN_DISTANCE_SHARE * float(np.ptp(np.abs(place))), 1e-9)
    one, two, apart = one[far], two[far], apart[far]
    turn = (goal[one] - goal[two]) / apart
    likely = np.abs(turn - 1.0) < _MAX_TURN
    one, turn = one[likely], turn[likely]
    return turn, goal[one] - turn * place[one]


def compute_residuals_px(windows: WindowMatches, affine: Floats) -> Floats:
    """M: how far from where an affine move (2×3) expects it each window was found, full pixels."""
    expected = windows.place_px @ affine[:, :2].T + affine[:, 2]
    return np.asarray(np.hypot(*(windows.displacement_px - expected).T))
