"""Which stretches of a film are on the map already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flycam.catalog.records import FrameRecord, FrameStatus
from flycam.frame.frame import parse_video_frame_pts_ns


class IngestedIntervals:
    """The stretches of a film that are on the map, or were until they were withdrawn.

    A run by another log, or another clock, chooses other pictures of the same ground: laid beside those on
    record they would show it twice, and show again what was withdrawn. A gap much wider than the frames'
    usual distance was dropped by a run that was late, and is filled.
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
        """Whether a picture lies between two neighbours on record, or within half the usual distance of one
        that was withdrawn."""
        if (np.abs(self._gone_ns - pts_ns) <= self._NEAR * self._usual_ns).any():
            return True
        after = int(np.searchsorted(self._pts_ns, pts_ns))
        if not 0 < after < len(self._pts_ns):
            return False
        return bool(self._pts_ns[after] - self._pts_ns[after - 1] <= self._GAP * self._usual_ns)
