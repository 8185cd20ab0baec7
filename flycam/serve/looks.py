"""Where the map's viewers look, for boxes that have more of it to send: squares of some tiles, for some
minutes. Nothing of who looks is kept, and nothing is kept when the server ends."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from flycam.geometry.grid import TileId
from flycam.sync.wishes import MOST_WISHES, Wish, lonlat_of

_KEPT_S = 600.0
_SQUARE_ZOOMS = 2  # a square is four tiles wide: about what a screen shows
_KEPT = 256


class Looks:
    """The squares that were looked at last, each with its zoom. Safe to use from several threads."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[int, int, int], float] = OrderedDict()

    def note(self, z: int, x: int, y: int) -> None:
        """Somebody asked for this tile."""
        up = min(_SQUARE_ZOOMS, z)
        square = z, x >> up, y >> up
        with self._lock:
            self._seen[square] = self._clock_s()
            self._seen.move_to_end(square)
            if len(self._seen) > _KEPT:
                self._seen.popitem(last=False)

    def wishes(self) -> tuple[Wish, ...]:
        """Where somebody looked in the last minutes, the latest first."""
        since_s = self._clock_s() - _KEPT_S
        with self._lock:
            latest = [square for square, at_s in reversed(self._seen.items()) if at_s >= since_s]
        return tuple(
            Wish(z, lonlat_of(TileId(z=z - min(_SQUARE_ZOOMS, z), x=x, y=y)))
            for z, x, y in latest[:MOST_WISHES]
        )
