"""Filtering and gap filling of swept heights.

Outliers are removed, gaps closed, and the rim is blended into the terrain as the flight corrects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from flycam.surface.height_sigma import (
    SweepAgreement,
    estimate_agreed_sigma,
    estimate_unagreed_sigma,
    measure_scatter,
)
from flycam.surface.options import SurfaceOptions
from flycam.surface.terrain_error import TerrainErrorPrior, correct_terrain

Singles = NDArray[np.float32]
Bools = NDArray[np.bool_]

# Pieces smaller than this that differ in height from their surroundings are errors.
_SPECKLE_M2, _SPECKLE_STEP_M = 6.0, 0.8
# Units of the speckle filter: 5 cm in an int16.
_CENTIMETRES = 20.0
# Least margin of a supported height.
_MIN_MARGIN = 0.05
# Heights with less weight do not extend the surface beyond the support.
_MIN_TRUST = 0.25
# Without support, heights are averaged over the first, and used only where they scatter less than the second.
_AROUND_M, _MAX_ROUGH_M = 1.5, 1.0
# Fewest posts for a mean height of ground cover.
_ENOUGH_POSTS = 1000


class SweepHeights(SweepAgreement, Protocol):
    """Result of a sweep (see `refinement.Sweep`)."""

    @property
    def dz_m(self) -> Singles: ...


@dataclass(frozen=True, slots=True)
class FilledHeights:
    """Filtered and filled heights, rows×cols each.

    dz_m              over the terrain
    support           the height is the flight's own
    sigma_m           NaN without support
    terrain_sigma_m   of the terrain as corrected
    unagreed_sigma_m  added where views did not agree (NaN where none were compared)
    cover_m           RMS height of ground cover, NaN where too little of it was seen
    """

    dz_m: Singles
    support: Bools
    sigma_m: Singles
    terrain_sigma_m: Singles
    unagreed_sigma_m: Singles
    cover_m: float


def fill_heights(
    found: SweepHeights, base_m: Singles, ground_m: Singles, spacing_m: float, options: SurfaceOptions
) -> FilledHeights:
    """Filter, smooth, fill and blend the heights of the fine sweep.

    found counts from base_m, the result from the terrain ground_m.
    """
    with np.errstate(invalid="ignore"):
        support: Bools = (found.agreement >= options.min_agreement) & (found.margin >= _MIN_MARGIN)
    dz = np.where(np.isnan(found.dz_m), np.float32(0.0), found.dz_m) + base_m
    dz = np.asarray(cv2.medianBlur(dz.astype(np.float32), 3), np.float32)
    support &= _not_speckles(dz, support, spacing_m)
    sigma = np.where(support, estimate_agreed_sigma(found, dz, spacing_m), np.float32(np.nan))
    unagreed = estimate_unagreed_sigma(found, dz, spacing_m)
    up_m, shift_m = options.terrain_sigma_m
    terrain = correct_terrain(dz, sigma, ground_m, spacing_m, TerrainErrorPrior(up_m=up_m, shift_m=shift_m))
    cover_m = _cover(dz - terrain.dz_m, found.views >= 2)
    trust = _trust(found, dz - terrain.dz_m, support, spacing_m, options.min_agreement)
    dz = _blended(dz, support, trust, terrain.dz_m, spacing_m, options.blend_m)
    return FilledHeights(dz, support, sigma, terrain.sigma_m, unagreed, cover_m)


def _cover(above_m: Singles, compared: Bools) -> float:
    """Return the RMS height above the corrected terrain where views were compared."""
    seen = above_m[compared & np.isfinite(above_m)]
    if seen.size < _ENOUGH_POSTS:
        return float("nan")
    return float(np.sqrt(np.mean(np.square(np.maximum(seen, 0.0), dtype=np.float64))))


def _not_speckles(dz: Singles, support: Bools, spacing_m: float) -> Bools:
    """Return the support without small isolated pieces."""
    away = -32768
    scaled = np.clip(dz * _CENTIMETRES, -32000, 32000).astype(np.int16)
    scaled[~support] = away
    cv2.filterSpeckles(scaled, away, int(_SPECKLE_M2 / spacing_m**2), int(_SPECKLE_STEP_M * _CENTIMETRES))
    return np.asarray(scaled != away, np.bool_)


def _trust(
    found: SweepHeights, above_m: Singles, support: Bools, spacing_m: float, min_agreement: float
) -> Singles:
    """Return the weight of each post's height, rows×cols 0 … 1.

    1 with support; with less agreement its share, where the heights around it are consistent. A height with
    little agreement is still the minimum of the semi-global sum over all images: on synthetic flights it was
    nearer the truth than the terrain at every agreement. Over leaves in the wind and water it is noise, and
    noise forms spikes that hide the ground from every frame.
    """
    rough = measure_scatter(above_m, _AROUND_M, spacing_m, min_posts=3)
    share = np.clip(np.nan_to_num(found.agreement) / np.float32(min_agreement), 0.0, 1.0)
    return np.where(support, 1.0, share * (rough < _MAX_ROUGH_M)).astype(np.float32)


def _blended(
    dz: Singles, support: Bools, trust: Singles, corrected_m: Singles, spacing_m: float, blend_m: float
) -> Singles:
    """Return dz in the support, blended around it into the corrected terrain.

    First the mean of trusted heights nearby, then with the distance the terrain.
    """
    looked: Bools = trust >= _MIN_TRUST
    if not looked.any():
        return corrected_m
    away = cv2.distanceTransform((~looked).astype(np.uint8), cv2.DIST_L2, 5) * np.float32(spacing_m)
    share = np.clip(1.0 - away / np.float32(blend_m), 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    wide = (0, 0), _AROUND_M / spacing_m
    weight = np.asarray(cv2.GaussianBlur(trust, *wide, borderType=cv2.BORDER_REPLICATE), np.float32)
    total = cv2.GaussianBlur(trust * (dz - corrected_m), *wide, borderType=cv2.BORDER_REPLICATE)
    mean = np.asarray(total / np.maximum(weight, 1e-6), np.float32)
    near = pull_push(mean, np.minimum(weight * np.float32(2.0), np.float32(1.0)))
    return np.where(support, dz, corrected_m + near * share).astype(np.float32)


def pull_push(values: Singles, trust: Singles | Bools) -> Singles:
    """Fill values smoothly where trust is 0, and keep them where it is 1.

    In proportion between (Gortler et al., The Lumigraph, 1996; normalised convolution of Knutsson and Westin,
    CVPR 1993).
    """
    weight = trust.astype(np.float32)
    sums, weights = [np.where(weight > 0.0, values * weight, np.float32(0.0))], [weight]
    while min(weights[-1].shape) > 1 and weights[-1].min() < 1.0:
        sums.append(np.asarray(cv2.pyrDown(sums[-1]), np.float32))
        weights.append(np.asarray(cv2.pyrDown(weights[-1]), np.float32))
    filled = sums[-1] / np.maximum(weights[-1], 1e-6)
    for total, share in zip(reversed(sums[:-1]), reversed(weights[:-1]), strict=True):
        coarser = cv2.resize(filled, total.shape[::-1], interpolation=cv2.INTER_LINEAR)
        believed = np.minimum(share * 4.0, 1.0)
        filled = total / np.maximum(share, 1e-6) * believed + coarser * (1.0 - believed)
    return np.where(weight == 1.0, values, filled).astype(np.float32)
