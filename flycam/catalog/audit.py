"""Who did what: an append-only list in which each line's digest covers the line before it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, select

from flycam.catalog import tables
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry, AuditLine

_FIRST_DIGEST = "0" * 64
_LINES_AT_ONCE = 1000


class Audit:
    """The audit log. Lines are never changed; `verify` finds the first one that was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, who: str, what: str, subject: str, detail: str = "", *, at_ns: int | None = None
    ) -> AuditLine:
        """Add a line; on disk when this returns. `at_ns` is now unless given."""
        at = time.time_ns() if at_ns is None else at_ns
        entry = AuditEntry(who=who, what=what, subject=subject, detail=detail, at_ns=at)
        with self._database.write(alone_in=tables.audit_log) as connection:
            (line,) = write_entries(connection, [entry])
        return line

    def lines(self, since: int = 0, limit: int = _LINES_AT_ONCE) -> list[AuditLine]:
        """Lines after number `since`, in order, at most `limit`."""
        c = tables.audit_log.c
        query = select(tables.audit_log).where(c.seq > since).order_by(c.seq).limit(limit)
        with self._database.read() as connection:
            return [_line(row) for row in connection.execute(query)]

    def head(self) -> str:
        """Digest of the last line, which vouches for all before it; "" while there is none."""
        c = tables.audit_log.c
        with self._database.read() as connection:
            last = connection.execute(select(c.digest).order_by(c.seq.desc()).limit(1)).first()
        return "" if last is None else str(last.digest)

    def last(self) -> AuditLine | None:
        """The last line: its number and digest, kept elsewhere, prove later that all before it stands."""
        query = select(tables.audit_log).order_by(tables.audit_log.c.seq.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else _line(row)

    def verify(self) -> int | None:
        """Number of the first line that is missing or was changed; None if the log is whole.

        Lines cut off at the end, and a log written anew from its beginning, leave no trace here: compare with
        a line's digest that was kept elsewhere (`head`) to find that.
        """
        before, expected = _FIRST_DIGEST, 1
        for line in self._all():
            digest = _digest(before, line.seq, line.at_ns, line.who, line.what, line.subject, line.detail)
            if line.seq != expected or line.digest != digest:
                return expected
            before, expected = line.digest, expected + 1
        return None

    def _all(self) -> Iterator[AuditLine]:
        since = 0
        while lines := self.lines(since):
            yield from lines
            since = lines[-1].seq


def write_entries(connection: Connection, entries: Sequence[AuditEntry]) -> list[AuditLine]:
    """Add lines within a transaction that is alone in the audit log (`Database.write`): what was done and the
    line that tells of it are on disk together, or neither is."""
    c = tables.audit_log.c
    last = connection.execute(select(c.seq, c.digest).order_by(c.seq.desc()).limit(1)).first()
    seq, before = (last.seq, last.digest) if last is not None else (0, _FIRST_DIGEST)
    lines: list[AuditLine] = []
    for one in entries:
        seq += 1
        before = _digest(before, seq, one.at_ns, one.who, one.what, one.subject, one.detail)
        lines.append(AuditLine(seq=seq, **asdict(one), digest=before))
    if lines:
        connection.execute(tables.audit_log.insert(), [asdict(line) for line in lines])
    return lines


def _digest(before: str, *values: object) -> str:
    text = json.dumps([before, *values], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _line(row: Row[Any]) -> AuditLine:
    return AuditLine(**row._mapping)
