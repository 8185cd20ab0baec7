"""Ruling on what a peer says: what it may claim here, and what waits for a person.

A peer speaks for the flights that it brought first, and for those that a person here allowed it
(`flycam box allow`). A flight whose photos are in another's flight is not read at all. Of its own flights'
records what concerns another's frames, holds or deletions is left out. `flycam.sync.claims` has the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flycam.catalog.access import RedactionRecord
from flycam.catalog.catalog import Catalog
from flycam.catalog.flights import derive_placement_id, to_placement
from flycam.catalog.peers import ALL_FLIGHTS, ClaimKind, PeerClaim, PeerGrant, PeerRequest, Permission
from flycam.catalog.retention import HoldRecord, PurgeRecord
from flycam.errors import NotFound
from flycam.messages import _
from flycam.model.access import HoldStep, PurgeStep, RedactionStep, RetainedKind
from flycam.model.flight import Classification, find_strictest
from flycam.model.records import AuditEntry, FrameRecord, Placement, Withdrawal
from flycam.sync.node_keys import is_known_node
from flycam.sync.records import FlightRecords, find_flight_by_id
from flycam.workspace import Workspace

Refusals = dict[str, Counter[str]]
"""What was left out: by the flight here that it concerns, how much of each kind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ruling:
    """What of a flight's records may be imported, and what was left out.

    is_new      the flight is not here yet
    claims      of them, what is new here
    unverified  (frame id, placement id) of new poses, whose footprints only the peer stated
    """

    records: FlightRecords
    is_new: bool
    claims: tuple[PeerClaim, ...]
    unverified: tuple[tuple[str, str], ...]
    refused: Refusals


def admit_records(
    node: Workspace, records: FlightRecords, giver: str, account: str = "", *, is_apart: bool = False
) -> FlightRecords:
    """Return what a peer may claim of these records, each claim on record as its own.

    What it may not is kept as a request, or refused, each with a line in the audit log. The caller holds the
    flight's lock; the records are under the flight's id here.

    is_apart  the flight itself is not imported: only what it withdraws and masks
    """
    ruling = _Court(node, records, giver, account, is_apart=is_apart).rule()
    flight_id, peers = records.flight.flight_id, node.catalog.peers
    if ruling.is_new:
        brought = PeerGrant(
            flight_id=flight_id, node=giver, permission=Permission.BROUGHT, who=account, at_ns=node.clock_ns()
        )
        peers.add_grant(brought)
    peers.note_claims(ruling.claims)
    peers.note_unverified(flight_id, ruling.unverified)
    note_requests(node, giver, account, records.flight.name, ruling.refused)
    return ruling.records


def count_news(catalog: Catalog, records: FlightRecords, flight_ids: Iterable[str]) -> dict[str, int]:
    """Count by kind what records say that is not here: a peer that only repeats asks nothing.

    flight_ids  of the flights here that hold its photos
    """
    levels = [catalog.restrictions.level(one) for one in flight_ids]
    frames = {one.frame_id: one for one in catalog.frames.get_many([one.frame_id for one in records.frames])}
    withdrawn = {one.frame_id for one in catalog.frames.withdrawals()}
    placed = catalog.placements.list_for_frames(list(frames.values()))
    known = {derive_placement_id(one) for some in placed.values() for one in some}
    said = [*records.placements, *(to_placement(one) for one in records.frames if one.exterior is not None)]
    masks = {one.line_id for one in catalog.redactions.lines()} if records.redactions else set()
    holds = {one.line_id for one in catalog.retention.holds()} if records.holds else set()
    hashes = [one.sha256 for one in records.purges]
    purges = {one.line_id for one in catalog.retention.list_for_originals(hashes)}
    counts = {
        ClaimKind.FRAME: sum(one.frame_id not in frames for one in records.frames),
        ClaimKind.PLACEMENT: len(
            {derive_placement_id(one) for one in said if one.frame_id in frames} - known
        ),
        ClaimKind.WITHDRAWAL: sum(one.frame_id not in withdrawn for one in records.withdrawals),
        ClaimKind.CLASSIFICATION: sum(
            find_strictest((here, records.classification)) is not here for here in levels
        ),
        ClaimKind.MASK: sum(one.line_id not in masks for one in records.redactions),
        ClaimKind.HOLD: sum(one.line_id not in holds for one in records.holds),
        ClaimKind.PURGE: sum(one.line_id not in purges for one in records.purges),
    }
    return {kind.value: count for kind, count in counts.items() if count}


