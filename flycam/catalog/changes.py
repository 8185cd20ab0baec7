"""Changes under review: every decision adds a version, nothing is overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, true
from sqlalchemy.exc import IntegrityError

from flycam.catalog.audit import write_entries
from flycam.catalog.board_tables import changes
from flycam.catalog.bounding_boxes import match_touching_boxes, to_box_columns
from flycam.catalog.change_attribution import ChangeAttribution, derive_attribution, is_self_attributed
from flycam.catalog.change_version import ChangeVersion
from flycam.catalog.database import Database
from flycam.catalog.flights import require_in_event
from flycam.catalog.records import AuditEntry, BoundsLonLat
from flycam.catalog.tables import audit_log
from flycam.errors import NotFound, StoreConflict
from flycam.frame.change import ChangeAction, ChangeKind, ChangeStatus
from flycam.messages import _


class Changes:
    """Versions of changes, on disk when `append` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, lines: Sequence[ChangeVersion], audit_entries: Sequence[AuditEntry] = ()) -> None:
        """Add the versions of one step with their audit entries, all or none.

        A change's first version is 1. Raises StoreConflict if somebody else has added one of them.
        """
        if not lines:
            return
        try:
            with self._database.write(alone_in=audit_log) as connection:
                connection.execute(changes.insert(), [_row(line) for line in lines])
                write_entries(connection, audit_entries, self._database.audit_key)
        except IntegrityError as error:
            raise _decided_meanwhile(lines[0]) from error

    def add_new(
        self,
        lines: Sequence[ChangeVersion],
        make_audit_entry: Callable[[int], AuditEntry] | None = None,
        *,
        replaced: Sequence[ChangeVersion] = (),
        replaced_audit_entries: Sequence[AuditEntry] = (),
        flight_ids: Collection[str] = (),
    ) -> int:
        """Add first versions of unknown changes; return how many were unknown.

        make_audit_entry  makes the audit entry from that number
        replaced  next versions of changes that those replace, each with its audit entry; all of it or
                  nothing. Raises StoreConflict if somebody else has added to one of these.
        flight_ids  flights of the event of these versions; StoreConflict if one was moved out of it
        """
        if not lines:
            return 0
        c = changes.c
        try:
            with self._database.write(alone_in=audit_log) as connection:  # as `append`: one writer at a time
                require_in_event(connection, flight_ids, lines[0].event_id)
                ours = c.event_id.in_({line.event_id for line in lines})
                known = set(connection.execute(select(c.change_id).where(ours, c.version == 1)).scalars())
                rows = {one.change_id: _row(one) for one in lines if one.change_id not in known}
                if rows:
                    connection.execute(changes.insert(), [*rows.values(), *map(_row, replaced)])
                    entries = [
                        *([make_audit_entry(len(rows))] if make_audit_entry else []),
                        *replaced_audit_entries,
                    ]
                    write_entries(connection, entries, self._database.audit_key)
        except IntegrityError as error:
            raise _decided_meanwhile(lines[0] if not replaced else replaced[0]) from error
        return len(rows)

    def current(
        self,
        event_id: str | None = None,
        bounds: BoundsLonLat | None = None,
        *,
        statuses: Collection[ChangeStatus] | None = None,
        until_ns: int | None = None,
    ) -> list[ChangeVersion]:
        """Return the last version of every change, most likely first, then largest.

        statuses  only changes of these statuses; None: all
        until_ns  as of then (UTC): later versions are ignored
        """
        c = changes.c
        query = _newest(true() if until_ns is None else c.at_ns <= until_ns)
        if event_id is not None:
            query = query.where(c.event_id == event_id)
        if bounds is not None:
            query = query.where(match_touching_boxes(changes, bounds))
        if statuses is not None:
            query = query.where(c.status.in_([one.value for one in statuses]))
        drawn_first = func.coalesce(c.score, 1.0)
        return self._fetch(query.order_by(drawn_first.desc(), c.area_m2.desc(), c.change_id))

    def last(self, change_ids: Sequence[str]) -> list[ChangeVersion]:
        """Return the last version of each of these, in their order. Raises NotFound."""
        newest = _newest(changes.c.change_id.in_(change_ids))
        found = {line.change_id: line for line in self._fetch(newest)}
        for one in change_ids:
            if one not in found:
                raise make_change_not_found(one)
        return [found[one] for one in change_ids]

    def history(self, change_id: str) -> list[ChangeVersion]:
        """Return all versions of a change, oldest first. Raises NotFound."""
        c = changes.c
        found = self._fetch(select(changes).where(c.change_id == change_id).order_by(c.version))
        if not found:
            raise make_change_not_found(change_id)
        return found

    def list_attributions(self, lines: Sequence[ChangeVersion]) -> list[ChangeAttribution]:
        """Return the attribution of each of these versions, by those before it."""
        histories = self.histories({one.change_id for one in lines if not is_self_attributed(one)})
        return [
            derive_attribution(
                [*(old for old in histories.get(one.change_id, ()) if old.version < one.version), one]
            )
            for one in lines
        ]

    def histories(self, change_ids: Collection[str]) -> dict[str, list[ChangeVersion]]:
        """Return all versions of those of these changes that exist, oldest first."""
        c = changes.c
        found: dict[str, list[ChangeVersion]] = {}
        if change_ids:
            query = select(changes).where(c.change_id.in_(change_ids)).order_by(c.change_id, c.version)
            for line in self._fetch(query):
                found.setdefault(line.change_id, []).append(line)
        return found

    def step(self, step_id: str) -> list[ChangeVersion]:
        """Return the versions that one step wrote; empty for an unknown step."""
        c = changes.c
        return self._fetch(select(changes).where(c.step_id == step_id).order_by(c.change_id))

    def last_step(self, event_id: str, author: str) -> list[ChangeVersion]:
        """Return the versions of a person's last step in an event, undo included.

        The detector's steps are not counted.
        """
        c = changes.c
        last = (
            select(c.step_id)
            .where(c.event_id == event_id, c.author == author, c.action != ChangeAction.FOUND.value)
            .order_by(c.at_ns.desc(), c.step_id.desc())
            .limit(1)
        )
        return self._fetch(select(changes).where(c.step_id == last.scalar_subquery()).order_by(c.change_id))

    def events(self) -> set[str]:
        """Return the events that have any change, whatever was decided on it."""
        with self._database.read() as connection:
            return set(connection.execute(select(changes.c.event_id).distinct()).scalars())

    def stamp(self) -> int:
        """Return a number that grows with every version."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(changes)).scalar_one())

    def _fetch(self, query: Select[Any]) -> list[ChangeVersion]:
        with self._database.read() as connection:
            return [_line(row) for row in connection.execute(query)]


def _newest(among: ColumnElement[bool]) -> Select[Any]:
    """Select the last version of every change among the rows where `among` holds."""
    c = changes.c
    last = (
        select(c.change_id, func.max(c.version).label("last")).where(among).group_by(c.change_id).subquery()
    )
    return select(changes).join(last, (c.change_id == last.c.change_id) & (c.version == last.c.last))


def _decided_meanwhile(line: ChangeVersion) -> StoreConflict:
    return StoreConflict(
        _(
            "{change_id}: somebody decided on this change a moment ago; look at it again",
            change_id=line.change_id,
        )
    )


def make_change_not_found(change_id: str) -> NotFound:
    """Make the error of a change that is missing, or hidden from the account."""
    return NotFound(_("{change_id}: there is no such change; load the list again", change_id=change_id[:40]))


_PLAIN = (
    "change_id",
    "version",
    "step_id",
    "event_id",
    "score",
    "area_m2",
    "length_m",
    "slope_deg",
    "commune",
    "tie_m",
    "rmse_m",
    "before_shown",
    "after_shown",
    "note",
    "author",
    "at_ns",
    "wkb",
    "undoes",
    "error_m",
    "scored_as",
)


def _row(line: ChangeVersion) -> dict[str, Any]:
    return {
        **{name: getattr(line, name) for name in _PLAIN},
        "action": line.action.value,
        "status": line.status.value,
        "kind": line.kind.value,
        "origins": json.dumps(line.origins),
        **to_box_columns(line.bounds_lonlat_deg),
    }


def _line(row: Row[Any]) -> ChangeVersion:
    return ChangeVersion(
        **{name: getattr(row, name) for name in _PLAIN},
        action=ChangeAction(row.action),
        status=ChangeStatus(row.status),
        kind=ChangeKind(row.kind),
        origins=tuple(json.loads(row.origins)),
        bounds_lonlat_deg=(row.west, row.south, row.east, row.north),
    )
