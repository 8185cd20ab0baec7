"""Restricted areas, classifications of flights and layers, and redactions.

Each change of an area or a classification is written with its audit entry (None: it is logged elsewhere).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import shapely
from sqlalchemy import Row, Select, delete, func, or_, select

from flycam.catalog import tables
from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.rows import parse_row, to_row
from flycam.catalog.tables import audit_log
from flycam.errors import NotFound
from flycam.messages import _
from flycam.model.access import Account, RedactionReason, RedactionStep, Role
from flycam.model.flight import Classification
from flycam.model.records import AuditEntry, BoundsLonLat, RevisionState
from flycam.model.text import to_canonical_name

# -- Records of access rules, as frozen values (rules as in `model.records`) -----------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class RestrictedArea:
    """Ground that is withheld from all roles that are not named.

    wkb     polygon or multipolygon; sha256 of the file it was read from
    """

    area_id: str
    name: str
    roles: frozenset[Role]
    sha256: str
    added_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """A person as the province's own sign-in service describes them.

    issuer, subject  the service, and its permanent identifier of the person
    name             of the account if it is made now
    communes         codes of those that the account is for; none: for all
    """

    issuer: str
    subject: str
    name: str
    role: Role
    communes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """A guest link. The secret itself is never stored.

    event_id    the only event that it shows; "": all
    communes    codes of those that it is for, as its maker's account; none: for all
    revoked_ns  None: valid until it expires
    made_with   id of the token with which its maker signed in, and with which it ends; None: none, or not
                known
    """

    guest_id: str
    secret_hash: str
    event_id: str
    communes: tuple[str, ...]
    made_by: str
    made_ns: int
    expires_ns: int
    revoked_ns: int | None = None
    made_with: str | None = None

    @property
    def account(self) -> Account:
        """Account as which the link's holder is treated."""
        return Account(
            name=self.guest_id,
            role=Role.GUEST,
            token_hash=self.secret_hash,
            created_ns=self.made_ns,
            communes=self.communes,
            event_id=self.event_id,
        )

    def is_valid(self, now_ns: int) -> bool:
        """Return True unless it is revoked or expired."""
        return self.revoked_ns is None and now_ns < self.expires_ns


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionRecord:
    """One record of a redaction: it was made, or revoked. A grow-only set.

    frame_id  of the photo
    author    of this record, at `at_ns`
    wkb       the polygon in the photo's own pixels as its file has them: x to the right, y down, corners of
              pixels at integers. A revocation holds the polygon that it revokes
    """

    mask_id: str
    step: RedactionStep
    frame_id: str
    reason: RedactionReason
    author: str
    at_ns: int
    wkb: bytes

    @property
    def line_id(self) -> str:
        """24 hex digits from its content: the same on every node."""
        parts = (self.mask_id, self.step, self.frame_id, self.reason, self.author, str(self.at_ns))
        return hashlib.sha256("\n".join(parts).encode() + self.wkb).hexdigest()[:24]


@dataclass(frozen=True, kw_only=True, slots=True)
class RedactionFootprint:
    """Ground that a redaction covers, by one placement of its photo.

    line_id  of the record that made the redaction
    lay      name of the placement, as `access.policy.GroundProjection.name`
    wkb      polygon, longitude and latitude degrees, with `access.policy.REDACTION_MARGIN_M` around; empty if
             the redaction covers no ground
    """

    line_id: str
    lay: str
    wkb: bytes


# -- Restricted areas and classifications ----------------------------------------------------------


