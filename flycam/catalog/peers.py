"""Peers: for which flights each may speak, what it claimed, and what waits for a person.

A claim is anything that a peer said and that was believed here, with its maker. It is written before what it
says is, so that nothing of a peer is here without its line; `undone_ns` marks what a person took back, which
no later exchange brings again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, delete, select, update

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import to_row
from flycam.model.records import AuditEntry

ALL_FLIGHTS = "*"
"""In place of a flight's id: a person lets a peer speak for every flight here."""

_ROWS_AT_ONCE = 2000


class Permission(StrEnum):
    """Why a peer may speak for a flight: it brought it first, or a person here allowed it."""

    BROUGHT = "brought"
    ALLOWED = "allowed"


class ClaimKind(StrEnum):
    """Kind of thing that a peer may claim."""

    FLIGHT = "flight"
    FRAME = "frame"
    PLACEMENT = "placement"
    WITHDRAWAL = "withdrawal"
    CLASSIFICATION = "classification"
    MASK = "mask"
    HOLD = "hold"
    RELEASE = "release"
    PURGE = "purge"
    LIFT = "lift"
    TILES = "tiles"


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerGrant:
    """A peer that may speak for a flight (ALL_FLIGHTS: for every one).

    who  account that brought it ("": a stick), or the person who allowed it
    """

    flight_id: str
    node: str
    permission: Permission
    who: str
    at_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerClaim:
    """Something that a peer said and that holds here, at the time by the clock here.

    item       id of the frame, placement, mask, hold, … that it is about; of tiles "LOG:SEQ"
    flight_id  of the flight here
    account    that said it over a connection; "": a stick
    detail     what undoing has to know: of a frame its first placement, of a classification the former one
    undone_ns  when a person took it back; None: it holds
    """

    node: str
    kind: ClaimKind
    item: str
    flight_id: str
    account: str
    detail: str = ""
    at_ns: int
    undone_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerRequest:
    """What a peer said of a flight for which it may not speak, as counts by kind.

    flight_id   of the flight here
    name        of the flight as the peer calls it
    settled_ns  when a person dismissed it or allowed the peer to speak; None: it waits
    """

    node: str
    flight_id: str
    name: str
    account: str
    claims: Mapping[str, int]
    first_ns: int
    last_ns: int
    settled_ns: int | None = None


