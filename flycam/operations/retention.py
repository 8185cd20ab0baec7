"""Retention of originals: terms, holds, due list, confirmation, purge.

    terms, holds -> what is on record -> what is due today -> a named administrator confirms that very list
    -> recorded -> purged (`complete_purge`)

Originals may show homes and victims. No clock deletes anything. The list of what is due changes at midnight
in Vietnam, or with a term or a hold; a confirmation names its digest, so what is purged is what was seen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from flycam.catalog.catalog import Catalog
from flycam.catalog.retention import (
    DEFAULT_SUBJECT,
    HoldRecord,
    PurgeRecord,
    RetentionTerm,
    get_original_key,
    make_due_list_changed,
    make_hold_not_found,
    select_active_holds,
    select_active_purges,
)
from flycam.errors import FlightBusy, InputUnusable, NotFound, ObjectMissing, OptionUnusable
from flycam.messages import _
from flycam.model.access import MAX_TERM_DAYS, HoldStep, PurgeStep, RetainedKind
from flycam.model.flight import Flight, FlightState
from flycam.model.records import AuditEntry
from flycam.model.text import strip_unprintable
from flycam.model.time import find_midnight_ns, format_iso
from flycam.mosaic.eviction import delete_path
from flycam.storage import keys
from flycam.storage.keys import ORIGINALS_DIR, STAGES_DIR, ObjectStore
from flycam.workspace import Workspace

# -- Purge: claims on originals, and deletion of their bytes ---------------------------------------
#
# A purge is recorded first (`confirm_purge`), then the bytes are deleted: a reader meanwhile gets
# OriginalPurged, and a killed run is completed by the next, because the rest of the work follows from record
# and store. An original that has another owner by now, or is held, stays.


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
        text = f"{originals} originals, {size_bytes} bytes deleted"
        workspace.catalog.audit.append(who, "retention done", workspace.box, text, at_ns=workspace.clock_ns())
    names = {flight.flight_id: flight.name for flight in workspace.catalog.flights.flights()}
    waiting = tuple(sorted(names.get(one, one) for one in left))
    return PurgeReport(originals=originals, size_bytes=size_bytes, waiting=waiting)


def _find_begun(workspace: Workspace) -> tuple[dict[str, list[PurgeRecord]], set[str]]:
    """Find purged originals that are still here, by flight.

    Also returns the flights whose originals must stay. Those are held, or have another owner by now.
    """
    retention = workspace.catalog.retention
    active = [one for lines in select_active_purges(retention.lines()).values() for one in lines]
    own = [one for one in active if one.box == workspace.box]
    here = list_originals(workspace.store) if own else frozenset()
    present = {key: one for one in own if (key := get_original_key(one.kind, one.sha256)) in here}
    if not present:
        return {}, set()
    agreed = {(one.kind, one.sha256, one.flight_id) for one in own}
    held = frozenset(one.subject for one in select_active_holds(retention.holds()))
    claims = list_claims(workspace.catalog)
    begun: dict[str, list[PurgeRecord]] = {}
    left: set[str] = set()
    for key, line in present.items():
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


# -- Terms, holds, the due list, and its confirmation ----------------------------------------------


_DAY_NS = 86_400 * 10**9
_MAX_REASON_LENGTH = 500
_HOLD_ID = re.compile(r"hold-[0-9a-f]{8,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DueOriginal:
    """An original that is due for purging.

    claim       the original and its owner
    days        the term that it is past; None: it is due because another node purged it
    since_ns    since when it is due, UTC
    ordered_by  the node that purged it; "" under a term here
    """

    claim: RetentionClaim
    days: int | None
    since_ns: int
    ordered_by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionRules:
    """Rules by which an original is due.

    terms     days by subject and kind; None: for ever
    held_ids  ids of flights and events of which nothing is purged
    purged    purge records by SHA-256
    today_ns  when this day began, UTC
    box       this node's name
    """

    terms: Mapping[tuple[str, RetainedKind], int | None]
    held_ids: Collection[str]
    purged: Mapping[str, Sequence[PurgeRecord]]
    today_ns: int
    box: str

    def is_purge_begun(self, claims: Sequence[RetentionClaim]) -> bool:
        """Return True if the purge of an original was already confirmed here."""
        return any(one.box == self.box for one in self.purged.get(claims[0].sha256, ()))

    def due(self, claim: RetentionClaim) -> DueOriginal | None:
        """Return a claim's entry on today's list; None while it is not due."""
        own, node_term = (claim.event_id, claim.kind), (DEFAULT_SUBJECT, claim.kind)
        days = self.terms[own] if own in self.terms else self.terms.get(node_term)
        if days is not None and claim.ended_ns + days * _DAY_NS <= self.today_ns:
            return DueOriginal(claim=claim, days=days, since_ns=claim.ended_ns + days * _DAY_NS)
        # what another node deleted concerns its flight alone
        purges = [
            one
            for one in self.purged.get(claim.sha256, ())
            if one.box == self.box or one.flight_id == claim.flight_id
        ]
        if not purges:
            return None
        first = min(purges, key=lambda one: (one.at_ns, one.line_id))
        return DueOriginal(claim=claim, days=None, since_ns=first.at_ns, ordered_by=first.box)


@dataclass(frozen=True, kw_only=True, slots=True)
class DueList:
    """Originals due today.

    begun: number of confirmed purges that are not completed yet.
    """

    originals: tuple[DueOriginal, ...]
    begun: int = 0
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        named = sorted(
            {f"{one.claim.kind} {one.claim.sha256} {one.claim.flight_id}" for one in self.originals}
        )
        object.__setattr__(self, "digest", hashlib.sha256("\n".join(named).encode()).hexdigest()[:24])

    @property
    def groups(self) -> list[list[DueOriginal]]:
        """Due originals by kind, flight, event, term and ordering node.

        In the list's order.
        """
        found: dict[tuple[object, ...], list[DueOriginal]] = {}
        for one in self.originals:
            claim = one.claim
            key = claim.kind, claim.flight_id, claim.event_id, one.days, one.ordered_by
            found.setdefault(key, []).append(one)
        return list(found.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class PurgeConfirmation:
    """Result of a confirmation.

    confirmed: originals on the list, 0 if confirmed before.
    """

    digest: str
    confirmed: int
    purge: PurgeReport


def set_retention_term(
    workspace: Workspace, kind: RetainedKind, days: int | None, who: str, event: str | None = None
) -> RetentionTerm:
    """Set the term of a kind of originals, for one event or the node.

    event: id or name. days: None keeps them for ever. Raises OptionUnusable, NotFound.
    """
    if days is not None and not 1 <= days <= MAX_TERM_DAYS:
        raise OptionUnusable(
            _(
                "{days} days: a term has 1 to {most_days} days, or is 'forever'",
                days=days,
                most_days=MAX_TERM_DAYS,
            )
        )
    subject = DEFAULT_SUBJECT if event is None else workspace.catalog.flights.event(event).event_id
    term = RetentionTerm(subject=subject, kind=kind, days=days, author=who, at_ns=workspace.clock_ns())
    text = "for ever" if days is None else f"{days} days"
    entry = _entry(term.at_ns, who, "retention term", subject or workspace.box, f"{kind}: {text}")
    workspace.catalog.retention.put_term(term, entry)
    return term


def reset_event_term(workspace: Workspace, kind: RetainedKind, event: str, who: str) -> None:
    """Reset an event's term to that of the node. Raises NotFound."""
    subject = workspace.catalog.flights.event(event).event_id
    entry = _entry(workspace.clock_ns(), who, "retention term", subject, f"{kind}: as the house")
    workspace.catalog.retention.remove_term(subject, kind, entry)