def note_requests(
    node: Workspace, giver: str, account: str, name: str, refused: Mapping[str, Mapping[str, int]]
) -> None:
    """Keep what a peer may not say as requests to a person, each new one with its line in the audit log."""
    now_ns = node.clock_ns()
    for flight_id, counts in sorted(refused.items()):
        request = PeerRequest(
            node=giver,
            flight_id=flight_id,
            name=name,
            account=account,
            claims=dict(counts),
            first_ns=now_ns,
            last_ns=now_ns,
        )
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        entry = AuditEntry(
            who=account or giver,
            what="peer refused",
            subject=flight_id,
            detail=f"told by {giver}: {name}: {told}",
            at_ns=now_ns,
        )
        node.catalog.peers.note_request(request, entry)


def allow_peer(node: Workspace, peer: str, flight_ref: str | None, who: str) -> str:
    """Let a peer speak for a flight (id or name; None: for every one); return the flight's id.

    What it said before comes with its next exchange. Raises NotFound, also for a name that nobody proved to
    be its own yet: whoever comes first in it would be believed.
    """
    if not is_known_node(node, peer):
        raise NotFound(
            _("{name}: no node of this name came here yet; let it sync, or read its bundle, first", name=peer)
        )
    flight_id = ALL_FLIGHTS if flight_ref is None else node.catalog.flights.flight(flight_ref).flight_id
    now_ns = node.clock_ns()
    grant = PeerGrant(flight_id=flight_id, node=peer, permission=Permission.ALLOWED, who=who, at_ns=now_ns)
    entry = AuditEntry(who=who, what="box allow", subject=peer, detail=flight_id, at_ns=now_ns)
    node.catalog.peers.add_grant(grant, entry)
    return flight_id


def dismiss_request(node: Workspace, peer: str, flight_ref: str, who: str) -> bool:
    """Dismiss what a peer says of a flight (id or name); return whether anything waited.

    It waits again once the peer says something else. Raises NotFound.
    """
    flight_id, now_ns = node.catalog.flights.flight(flight_ref).flight_id, node.clock_ns()
    entry = AuditEntry(who=who, what="box dismiss", subject=peer, detail=flight_id, at_ns=now_ns)
    return node.catalog.peers.settle_request(peer, flight_id, now_ns, entry)


