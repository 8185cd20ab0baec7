"""How far off BEFORE an outline may lie that was found on AFTER, and what that makes of its area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from flycam.analysis.coregister import Registration
from flycam.analysis.levels import WINDOW_PX

Floats = NDArray[np.float64]

_NEAREST = 12
"""So many windows tell how well the field holds around a place."""


def place_error_m(registration: Registration, places_px: Floats) -> Floats:
    """1-sigma radial error, metres, of how AFTER lies on BEFORE at places (N×2, pixels of the grid): N.

    error² = s² · (1 + h), of the k = 12 nearest windows that agree (all, where there are fewer):

        s²  mean of their squared residuals, each against a field made without that window
        h   1/k + dᵀ S⁻¹ d, the leverage of a place at d from their mean in a plane through them, with
            S = Σ (p - p̄)(p - p̄)ᵀ + k w²/12 · I, w the side of a window, which is ground and no point

    Among the windows that is hardly more than s; away from them (`tie_m`) it grows with the distance, for a
    field is only carried on there. It is the error between the two pictures: how far off the ground BEFORE
    itself lies is that of its mosaic (the expected error of its pixels).
    """
    windows = registration.windows.place_px[registration.agreed]
    squared = (registration.residual_px[registration.agreed] ** 2).sum(axis=1) * registration.gsd_m**2
    k = min(_NEAREST, len(windows))
    nearest = cKDTree(windows).query(places_px, k=k)[1].reshape(len(places_px), k)
    near = windows[nearest]
    middle = near.mean(axis=1, keepdims=True)
    spread = np.einsum("nki,nkj->nij", near - middle, near - middle)
    spread += k * (WINDOW_PX * registration.factor) ** 2 / 12.0 * np.eye(2)
    away = places_px - middle[:, 0]
    leverage = 1.0 / k + np.einsum("ni,nij,nj->n", away, np.linalg.inv(spread), away)
    error: Floats = np.sqrt(squared[nearest].mean(axis=1) * (1.0 + leverage))
    return error


def area_error_m2(perimeter_m: float, error_m: float) -> float:
    """What the place error makes of an area, 1 sigma: perimeter · error, as if all of the outline lay too far
    out or in by it. Of an outline that is only shifted it is less; how exactly the detector, or a hand, drew
    it is not in it."""
    return perimeter_m * error_m
