"""Comparison of a video's turns with its log's, to detect the log of another flight.

Only turns are compared: unlike shifts they need no height, no focal length and no scale. Video and log are
cut into windows; windows in which either turns are counted, and among them those in which the two turn by
different angles. Of all clock offsets within reach the one with the smallest difference counts, so an unknown
or wrong clock offset is never taken for the log of another flight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.video.image_motion import ImageMotion, LoggedPoses, predict_rates

Floats = NDArray[np.float64]

ENOUGH_TURNS = 4
"""Windows with a turn; fewer are no evidence."""

_WINDOW_S, _LAG_S, _LOG_STEP_S = 2.0, 0.25, 0.1
_MIN_TURN_RAD = np.radians(12.0)
# Share of the larger turn: a gimbal lags behind its log, and a log may have one sample a second.
_DIFFERING_SHARE = 0.6
# On simulated flights own logs are never contradicted, other flights' in 72 to 74 of 90 cases (one minute).
_MAX_DIFFERING_SHARE = 0.5
# Measured share of a window; share of all windows, and of those that turn.
_MIN_SEEN, _MIN_WINDOWS = 0.8, 0.6
_LAGS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class TurnComparison:
    """Result of a comparison of turns.

    count      windows in which video or log turns
    differing  those of them in which they turn differently
    """

    count: int = 0
    differing: int = 0

    @property
    def is_enough(self) -> bool:
        """True if there were enough turns to draw a conclusion."""
        return self.count >= ENOUGH_TURNS

    @property
    def is_contradiction(self) -> bool:
        """True if video and log cannot belong to one flight."""
        return self.is_enough and self.differing > _MAX_DIFFERING_SHARE * self.count


def compare_turns(
    motions: Sequence[ImageMotion],
    logged: LoggedPoses,
    interior: InteriorOrientation,
    offset_s: float,
    reach_s: float,
) -> TurnComparison:
    """Compare the turns of a video with those of its log, at the best clock offset.

    N motions in order, video seconds. Of the offsets (log minus video) within `reach_s` of `offset_s` at
    which the log covers most of the video, and of its turns, the one with the smallest difference is used. No
    turns where either is silent, or there is no such offset.
    """
    begins, seen = _measured_turns(motions)
    if not len(begins) or len(logged.time_s) < 2:
        return TurnComparison()
    time_s, turned, known = _logged_turns(logged, interior)
    turned_here = np.abs(seen) >= _MIN_TURN_RAD
    best = TurnComparison()
    least = np.inf
    lags = offset_s + np.arange(-reach_s, reach_s + _LAG_S / 2.0, _LAG_S)
    for some in np.split(lags, range(_LAGS_AT_ONCE, len(lags), _LAGS_AT_ONCE)):
        first = begins[None, :] + some[:, None]
        said = _between(first, time_s, turned)
        covered = _between(first, time_s, known) > _MIN_SEEN * _WINDOW_S
        most = np.maximum(np.abs(said), np.abs(seen))
        turns = covered & (most >= _MIN_TURN_RAD)
        apart = turns & (np.abs(said - seen) > np.maximum(_MIN_TURN_RAD, _DIFFERING_SHARE * most))
        share = apart.sum(axis=1) / np.maximum(turns.sum(axis=1), 1)
        # a log that is silent where the video turns would agree with any
        for windows in (np.ones_like(turned_here), turned_here):
            share[covered[:, windows].sum(axis=1) < _MIN_WINDOWS * windows.sum()] = np.inf
        at = int(np.argmin(share))
        if share[at] < least:
            least, best = share[at], TurnComparison(int(turns[at].sum()), int(apart[at].sum()))
    return best


def _measured_turns(motions: Sequence[ImageMotion]) -> tuple[Floats, Floats]:
    """Return beginnings (video s) of the measured windows and the turn in each, rad."""
    if not motions:
        return np.empty(0), np.empty(0)
    first, second = (np.array([getattr(m, name) for m in motions]) for name in ("first_s", "second_s"))
    rate = np.array([m.rate[2] for m in motions])
    # between two motions that do not join nothing is known
    edges = np.stack([first, second], axis=1).ravel()
    turned = np.cumsum(np.stack([np.zeros_like(rate), rate * (second - first)], axis=1).ravel())
    known = np.cumsum(np.stack([np.zeros_like(rate), second - first], axis=1).ravel())
    begins = np.arange(first[0], second[-1] - _WINDOW_S + 1e-6, _WINDOW_S)
    measured = _between(begins, edges, known) > _MIN_SEEN * _WINDOW_S
    return begins[measured], _between(begins, edges, turned)[measured]


def _logged_turns(told: LoggedPoses, interior: InteriorOrientation) -> tuple[Floats, Floats, Floats]:
    """Return log times (s), the turn up to each (rad), and its known duration (s)."""
    time_s = np.arange(told.time_s[0], told.time_s[-1] + _LOG_STEP_S / 2.0, _LOG_STEP_S)
    rate = predict_rates(told, interior, time_s[:-1], time_s[1:])[:, 2]
    is_told = np.isfinite(rate)
    turned, known = (
        np.concatenate([[0.0], np.cumsum(_LOG_STEP_S * one)])
        for one in (np.where(is_told, rate, 0.0), is_told)
    )
    return time_s, turned, known


def _between(begins: Floats, time_s: Floats, grown: Floats) -> Floats:
    """Return the growth of a sum (`grown` at rising times) in each window."""
    grows: Floats = np.interp(begins + _WINDOW_S, time_s, grown) - np.interp(begins, time_s, grown)
    return grows
