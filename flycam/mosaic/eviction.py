"""Garbage collection, and eviction of derived data when the disk fills.

Originals, recorded terrain, records, data from peers, and objects named by the published revision's tile log
are never evicted. Other data are evicted one kind after the other, until enough space is free:

    1. local copies of originals, and files left by killed processes, older than a day
    2. objects left in the store by cluster runs that were cut short
    3. tile states that the log replaced, tiles of retired revisions and old clips, past their grace
    4. the same, younger: replaced at least a quarter of an hour ago
    5. stage files of runs of `finish` that nobody resumed for a day

The oldest flights first. Data in the store are evicted only where the store's disk is the one that is low.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from flycam.catalog.flights import format_finish_lock
from flycam.errors import FlightBusy, ObjectMissing, OptionUnusable
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.model.flight import Flight
from flycam.model.records import MosaicInfo, RevisionRecord, RevisionState
from flycam.mosaic.cluster.run import FINISH, INGEST, delete_prefix
from flycam.storage import keys
from flycam.storage.files import DiskSpaceGuard, Freed, get_free_bytes
from flycam.storage.keys import LIVE_DIR_PREFIX, ORIGINALS_DIR, PERMANENT_ENTRIES, STAGES_DIR
from flycam.workspace import Progress, Workspace, ignore_progress

# -- Stale files of interrupted runs ---------------------------------------------------------------
#
# Stage files, copies of photos, tiles of revisions that are no longer shown. Garbage collection and eviction
# delete them.


def find_retirement_times(
    workspace: Workspace, mosaic_id: str, last_line_ns: Mapping[int, int]
) -> Mapping[int, int]:
    """Find since when (UTC ns) retired revisions are not shown, by number.

    last_line_ns  when the last log line of each revision was written

    A revision retired by a withdrawal: since that withdrawal. An abandoned one was never shown: since its
    last log line.
    """
    withdrawn = {}
    flight_id = workspace.catalog.tiles.mosaic(mosaic_id).flight_id
    for one in workspace.catalog.frames.withdrawals(flight_id):
        withdrawn[one.frame_id] = one.withdrawn_ns
    return {
        record.revision: _retired_ns(workspace, record, withdrawn, last_line_ns)
        for record in workspace.catalog.revisions.list_for_mosaic(mosaic_id)
        if record.state is RevisionState.RETIRED
    }


def _retired_ns(
    workspace: Workspace,
    record: RevisionRecord,
    withdrawn: Mapping[str, int],
    last_line_ns: Mapping[int, int],
) -> int:
    frames = workspace.catalog.revisions.frames(record.mosaic_id, record.revision)
    withdrawn_ns = (withdrawn.get(frame.frame_id, 0) for frame in frames)
    return max(record.made_ns, last_line_ns.get(record.revision, 0), *withdrawn_ns, 0)


def find_stale_stage_folders(workspace: Workspace, flight_id: str, old_ns: int) -> Iterator[Path]:
    """Find stage files of runs of `finish` that nobody resumed since `old_ns`.

    Call only while the flight's finish lock is held.
    """
    yield from _older(workspace.cache_dir / STAGES_DIR / flight_id, old_ns)


def find_stale_copies(workspace: Workspace, old_ns: int) -> Iterator[Path]:
    """Find local copies of photos fetched before `old_ns`, and partial files.

    Partial files are of killed processes. Copies of registered terrain are read often and stay, and so do
    video and telemetry of live flights that are not stored yet.
    """
    in_use = {record.sha256 for record in workspace.catalog.terrain.dems()}
    for folder in _older(workspace.cache_dir / ORIGINALS_DIR, old_ns):
        if folder.name not in in_use:
            yield folder
    for path in _older(workspace.cache_dir, old_ns):
        if path.name not in PERMANENT_ENTRIES and not path.name.startswith(LIVE_DIR_PREFIX):
            yield path


def _older(folder: Path, old_ns: int) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if _newest_ns(path) <= old_ns)


def _newest_ns(path: Path) -> int:
    """Return the newest modification time of a path or anything below it, UTC ns.

    Files that disappear meanwhile do not count.
    """
    newest = 0
    for one in (path, *path.rglob("*")):
        try:
            newest = max(newest, one.stat().st_mtime_ns)
        except FileNotFoundError:
            continue
    return newest


def measure_disk_usage(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


def delete_path(path: Path) -> int:
    """Delete a file or a folder; return its bytes.

    What cannot be deleted stays for the next time.
    """
    size = measure_disk_usage(path)
    if path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)
    return size


# -- Garbage collection: old tile states, retired revisions, old clips, local copies ---------------
#
# Originals (photos, logs, terrain, boundaries) are never collected, nor anything younger than the grace: a
# client that read a key a moment ago (a page, a synchronisation over a slow link) still finds its object. A
# state is old from the moment that the tile log has another for its tile, or that its revision was retired.
# Objects that the log never named are left alone: another catalogue may share the store.


DAY_S = 86_400.0
GRACE_S = 7 * DAY_S
"""Longer than a field node is away from its province's."""

