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
_AGAIN_S = 1.0  # a screen asks for a dozen tiles of one square at once: the first says it


Square = tuple[int, int, int]
"""(zoom of the tiles, column, row) of a square of them."""


def square_of(tile_id: TileId) -> Square:
    """The square that a tile is of."""
    up = min(_SQUARE_ZOOMS, tile_id.z)
    return tile_id.z, tile_id.x >> up, tile_id.y >> up


class Looks:
    """The squares that were looked at last, each with its zoom. Safe to use from several threads."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._seen: OrderedDict[Square, float] = OrderedDict()
        self._latest: tuple[Square, float] = ((-1, 0, 0), -_AGAIN_S)

    def note(self, square: Square) -> None:
        """Somebody asked for a tile of this square."""
        now_s = self._clock_s()
        latest, at_s = self._latest
        if square == latest and now_s - at_s < _AGAIN_S:
            return
        self._latest = square, now_s
        with self._lock:
            self._seen[square] = now_s
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
