"""Garbage collection: old tile states, tiles of retired revisions, old clips, and local copies.

Originals (photos, logs, terrain, boundaries) are never collected, nor anything younger than the grace: a
client that read a key a moment ago (a page, a synchronisation over a slow link) still finds its object. A
state is old from the moment that the tile log has another for its tile, or that its revision was retired.
Objects that the log never named are left alone: another catalogue may share the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flycam.catalog.records import MosaicInfo
from flycam.errors import FlightBusy, ObjectMissing, OptionUnusable
from flycam.frame.flight import Flight
from flycam.geometry.grid import TileId
from flycam.messages import _
from flycam.pipeline.cluster.cluster_run import FINISH, INGEST, delete_prefix
from flycam.pipeline.stale_files import (
    delete_path,
    find_retirement_times,
    find_stale_copies,
    find_stale_stage_folders,
    measure_disk_usage,
)
from flycam.pipeline.workspace import Progress, Workspace, ignore_progress
from flycam.store import keys

DAY_S = 86_400.0
GRACE_S = 7 * DAY_S
"""Longer than a field node is away from its province's."""

_LINES_AT_ONCE = 5000
_CLIP_PREFIX = "commune-"


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectReport:
    """Result of a collection, or of a dry run.

    tiles, clips, freed_bytes  objects deleted, and their size
    local_bytes                of stage files of runs nobody went on with, and of copies in the cache folder
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
    standing: dict[tuple[int, TileId], str] = {}
    replaced: dict[str, int] = {}
    last: dict[int, int] = {}
    seq = 0
    while lines := workspace.catalog.tiles.log_since(mosaic_id, seq, _LINES_AT_ONCE):
        for line in lines:
            tile = (line.revision, line.tile_id)
            before = standing.get(tile)
            if before is not None:
                replaced[before] = line.written_ns
            standing[tile] = line.key
            # a key that the log names again is current again
            replaced.pop(line.key, None)
            last[line.revision] = max(last.get(line.revision, 0), line.written_ns)
        seq = lines[-1].seq
    retired = find_retirement_times(workspace, mosaic_id, last)
    for (revision, __), key in standing.items():
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
