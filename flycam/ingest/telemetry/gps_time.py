"""GPS time, which knows no leap seconds: weeks since 6 January 1980, and what UTC has lost against it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAP_SECONDS = 18.0
"""Seconds that GPS time runs ahead of UTC since 2017-01-01 (IERS Bulletin C)."""
GPS_EPOCH_S = 315_964_800.0
"""The beginning of GPS time, seconds UTC since 1970."""
WEEK_S = 604_800.0


def utc_s(week: NDArray[np.float64], ms_of_week: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds UTC since 1970 of a week, counted on beyond 1023, and its milliseconds."""
    return GPS_EPOCH_S + week * WEEK_S + ms_of_week / 1e3 - LEAP_SECONDS
