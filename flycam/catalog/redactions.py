"""Redaction masks: every line is kept, nothing is overwritten; and the ground that they show, made of them.

A mask holds until a line takes it back, in whatever order the lines come and from whichever box.
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
    """Lines by mask and photo. What is written is on disk when the call returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, lines: Sequence[RedactionRecord], audit_entries: Mapping[str, AuditEntry] | None = None
    ) -> list[RedactionRecord]:
        """Add lines; those of them that were not here.

        audit_entries  by `line_id` what the audit log tells of each that was not: both are written, or
                       neither
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
        """Add lines that another box told; those of them that were not here.

        What it says of a mask that it took back is kept as asking for that: a token that was stolen, or a
        stick, uncovers nothing. What is known to be taken back by that very line stays so.
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
        """All lines of a mask, the first first. Raises NotFound."""
        found = self._of_mask(mask_id)
        if not found:
            raise NotFound(
                _("{mask_id}: there is no such mask; see 'flycam restricted masks'", mask_id=mask_id[:80])
            )
        return found

    def _of_mask(self, mask_id: str) -> list[RedactionRecord]:
        return self._fetch(select(_lines).where(_lines.c.mask_id == mask_id))

    def lines(self) -> list[RedactionRecord]:
        """Every line, the first first."""
        return self._fetch(select(_lines))

    def count(self) -> int:
        """How many lines of masks there are; none ever goes."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(_lines)).scalar_one()

    def list_for_photo(self, frame_id: str) -> list[RedactionRecord]:
        """Every line of a photo's masks, the first first."""
        return self._fetch(select(_lines).where(_lines.c.frame_id == frame_id))

    def list_for_flight(self, flight_id: str) -> list[RedactionRecord]:
        """Every line of masks on photos of a flight, the first first."""
        photos = select(tables.frames.c.frame_id).where(tables.frames.c.flight_id == flight_id)
        return self._fetch(select(_lines).where(_lines.c.frame_id.in_(photos)))

    def stamp(self) -> tuple[int, ...]:
        """Another one whenever what masks withhold may be another: lines, their ground, how their photos
        lie, which revisions are shown. One read; what it counts only grows, or is a state that ends."""
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
        """Write the ground of masks, in place of what was there."""
        rows = [to_redaction_footprint_row(one) for one in grounds]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(_grounds), rows)

    def learn_footprints(self, grounds: Iterable[RedactionFootprint]) -> None:
        """Enter ground that another box worked out, where none is known: what it says uncovers nothing here.
        Ground that is empty is not believed, but worked out here."""
        told = [one for one in grounds if not shapely.from_wkb(one.wkb).is_empty]
        if told:
            names = ["line_id", "lay"]
            insert = self._database.insert(_grounds).on_conflict_do_nothing(index_elements=names)
            with self._database.write() as connection:
                connection.execute(insert, [to_redaction_footprint_row(one) for one in told])

    def list_footprints(self, line_ids: Iterable[str]) -> list[RedactionFootprint]:
        """The ground of these masks, in every way that is known."""
        query = select(_grounds).where(_grounds.c.line_id.in_(list(line_ids)))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(_grounds.c.line_id, _grounds.c.lay))
            return [parse_redaction_footprint_row(row) for row in rows]

    def _fetch(self, query: Select[Any]) -> list[RedactionRecord]:
        ordered = query.order_by(_lines.c.at_ns, _lines.c.line_id)
        with self._database.read() as connection:
            return [parse_redaction_row(row) for row in connection.execute(ordered)]


def select_active_redactions(lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
    """Of all lines of some masks those that made one which nobody took back. A mask is known by its id and
    its photo: a line that names another photo takes nothing back."""
    every = list(lines)
    back = {(one.mask_id, one.frame_id) for one in every if one.step is RedactionStep.REVOKED}
    made = (one for one in every if one.step is RedactionStep.MADE)
    return [one for one in made if (one.mask_id, one.frame_id) not in back]


def select_revocation_requests(lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
    """Of all lines of some masks those by which other boxes ask that one which holds be taken back."""
    every = list(lines)
    held = {(one.mask_id, one.frame_id) for one in select_active_redactions(every)}
    asked = (one for one in every if one.step is RedactionStep.REVOCATION_REQUESTED)
    return [one for one in asked if (one.mask_id, one.frame_id) in held]


def to_redaction_row(line: RedactionRecord) -> dict[str, Any]:
    """A row of the lines."""
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
    """Inverse of `to_redaction_row`. Raises ValueError for a step or a reason that there is not."""
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
    """A row of the grounds."""
    return {"line_id": ground.line_id, "lay": ground.lay, "wkb": ground.wkb}


def parse_redaction_footprint_row(row: Row[Any]) -> RedactionFootprint:
    """Inverse of `to_redaction_footprint_row`."""
    return RedactionFootprint(line_id=row.line_id, lay=row.lay, wkb=row.wkb)
