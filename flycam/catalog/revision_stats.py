"""Reader of the statistics of a finished revision (`RevisionRecord.stats`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def get_shift_error_m(stats: Mapping[str, Any]) -> float | None:
    """Return the horizontal sigma of the whole block's place, radial, metres.

    None if the statistics do not state it.
    """
    east_m, north_m = (stats.get("shift_sigma_m") or (None, None))[:2]
    if east_m is None or north_m is None or not (math.isfinite(east_m) and math.isfinite(north_m)):
        return None
    return math.hypot(east_m, north_m)
