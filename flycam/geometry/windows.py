"""Square windows of a grey image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def cut_windows(grey: Bytes, uv_px: NDArray[np.float64], half_px: int) -> Bytes:
    """Cut windows N×(2·half_px + 1)² around the pixels nearest to N×2 points.

    The edge is repeated.
    """
    height, width = grey.shape
    around = np.arange(-half_px, half_px + 1)
    column, row = np.rint(uv_px).astype(np.int64).T
    rows = np.clip(row[:, None] + around, 0, height - 1)
    columns = np.clip(column[:, None] + around, 0, width - 1)
    cut: Bytes = grey[rows[:, :, None], columns[:, None, :]]
    return cut
