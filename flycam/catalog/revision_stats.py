"""What a finished revision says of itself (`RevisionRecord.stats`), read in one place for all who ask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def get_shift_error_m(stats: Mapping[str, Any]) -> float | None:
    """What is unknown of the whole block's place, level (radial 1-sigma, metres); None: it does not say."""
    east_m, north_m = (stats.get("shift_sigma_m") or (None, None))[:2]
    if east_m is None or north_m is None or not (math.isfinite(east_m) and math.isfinite(north_m)):
        return None
    return math.hypot(east_m, north_m)