def place_hold(workspace: Workspace, hold_id: str, ref: str, reason: str, who: str) -> HoldRecord:
    """Place a hold on a flight or an event (id or name).

    Nothing of it is purged then. The caller makes the id, "hold-" and 8 to 40 hex digits, so that a repeated
    request is one hold.

    Raises NotFound, InputUnusable without a reason or with an id that is another's.
    """
    if not _HOLD_ID.fullmatch(hold_id):
        raise InputUnusable(
            _("{hold_id!r}: a hold's id is 'hold-' and 8 to 40 hex digits", hold_id=hold_id[:40])
        )
    subject = _flight_or_event(workspace.catalog, ref)
    clean_reason = _reason(ref, reason)
    known = [one for one in workspace.catalog.retention.holds() if one.hold_id == hold_id]
    for one in select_active_holds(known):
        if (one.subject, one.reason) == (subject, clean_reason):
            return one
    if known:
        raise InputUnusable(
            _("{hold_id}: another hold has this id, or it was released; make a new one", hold_id=hold_id)
        )
    line = HoldRecord(
        hold_id=hold_id,
        step=HoldStep.HELD,
        subject=subject,
        reason=clean_reason,
        author=who,
        at_ns=workspace.clock_ns(),
    )
    entry = _entry(line.at_ns, who, "retention hold", subject, f"{hold_id}: {clean_reason}")
    workspace.catalog.retention.add_holds([line], [entry])
    return line