class Restrictions:
    """Areas by id or name; classifications by the id of a flight or a layer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, area: RestrictedArea, audit_entry: AuditEntry | None = None) -> None:
        """Write an area in place of the one with its id."""
        name, roles = to_canonical_name(area.name), " ".join(sorted(area.roles))
        row = to_row(tables.restricted_areas, area, name=name, roles=roles)
        with self._database.write(alone_in=audit_log) as connection:
            connection.execute(self._database.upsert(tables.restricted_areas), row)
            write_entries(connection, [audit_entry] if audit_entry else [], self._database.audit_key)

    def remove(
        self, ref: str, make_audit_entry: Callable[[RestrictedArea], AuditEntry] | None = None
    ) -> RestrictedArea:
        """Remove the area of this id or name. Raises NotFound."""
        c = tables.restricted_areas.c
        with self._database.write(alone_in=audit_log) as connection:
            query = select(tables.restricted_areas).where(or_(c.area_id == ref, c.name == ref))
            row = connection.execute(query).first()
            if row is None:
                raise NotFound(
                    _("{ref}: there is no such restricted area; see 'flycam restricted list'", ref=ref)
                )
            connection.execute(delete(tables.restricted_areas).where(c.area_id == row.area_id))
            area = _area(row)
            write_entries(
                connection, [make_audit_entry(area)] if make_audit_entry else [], self._database.audit_key
            )
        return area

    def areas(self) -> list[RestrictedArea]:
        """Return every area, by name."""
        query = select(tables.restricted_areas).order_by(tables.restricted_areas.c.name)
        return self._database.fetch(_area, query)

    def classify(
        self, subject: str, level: Classification, at_ns: int, audit_entry: AuditEntry | None = None
    ) -> None:
        """Set the classification of a flight or a layer (its id)."""
        row = {"subject": subject, "level": level.value, "at_ns": at_ns}
        with self._database.write(alone_in=audit_log) as connection:
            connection.execute(self._database.upsert(tables.classifications), row)
            write_entries(connection, [audit_entry] if audit_entry else [], self._database.audit_key)

    def levels(self) -> Mapping[str, Classification]:
        """Return the classification of every classified subject; others are OPEN."""
        c = tables.classifications.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.subject, c.level))
            return {row.subject: Classification(row.level) for row in rows}

    def level(self, subject: str) -> Classification:
        """Return the classification of one flight or layer."""
        c = tables.classifications.c
        with self._database.read() as connection:
            row = connection.execute(select(c.level).where(c.subject == subject)).first()
        return Classification.OPEN if row is None else Classification(row.level)


def _area(row: Row[Any]) -> RestrictedArea:
    return parse_row(RestrictedArea, row, roles=frozenset(map(Role, row.roles.split())))


# -- Redactions, as records that are never overwritten, and the ground that they cover -------------
#
# A redaction is active until a record revokes it, in whatever order the records come and from whichever node.


_lines = tables.redactions
_grounds = tables.redaction_grounds


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
            connection.execute(insert, [to_row(_lines, one) for one in named.values()])
            entries = [entry for line_id, entry in (audit_entries or {}).items() if line_id not in here]
            write_entries(connection, entries, self._database.audit_key)
        return [one for name, one in named.items() if name not in here]

    def learn(self, lines: Iterable[RedactionRecord]) -> list[RedactionRecord]:
        """Add records from another node; return those that were new.

        A revocation from there is kept as a request only: a stolen token or stick uncovers nothing. What is
        known to be revoked by that very record stays so.
        """
        every = list(lines)
        here = {one.line_id for mask_id in {one.mask_id for one in every} for one in self._of_mask(mask_id)}
        requests = [
            replace(one, step=RedactionStep.REVOCATION_REQUESTED)
            for one in every
            if one.step is RedactionStep.REVOKED and one.line_id not in here
        ]
        return self.append([*(one for one in every if one.step is not RedactionStep.REVOKED), *requests])

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
        rows = [to_row(_grounds, one) for one in grounds]
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(_grounds), rows)

    def learn_footprints(self, grounds: Iterable[RedactionFootprint]) -> None:
        """Add ground that another node computed where none is known.

        So nothing from there uncovers anything here. Empty ground is not trusted, but computed here.
        """
        non_empty = [one for one in grounds if not shapely.from_wkb(one.wkb).is_empty]
        if non_empty:
            names = ["line_id", "lay"]
            insert = self._database.insert(_grounds).on_conflict_do_nothing(index_elements=names)
            with self._database.write() as connection:
                connection.execute(insert, [to_row(_grounds, one) for one in non_empty])

    def list_footprints(self, line_ids: Iterable[str]) -> list[RedactionFootprint]:
        """Return the ground of these redactions, by every known placement."""
        query = select(_grounds).where(_grounds.c.line_id.in_(list(line_ids)))
        return self._database.fetch(RedactionFootprint, query.order_by(_grounds.c.line_id, _grounds.c.lay))

    def _fetch(self, query: Select[Any]) -> list[RedactionRecord]:
        ordered = query.order_by(_lines.c.at_ns, _lines.c.line_id)
        return self._database.fetch(RedactionRecord, ordered)


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
    active = {(one.mask_id, one.frame_id) for one in select_active_redactions(every)}
    requests = (one for one in every if one.step is RedactionStep.REVOCATION_REQUESTED)
    return [one for one in requests if (one.mask_id, one.frame_id) in active]
