"""GPS time, which has no leap seconds: weeks since 6 January 1980, converted to UTC."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GPS_EPOCH_S = 315_964_800.0
"""The beginning of GPS time, seconds UTC since 1970."""
WEEK_S = 604_800.0
_FIRST, _SINCE_S = 14.0, np.array([1_230_768_000.0, 1_341_100_800.0, 1_435_708_800.0, 1_483_228_800.0])
"""GPS time minus UTC since 2006, s, and when it grew by one: 2009, July 2012, July 2015, 2017.

Source: IERS Bulletin C.
"""


def compute_leap_seconds(utc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return GPS time minus UTC, seconds, at times in seconds UTC since 1970."""
    ahead: NDArray[np.float64] = _FIRST + np.searchsorted(_SINCE_S, utc, side="right").astype(np.float64)
    return ahead


def to_utc_s(week: NDArray[np.float64], ms_of_week: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert GPS week and milliseconds of week to seconds UTC since 1970.

    Weeks are counted on beyond 1023.
    """
    gps = GPS_EPOCH_S + week * WEEK_S + ms_of_week / 1e3
    return gps - compute_leap_seconds(gps - compute_leap_seconds(gps))