def release_hold(workspace: Workspace, hold_id: str, reason: str, who: str) -> HoldRecord:
    """End a hold, for good. Raises NotFound, InputUnusable without a reason."""
    clean_reason = _reason(hold_id, reason)
    holds = [one for one in list_active_holds(workspace.catalog) if one.hold_id == hold_id]
    if not holds:
        raise make_hold_not_found(hold_id)
    now_ns = workspace.clock_ns()
    lines = [
        HoldRecord(
            hold_id=hold_id,
            step=HoldStep.RELEASED,
            subject=one.subject,
            reason=clean_reason,
            author=who,
            at_ns=now_ns,
        )
        for one in holds
    ]
    entry = _entry(now_ns, who, "retention release", holds[0].subject, f"{hold_id}: {clean_reason}")
    workspace.catalog.retention.add_holds(lines, [entry])
    return lines[0]


def list_due_originals(workspace: Workspace) -> DueList:
    """List what may be purged today; only reads.

    Takes some 500 bytes an original in memory.
    """
    catalog = workspace.catalog
    rules = RetentionRules(
        terms={(one.subject, one.kind): one.days for one in catalog.retention.terms()},
        held_ids=frozenset(one.subject for one in list_active_holds(catalog)),
        purged=select_active_purges(catalog.retention.lines()),
        today_ns=find_midnight_ns(workspace.clock_ns()),
        box=workspace.box,
    )
    if not rules.purged and all(days is None for days in rules.terms.values()):
        return DueList(originals=())
    here = list_originals(workspace.store)
    claims = {key: some for key, some in list_claims(catalog).items() if key in here}
    begun = sum(rules.is_purge_begun(some) for some in claims.values())
    return DueList(originals=tuple(select_due(claims.values(), rules)), begun=begun)


def select_due(claimed: Iterable[Sequence[RetentionClaim]], rules: RetentionRules) -> list[DueOriginal]:
    """Select the originals that are due, sorted; each is given with all its claims.

    An original is due when all its claims are past their term, or another node purged it, and none of them is
    held or still being ingested.
    """
    found: list[DueOriginal] = []
    for claims in claimed:
        if rules.is_purge_begun(claims) or any(is_retained(claim, rules.held_ids) for claim in claims):
            continue
        due = [rules.due(claim) for claim in claims]
        if all(due):
            found += [one for one in due if one is not None]
    return sorted(found, key=lambda one: (one.claim.kind, one.claim.flight_id, one.claim.sha256))


def list_flight_and_event_names(catalog: Catalog) -> dict[str, str]:
    """Map ids of flights and events to their names."""
    flights = {one.flight_id: one.name for one in catalog.flights.flights()}
    return flights | {one.event_id: one.name for one in catalog.flights.events()}


def list_active_holds(catalog: Catalog) -> list[HoldRecord]:
    """List the holds that are not released, oldest first."""
    return select_active_holds(catalog.retention.holds())


def confirm_purge(workspace: Workspace, digest: str, who: str) -> PurgeConfirmation:
    """Purge the originals on the list of this digest: recorded first, then deleted.

    If it is killed, the same call completes it. Raises DueListChanged if the list has changed, StorageFailed
    (run again).
    """
    shown, retention = list_due_originals(workspace), workspace.catalog.retention
    confirmed = 0
    if shown.digest == digest:
        confirmed = _record(workspace, shown, who)
    elif all((one.list_digest, one.box) != (digest, workspace.box) for one in retention.lines()):
        raise make_due_list_changed()
    return PurgeConfirmation(digest=digest, confirmed=confirmed, purge=complete_purge(workspace, who))


