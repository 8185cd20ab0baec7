"""Restricted areas, and the classification of flights and layers.

Each change is written with its audit entry (None: it is logged elsewhere).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import shapely
from sqlalchemy import Row, delete, or_, select

from flycam.catalog import sharing_tables as tables
from flycam.catalog.audit import write_entries
from flycam.catalog.bounding_boxes import to_box_columns
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry, Role
from flycam.catalog.sharing_records import RestrictedArea
from flycam.catalog.tables import audit_log
from flycam.errors import NotFound
from flycam.frame.classification import Classification
from flycam.frame.text_normalization import to_canonical_name
from flycam.messages import _


class Restrictions:
    """Areas by id or name; classifications by the id of a flight or a layer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, area: RestrictedArea, audit_entry: AuditEntry | None = None) -> None:
        """Write an area in place of the one with its id."""
        row = {
            "area_id": area.area_id,
            "name": to_canonical_name(area.name),
            "roles": " ".join(sorted(area.roles)),
            "sha256": area.sha256,
            "added_ns": area.added_ns,
            "wkb": area.wkb,
            **to_box_columns(area.bounds_lonlat_deg),
        }
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
        with self._database.read() as connection:
            return [_area(row) for row in connection.execute(query)]

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
    west, south, east, north = shapely.from_wkb(row.wkb).bounds
    return RestrictedArea(
        area_id=row.area_id,
        name=row.name,
        roles=frozenset(map(Role, row.roles.split())),
        sha256=row.sha256,
        added_ns=row.added_ns,
        wkb=row.wkb,
        bounds_lonlat_deg=(west, south, east, north),
    )
