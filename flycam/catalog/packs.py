"""Briefing packs requested by the page: requester, content, approval, and state.

Their bytes are in the store before the row that names them. A deleted pack keeps its row: its content's
description, its hashes and who approved it stay known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from typing import Any

from sqlalchemy import Select, func, select, update

from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.tables import audit_log, to_column, to_row
from flycam.catalog.tables import packs as _mine
from flycam.errors import FlightBusy, StoreConflict
from flycam.messages import Message, _
from flycam.model.records import AuditEntry


class PackState(StrEnum):
    """State of a pack. MADE: it has a file; FAILED: `Pack.why` says why not."""

    WAITING = "waiting"
    MAKING = "making"
    MADE = "made"
    FAILED = "failed"


PENDING_STATES = frozenset({PackState.WAITING, PackState.MAKING})


@dataclass(frozen=True, kw_only=True, slots=True)
class Pack:
    """A requested briefing pack.

    number       grows with each; 0: it is not on record yet
    account      by whose access policy it is made; "": by that of the person at the machine
    paper        of its quick report: "a4", "a3"
    rules        `AccessPolicy.fingerprint` of that account when it was requested
    approved_by  the account that approved the draft of which it is the final one; "": it is a draft
    draft_id     that draft
    maker        name of the server that makes it (`Packs.hold_maker_lock`)
    flights_beside  other flights whose images it shows, because changes were found on them; known once
                 it is made
    withheld     what was withheld when it was begun, a word for each: withdrawn frames of `flights_seen`
                 (ids), and all redactions, wherever they are, because flights grow
                 (`access.policy.compute_redaction_fingerprints`); known once it is made
    ended_ns     when it was made or given up
    why          it could not be made
    content_sha256  of its statements, by which a draft and its final pack are compared; if it is approved
                    and not made yet, of its draft
    manifest_sha256, classification  as it states itself; "": not known
    sha256, size_bytes  of the file
    let_go_ns    when its file was deleted; it is not shown since then
    """

    pack_id: str
    owner: str
    flights: tuple[str, ...]
    language: str
    asked_ns: int
    maker: str
    number: int = 0
    account: str = ""
    paper: str = "a4"
    rules: str = ""
    approved_by: str = ""
    draft_id: str = ""
    state: PackState = PackState.WAITING
    ended_ns: int | None = None
    why: Message | None = None
    manifest_sha256: str = ""
    content_sha256: str = ""
    classification: str = ""
    sha256: str = ""
    size_bytes: int = 0
    let_go_ns: int | None = None
    flights_beside: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()

    @property
    def flights_seen(self) -> tuple[str, ...]:
        """Every flight whose images it shows, as far as is known; its own first."""
        return (*self.flights, *self.flights_beside)

    @property
    def is_pending(self) -> bool:
        return self.state in PENDING_STATES


class Packs:
    """Packs by id.

    A write is on disk on return, with its audit entry; all methods raise CatalogUnavailable, DiskFull.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, pack: Pack, audit_entry: AuditEntry) -> Pack:
        """Record a requested pack; return it with its number.

        Raises StoreConflict if its draft has a final pack already, made or pending: a second approval comes
        too late.
        """
        with self._database.write(alone_in=audit_log) as connection:
            if pack.draft_id and connection.execute(_finals_of(pack.draft_id)).first() is not None:
                raise StoreConflict(
                    _("this draft was approved already: look at the list of meeting packs again")
                )
            last = connection.execute(select(func.max(_mine.c.number))).scalar()
            numbered = replace(pack, number=(last or 0) + 1)
            connection.execute(_mine.insert(), to_row(_mine, numbered))
            write_entries(connection, [audit_entry], self._database.audit_key)
        return numbered

    def mark_making(self, pack_id: str) -> None:
        """Record that a pack is being made."""
        self._change(pack_id, {"state": PackState.MAKING.value})

    def mark_made(self, pack: Pack, audit_entry: AuditEntry) -> bool:
        """Record the file of a finished pack, whose bytes are in the store.

        Returns False if it was given up meanwhile, and so has none.
        """
        named = ("ended_ns", "manifest_sha256", "content_sha256", "classification", "sha256", "size_bytes")
        row = to_row(_mine, replace(pack, state=PackState.MADE))
        values = {name: row[name] for name in (*named, "state", "flights_beside", "withheld")}
        return self._change(pack.pack_id, values, audit_entry)

    def mark_failed(self, pack_id: str, why: Message, at_ns: int) -> None:
        """Record why a pending pack was not made; others stay as they are."""
        failed = {"state": PackState.FAILED.value, "ended_ns": at_ns, "why": to_column(why)}
        self._change(pack_id, failed)

    def mark_deleted(self, pack_id: str, at_ns: int, audit_entry: AuditEntry | None = None) -> None:
        """Record that a pack has no file any more; its bytes are deleted after this."""
        still = update(_mine).where(_mine.c.pack_id == pack_id, _mine.c.let_go_ns.is_(None))
        with self._database.write(alone_in=audit_log) as connection:
            is_news = connection.execute(still.values(let_go_ns=at_ns)).rowcount > 0
            if is_news and audit_entry is not None:
                write_entries(connection, [audit_entry], self._database.audit_key)

    def all(self) -> list[Pack]:
        """Return packs that were not deleted, newest first."""
        return self._found(select(_mine).where(_mine.c.let_go_ns.is_(None)).order_by(_mine.c.number.desc()))

    def find(self, pack_id: str) -> Pack | None:
        """Return a pack, also a deleted one; None if there is none."""
        found = self._found(select(_mine).where(_mine.c.pack_id == pack_id))
        return found[0] if found else None

    def owners(self, pack_ids: Collection[str]) -> dict[str, str]:
        """Return the requesters of these packs by id, also of deleted ones."""
        if not pack_ids:
            return {}
        query = select(_mine.c.pack_id, _mine.c.owner).where(_mine.c.pack_id.in_(pack_ids))
        with self._database.read() as connection:
            return {row.pack_id: row.owner for row in connection.execute(query)}

    @contextmanager
    def hold_maker_lock(self) -> Iterator[str]:
        """Yield a name under which this server makes packs.

        It is the server's own until the block is left or its process dies.
        """
        for name in map("packs-{}".format, count()):
            with ExitStack() as stack:
                try:
                    stack.enter_context(self._database.exclusive(name))
                except FlightBusy:
                    continue
                yield name
                return

    def orphans(self, maker: str) -> list[Pack]:
        """Return pending packs that nobody makes.

        Those of earlier servers by this name, which the caller holds, and of other names that nobody holds.
        """
        under_way = [one for one in self.all() if one.is_pending]
        dead = {name for name in {one.maker for one in under_way} if name == maker or self._is_free(name)}
        return [one for one in under_way if one.maker in dead]

    def _is_free(self, name: str) -> bool:
        try:
            with self._database.exclusive(name):
                return True
        except FlightBusy:
            return False

    def _change(self, pack_id: str, values: dict[str, Any], audit_entry: AuditEntry | None = None) -> bool:
        """Update a pending pack; return False, and log nothing, if it is not pending."""
        states = [one.value for one in PENDING_STATES]
        change = update(_mine).where(_mine.c.pack_id == pack_id, _mine.c.state.in_(states))
        with self._database.write(alone_in=audit_log if audit_entry else None) as connection:
            is_done = connection.execute(change.values(values)).rowcount > 0
            if is_done and audit_entry is not None:
                write_entries(connection, [audit_entry], self._database.audit_key)
        return is_done

    def _found(self, query: Select[Any]) -> list[Pack]:
        return self._database.fetch(Pack, query)


def _finals_of(draft_id: str) -> Select[Any]:
    """Select the final packs of a draft that neither failed nor were deleted."""
    c = _mine.c
    is_there = c.let_go_ns.is_(None) & (c.state != PackState.FAILED.value)
    return select(c.pack_id).where(c.draft_id == draft_id, is_there)