def _record(workspace: Workspace, shown: DueList, who: str) -> int:
    """Record that these originals are to be purged; return their number.

    Raises DueListChanged if one of them is held by now.
    """
    now_ns = workspace.clock_ns()
    act_id = hashlib.sha256(f"{shown.digest}\n{workspace.box}\n{now_ns}".encode()).hexdigest()[:24]
    lines = [
        PurgeRecord(
            act_id=act_id,
            step=PurgeStep.PURGED,
            kind=one.claim.kind,
            sha256=one.claim.sha256,
            flight_id=one.claim.flight_id,
            name=one.claim.name,
            list_digest=shown.digest,
            author=who,
            box=workspace.box,
            at_ns=now_ns,
        )
        for one in shown.originals
    ]
    if lines:
        subjects = {due.claim.flight_id for due in shown.originals}
        subjects |= {due.claim.event_id for due in shown.originals}
        entries = _make_confirmation_entries(lines, shown.digest, who, now_ns)
        workspace.catalog.retention.record_purges(lines, subjects - {""}, entries)
    return len(lines)


def lift_purge(workspace: Workspace, ref: str, reason: str, who: str) -> list[PurgeRecord]:
    """Lift the purge of a flight's originals (id or name), or of one (SHA-256).

    Their bytes may then be stored again, from a memory card or a backup. Raises NotFound, InputUnusable
    without a reason.
    """
    clean_reason = _reason(ref, reason)
    retention = workspace.catalog.retention
    try:
        found = retention.list_for_flight(workspace.catalog.flights.flight(ref).flight_id)
    except NotFound:
        found = retention.list_for_originals([ref])
    now_ns = workspace.clock_ns()
    lines = [
        PurgeRecord(
            act_id=one.act_id,
            step=PurgeStep.LIFTED,
            kind=one.kind,
            sha256=one.sha256,
            flight_id=one.flight_id,
            name=one.name,
            list_digest=one.list_digest,
            reason=clean_reason,
            author=who,
            box=workspace.box,
            at_ns=now_ns,
        )
        for some in select_active_purges(found).values()
        for one in some
    ]
    if not lines:
        raise NotFound(
            _("{ref}: nothing of it was deleted; give a flight, or the SHA-256 of an original", ref=ref[:80])
        )
    entry = _entry(now_ns, who, "retention lift", ref, f"{len(lines)} originals: {clean_reason}")
    retention.learn(lines, [entry])
    return lines


def _make_confirmation_entries(
    lines: list[PurgeRecord], digest: str, who: str, at_ns: int
) -> list[AuditEntry]:
    """Make audit entries of the confirmation, and of each flight's purged originals."""
    by_flight: dict[tuple[str, RetainedKind], list[str]] = {}
    for one in lines:
        by_flight.setdefault((one.flight_id, one.kind), []).append(one.sha256)
    entries = [_entry(at_ns, who, "retention confirm", digest, f"{len(lines)} originals")]
    for (flight_id, kind), some in sorted(by_flight.items()):
        named = hashlib.sha256("\n".join(sorted(some)).encode()).hexdigest()
        detail = f"{len(some)} {kind}, sha256 of their hashes {named}, list {digest}"
        entries.append(_entry(at_ns, who, "let go", flight_id or kind.value, detail))
    return entries


def _flight_or_event(catalog: Catalog, ref: str) -> str:
    try:
        return catalog.flights.flight(ref).flight_id
    except NotFound:
        pass
    try:
        return catalog.flights.event(ref).event_id
    except NotFound:
        raise NotFound(_("{ref}: no such flight or event; give an id or a name", ref=ref[:80])) from None


def _reason(what: str, reason: str) -> str:
    clean_reason = strip_unprintable(reason)
    if not 0 < len(clean_reason) <= _MAX_REASON_LENGTH:
        raise InputUnusable(
            _(
                "{what}: needs a reason of 1 to {reason_letters} letters",
                what=what,
                reason_letters=_MAX_REASON_LENGTH,
            )
        )
    return clean_reason


def _entry(at_ns: int, who: str, what: str, subject: str, detail: str) -> AuditEntry:
    return AuditEntry(who=who, what=what, subject=subject, detail=detail, at_ns=at_ns)