_LINES_AT_ONCE = 5000
_CLIP_PREFIX = "commune-"


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectReport:
    """Result of a collection, or of a dry run.

    tiles, clips, freed_bytes  objects deleted, and their size
    local_bytes                of stage files of runs nobody resumed, and of copies in the cache folder
    within_grace               old objects that are still within the grace
    busy                       flights that were being written, and so were left for the next time
    """

    tiles: int = 0
    clips: int = 0
    freed_bytes: int = 0
    local_bytes: int = 0
    within_grace: int = 0
    busy: tuple[str, ...] = ()


@dataclass(slots=True)
class StaleObjects:
    """Keys of a flight's old tile states and clips.

    Number of old objects within the grace.
    """

    tiles: list[str] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    within_grace: int = 0


def collect_garbage(
    workspace: Workspace,
    *,
    grace_s: float = GRACE_S,
    dry_run: bool = False,
    progress: Progress = ignore_progress,
) -> CollectReport:
    """Delete old tile states and old clips of every flight, withdrawn ones included.

    Resumable. Raises OptionUnusable for a negative grace, StorageFailed.
    """
    if not grace_s >= 0.0:
        raise OptionUnusable(
            _("--grace-days {grace_s:g}: give a number of days, 0 or more", grace_s=grace_s / DAY_S)
        )
    old_ns = workspace.clock_ns() - int(grace_s * 1e9)
    # whatever the grace, a running process keeps the copies it reads
    old_copies_ns = workspace.clock_ns() - int(max(grace_s, DAY_S) * 1e9)
    tiles = clips = freed = waiting = local = 0
    busy: list[str] = []
    flights = workspace.catalog.flights.flights()
    for count, flight in enumerate(flights, start=1):
        try:
            with workspace.catalog.flights.lock(flight.flight_id):
                found = find_stale_objects(workspace, flight, old_ns)
                freed += sum(
                    delete_object(workspace, key, dry_run=dry_run) for key in (*found.tiles, *found.clips)
                )
                freed += _remove_cluster_leftovers(workspace, flight, INGEST, dry_run)
        except FlightBusy:
            busy.append(flight.name)
            continue
        tiles, clips = tiles + len(found.tiles), clips + len(found.clips)
        waiting += found.within_grace
        local += _local(workspace, flight, old_copies_ns, dry_run)
        progress("collect", count, len(flights))
    local += sum(_remove(path, dry_run) for path in find_stale_copies(workspace, old_copies_ns))
    if (tiles or clips) and not dry_run:
        workspace.catalog.audit.append(
            workspace.operator or workspace.box,
            "collect",
            workspace.box,
            f"{tiles} tile states, {clips} clips, {freed} bytes",
            at_ns=workspace.clock_ns(),
        )
    return CollectReport(
        tiles=tiles,
        clips=clips,
        freed_bytes=freed,
        local_bytes=local,
        within_grace=waiting,
        busy=tuple(busy),
    )


def _local(workspace: Workspace, flight: Flight, old_ns: int, dry_run: bool) -> int:
    """Delete a flight's stage files, unless it is being finished; return their bytes."""
    try:
        with workspace.catalog.flights.lock(f"finish-{flight.flight_id}"):
            folders = list(find_stale_stage_folders(workspace, flight.flight_id, old_ns))
            freed = _remove_cluster_leftovers(workspace, flight, FINISH, dry_run)
            return freed + sum(_remove(folder, dry_run) for folder in folders)
    except FlightBusy:
        return 0


