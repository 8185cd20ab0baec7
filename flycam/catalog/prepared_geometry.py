"""Prepared geometries shared by threads: a server's withheld ground, ground that was compared."""

from __future__ import annotations

import threading
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry


class LockedPreparedGeometry:
    """Prepared geometry that any thread may query.

    GEOS keeps its working data in a prepared geometry (the index, made at the first query, and the chains of
    the queried geometry) without a lock, and shapely releases the GIL meanwhile: two concurrent queries end
    the program with a segmentation fault. Here one query waits for the other.

    shape  the geometry itself, not prepared: for deriving others
    """

    def __init__(self, shape: BaseGeometry) -> None:
        self.shape = shape
        # a copy that nobody else can query
        self._asked = shapely.from_wkb(shapely.to_wkb(shape))
        self._lock = threading.Lock()
        shapely.prepare(self._asked)

    def intersects(self, others: Any) -> Any:
        """Query as shapely.intersects: a bool for one geometry, an array for many."""
        with self._lock:
            return shapely.intersects(self._asked, others)

    def intersects_xy(self, x: float, y: float) -> bool:
        """Query as shapely.intersects_xy, for one point."""
        with self._lock:
            return bool(shapely.intersects_xy(self._asked, x, y))
