"""The difference between a video's clock and its log's, from the pictures' own motion against the track.

Every offset within reach is tried: the motion that the log tells is compared with the seen one, component
by component, with its mean and its gain left free (a log full of noise tells a motion that is not there: its
gain is then near nothing, at every offset alike). What is left over gives each offset its likelihood, with as
many independent motions as their correlation in time leaves; the spread of all offsets so weighed is the
sigma. On a straight line at constant speed every offset is as likely as another, and the sigma says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from flycam.geometry.interior import InteriorOrientation
from flycam.ingest.video.motion import Motion, ToldPoses, told_rates

Floats = NDArray[np.float64]

REACH_S = 5.0
KNOWN_SIGMA_S = 0.2
"""An offset with a larger sigma is no number to lay pictures by."""

_COARSE_S, _FINE_S, _FINE_REACH_S = 0.1, 0.01, 0.5
_LEAST_MOTIONS = 30
_LEAST_SHARE = 0.6
_MOST_GAIN = 1.3
_LEAST_CORRELATED_S = 0.5
_OUTLIER = 6.0
_LEAST_SIGMA_S = 0.005  # a picture's own exposure and readout, a log's rounding
_MOST_DRIFT, _DRIFTS = 1e-3, 41


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """offset_s: telemetry stamp minus video time at `at_s` (video time); drift: its change, seconds a second.

    sigma_s, drift_sigma  1-sigma; where sigma_s is over KNOWN_SIGMA_S the offset is not known
    motions               measured motions that it rests on
    """

    offset_s: float
    sigma_s: float
    at_s: float = 0.0
    drift: float = 0.0
    drift_sigma: float = float("inf")
    motions: int = 0

    @property
    def is_known(self) -> bool:
        return self.sigma_s <= KNOWN_SIGMA_S


def unknown_offset(around_s: float = 0.0, reach_s: float = REACH_S) -> ClockOffset:
    """Nothing is known but that it lies within reach of `around_s`."""
    return ClockOffset(around_s, float(reach_s / np.sqrt(3.0)))


def estimate_offset(
    motions: Sequence[Motion],
    poses: ToldPoses,
    interior: InteriorOrientation,
    around_s: float = 0.0,
    reach_s: float = REACH_S,
) -> ClockOffset:
    """The offset within `reach_s` of `around_s`, with its sigma and drift.

    motions  in order of time, video time; poses in the log's time
    """
    if len(motions) < _LEAST_MOTIONS or len(poses.time_s) < 2:
        return unknown_offset(around_s, reach_s)
    fit = _Fit(motions, poses, interior)
    coarse = around_s + np.arange(-reach_s, reach_s + _COARSE_S / 2.0, _COARSE_S)
    best = fit.most_likely(coarse)
    if best is None:
        return unknown_offset(around_s, reach_s)
    fit.leave_out_strangers(best)
    best = fit.most_likely(coarse) or best
    near = best + np.arange(-_FINE_REACH_S, _FINE_REACH_S + _FINE_S / 2.0, _FINE_S)
    far = coarse[np.abs(coarse - best) > _FINE_REACH_S]
    offset, sigma = _mean_and_spread(
        np.concatenate([near, far]),
        np.array([fit.log_likelihood(one) for one in (*near, *far)]),
        np.concatenate([np.full(len(near), _FINE_S), np.full(len(far), _COARSE_S)]),
    )
    found = ClockOffset(offset, max(sigma, _LEAST_SIGMA_S), fit.middle_s, motions=len(motions))
    return _with_drift(found, fit) if found.is_known else found


class _Fit:
    """Seen motions against told ones."""

    def __init__(self, motions: Sequence[Motion], poses: ToldPoses, interior: InteriorOrientation) -> None:
        self._first = np.array([m.first_s for m in motions])
        self._second = np.array([m.second_s for m in motions])
        self._seen = np.array([m.rate for m in motions])
        self._poses, self._interior = poses, interior
        self._used = np.ones(len(motions), dtype=bool)
        self.middle_s = float(self._first.mean())
        step_s = float(np.median(np.diff(self._first)))
        self._least_correlated = max(1.0, _LEAST_CORRELATED_S / max(step_s, 1e-3))

    def log_likelihood(self, offset: float, drift: float = 0.0) -> float:
        """Of an offset at `middle_s` with a drift, but for a constant; -inf where the log does not reach."""
        told = self._told(offset, drift)
        known = np.isfinite(told).all(axis=1) & self._used
        if known.sum() < _LEAST_SHARE * self._used.sum():
            return float("-inf")
        return sum(
            self._of_component(seen, said)
            for seen, said in zip(self._seen[known].T, told[known].T, strict=True)
        )

    def most_likely(self, offsets: Floats) -> float | None:
        """The likeliest of some offsets; None where the log reaches none of them."""
        likelihood = np.array([self.log_likelihood(offset) for offset in offsets])
        return float(offsets[np.argmax(likelihood)]) if np.isfinite(likelihood).any() else None

    def leave_out_strangers(self, offset: float) -> None:
        """Set motions aside that neither the log nor their neighbours bear out, at an offset."""
        left = self._seen - self._told(offset)
        spread = 1.4826 * np.nanmedian(np.abs(left - np.nanmedian(left, axis=0)), axis=0)
        off = np.abs(left - np.nanmedian(left, axis=0)) > _OUTLIER * np.maximum(spread, 1e-6)
        # at a turn the whole neighbourhood stands out: that is the signal, not a stranger
        alone = off & ~np.roll(off, 1, axis=0) & ~np.roll(off, -1, axis=0)
        self._used &= ~alone.any(axis=1)

    def _told(self, offset: float, drift: float = 0.0) -> Floats:
        shift = offset + drift * (self._first - self.middle_s)
        return told_rates(self._poses, self._interior, self._first + shift, self._second + shift)

    def _of_component(self, seen: Floats, told: Floats) -> float:
        """Log-likelihood of one component, its mean, gain and sigma at their likeliest."""
        seen, told = seen - seen.mean(), told - told.mean()
        power = float(told @ told)
        gain = np.clip(float(seen @ told) / power, 0.0, _MOST_GAIN) if power > 0.0 else 0.0
        left = seen - gain * told
        before, after = float(seen @ seen), float(left @ left)
        if before <= 0.0 or after <= 0.0:
            return 0.0
        together = max(_correlated(seen), _correlated(told), self._least_correlated)
        return -0.5 * len(seen) / together * float(np.log(after / before))


def _with_drift(found: ClockOffset, fit: _Fit) -> ClockOffset:
    """The offset with its drift, where that is three sigmas or more."""
    drifts = np.linspace(-_MOST_DRIFT, _MOST_DRIFT, _DRIFTS)
    likelihood = np.array([fit.log_likelihood(found.offset_s, drift) for drift in drifts])
    drift, sigma = _mean_and_spread(drifts, likelihood, np.ones(_DRIFTS))
    sigma = max(sigma, float(drifts[1] - drifts[0]))
    return replace(found, drift=drift if abs(drift) > 3.0 * sigma else 0.0, drift_sigma=sigma)


def _mean_and_spread(values: Floats, log_likelihood: Floats, widths: Floats) -> tuple[float, float]:
    """Of values by their likelihood; each stands for a stretch of its width."""
    chance = widths * np.exp(log_likelihood - log_likelihood.max())
    chance /= chance.sum()
    mean = float(chance @ values)
    return mean, float(np.sqrt(chance @ (values - mean) ** 2))


def _correlated(values: Floats) -> float:
    """How many neighbours of a series count as one, at least 1: integrated autocorrelation (Sokal 1997)."""
    centred = values - values.mean()
    length = len(centred)
    spectrum = np.fft.rfft(centred, 2 * length)
    correlation = np.fft.irfft(spectrum * spectrum.conj())[:length]
    if correlation[0] <= 0.0:
        return float(length)
    correlation /= correlation[0]
    end = int(np.argmax(correlation < 0.0)) or length
    return float(max(1.0, 2.0 * correlation[:end].sum() - 1.0))