def _remove_cluster_leftovers(workspace: Workspace, flight: Flight, runs: str, dry_run: bool) -> int:
    """Delete what interrupted cluster runs left in the store, whatever its age.

    It can be made again. Call only while the lock of such a run is held.
    """
    return delete_prefix(
        workspace.store, keys.format_cluster_run_prefix(flight.flight_id) + runs, dry_run=dry_run
    )


def _remove(path: Path, dry_run: bool) -> int:
    return measure_disk_usage(path) if dry_run else delete_path(path)


def find_stale_objects(workspace: Workspace, flight: Flight, old_ns: int) -> StaleObjects:
    """Find a flight's objects that are old since `old_ns` (UTC ns) or earlier.

    Call only while nothing writes its tiles.
    """
    found = StaleObjects()
    mosaics = workspace.catalog.tiles.mosaics(flight.flight_id)
    clips_in_use = {one.clip_key for one in workspace.catalog.boundaries.coverage(flight.flight_id)}
    for mosaic_id in sorted({mosaic.mosaic_id for mosaic in mosaics}):
        replaced_ns, last_ns = _find_replacement_times(workspace, mosaic_id)
        for key in workspace.store.list(keys.format_mosaic_prefix(mosaic_id)):
            # current, or never named by this log: another catalogue may share the store
            if key not in replaced_ns:
                continue
            if replaced_ns[key] <= old_ns:
                found.tiles.append(key)
            else:
                found.within_grace += 1
        # clips are cut anew right after the tiles have changed
        old = [key for key in _clips(workspace, mosaics, mosaic_id) if key not in clips_in_use]
        if last_ns <= old_ns:
            found.clips += old
        else:
            found.within_grace += len(old)
    return found


def _find_replacement_times(workspace: Workspace, mosaic_id: str) -> tuple[dict[str, int], int]:
    """Find when each old state was replaced or retired, UTC ns, by key.

    Also returns the time of the last log line.
    """
    current: dict[tuple[int, TileId], str] = {}
    replaced: dict[str, int] = {}
    last: dict[int, int] = {}
    seq = 0
    while lines := workspace.catalog.tiles.log_since(mosaic_id, seq, _LINES_AT_ONCE):
        for line in lines:
            tile = (line.revision, line.tile_id)
            before = current.get(tile)
            if before is not None:
                replaced[before] = line.written_ns
            current[tile] = line.key
            # a key that the log names again is current again
            replaced.pop(line.key, None)
            last[line.revision] = max(last.get(line.revision, 0), line.written_ns)
        seq = lines[-1].seq
    retired = find_retirement_times(workspace, mosaic_id, last)
    for (revision, __), key in current.items():
        if revision in retired:
            replaced[key] = retired[revision]
    return replaced, max(last.values(), default=0)


def _clips(workspace: Workspace, mosaics: list[MosaicInfo], mosaic_id: str) -> Iterator[str]:
    for mosaic in mosaics:
        if mosaic.mosaic_id == mosaic_id:
            prefix = keys.format_product_prefix(mosaic_id, mosaic.revision)
            yield from workspace.store.list(prefix + _CLIP_PREFIX)


def delete_object(workspace: Workspace, key: str, *, dry_run: bool) -> int:
    """Delete an object; return the bytes that this frees, 0 if it is gone."""
    try:
        size = workspace.store.size(key)
    except ObjectMissing:
        return 0
    if not dry_run:
        workspace.store.delete(key)
    return size


# -- Eviction of derived data ----------------------------------------------------------------------


MIN_GRACE_S = 900.0
"""Longer than a response takes that reads a tile state by its key."""


def enable_eviction(workspace: Workspace) -> Workspace:
    """Return a workspace that evicts derived data when space is low.

    For workflows that ingest.
    """
    return replace(workspace, disk_space=DiskSpaceGuard(partial(evict_derived, workspace)))


def evict_derived(workspace: Workspace, wanted_bytes: int, held_lock: str | None = None) -> Freed:
    """Delete derived data, in the order stated above, until so many bytes are free.

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
            stale_keys = (*found.tiles, *found.clips)
            size = sum(delete_object(self.workspace, key, dry_run=self._is_counting) for key in stale_keys)
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
