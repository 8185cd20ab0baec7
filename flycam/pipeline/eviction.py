"""Eviction of derived data when the disk fills: one kind after the other, until enough space is free.

Originals, recorded terrain, records, data from peers, and objects named by the published revision's tile log
are never evicted.

    1. local copies of originals, and files left by killed processes, older than a day
    2. objects left in the store by cluster runs that were cut short
    3. tile states that the log replaced, tiles of retired revisions and old clips, past their grace
    4. the same, younger: replaced at least a quarter of an hour ago
    5. stage files of runs of `finish` that nobody resumed for a day

The oldest flights first. Data in the store are evicted only where the store's disk is the one that is low.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from flycam.catalog.flights import format_finish_lock
from flycam.errors import FlightBusy
from flycam.frame.flight import Flight
from flycam.pipeline.cluster.cluster_run import INGEST, delete_prefix
from flycam.pipeline.disk_space import DiskSpaceGuard, Freed
from flycam.pipeline.garbage_collection import DAY_S, GRACE_S, delete_object, find_stale_objects
from flycam.pipeline.stale_files import (
    delete_path,
    find_stale_copies,
    find_stale_stage_folders,
    measure_disk_usage,
)
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from flycam.store.disk_space import get_free_bytes

MIN_GRACE_S = 900.0
"""Longer than a response takes that reads a tile state by its key."""


def enable_eviction(workspace: Workspace) -> Workspace:
    """Return a workspace that evicts derived data when space is low.

    For recipes that ingest.
    """
    return replace(workspace, disk_space=DiskSpaceGuard(partial(evict_derived, workspace)))


def evict_derived(workspace: Workspace, wanted_bytes: int, held_lock: str | None = None) -> Freed:
    """Delete derived data, in the module's order, until so many bytes are free.

    The disks are those of store, catalogue and local copies. Adds an entry to the audit log.

    held_lock  as of `DiskSpaceGuard.require_space`

    Raises StorageFailed.
    """
    freed = _Eviction(workspace, wanted_bytes, held_lock).run()
    if freed:
        left = ", ".join(
            f"{one.free_bytes / 1e6:.0f} MB free in {one.name}" for one in workspace.list_disks()
        )
        workspace.catalog.audit.append(
            workspace.operator or workspace.box,
            "make room",
            workspace.box,
            f"room was low: {freed.tiles} tile states, {freed.clips} clips, {freed.copies} local copies, "
            f"{freed.size_bytes} bytes; now {left}",
            at_ns=workspace.clock_ns(),
        )
    return freed


def estimate_evictable(workspace: Workspace) -> Freed:
    """Sum up all that `evict_derived` could delete, without deleting.

    Raises StorageFailed.
    """
    return _Eviction(workspace, None, None).run()


_Step = tuple[Callable[[], Freed], Callable[[], bool]]


@dataclass(frozen=True, slots=True)
class _Eviction:
    """One eviction; wanted_bytes None: nothing is deleted, all is counted."""

    workspace: Workspace
    wanted_bytes: int | None
    holding: str | None

    def run(self) -> Freed:
        freed = Freed()
        for step, is_due in self._steps():
            if self._is_counting or is_due():
                freed += step()
        return freed

    @property
    def _is_counting(self) -> bool:
        return self.wanted_bytes is None

    def _steps(self) -> Iterator[_Step]:
        """Yield the steps, each with a check whether its disk is still low."""
        # oldest first; the catalogue lists the newest first
        flights = self.workspace.catalog.flights.flights()[::-1]
        # past the long grace implies past the short one, and each object is counted once
        graces_s = (MIN_GRACE_S,) if self._is_counting else (GRACE_S, MIN_GRACE_S)
        yield self._copies, self._is_cache_low
        yield from ((partial(self._cluster, flight), self._is_store_low) for flight in flights)
        for grace_s in graces_s:
            yield from ((partial(self._old, flight, grace_s), self._is_store_low) for flight in flights)
        yield from ((partial(self._stages, flight), self._is_cache_low) for flight in flights)

    def _is_store_low(self) -> bool:
        room = self.workspace.store.free_bytes()
        return room is not None and room < (self.wanted_bytes or 0)

    def _is_cache_low(self) -> bool:
        return get_free_bytes(self.workspace.cache_dir) < (self.wanted_bytes or 0)

    def _copies(self) -> Freed:
        return self._removed(find_stale_copies(self.workspace, self._before(DAY_S)))

    def _stages(self, flight: Flight) -> Freed:
        if self.holding == format_finish_lock(flight.flight_id):
            return Freed()  # the caller's own stage files
        with suppress(FlightBusy), self._nobody_at(format_finish_lock(flight.flight_id)):
            return self._removed(
                find_stale_stage_folders(self.workspace, flight.flight_id, self._before(DAY_S))
            )
        return Freed()

    def _cluster(self, flight: Flight) -> Freed:
        if self.holding == flight.flight_id:
            return Freed()  # its run may be the one in progress
        with suppress(FlightBusy), self._nobody_at(flight.flight_id):
            prefix = keys.format_cluster_run_prefix(flight.flight_id) + INGEST
            size = delete_prefix(self.workspace.store, prefix, dry_run=self._is_counting)
            return Freed(copies=1 if size else 0, size_bytes=size)
        return Freed()

    def _old(self, flight: Flight, grace_s: float) -> Freed:
        with suppress(FlightBusy), self._nobody_at(flight.flight_id, format_finish_lock(flight.flight_id)):
            found = find_stale_objects(self.workspace, flight, self._before(grace_s))
            gone = (*found.tiles, *found.clips)
            size = sum(delete_object(self.workspace, key, dry_run=self._is_counting) for key in gone)
            return Freed(tiles=len(found.tiles), clips=len(found.clips), size_bytes=size)
        return Freed()

    @contextmanager
    def _nobody_at(self, *names: str) -> Iterator[None]:
        """Hold the flight's locks, so that only the caller writes or finishes it.

        Not for counting. Raises FlightBusy.
        """
        with ExitStack() as stack:
            for name in names:
                if not self._is_counting and name != self.holding:
                    stack.enter_context(self.workspace.catalog.flights.lock(name))
            yield

    def _removed(self, found: Iterable[Path]) -> Freed:
        sizes = [measure_disk_usage(path) if self._is_counting else delete_path(path) for path in found]
        return Freed(copies=len(sizes), size_bytes=sum(sizes))

    def _before(self, grace_s: float) -> int:
        return self.workspace.clock_ns() - int(grace_s * 1e9)
