"""Audit log: an append-only list of signed lines.

Each line's digest covers the line before it. Each is signed by the node that wrote it (`AuditKey`);
`AuditVerifier` checks the whole log.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, func, select

from flycam.catalog import tables
from flycam.catalog.audit_key import (
    AuditCheck,
    AuditKey,
    AuditVerifier,
    Signatures,
    SignedHead,
    Signer,
    is_signed,
)
from flycam.catalog.database import Database
from flycam.catalog.tables import parse_row, to_row
from flycam.model.records import AuditEntry, AuditRecord

_FIRST_DIGEST = "0" * 64
_LINES_AT_ONCE = 1000


class Audit:
    """The audit log. Lines are never changed; `verify` finds the first one that was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, who: str, what: str, subject: str, detail: str = "", *, at_ns: int | None = None
    ) -> AuditRecord:
        """Add a line, on disk on return; `at_ns` defaults to now."""
        at = time.time_ns() if at_ns is None else at_ns
        entry = AuditEntry(who=who, what=what, subject=subject, detail=detail, at_ns=at)
        # alone, because each line's digest covers the line before it
        with self._database.write(alone_in=tables.audit_log) as connection:
            (line,) = write_entries(connection, [entry], self._database.audit_key)
        return line

    def lines(self, since: int = 0, limit: int = _LINES_AT_ONCE) -> list[AuditRecord]:
        """Return at most `limit` lines after number `since`, in order."""
        c = tables.audit_log.c
        query = select(tables.audit_log).where(c.seq > since).order_by(c.seq).limit(limit)
        return self._database.fetch(AuditRecord, query)

    def last(self, what: str = "") -> AuditRecord | None:
        """Return the last line, or the last of one action.

        The number and digest of the last line, kept elsewhere, prove later that nothing before it was
        changed.
        """
        c = tables.audit_log.c
        query = select(tables.audit_log).order_by(c.seq.desc()).limit(1)
        if what:
            query = query.where(c.what == what)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else parse_row(AuditRecord, row)

    def signed_head(self) -> SignedHead | None:
        """Return the last line with its signature, as it is printed; None if empty."""
        last = self.last()
        if last is None:
            return None
        signatures = self._signatures(last.seq - 1, last.seq).get(last.seq, [])
        # a line rewritten at the same number has the signature of the former one too
        good = [one for one in signatures if is_signed(one[0], last.seq, last.digest, one[1])]
        key, signature = good[0] if good else ("", "")
        return SignedHead(seq=last.seq, digest=last.digest, key=key, signature=signature)

    def key(self) -> str:
        """Return this node's public key; "" while it has signed nothing."""
        signer = self.signer()
        return "" if signer is None else signer.public

    @property
    def has_key(self) -> bool:
        """True if new lines are signed: the catalogue was opened with a key."""
        return self._database.audit_key is not None

    def signer(self) -> Signer | None:
        """Return this node's key; None while it has signed nothing. Raises StorageFailed."""
        key = self._database.audit_key
        return None if key is None else key.read()

    def verify(self) -> int | None:
        """Return the number of the first faulty line; None if the log is intact."""
        return self.verify_chain().first_bad

    def verify_chain(self, keys: Collection[str] = ()) -> AuditCheck:
        """Check the chain and signatures of the log, about 0.5 ms a signed line.

        keys  public keys of nodes that this log came from, beside those of `AuditKey.known`

        Lines cut off at the end together with their signatures leave no trace here: compare with a line's
        digest that was kept elsewhere (`signed_head`) to find that.
        """
        proving = AuditVerifier(
            digest_of=lambda before, line: _digest(
                before, line.seq, line.at_ns, line.who, line.what, line.subject, line.detail
            ),
            signer=self.signer(),
            keys={*keys, *(self._database.audit_key.known if self._database.audit_key else ())},
            before=_FIRST_DIGEST,
        )
        return proving.run(self._all(), self._is_signed_beyond)

    def _all(self) -> Iterator[tuple[list[AuditRecord], Signatures]]:
        since = 0
        while lines := self.lines(since):
            yield lines, self._signatures(since, lines[-1].seq)
            since = lines[-1].seq

    def _signatures(self, after: int, last: int) -> dict[int, list[tuple[str, str]]]:
        c = tables.audit_signatures.c
        query = select(c.seq, c.signed_by, c.signature).where(c.seq > after, c.seq <= last)
        found: dict[int, list[tuple[str, str]]] = {}
        with self._database.read() as connection:
            for row in connection.execute(query):
                found.setdefault(row.seq, []).append((row.signed_by, row.signature))
        return found

    def _is_signed_beyond(self, seq: int) -> bool:
        with self._database.read() as connection:
            last = connection.execute(select(func.max(tables.audit_signatures.c.seq))).scalar()
        return last is not None and last > seq


def write_entries(
    connection: Connection, entries: Sequence[AuditEntry], key: AuditKey | None
) -> list[AuditRecord]:
    """Add lines within a transaction that has the audit log alone (`Database.write`).

    So an action and its line are on disk together, or neither is. Signed by `key` if there is one.
    """
    c = tables.audit_log.c
    last = connection.execute(select(c.seq, c.digest).order_by(c.seq.desc()).limit(1)).first()
    seq, before = (last.seq, last.digest) if last is not None else (0, _FIRST_DIGEST)
    signer = key.get_or_create(seq, before) if key is not None and entries else None
    lines: list[AuditRecord] = []
    for one in entries:
        seq += 1
        before = _digest(before, seq, one.at_ns, one.who, one.what, one.subject, one.detail)
        lines.append(AuditRecord(seq=seq, **asdict(one), digest=before))
    if lines:
        connection.execute(tables.audit_log.insert(), [to_row(tables.audit_log, line) for line in lines])
    if signer is not None:
        rows = [
            {"seq": line.seq, "signed_by": signer.public, "signature": signer.sign(line.seq, line.digest)}
            for line in lines
        ]
        connection.execute(tables.audit_signatures.insert(), rows)
    return lines


def _digest(before: str, *values: object) -> str:
    text = json.dumps([before, *values], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