class _Court:
    """Records of one flight, of which each part is ruled on."""

    def __init__(
        self, node: Workspace, records: FlightRecords, giver: str, account: str, *, is_apart: bool
    ) -> None:
        self._is_apart = is_apart
        self._catalog, self._records, self._giver = node.catalog, records, giver
        self._account, self._now_ns = account, node.clock_ns()
        self._target = records.flight.flight_id
        self._refused: Refusals = {}
        self._claims: list[PeerClaim] = []
        named = {
            *(one.frame_id for one in records.frames),
            *(one.frame_id for one in records.placements),
            *(one.frame_id for one in records.withdrawals),
            *(one.frame_id for one in records.redactions),
        }
        self._owners = self._catalog.frames.find_flights(named)
        self._permissions = self._catalog.peers.find_permissions(
            giver, {*self._owners.values(), self._target}
        )
        self._foreign: dict[str, set[str]] = {}
        self._is_new = not is_apart and find_flight_by_id(self._catalog, self._target) is None

    def rule(self) -> _Ruling:
        records = self._records
        if self._is_new:
            self._claim(ClaimKind.FLIGHT, [self._target])
        frames = tuple(self._select_frames())
        # of no frame may anything be said but of these, and of those of flights that it speaks for
        said = {one.frame_id for one in frames}
        placements = tuple(self._select_placements(frames, said))
        ruled = replace(
            records,
            frames=frames,
            placements=placements,
            withdrawals=tuple(self._select_withdrawals(said)),
            redactions=tuple(self._select_redactions(said)),
            classification=self._rule_on_classification(),
            holds=tuple(self._select_holds()),
            purges=tuple(self._select_purges(frames)),
        )
        unverified = [
            (one.frame_id, derive_placement_id(to_placement(one)))
            for one in frames
            if one.frame_id not in self._owners and one.exterior is not None and not self._is_apart
        ]
        claimed = {one.item for one in self._claims if one.kind is ClaimKind.PLACEMENT}
        unverified += [
            (one.frame_id, name)
            for one in placements
            if one.exterior is not None and (name := derive_placement_id(one)) in claimed
        ]
        return _Ruling(
            records=ruled,
            is_new=self._is_new,
            claims=tuple(self._claims),
            unverified=tuple(unverified),
            refused=self._refused,
        )

    def _claim(self, kind: ClaimKind, items: Iterable[str], detail: str = "") -> None:
        if self._is_apart and kind not in (ClaimKind.WITHDRAWAL, ClaimKind.MASK):
            return
        self._claims += [
            PeerClaim(
                node=self._giver,
                kind=kind,
                item=item,
                flight_id=self._target,
                account=self._account,
                detail=detail,
                at_ns=self._now_ns,
            )
            for item in items
        ]

    def _refuse(self, kind: ClaimKind, flight_id: str | None = None) -> None:
        self._refused.setdefault(flight_id or self._target, Counter())[kind.value] += 1

    def _may_concern(self, frame_id: str, said: Collection[str], kind: ClaimKind) -> bool:
        """Return True if the peer may say something of a frame; else note that it is refused.

        It may of frames that come with its records, and of those that it brought; where somebody here allowed
        it, of every frame of the flight. Of a frame that is neither here nor comes, nothing is kept: its own
        node says it again with the frame.
        """
        owner = self._owners.get(frame_id)
        if owner is None:
            return frame_id in said
        permission = self._permissions.get(owner)
        if permission is not None:
            if permission is Permission.ALLOWED:
                return True
            if owner not in self._foreign:
                self._foreign[owner] = self._catalog.peers.find_foreign_frames(owner, self._giver)
            if frame_id not in self._foreign[owner]:
                return True
        self._refuse(kind, owner)
        return False

    def _select_frames(self) -> Iterator[FrameRecord]:
        """Yield frames of no other's flight, that name no original of another's frame."""
        frames = self._records.frames
        new = [one for one in frames if one.frame_id not in self._owners]
        originals = self._catalog.frames.find_by_originals(one.header.provenance.source_sha256 for one in new)
        naming = {flight_id for some in originals.values() for flight_id in some.values()}
        permissions = self._catalog.peers.find_permissions(self._giver, naming)
        for one in frames:
            owner = self._owners.get(one.frame_id)
            if owner is None:
                named = originals.get(one.header.provenance.source_sha256, {}).values()
                owner = next((each for each in named if each not in permissions), None)
            if owner is not None and owner != self._target and owner not in self._permissions:
                self._refuse(ClaimKind.FRAME, owner)
                continue
            if one.frame_id not in self._owners:
                first = derive_placement_id(to_placement(one)) if one.exterior is not None else ""
                self._claim(ClaimKind.FRAME, [one.frame_id], first)
            yield one

    def _select_placements(self, frames: Sequence[FrameRecord], said: Collection[str]) -> Iterator[Placement]:
        """Yield placements that are not here, and were not made another way by people here.

        Those that the records of frames here state by their own pose are among them.
        """
        known_here = [one.frame_id for one in frames if one.frame_id in self._owners]
        here = {one.frame_id: one for one in self._catalog.frames.get_many(known_here)}
        given = [
            one
            for one in self._records.placements
            if self._may_concern(one.frame_id, said, ClaimKind.PLACEMENT)
        ]
        for one in frames:
            before = here.get(one.frame_id)
            if before is not None and before.exterior is not None and one.exterior is not None:
                own = to_placement(one)
                if derive_placement_id(own) != derive_placement_id(to_placement(before)):
                    given.append(own)
        if not given:
            return
        named = {one.frame_id for one in given}
        known = self._catalog.placements.list_for_frames(
            [one for one in here.values() if one.frame_id in named]
        )
        placed = {frame_id: set(map(derive_placement_id, some)) for frame_id, some in known.items()}
        every = {name for some in placed.values() for name in some} | set(map(derive_placement_id, given))
        peers = self._catalog.peers
        claims = peers.find_claims(ClaimKind.PLACEMENT, every)
        undone = {one.item for one in claims if one.node == self._giver and one.undone_ns is not None}
        foreign = {one.item for one in claims}
        foreign |= {one.detail for one in peers.find_claims(ClaimKind.FRAME, placed)}
        for placement in given:
            name, frame_id = derive_placement_id(placement), placement.frame_id
            ours = placed.get(frame_id, set())
            if name in undone:
                continue
            if name in ours:
                yield placement  # its trace may be the earlier one
            elif ours - foreign and self._get_permission(frame_id) is not Permission.ALLOWED:
                self._refuse(ClaimKind.PLACEMENT, self._owners.get(frame_id))
            else:
                self._claim(ClaimKind.PLACEMENT, [name], frame_id)
                yield placement

    def _get_permission(self, frame_id: str) -> Permission | None:
        return self._permissions.get(self._owners.get(frame_id, self._target))

    def _select_withdrawals(self, said: Collection[str]) -> Iterator[Withdrawal]:
        withdrawals = self._records.withdrawals
        if not withdrawals:
            return
        here = {
            one.frame_id for one in self._catalog.frames.list_withdrawals(w.frame_id for w in withdrawals)
        }
        undone = self._find_undone(ClaimKind.WITHDRAWAL, (one.frame_id for one in withdrawals))
        for one in withdrawals:
            if one.frame_id in undone or not self._may_concern(one.frame_id, said, ClaimKind.WITHDRAWAL):
                continue
            if one.frame_id not in here:
                self._claim(ClaimKind.WITHDRAWAL, [one.frame_id])
            yield one

    def _select_redactions(self, said: Collection[str]) -> Iterator[RedactionRecord]:
        redactions = self._records.redactions
        made = [one.line_id for one in redactions if one.step is RedactionStep.MADE]
        undone = self._find_undone(ClaimKind.MASK, made)
        known = {one.line_id for one in self._catalog.redactions.lines()} if redactions else set()
        for one in redactions:
            if one.line_id in undone or not self._may_concern(one.frame_id, said, ClaimKind.MASK):
                continue
            if one.step is RedactionStep.MADE and one.line_id not in known:
                self._claim(ClaimKind.MASK, [one.line_id], one.mask_id)
            yield one

    def _rule_on_classification(self) -> Classification:
        """Return the level that the peer may set: OPEN changes nothing."""
        here, stated = self._catalog.restrictions.level(self._target), self._records.classification
        if find_strictest((here, stated)) is here:
            return here
        if self._find_undone(ClaimKind.CLASSIFICATION, [f"{self._target}:{stated}"]):
            return here
        self._claim(ClaimKind.CLASSIFICATION, [f"{self._target}:{stated}"], here.value)
        return stated

    def _select_holds(self) -> Iterator[HoldRecord]:
        """Yield holds as holds of this flight alone, and releases of those that the peer made."""
        holds = [replace(one, subject=self._target) for one in self._records.holds]
        if not holds:
            return
        peers, kind = self._catalog.peers, ClaimKind.HOLD
        here = {one.hold_id for one in self._catalog.retention.holds([self._target])}
        own = {
            one.item
            for one in peers.find_claims(kind, {one.hold_id for one in holds})
            if one.node == self._giver
        }
        undone = self._find_undone(kind, own)
        made = {one.hold_id for one in holds if one.step is HoldStep.HELD and one.hold_id not in here} | own
        for one in dict.fromkeys(holds):
            if one.step is HoldStep.RELEASED and one.hold_id not in made:
                self._refuse(ClaimKind.RELEASE)
            elif one.hold_id not in undone:
                if one.step is HoldStep.HELD and one.hold_id not in here:
                    self._claim(kind, [one.hold_id])
                yield one

    def _select_purges(self, frames: Sequence[FrameRecord]) -> Iterator[PurgeRecord]:
        """Yield deletions of this flight's photos in the peer's own name, and liftings of those."""
        purges = self._records.purges
        if not purges:
            return
        photos = {one.header.provenance.source_sha256 for one in frames}
        if not self._is_new:
            recorded = self._catalog.frames.list_for_flight(self._target)
            photos |= {one.header.provenance.source_sha256 for one in recorded}
        known = self._catalog.retention.list_for_originals(one.sha256 for one in purges)
        here = {one.line_id for one in known}
        undone = self._find_undone(ClaimKind.PURGE, (one.line_id for one in purges))
        deleters: dict[tuple[str, str], set[str]] = {}
        for one in (*known, *purges):
            if one.step is PurgeStep.PURGED:
                deleters.setdefault((one.act_id, one.sha256), set()).add(one.box)
        for one in purges:
            kind = ClaimKind.PURGE if one.step is PurgeStep.PURGED else ClaimKind.LIFT
            is_own = one.kind is RetainedKind.PHOTO and one.sha256 in photos
            if not is_own or deleters.get((one.act_id, one.sha256)) != {self._giver}:
                self._refuse(kind)
            elif one.line_id not in undone:
                if one.line_id not in here:
                    self._claim(kind, [one.line_id])
                yield one

    def _find_undone(self, kind: ClaimKind, items: Iterable[str]) -> set[str]:
        found = self._catalog.peers.find_claims(kind, items)
        return {one.item for one in found if one.node == self._giver and one.undone_ns is not None}
