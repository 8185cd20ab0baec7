"""Shapes that many threads ask of the same thing: a server's withheld ground, ground that was compared."""

from __future__ import annotations

import threading
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry


class LockedPreparedGeometry:
    """A geometry prepared for questions, which any thread may ask.

    GEOS keeps what it works with in a prepared geometry (the index, made at the first question, and the
    chains of what is asked about), without a lock, and shapely lets other threads run meanwhile: two that ask
    one at once end the program with a segmentation fault. Here one question waits for the other.

    shape  the geometry itself, not prepared: for what is made of it
    """

    def __init__(self, shape: BaseGeometry) -> None:
        self.shape = shape
        self._asked = shapely.from_wkb(shapely.to_wkb(shape))  # a copy: nobody else can ask this one
        self._lock = threading.Lock()
        shapely.prepare(self._asked)

    def intersects(self, others: Any) -> Any:
        """As shapely.intersects: of one a bool, of many an array of them."""
        with self._lock:
            return shapely.intersects(self._asked, others)

    def intersects_xy(self, x: float, y: float) -> bool:
        """As shapely.intersects_xy, of one point."""
        with self._lock:
            return bool(shapely.intersects_xy(self._asked, x, y))
