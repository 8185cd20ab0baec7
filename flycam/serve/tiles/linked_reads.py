"""What ground of clipped maps each reader took in the last day, commune by commune: many small maps are one
linked mosaic to whoever has them all."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import shapely
from shapely.geometry.base import BaseGeometry

from flycam.catalog.catalog import Catalog
from flycam.errors import NotFound
from flycam.pipeline.linked_area import LinkedPart, note_linked_parts
from flycam.pipeline.workspace import Workspace

_DAY_S = 86_400.0
_KEPT = 4096


class LinkedReads:
    """Memory of this process, bounded; safe to use from several threads."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def note(self, workspace: Workspace, who: str, flight_id: str, commune: str) -> None:
        """Write to the audit log where, with this map, `who` has had more ground than was set."""
        if workspace.linked_km2 is None:
            return
        communes = self._with(who, flight_id, commune)
        parts = [part for one in communes.items() if (part := _part(workspace.catalog, *one)) is not None]
        note_linked_parts(workspace, parts, who, "clipped maps", f"{flight_id} {commune}")

    def _with(self, who: str, flight_id: str, commune: str) -> dict[str, list[str]]:
        """Communes that they read, this one too, by flight."""
        with self._lock:
            now = self._clock_s()
            self._read[who, flight_id, commune] = now
            self._read.move_to_end((who, flight_id, commune))
            while len(self._read) > _KEPT or now - next(iter(self._read.values())) > _DAY_S:
                self._read.popitem(last=False)
            found: dict[str, list[str]] = {}
            for reader, flight, code in self._read:
                if reader == who:
                    found.setdefault(flight, []).append(code)
        return found


def _part(catalog: Catalog, flight_id: str, communes: list[str]) -> LinkedPart | None:
    try:
        flight = catalog.flights.flight(flight_id)
    except NotFound:
        return None
    return flight, _ground(catalog, communes)


def _ground(catalog: Catalog, communes: list[str]) -> BaseGeometry | None:
    """Of these communes; of one whose boundary is not known any more all of the flight counts."""
    try:
        return shapely.union_all([shapely.from_wkb(catalog.boundaries.commune(one).wkb) for one in communes])
    except NotFound:
        return None
