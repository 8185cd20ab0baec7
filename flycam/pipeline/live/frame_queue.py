"""Bounded queue of chosen frames, which drops new ground last.

When late, frames are first chosen more seldom (`choose_spacing`): frames farther apart show the same ground
in fewer views. If the queue is full all the same, the frame is dropped whose neighbours show most of what it
shows: "thinned". Only where they do not is new ground lost: "no_time", or "store_away" while that is why.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from flycam.ingest.video.keyframe_selection import CLOSES_AT, OPENS_AT
from flycam.ingest.video.video_source import VideoFrame

MAX_QUEUED = 24
MAX_QUEUED_BYTES = 768 << 20
"""Frames in memory: 150 MB of 1920×1080, the same number of 4K, fewer of what is larger."""

_LATE_S, _VERY_LATE_S = 0.5, 2.0
_MAX_SPACING = (0.55, 0.7)
_SHOWN_BY_NEIGHBOURS = 0.85


def choose_spacing(late_s: float, *, is_sparing: bool = False) -> tuple[float, float]:
    """Return the shares of new view from which a frame may, and must, be chosen.

    The usual ones up to half a second late; from two seconds on, and to spare a battery, those that leave a
    third of the view in common.
    """
    late = 1.0 if is_sparing else float(np.clip((late_s - _LATE_S) / (_VERY_LATE_S - _LATE_S), 0.0, 1.0))
    opens, closes = (
        usual + late * (widest - usual)
        for usual, widest in zip((OPENS_AT, CLOSES_AT), _MAX_SPACING, strict=True)
    )
    return opens, closes


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A chosen frame in the queue.

    share     of the view that is new against the frame chosen, and kept, before; at most 1
    since_ns  monotonic time from which it waits
    """

    picture: VideoFrame
    share: float
    since_ns: int


class FrameQueue:
    """Queue between the selecting and the orthorectifying thread.

    drops    a full queue drops; else `put` waits for room
    is_away  whether store or database are away, so that no frame can be processed
    dropped  by reason: "thinned", "no_time"; in place of the latter "store_away" while they are
    """

    def __init__(
        self, most: int = MAX_QUEUED, *, drops: bool, is_away: Callable[[], bool] = lambda: False
    ) -> None:
        self._most, self._drops, self._is_away = most, drops, is_away
        self._items: list[_Chosen] = []
        self._is_closed = False
        self._changed = threading.Condition()
        self.dropped: Counter[str] = Counter()

    @property
    def late_s(self) -> float:
        """Seconds that the oldest frame has waited; 0 if none waits.

        The delay of orthorectification alone: choosing fewer frames would not shorten decoding or the log's
        delay.
        """
        with self._changed:
            if not self._items:
                return 0.0
            return (time.monotonic_ns() - self._items[0].since_ns) / 1e9

    def put(self, picture: VideoFrame, share: float) -> bool:
        """Add the newest frame; return False once the queue is closed."""
        with self._changed:
            while not self._drops and len(self._items) >= self._most and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return False
            if len(self._items) >= self._most:
                self._drop()
            self._items.append(_Chosen(picture, min(share, 1.0), time.monotonic_ns()))
            self._changed.notify_all()
            return True

    def get(self) -> VideoFrame | None:
        """Wait for the oldest frame; return None once the queue is closed and empty."""
        with self._changed:
            while not self._items and not self._is_closed:
                self._changed.wait()
            if not self._items:
                return None
            item = self._items.pop(0)
            self._changed.notify_all()
            return item.picture

    def close(self) -> None:
        """Close the queue to new frames; waiting ones can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Close the queue and drop the waiting frames."""
        with self._changed:
            self._items.clear()
            self._is_closed = True
            self._changed.notify_all()

    def _drop(self) -> None:
        """Drop the frame least missed, and add its share to the next one."""
        joined = [
            min(1.0, a.share + b.share) for a, b in zip(self._items[:-1], self._items[1:], strict=True)
        ] or [1.0]
        least = int(np.argmin(joined))
        del self._items[least]
        if least < len(self._items):
            self._items[least] = replace(self._items[least], share=joined[least])
        is_shown = joined[least] <= _SHOWN_BY_NEIGHBOURS
        lost = "store_away" if self._is_away() else "no_time"
        self.dropped["thinned" if is_shown else lost] += 1