class Peers:
    """Grants, claims, requests, and footprints not computed here yet. A write is on disk on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- grants -------------------------------------------------------------------------------

    def add_grant(self, grant: PeerGrant, audit_entry: AuditEntry | None = None) -> None:
        """Let a peer speak for a flight; an allowance replaces what bringing it gave."""
        row = to_row(tables.peer_grants, grant)
        is_allowed = grant.permission is Permission.ALLOWED
        insert = (
            self._database.upsert(tables.peer_grants)
            if is_allowed
            else self._database.insert(tables.peer_grants).on_conflict_do_nothing()
        )
        c = tables.peer_requests.c
        waiting = update(tables.peer_requests).where(c.node == grant.node, c.settled_ns.is_(None))
        if grant.flight_id != ALL_FLIGHTS:
            waiting = waiting.where(c.flight_id == grant.flight_id)
        with self._database.write(alone_in=tables.audit_log) as connection:
            connection.execute(insert, row)
            if is_allowed:
                connection.execute(waiting.values(settled_ns=grant.at_ns))
            if audit_entry is not None:
                write_entries(connection, [audit_entry], self._database.audit_key)

    def remove_grants(self, node: str, audit_entry: AuditEntry) -> None:
        """Let a peer no longer speak for any flight."""
        removal = delete(tables.peer_grants).where(tables.peer_grants.c.node == node)
        with self._database.write(alone_in=tables.audit_log) as connection:
            connection.execute(removal)
            write_entries(connection, [audit_entry], self._database.audit_key)

    def grants(self, node: str | None = None) -> list[PeerGrant]:
        """Return all grants, or one peer's permissions, by flight and node."""
        c = tables.peer_grants.c
        query = select(tables.peer_grants).order_by(c.flight_id, c.node)
        return self._database.fetch(PeerGrant, query if node is None else query.where(c.node == node))

    def find_permissions(self, node: str, flight_ids: Iterable[str]) -> dict[str, Permission]:
        """Return a peer's permission in each of these flights; those without any are left out."""
        wanted = sorted(set(flight_ids))
        c = tables.peer_grants.c
        query = select(tables.peer_grants).where(c.node == node)
        query = query.where(c.flight_id.in_([*wanted, ALL_FLIGHTS]))
        found = {one.flight_id: one.permission for one in self._database.fetch(PeerGrant, query)}
        everywhere = found.pop(ALL_FLIGHTS, None)
        return dict.fromkeys(wanted, everywhere) if everywhere is not None else found

    def find_foreign_frames(self, flight_id: str, node: str) -> set[str]:
        """Return the frames of a flight that a peer did not bring."""
        f, c = tables.frames.c, tables.peer_claims.c
        own = select(c.item).where(c.node == node, c.kind == ClaimKind.FRAME.value, c.item == f.frame_id)
        query = select(f.frame_id).where(f.flight_id == flight_id, ~own.exists())
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def list_brought(self) -> dict[str, str]:
        """Return the peer that brought each flight first, by flight; those made here are left out."""
        return {one.flight_id: one.node for one in self.grants() if one.permission is Permission.BROUGHT}

    # -- claims ---------------------------------------------------------------------------------

    def note_claims(self, claims: Sequence[PeerClaim]) -> None:
        """Write claims; one that is known keeps its time."""
        insert = self._database.insert(tables.peer_claims).on_conflict_do_nothing()
        if claims:
            with self._database.write() as connection:
                connection.execute(insert, [to_row(tables.peer_claims, one) for one in claims])

    def find_claims(self, kind: ClaimKind, items: Iterable[str]) -> list[PeerClaim]:
        """Return the claims of a kind on these items, by whichever peer."""
        unique, found = sorted(set(items)), list[PeerClaim]()
        c = tables.peer_claims.c
        for start in range(0, len(unique), _ROWS_AT_ONCE):
            some = unique[start : start + _ROWS_AT_ONCE]
            query = select(tables.peer_claims).where(c.kind == kind.value, c.item.in_(some))
            found += self._database.fetch(PeerClaim, query)
        return found

    def list_claims(
        self, *, node: str | None = None, since_ns: int = 0, flight_id: str | None = None
    ) -> list[PeerClaim]:
        """Return claims that hold, oldest first: of a peer since a time, or of a flight."""
        c = tables.peer_claims.c
        query = select(tables.peer_claims).where(c.undone_ns.is_(None), c.at_ns >= since_ns)
        if node is not None:
            query = query.where(c.node == node)
        if flight_id is not None:
            query = query.where(c.flight_id == flight_id)
        return self._database.fetch(PeerClaim, query.order_by(c.at_ns, c.kind, c.item))

    def mark_undone(self, claims: Iterable[PeerClaim], at_ns: int) -> None:
        """Mark claims as taken back: no exchange brings them again."""
        c = tables.peer_claims.c
        with self._database.write() as connection:
            for one in claims:
                of_it = c.node == one.node, c.kind == one.kind.value, c.item == one.item
                connection.execute(update(tables.peer_claims).where(*of_it).values(undone_ns=at_ns))

    def adopt_claims(self, kind: ClaimKind, items: Iterable[str]) -> None:
        """Make what peers claimed a person's own act: it is no claim any more."""
        unique, c = sorted(set(items)), tables.peer_claims.c
        with self._database.write() as connection:
            for start in range(0, len(unique), _ROWS_AT_ONCE):
                some = unique[start : start + _ROWS_AT_ONCE]
                of_them = c.kind == kind.value, c.item.in_(some)
                connection.execute(delete(tables.peer_claims).where(*of_them))

    # -- requests -------------------------------------------------------------------------------

    def note_request(self, request: PeerRequest, audit_entry: AuditEntry) -> bool:
        """Write what a peer said of another's flight; return whether it is new, or says more than before.

        Only then is the audit entry written, so that a peer that repeats itself fills no log.
        """
        c = tables.peer_requests.c
        of_it = select(tables.peer_requests).where(c.node == request.node, c.flight_id == request.flight_id)
        with self._database.write(alone_in=tables.audit_log) as connection:
            before = connection.execute(of_it).first()
            claims = _encode_counts(request.claims)
            if before is not None and before.claims == claims:
                return False
            row = to_row(
                tables.peer_requests,
                request,
                claims=claims,
                first_ns=request.first_ns if before is None else before.first_ns,
            )
            connection.execute(self._database.upsert(tables.peer_requests), row)
            write_entries(connection, [audit_entry], self._database.audit_key)
        return True

    def requests(self, *, has_settled: bool = False) -> list[PeerRequest]:
        """Return what waits for a person, oldest first; with what was settled if asked."""
        c = tables.peer_requests.c
        query: Select[Any] = select(tables.peer_requests).order_by(c.first_ns, c.node, c.flight_id)
        if not has_settled:
            query = query.where(c.settled_ns.is_(None))
        return self._database.fetch(PeerRequest, query)

    def settle_request(self, node: str, flight_id: str, at_ns: int, audit_entry: AuditEntry) -> bool:
        """Dismiss a request; return whether one waited."""
        c = tables.peer_requests.c
        of_it = c.node == node, c.flight_id == flight_id, c.settled_ns.is_(None)
        with self._database.write(alone_in=tables.audit_log) as connection:
            settled = update(tables.peer_requests).where(*of_it).values(settled_ns=at_ns)
            has_waited = connection.execute(settled).rowcount > 0
            if has_waited:
                write_entries(connection, [audit_entry], self._database.audit_key)
        return has_waited

    # -- footprints that only a peer stated ------------------------------------------------------

    def note_unverified(self, flight_id: str, placements: Iterable[tuple[str, str]]) -> None:
        """Note (frame id, placement id) whose footprints only a peer stated."""
        rows = [
            {"frame_id": frame_id, "placement_id": placement_id, "flight_id": flight_id}
            for frame_id, placement_id in sorted(set(placements))
        ]
        if rows:
            insert = self._database.insert(tables.unverified_footprints).on_conflict_do_nothing()
            with self._database.write() as connection:
                connection.execute(insert, rows)

    def list_unverified(self, flight_id: str) -> list[tuple[str, str]]:
        """Return (frame id, placement id) of a flight whose footprints were not computed here."""
        c = tables.unverified_footprints.c
        query = select(c.frame_id, c.placement_id).where(c.flight_id == flight_id)
        with self._database.read() as connection:
            return [(row.frame_id, row.placement_id) for row in connection.execute(query)]

    def list_flights_unverified(self) -> set[str]:
        """Return the flights with footprints that were not computed here."""
        with self._database.read() as connection:
            query = select(tables.unverified_footprints.c.flight_id).distinct()
            return set(connection.execute(query).scalars())


def select_current(claims: Iterable[PeerClaim]) -> list[PeerClaim]:
    """Return the claims that nobody took back."""
    return [one for one in claims if one.undone_ns is None]


def _encode_counts(claims: Mapping[str, int]) -> str:
    return json.dumps(dict(sorted(claims.items())), separators=(",", ":"))
