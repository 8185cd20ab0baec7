"""Purge of originals: claims on them, and the deletion of their bytes once it is on record.

Recorded first (`retention.confirm_purge`), deleted then: a reader meanwhile gets OriginalPurged, and a killed
run is completed by the next, because the rest of the work follows from record and store. An original that has
another owner by now, or is held, stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from flycam.catalog.catalog import Catalog
from flycam.catalog.retention_records import (
    PurgeRecord,
    get_original_key,
    select_active_holds,
    select_active_purges,
)
from flycam.errors import FlightBusy, ObjectMissing
from flycam.frame.flight import Flight, FlightState
from flycam.frame.retention import RetainedKind
from flycam.frame.timestamp import format_iso
from flycam.pipeline.cache_layout import ORIGINALS_DIR, STAGES_DIR
from flycam.pipeline.stale_files import delete_path
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from flycam.store.base import ObjectStore

_MAX_NAME_LENGTH = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionClaim:
    """A claim on an original, and the start of its term.

    name         for people
    ended_ns     start of its term, UTC: the end of its flight
    is_for_ever  it has no term: it is terrain or a layer, or its flight is still being ingested
    """

    kind: RetainedKind
    sha256: str
    flight_id: str = ""
    event_id: str = ""
    name: str = ""
    ended_ns: int = 0
    is_for_ever: bool = False

    @property
    def key(self) -> str:
        """Store key of its bytes."""
        return get_original_key(self.kind, self.sha256)


@dataclass(frozen=True, kw_only=True, slots=True)
class PurgeReport:
    """Result of a purge.

    originals, size_bytes  deleted by this run
    waiting                names of flights whose originals stay for now: they are being written, or some are
                           held or have another owner by now
    """

    originals: int = 0
    size_bytes: int = 0
    waiting: tuple[str, ...] = ()


def list_originals(store: ObjectStore) -> frozenset[str]:
    """Return the keys of all originals in the store."""
    return frozenset(key for prefix in keys.list_original_prefixes() for key in store.list(prefix))


def list_claims(catalog: Catalog) -> Mapping[str, list[RetentionClaim]]:
    """List all claims on originals by key.

    An upload's claim counts only if there is no other.
    """
    named: dict[tuple[str, RetainedKind, str, str], RetentionClaim] = {}
    for claim in _claims(catalog):
        owner = claim.key, claim.kind, claim.flight_id, claim.event_id
        if owner not in named or named[owner].ended_ns < claim.ended_ns:
            named[owner] = claim
    found: dict[str, list[RetentionClaim]] = {}
    for claim in named.values():
        found.setdefault(claim.key, []).append(claim)
    for file in catalog.retention.list_uploaded():
        claim = RetentionClaim(
            kind=RetainedKind.UPLOAD,
            sha256=file.sha256,
            event_id=file.event_id,
            name=file.name,
            ended_ns=file.came_ns,
        )
        found.setdefault(claim.key, [claim])
    return found


def complete_purge(workspace: Workspace, who: str) -> PurgeReport:
    """Delete the bytes of all originals recorded as purged here.

    Idempotent and resumable. Raises StorageFailed.
    """
    begun, left = _find_begun(workspace)
    originals = size_bytes = 0
    for flight_id, lines in sorted(begun.items()):
        try:
            with _lock_flight(workspace.catalog, flight_id):
                size_bytes += sum(_delete(workspace, line) for line in lines)
                # stage files that an interrupted finish made from them
                if flight_id:
                    delete_path(workspace.cache_dir / STAGES_DIR / flight_id)
            originals += len(lines)
        except FlightBusy:
            left.add(flight_id)
    if originals:
        # bytes reported as deleted must not return after a power cut
        workspace.store.flush()
        said = f"{originals} originals, {size_bytes} bytes deleted"
        workspace.catalog.audit.append(who, "retention done", workspace.box, said, at_ns=workspace.clock_ns())
    names = {flight.flight_id: flight.name for flight in workspace.catalog.flights.flights()}
    waiting = tuple(sorted(names.get(one, one) for one in left))
    return PurgeReport(originals=originals, size_bytes=size_bytes, waiting=waiting)


def _find_begun(workspace: Workspace) -> tuple[dict[str, list[PurgeRecord]], set[str]]:
    """Find purged originals that are still here, by flight.

    Also returns the flights whose originals must stay. Those are held, or have another owner by now.
    """
    retention = workspace.catalog.retention
    standing = [one for lines in select_active_purges(retention.lines()).values() for one in lines]
    mine = [one for one in standing if one.box == workspace.box]
    here = list_originals(workspace.store) if mine else frozenset()
    lying = {key: one for one in mine if (key := get_original_key(one.kind, one.sha256)) in here}
    if not lying:
        return {}, set()
    agreed = {(one.kind, one.sha256, one.flight_id) for one in mine}
    held = frozenset(one.subject for one in select_active_holds(retention.holds()))
    claims = list_claims(workspace.catalog)
    begun: dict[str, list[PurgeRecord]] = {}
    left: set[str] = set()
    for key, line in lying.items():
        owners = claims.get(key, ())
        if any(
            is_retained(one, held) or (one.kind, one.sha256, one.flight_id) not in agreed for one in owners
        ):
            left.add(line.flight_id or line.name)
        else:
            begun.setdefault(line.flight_id, []).append(line)
    return begun, left


def is_retained(claim: RetentionClaim, held: Collection[str]) -> bool:
    """Return True if an original must be kept whatever its term.

    held: ids of flights and events.
    """
    return claim.is_for_ever or claim.flight_id in held or claim.event_id in held


@contextmanager
def _lock_flight(catalog: Catalog, flight_id: str) -> Iterator[None]:
    """Hold the flight's locks, so that nothing ingests or finishes it.

    Raises FlightBusy.
    """
    with ExitStack() as stack:
        for name in (flight_id, f"finish-{flight_id}") if flight_id else ():
            stack.enter_context(catalog.flights.lock(name))
        yield


def _delete(workspace: Workspace, line: PurgeRecord) -> int:
    """Delete an original and its local copy; return its bytes."""
    key = get_original_key(line.kind, line.sha256)
    try:
        size = workspace.store.size(key)
    except ObjectMissing:
        size = 0
    if line.kind is RetainedKind.VIDEO:
        workspace.catalog.recordings.mark_deleted(line.sha256, line.at_ns)
    delete_path(workspace.cache_dir / ORIGINALS_DIR / line.sha256)
    workspace.store.delete(key)
    return size


def _claims(catalog: Catalog) -> Iterator[RetentionClaim]:
    """Yield the claims of all that the catalogue names, except uploads."""
    flights = {flight.flight_id: flight for flight in catalog.flights.flights()}
    for flight_id, sha256, name in catalog.retention.photos():
        yield _of_flight(RetainedKind.PHOTO, sha256, flight_id, flights.get(flight_id), name)
    for piece in catalog.recordings.list_stored():
        flight = flights.get(piece.flight_id)
        one = _of_flight(
            RetainedKind.VIDEO, piece.sha256, piece.flight_id, flight, format_iso(piece.began_ns)
        )
        yield one if flight is not None else replace(one, ended_ns=piece.ended_ns, is_for_ever=False)
    for mark in catalog.marks.current(with_removed=True):
        for line in catalog.marks.history(mark.mark_id):
            if line.photo_sha256:
                yield RetentionClaim(
                    kind=RetainedKind.MARK_PHOTO,
                    sha256=line.photo_sha256,
                    event_id=line.event_id,
                    name=line.note[:_MAX_NAME_LENGTH] or mark.mark_id,
                    ended_ns=line.at_ns,
                )
    hashes = {one.sha256 for one in catalog.layers.all()}
    hashes |= {one.sha256 for one in catalog.restrictions.areas()}
    hashes |= {one.sha256 for one in catalog.terrain.dems()}
    for sha256 in hashes:
        yield RetentionClaim(kind=RetainedKind.UPLOAD, sha256=sha256, is_for_ever=True)


def _of_flight(
    kind: RetainedKind, sha256: str, flight_id: str, flight: Flight | None, name: str
) -> RetentionClaim:
    """Make a claim on a flight's original.

    Its term does not run during ingest, or without a record.
    """
    return RetentionClaim(
        kind=kind,
        sha256=sha256,
        flight_id=flight_id,
        event_id=flight.event_id if flight else "",
        name=name,
        ended_ns=flight.last_ns if flight else 0,
        is_for_ever=flight is None or flight.state is FlightState.INGESTING,
    )
