"""Which heights are believed, and what stands between: outliers go, gaps close, the rim is blended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.surface.options import SurfaceOptions

Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

# Pieces of surface smaller than this, apart from their surroundings in height, are mistakes.
_SPECKLE_M2, _SPECKLE_STEP_M = 6.0, 0.8
_CENTIMETRES = 20.0  # units of the speckle filter: 5 cm in an int16
_LEAST_MARGIN = 0.05
_LEAST_OFFSET_M, _NEAR_GROUND_M = 0.5, 1.5
_MATCHING_SHARE, _ROUGH_SHARE = 0.21, 1.0


class Found(Protocol):
    """What a sweep found (see `refine.Sweep`)."""

    @property
    def dz_m(self) -> Singles: ...
    @property
    def agreement(self) -> Singles: ...
    @property
    def margin(self) -> Singles: ...
    @property
    def precision_m(self) -> Singles: ...


@dataclass(frozen=True, slots=True)
class Finished:
    """dz over the terrain, support, sigma (NaN without support): rows×cols each."""

    dz_m: Singles
    support: Bools
    sigma_m: Singles


def finish_heights(found: Found, base_m: Singles, spacing_m: float, options: SurfaceOptions) -> Finished:
    """Believe, smooth, fill and blend what the fine sweep found over terrain + base_m."""
    with np.errstate(invalid="ignore"):
        support: Bools = (found.agreement >= options.least_agreement) & (found.margin >= _LEAST_MARGIN)
    dz = np.where(np.isnan(found.dz_m), np.float32(0.0), found.dz_m) + base_m
    dz = np.asarray(cv2.medianBlur(dz.astype(np.float32), 3), np.float32)
    support &= _not_speckles(dz, support, spacing_m)
    dz = _blended(dz, support, common_offset(dz, base_m, support), spacing_m, options.blend_m)
    return Finished(dz, support, _sigma(found, dz, support))


def _sigma(found: Found, dz: Singles, support: Bools) -> Singles:
    """1-sigma of a height: the width of its peak times the root of what does not correlate, and how much the
    heights around it differ (where a window holds a step, the step may lie a post or two aside).

    Both factors are fitted to drills with truth (tests/bench/surface.py).
    """
    mean = cv2.blur(dz, (5, 5))
    rough = np.sqrt(np.maximum(cv2.blur(dz * dz, (5, 5)) - mean * mean, 0.0))
    with np.errstate(invalid="ignore"):
        noise = np.sqrt(np.maximum(1.0 - found.agreement, 0.05))
        match = _MATCHING_SHARE * noise * np.minimum(found.precision_m, 10.0)
    sigma = np.hypot(match, _ROUGH_SHARE * rough)
    return np.where(support, sigma, np.float32(np.nan)).astype(np.float32)


def _not_speckles(dz: Singles, support: Bools, spacing_m: float) -> Bools:
    """Support without pieces that are small and apart."""
    away = -32768
    scaled = np.clip(dz * _CENTIMETRES, -32000, 32000).astype(np.int16)
    scaled[~support] = away
    cv2.filterSpeckles(scaled, away, int(_SPECKLE_M2 / spacing_m**2), int(_SPECKLE_STEP_M * _CENTIMETRES))
    return np.asarray(scaled != away, np.bool_)


def common_offset(dz: Singles, base_m: Singles, support: Bools) -> float:
    """How far the whole terrain lies off, in height: the median of the heights found near the ground, where
    that is more than half a metre and more than it differs from place to place (robust); else 0.

    A plane at take-off, or a DEM of another datum, would else stand as a cliff around the surface.
    """
    found = dz[support & (np.abs(dz - base_m) < _NEAR_GROUND_M)]
    if not found.size:
        return 0.0
    middle = float(np.median(found))
    spread = 1.4826 * float(np.median(np.abs(found - np.float32(middle))))
    return middle if abs(middle) > max(_LEAST_OFFSET_M, spread) else 0.0


def _blended(dz: Singles, support: Bools, offset_m: float, spacing_m: float, blend_m: float) -> Singles:
    """dz in the support; outside it the neighbours' going over into the offset terrain with the distance."""
    if not support.any():
        return np.zeros_like(dz)
    away = cv2.distanceTransform((~support).astype(np.uint8), cv2.DIST_L2, 5) * np.float32(spacing_m)
    share = np.clip(1.0 - away / np.float32(blend_m), 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    near = pull_push(dz, support)
    far = np.float32(offset_m)
    return np.where(support, dz, far + (near - far) * share).astype(np.float32)


def pull_push(values: Singles, known: Bools) -> Singles:
    """Values where they are known, smoothly carried on elsewhere (Gortler et al., The Lumigraph, 1996)."""
    weight = known.astype(np.float32)
    sums, weights = [np.where(known, values, np.float32(0.0))], [weight]
    while min(weights[-1].shape) > 1 and weights[-1].min() < 1.0:
        sums.append(np.asarray(cv2.pyrDown(sums[-1]), np.float32))
        weights.append(np.asarray(cv2.pyrDown(weights[-1]), np.float32))
    filled = sums[-1] / np.maximum(weights[-1], 1e-6)
    for total, share in zip(reversed(sums[:-1]), reversed(weights[:-1]), strict=True):
        coarser = cv2.resize(filled, total.shape[::-1], interpolation=cv2.INTER_LINEAR)
        believed = np.minimum(share * 4.0, 1.0)
        filled = total / np.maximum(share, 1e-6) * believed + coarser * (1.0 - believed)
    return np.where(known, values, filled).astype(np.float32)
