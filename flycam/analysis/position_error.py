"""Position error on BEFORE of an outline found on AFTER, and error of its area."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from flycam.analysis import detector_coefficients
from flycam.analysis.coregistration import Registration
from flycam.analysis.window_matching import WINDOW_PX

Floats = NDArray[np.float64]

HAND_RIM_M = 1.0
"""Chosen, not measured: corners are set to about two pixels of an image (0.3 to 1 m), and where a scar ends
under grass, or water in reeds, two people differ by about a metre."""

_NEAREST = 12
"""Number of windows from which the field's error around a place is estimated."""


def estimate_place_error_m(registration: Registration, places_px: Floats) -> Floats:
    """Estimate the 1-sigma radial error, metres, of the registration at N places.

    places_px  N×2, pixels of the grid

    error² = s² · (1 + h), of the k = 12 nearest windows that agree (all, where there are fewer):

        s²  mean of their squared residuals, each against a field made without that window
        h   1/k + dᵀ S⁻¹ d, the leverage of a place at d from their mean in a plane through them, with
            S = Σ (p - p̄)(p - p̄)ᵀ + k w²/12 · I, w the side of a window, which is ground and no point

    Among the windows that is hardly more than s; away from them it grows with the distance, for a field is
    only extrapolated there. It is the error between the two images: the error of the ground BEFORE itself is
    that of its mosaic (the expected error of its pixels).
    """
    windows = registration.windows.place_px[registration.agreed]
    squared = (registration.residual_px[registration.agreed] ** 2).sum(axis=1) * registration.gsd_m**2
    return interpolate_error(windows, squared, float(WINDOW_PX * registration.factor), places_px)


def interpolate_error(windows: Floats, squared: Floats, side: float, places: Floats) -> Floats:
    """Compute `estimate_place_error_m` from M windows that agree.

    windows  their places (M×2), like their side in the unit of the N places (N×2)
    squared  their squared residuals (M, square metres)
    """
    k = min(_NEAREST, len(windows))
    nearest = cKDTree(windows).query(places, k=k)[1].reshape(len(places), k)
    near = windows[nearest]
    middle = near.mean(axis=1, keepdims=True)
    spread = np.einsum("nki,nkj->nij", near - middle, near - middle)
    spread += k * side**2 / 12.0 * np.eye(2)
    away = places - middle[:, 0]
    leverage = 1.0 / k + np.einsum("ni,nij,nj->n", away, np.linalg.inv(spread), away)
    error: Floats = np.sqrt(squared[nearest].mean(axis=1) * (1.0 + leverage))
    return error


def estimate_area_error_m2(
    kind: str, perimeter_m: float, error_m: float | None, *, by_hand: bool = False
) -> float:
    """Estimate the 1-sigma error of an area, square metres.

    perimeter · √(rim² + error²)

        rim     distance in or out of the true outline, all along it: for a candidate
                `detector_coefficients.RIM_M` of its kind, for one drawn by hand `HAND_RIM_M`
        error   of its place (`estimate_place_error_m`), as if all of it lay too far out or in by that, which
                is more than the error of an outline that is only shifted; None: not known, and left out

    On exercises areas err in proportion to the perimeter and not to its root: the rim lies out, or in, along
    the whole outline (light, haze, blur, the old river that is drawn into a flood); it does not vary from
    place to place and cancel. Errors have a heavier tail than a normal law's, for parts are missed and
    neighbours joined, so RIM_M is the least with which 68 % of true areas lie within one sigma, and 95 %
    within two (`bench/change_outlines.py` fits and counts them). It applies to whole slides and floods on
    images of 0.15 to 0.5 m; it does not cover what is missing where a change was found in pieces. It was not
    judged for "other" changes: extracted from bare ground as slides are, they are taken to err as these do.
    """
    rim = (
        HAND_RIM_M
        if by_hand
        else detector_coefficients.RIM_M.get(kind, detector_coefficients.RIM_M["landslide"])
    )
    return perimeter_m * math.hypot(rim, error_m or 0.0)
