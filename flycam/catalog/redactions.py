"""Redactions: every record is kept, nothing is overwritten; and the ground that they cover.

A redaction is active until a record revokes it, in whatever order the records come and from whichever node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import shapely
from sqlalchemy import Row, Select, func, select

from flycam.catalog import sharing_tables, tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry, RevisionState
from flycam.catalog.sharing_records import RedactionFootprint, RedactionRecord
from flycam.catalog.tables import audit_log
from flycam.errors import NotFound
from flycam.frame.redaction import RedactionReason, RedactionStep
from flycam.messages import _

_lines = sharing_tables.redactions
_grounds = sharing_tables.redaction_grounds


class Redactions:
    """Records by redaction and photo. A write is on disk on return."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, lines: Sequence[RedactionRecord], audit_entries: Mapping[str, AuditEntry] | None = None
    ) -> list[RedactionRecord]:
        """Add records; return those that were new.

        audit_entries  by `line_id` the audit entry of each that is new: both are written, or neither
        """
        if not lines:
            return []
        insert = self._database.insert(_lines).on_conflict_do_nothing(index_elements=["line_id"])
        with self._database.write(alone_in=audit_log if audit_entries else _lines) as connection:
            named = {one.line_id: one for one in lines}
            query = select(_lines.c.line_id).where(_lines.c.line_id.in_(list(named)))
            here = set(connection.execute(query).scalars())
            connection.execute(insert, [to_redaction_row(one) for one in named.values()])
            entries = [entry for line_id, entry in (audit_entries or {}).items() if line_id not in here]
            write_entries(connection, entries, self._database.audit_key)
        return [one for name, one in named.items() if name not in here]

    def learn(self, lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
        """Add records from another node; return those that were new.

        A revocation from there is kept as a request only: a stolen token or stick uncovers nothing. What is
        known to be revoked by that very record stays so.
        """
        told = list(lines)
        here = {one.line_id for mask_id in {one.mask_id for one in told} for one in self._of_mask(mask_id)}
        asked = [
            replace(one, step=RedactionStep.REVOCATION_REQUESTED)
            for one in told
            if one.step is RedactionStep.REVOKED and one.line_id not in here
        ]
        return self.append([*(one for one in told if one.step is not RedactionStep.REVOKED), *asked])

    def history(self, mask_id: str) -> list[RedactionRecord]:
        """Return all records of a redaction, oldest first. Raises NotFound."""
        found = self._of_mask(mask_id)
        if not found:
            raise NotFound(
                _("{mask_id}: there is no such mask; see 'flycam restricted masks'", mask_id=mask_id[:80])
            )
        return found

    def _of_mask(self, mask_id: str) -> list[RedactionRecord]:
        return self._fetch(select(_lines).where(_lines.c.mask_id == mask_id))

    def lines(self) -> list[RedactionRecord]:
        """Return every record, oldest first."""
        return self._fetch(select(_lines))

    def count(self) -> int:
        """Count the records; none is ever removed."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(_lines)).scalar_one()

    def list_for_photo(self, frame_id: str) -> list[RedactionRecord]:
        """Return every record of a photo's redactions, oldest first."""
        return self._fetch(select(_lines).where(_lines.c.frame_id == frame_id))

    def list_for_flight(self, flight_id: str) -> list[RedactionRecord]:
        """Return every record of redactions on a flight's photos, oldest first."""
        photos = select(tables.frames.c.frame_id).where(tables.frames.c.flight_id == flight_id)
        return self._fetch(select(_lines).where(_lines.c.frame_id.in_(photos)))

    def stamp(self) -> tuple[int, ...]:
        """Return a value that changes whenever what redactions withhold may change.

        It covers the records, their ground, the placements of their photos, and the revisions shown. One
        read; what it counts only grows, or is a state that ends.
        """
        frames, revisions = tables.frames, tables.revisions
        masked = select(_lines.c.frame_id)
        photos = select(func.count()).select_from(frames).where(frames.c.frame_id.in_(masked))
        by_state = select(func.count()).select_from(revisions)
        counted = (
            select(func.count()).select_from(_lines),
            select(func.count()).select_from(_grounds),
            select(func.count()).select_from(tables.placements),
            photos,
            photos.where(frames.c.exterior.is_not(None)),
            *(by_state.where(revisions.c.state == state.value) for state in RevisionState),
        )
        with self._database.read() as connection:
            (row,) = connection.execute(select(*(one.scalar_subquery() for one in counted)))
            return tuple(int(one) for one in row)

    def put_footprints(self, grounds: Iterable[RedactionFootprint]) -> None:
        """Write the ground of redactions, in place of what was there."""
        rows = [to_redaction_footprint_row(one) for one in grounds]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(_grounds), rows)

    def learn_footprints(self, grounds: Iterable[RedactionFootprint]) -> None:
        """Add ground that another node computed where none is known.

        So nothing from there uncovers anything here. Empty ground is not trusted, but computed here.
        """
        told = [one for one in grounds if not shapely.from_wkb(one.wkb).is_empty]
        if told:
            names = ["line_id", "lay"]
            insert = self._database.insert(_grounds).on_conflict_do_nothing(index_elements=names)
            with self._database.write() as connection:
                connection.execute(insert, [to_redaction_footprint_row(one) for one in told])

    def list_footprints(self, line_ids: Iterable[str]) -> list[RedactionFootprint]:
        """Return the ground of these redactions, by every known placement."""
        query = select(_grounds).where(_grounds.c.line_id.in_(list(line_ids)))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_grounds.c.line_id, _grounds.c.lay))
            return [parse_redaction_footprint_row(row) for row in rows]

    def _fetch(self, query: Select[Any]) -> list[RedactionRecord]:
        ordered = query.order_by(_lines.c.at_ns, _lines.c.line_id)
        with self._database.read() as connection:
            return [parse_redaction_row(row) for row in connection.execute(ordered)]


