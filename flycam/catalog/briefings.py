"""Briefings: the list of places that a presenter shows, by event; every change is a new version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from flycam.catalog.audit import write_entries
from flycam.catalog.board_tables import briefings
from flycam.catalog.database import Database
from flycam.catalog.records import AuditEntry, BoundsLonLat
from flycam.catalog.tables import audit_log
from flycam.errors import StoreConflict
from flycam.messages import _


@dataclass(frozen=True, kw_only=True, slots=True)
class BriefingPlace:
    """A named view of the map.

    view    query of the page's address, by which any page shows it
    bounds  visible ground: west, south, east, north in degrees
    """

    name: str
    view: Mapping[str, str]
    bounds: BoundsLonLat


@dataclass(frozen=True, kw_only=True, slots=True)
class BriefingVersion:
    """The whole list as `author` left it at `at_ns`; the last version is current."""

    event_id: str
    version: int
    places: Sequence[BriefingPlace]
    author: str
    at_ns: int


class Briefings:
    """Lists by event and version. A version is on disk when `append` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, line: BriefingVersion, audit_entry: AuditEntry) -> None:
        """Add a list with its entry for the audit log; an event's first version is 1.

        Raises StoreConflict if somebody else has added that version.
        """
        places = [[one.name, dict(one.view), list(one.bounds)] for one in line.places]
        row = {
            "event_id": line.event_id,
            "version": line.version,
            "places": json.dumps(places, ensure_ascii=False),
            "author": line.author,
            "at_ns": line.at_ns,
        }
        try:
            with self._database.write(alone_in=audit_log) as connection:
                connection.execute(briefings.insert(), row)
                write_entries(connection, [audit_entry], self._database.audit_key)
        except IntegrityError as error:
            raise StoreConflict(
                _(
                    "{event_id}: somebody changed these places a moment ago; look at them again",
                    event_id=line.event_id,
                )
            ) from error

    def last(self, event_id: str) -> BriefingVersion | None:
        """Return the list of an event; None if there is none."""
        c = briefings.c
        query = select(briefings).where(c.event_id == event_id).order_by(c.version.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return BriefingVersion(
            event_id=row.event_id,
            version=row.version,
            places=[
                BriefingPlace(name=name, view=view, bounds=(west, south, east, north))
                for name, view, (west, south, east, north) in json.loads(row.places)
            ],
            author=row.author,
            at_ns=row.at_ns,
        )
