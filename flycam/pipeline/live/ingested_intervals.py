"""Intervals of a video that are on the map already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.frame.frame import parse_video_frame_pts_ns


class IngestedIntervals:
    """Intervals of a video that are on the map, or were until they were withdrawn.

    A run with another log, or another clock, chooses other frames of the same ground: beside the recorded
    ones they would show it twice, and show again what was withdrawn. A gap much wider than the usual spacing
    was dropped by a run that was late, and is filled.
    """

    _GAP = 3.0
    _NEAR = 0.5

    def __init__(self, records: Iterable[FrameRecord]) -> None:
        known = sorted(
            (parse_video_frame_pts_ns(one.header.provenance.source_name), one.status is FrameStatus.WITHDRAWN)
            for one in records
            if one.status is not FrameStatus.REJECTED
        )
        self._pts_ns = np.array([pts_ns for pts_ns, _ in known], dtype=np.int64)
        self._gone_ns = np.array([pts_ns for pts_ns, is_gone in known if is_gone], dtype=np.int64)
        steps = np.diff(self._pts_ns)
        self._usual_ns = float(np.median(steps)) if steps.size else 0.0

    def contains(self, pts_ns: int) -> bool:
        """Return True if a frame lies between two recorded neighbours.

        Or within half the usual spacing of one that was withdrawn.
        """
        if (np.abs(self._gone_ns - pts_ns) <= self._NEAR * self._usual_ns).any():
            return True
        after = int(np.searchsorted(self._pts_ns, pts_ns))
        if not 0 < after < len(self._pts_ns):
            return False
        return bool(self._pts_ns[after] - self._pts_ns[after - 1] <= self._GAP * self._usual_ns)