def select_active_redactions(lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
    """Return the records of redactions that nobody revoked.

    A redaction is identified by its id and its photo: a record that names another photo revokes nothing.
    """
    every = list(lines)
    back = {(one.mask_id, one.frame_id) for one in every if one.step is RedactionStep.REVOKED}
    made = (one for one in every if one.step is RedactionStep.MADE)
    return [one for one in made if (one.mask_id, one.frame_id) not in back]


def select_revocation_requests(lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
    """Return the records by which other nodes ask to revoke active redactions."""
    every = list(lines)
    held = {(one.mask_id, one.frame_id) for one in select_active_redactions(every)}
    asked = (one for one in every if one.step is RedactionStep.REVOCATION_REQUESTED)
    return [one for one in asked if (one.mask_id, one.frame_id) in held]


def to_redaction_row(line: RedactionRecord) -> dict[str, Any]:
    """Convert a redaction record to a row."""
    return {
        "line_id": line.line_id,
        "mask_id": line.mask_id,
        "step": line.step.value,
        "frame_id": line.frame_id,
        "reason": line.reason.value,
        "author": line.author,
        "at_ns": line.at_ns,
        "wkb": line.wkb,
    }


def parse_redaction_row(row: Row[Any]) -> RedactionRecord:
    """Convert a row to a record; inverse of `to_redaction_row`.

    Raises ValueError for an unknown step or reason.
    """
    return RedactionRecord(
        mask_id=row.mask_id,
        step=RedactionStep(row.step),
        frame_id=row.frame_id,
        reason=RedactionReason(row.reason),
        author=row.author,
        at_ns=row.at_ns,
        wkb=row.wkb,
    )


def to_redaction_footprint_row(ground: RedactionFootprint) -> dict[str, Any]:
    """Convert the ground of a redaction to a row."""
    return {"line_id": ground.line_id, "lay": ground.lay, "wkb": ground.wkb}


def parse_redaction_footprint_row(row: Row[Any]) -> RedactionFootprint:
    """Convert a row to ground; inverse of `to_redaction_footprint_row`."""
    return RedactionFootprint(line_id=row.line_id, lay=row.lay, wkb=row.wkb)
