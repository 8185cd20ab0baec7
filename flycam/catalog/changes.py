"""Changes under review (versions, attribution, references to their images), comparisons.

Every decision adds a version, nothing is overwritten.
"""

from __future__ import annotations

import itertools
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, true
from sqlalchemy.exc import IntegrityError

from flycam.catalog.audit import write_entries
from flycam.catalog.database import Database
from flycam.catalog.flights import require_in_event
from flycam.catalog.tables import audit_log, changes, comparisons, match_touching_boxes, parse_row, to_row
from flycam.errors import NotFound, StoreConflict
from flycam.messages import Message, _, decode_message, encode_message
from flycam.model.board import ChangeAction, ChangeKind, ChangeStatus
from flycam.model.records import AuditEntry, BoundsLonLat

# -- Image references: recorded names of mosaics and files -----------------------------------------
#
# Names of images in records of what was found on them: "mosaic@revision", or "name#1f2e3d4c" of a file. They
# are parsed here only. Two files of one name are two images (programs call every orthophoto the same): the
# beginning of the SHA-256 of their bytes tells them apart. For people the folder precedes it and, if the file
# states one, its time follows: "ngay-2/odm_orthophoto.tif, 10/09/2024 10:15#1f2e3d4c". Neither makes it
# another image: the same bytes may be anywhere.


DIGEST_DIGITS = 8
"""Hex digits of a file's SHA-256: short enough to read out, long enough to tell two of one name apart."""

_MOSAIC = re.compile(r"(.+)@([0-9]+)")
_FILE = re.compile(
    r"(?:[^/]+/)?(?P<name>[^/]+?)(?:, [0-9]{2}/[0-9]{2}/[0-9]{4} [0-9]{2}:[0-9]{2})?"
    rf"#(?P<digest>[0-9a-f]{{{DIGEST_DIGITS}}})"
)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """One image.

    source    a mosaic's id, whatever its revision, or a file's name with its digest; "": none
    revision  of a mosaic; None: a file
    shown     as recorded, with a file's folder and time
    """

    source: str
    revision: int | None = None
    shown: str = field(default="", compare=False)

    @property
    def file_name(self) -> str:
        """File name without its digest; "" for a mosaic."""
        return "" if self.revision is not None else strip_digest(self.source)


def parse_image_reference(shown: str) -> ImageReference:
    """Return the image of a recorded name; for "" one with source ""."""
    if mosaic := _MOSAIC.fullmatch(shown):
        return ImageReference(mosaic[1], int(mosaic[2]), shown)
    named = _FILE.fullmatch(shown)
    source = shown if named is None else f"{named['name']}#{named['digest']}"
    return ImageReference(source, shown=shown)


def list_mosaic_ids(*shown: str) -> tuple[str, ...]:
    """Return the ids of the mosaics among some images."""
    return tuple(one.source for one in map(parse_image_reference, shown) if one.revision is not None)


def parse_revision(shown: str) -> int:
    """Return the revision of a mosaic; 0 for a file."""
    return parse_image_reference(shown).revision or 0


def parse_source_pair(before_shown: str, after_shown: str) -> tuple[str, str]:
    """Return the sources between which something was found or compared."""
    return parse_image_reference(before_shown).source, parse_image_reference(after_shown).source


def format_file_reference(name: str, digest: str, folder: str = "", taken: str = "") -> str:
    """Format the recorded name of a file with this name and hex SHA-256.

    folder  where it was, "" if not stated
    taken   as `model.time.format_minute` writes it, "" if not stated
    """
    where, when = (f"{folder}/" if folder else ""), (f", {taken}" if taken else "")
    return f"{where}{name}{when}#{digest[:DIGEST_DIGITS]}"


def strip_location(shown: str) -> str:
    """Return the identity of an image: a file without folder and time.

    A mosaic's revision stays as it is.
    """
    return shown if _MOSAIC.fullmatch(shown) else parse_image_reference(shown).source


def strip_digest(shown: str) -> str:
    """Return the name of a file without its digest; others unchanged."""
    named = _FILE.fullmatch(shown)
    return shown if named is None else named["name"]


# -- Versions of changes under review, as frozen values --------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeVersion:
    """One version of a change; the last one is current.

    version      1, 2, … : a decision names the version that it was based on
    step_id      of all versions that one decision wrote, on however many changes
    event_id     the event it belongs to: an exercise's changes never appear beside real ones
    score        the detector's, by which candidates are ranked; None: its outline was drawn, or redrawn, by
                 hand. A probability of its kind only where the terrain is known (`probability`)
    area_m2      in the work CRS, as length_m along its longest axis; slope_deg None if not known
    scored_as    the kind that the score is of, if a person has changed the kind since; "": its own
    commune      code of the commune that holds most of it, "" where no boundary is known
    tie_m        from its middle to the nearest ground that the coregistration used, rmse_m of that; both None
                 if drawn by hand
    error_m      horizontal error of the outline on the image BEFORE, 1 sigma (`change.coregistration`);
                 None if drawn
    before_shown, after_shown  images that were compared (`ImageReference`): "mosaic@revision" or a file; of
                 a drawn change the images it was drawn over, "" if not stated
    undoes       the step that this version undid; "" in all others
    origins      of a change found again on a newer revision, the changes that it replaces
    author       of this version, at `at_ns`; of a found change, who started the search
    wkb          multipolygon
    """

    change_id: str
    version: int
    step_id: str
    event_id: str
    action: ChangeAction
    status: ChangeStatus
    kind: ChangeKind
    score: float | None
    area_m2: float
    length_m: float
    slope_deg: float | None
    commune: str
    tie_m: float | None
    rmse_m: float | None
    before_shown: str
    after_shown: str
    origins: tuple[str, ...]
    note: str
    author: str
    at_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat
    undoes: str = ""
    error_m: float | None = None
    scored_as: str = ""

    @property
    def is_kind_sure(self) -> bool:
        """True if kinds could be told apart.

        Without terrain a slide, a flood and a field are alike to the detector. A change that a person drew,
        or gave another kind, is of that kind.
        """
        return self.score is None or self.slope_deg is not None or bool(self.scored_as)

    @property
    def is_drawn(self) -> bool:
        """True if a person drew it without a candidate.

        No images were coregistered for it then.
        """
        return self.score is None and self.rmse_m is None

    @property
    def probability(self) -> float | None:
        """Probability that it is of its kind.

        None if it was drawn by hand, found where the terrain is not known (no score was ever calibrated for
        that), or scored as another kind.
        """
        return None if self.no_score else self.score

    @property
    def no_score(self) -> str:
        """Reason for no probability: "drawn", "kind_changed", "no_terrain"; else ""."""
        if self.score is None:
            return "drawn"
        if self.scored_as:
            return "kind_changed"
        return "" if self.is_kind_sure else "no_terrain"

    @property
    def mosaics(self) -> tuple[str, ...]:
        """Ids of the mosaics on which it was found or drawn; image files have none."""
        return list_mosaic_ids(self.before_shown, self.after_shown)

    @property
    def pair(self) -> tuple[str, str]:
        """Sources before and after between which it was found, or over which it was drawn.

        They are mosaics (whatever their revisions) or image files.
        """
        return parse_source_pair(self.before_shown, self.after_shown)


# -- Attribution of a change: who decided it and when, and who wrote its current note --------------
#
# The last version of a change may be a comment, or restore an earlier one: neither is a decision of its own.


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAttribution:
    """Authors of a change's decision and note.

    decided_by, decided_ns  of the last version in force that is no comment
    note_by                 author of the note, "" without one
    """

    decided_by: str
    decided_ns: int
    note_by: str


def select_effective_versions(history: Sequence[ChangeVersion]) -> list[ChangeVersion]:
    """Return the versions of a change that were not undone, oldest first.

    Empty if it was removed as a whole. An undo of another version than the one before it (after two nodes
    synchronised) removes nothing.
    """
    pile: list[ChangeVersion] = []
    for line in history:
        if line.action is not ChangeAction.UNDO:
            pile.append(line)
        elif pile and pile[-1].step_id == line.undoes:
            pile.pop()
    return pile


def derive_attribution(history: Sequence[ChangeVersion]) -> ChangeAttribution:
    """Return the attribution of the last version.

    history  of one change, oldest first, as far as it is known
    """
    last = history[-1]
    pile = select_effective_versions(history)
    if not pile or (pile[-1].status, pile[-1].note) != (last.status, last.note):
        pile = [last]  # the restored version is not known here
    decided = next((one for before, one in _from_last(pile) if _decides(before, one)), pile[0])
    note_by = find_note_version(pile).author if last.note else ""
    return ChangeAttribution(decided_by=decided.author, decided_ns=decided.at_ns, note_by=note_by)


def _from_last(pile: Sequence[ChangeVersion]) -> Iterator[tuple[ChangeVersion, ChangeVersion]]:
    """Return each version after the one before it, the last first."""
    return reversed(list(itertools.pairwise(pile)))


def _decides(before: ChangeVersion, line: ChangeVersion) -> bool:
    """Return False for a comment, unless it changes the kind."""
    return line.action is not ChangeAction.COMMENT or line.kind is not before.kind


def find_note_version(pile: Sequence[ChangeVersion]) -> ChangeVersion:
    """Return the version in force that wrote the current note.

    Later ones only carry it on.
    """
    writer = pile[-1]
    for one in reversed(pile):
        if one.note != writer.note:
            break
        writer = one
    return writer


def is_self_attributed(line: ChangeVersion) -> bool:
    """Return True if a version alone tells its attribution."""
    return line.version == 1 or not (line.note or line.action in (ChangeAction.COMMENT, ChangeAction.UNDO))


def format_quoted_note(note: str, author: str, who: str) -> str:
    """Format a note as another author's version carries it."""
    return note if not note or author == who else f"{note} ({author})"


# -- Versions of changes in the database -----------------------------------------------------------


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
                connection.execute(changes.insert(), [_to_change_row(line) for line in lines])
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
                in_event = c.event_id.in_({line.event_id for line in lines})
                known = set(connection.execute(select(c.change_id).where(in_event, c.version == 1)).scalars())
                rows = {one.change_id: _to_change_row(one) for one in lines if one.change_id not in known}
                if rows:
                    connection.execute(changes.insert(), [*rows.values(), *map(_to_change_row, replaced)])
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
        return self._database.fetch(
            _parse_change, query.order_by(drawn_first.desc(), c.area_m2.desc(), c.change_id)
        )

    def last(self, change_ids: Sequence[str]) -> list[ChangeVersion]:
        """Return the last version of each of these, in their order. Raises NotFound."""
        newest = _newest(changes.c.change_id.in_(change_ids))
        found = {line.change_id: line for line in self._database.fetch(_parse_change, newest)}
        for one in change_ids:
            if one not in found:
                raise make_change_not_found(one)
        return [found[one] for one in change_ids]

    def history(self, change_id: str) -> list[ChangeVersion]:
        """Return all versions of a change, oldest first. Raises NotFound."""
        c = changes.c
        found = self._database.fetch(
            _parse_change, select(changes).where(c.change_id == change_id).order_by(c.version)
        )
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
            for line in self._database.fetch(_parse_change, query):
                found.setdefault(line.change_id, []).append(line)
        return found

    def step(self, step_id: str) -> list[ChangeVersion]:
        """Return the versions that one step wrote; empty for an unknown step."""
        c = changes.c
        return self._database.fetch(
            _parse_change, select(changes).where(c.step_id == step_id).order_by(c.change_id)
        )

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
        return self._database.fetch(
            _parse_change, select(changes).where(c.step_id == last.scalar_subquery()).order_by(c.change_id)
        )

    def events(self) -> set[str]:
        """Return the events that have any change, whatever was decided on it."""
        with self._database.read() as connection:
            return set(connection.execute(select(changes.c.event_id).distinct()).scalars())

    def stamp(self) -> int:
        """Return a number that grows with every version."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(changes)).scalar_one())


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


def _to_change_row(line: ChangeVersion) -> dict[str, Any]:
    return to_row(changes, line, origins=json.dumps(line.origins))


def _parse_change(row: Row[Any]) -> ChangeVersion:
    return parse_row(ChangeVersion, row, origins=tuple(json.loads(row.origins)))


# -- Comparisons: which ground was compared, by which images --------------------------------------
#
# They tell "nothing found" from "never compared".-


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedWindow:
    """One window by which AFTER was coregistered with BEFORE.

    lonlat_deg  its middle
    state       agreed, disagreed or not found
    residual_m  distance from the field that was fitted without it, None if not found
    """

    lonlat_deg: tuple[float, float]
    state: str
    residual_m: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Ground on which changes of one event were searched for between two images.

    Another requested area is another comparison; together they are the ground that was compared.

    before_shown, after_shown  as in `ChangeVersion`
    rmse_m                     of the coregistration
    author                     who started the search, at `at_ns`
    wkb                        multipolygon, WGS 84; never more than was compared
    doubts                     why every change found by it is less sure than elsewhere: most windows
                               disagree, a side was a live mosaic
    warnings                   what else a reviewer has to know
    """

    comparison_id: str
    event_id: str
    before_shown: str
    after_shown: str
    rmse_m: float
    author: str
    at_ns: int
    wkb: bytes
    bounds_lonlat_deg: BoundsLonLat
    doubts: tuple[Message, ...] = ()
    warnings: tuple[Message, ...] = ()

    @property
    def mosaics(self) -> tuple[str, ...]:
        """Ids of the mosaics that were compared; image files have none."""
        return list_mosaic_ids(self.before_shown, self.after_shown)

    @property
    def pair(self) -> tuple[str, str]:
        """The two images that were compared, whatever their revisions."""
        return parse_source_pair(self.before_shown, self.after_shown)


class Comparisons:
    """Comparisons by id, each stored once, on disk when `add` returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        records: Sequence[Comparison],
        windows: Sequence[ComparedWindow] = (),
        make_audit_entry: Callable[[int], AuditEntry] | None = None,
        *,
        flight_ids: Collection[str] = (),
    ) -> int:
        """Add unknown comparisons with one audit entry; return how many were unknown.

        windows     of the one that is added; those from other nodes have none
        flight_ids  flights of their event; StoreConflict if one was moved out of it
        """
        if not records:
            return 0
        c = comparisons.c
        with self._database.write(alone_in=audit_log) as connection:
            require_in_event(connection, flight_ids, records[0].event_id)
            ids = {one.comparison_id for one in records}
            known = set(connection.execute(select(c.comparison_id).where(c.comparison_id.in_(ids))).scalars())
            new = {
                one.comparison_id: _to_comparison_row(one, windows)
                for one in records
                if one.comparison_id not in known
            }
            if new:
                connection.execute(comparisons.insert(), list(new.values()))
                write_entries(
                    connection,
                    [make_audit_entry(len(new))] if make_audit_entry else [],
                    self._database.audit_key,
                )
        return len(new)

    def list_for_event(self, event_id: str, until_ns: int | None = None) -> list[Comparison]:
        """Return all comparisons of an event, oldest first.

        until_ns  only those made by then (UTC)
        """
        c = comparisons.c
        plain = [column for column in c if column.name != "windows"]
        query = select(*plain).where(c.event_id == event_id).order_by(c.at_ns, c.comparison_id)
        if until_ns is not None:
            query = query.where(c.at_ns <= until_ns)
        return self._database.fetch(_parse_comparison, query)

    def windows(self, comparison_id: str) -> list[ComparedWindow]:
        """Return the windows of one; none if it is unknown or from another node."""
        c = comparisons.c
        with self._database.read() as connection:
            data = connection.execute(select(c.windows).where(c.comparison_id == comparison_id)).scalar()
        return [] if data is None else _windows(bytes(data))

    def events(self) -> set[str]:
        """Return the events with any comparison."""
        with self._database.read() as connection:
            return set(connection.execute(select(comparisons.c.event_id).distinct()).scalars())

    def stamp(self) -> int:
        """Return a number that grows with every one."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(comparisons)).scalar_one())


def _to_comparison_row(one: Comparison, windows: Sequence[ComparedWindow]) -> dict[str, Any]:
    rows = [[*window.lonlat_deg, window.state, window.residual_m] for window in windows]
    packed = zlib.compress(json.dumps(rows, separators=(",", ":")).encode())
    return to_row(
        comparisons, one, windows=packed, doubts=_encode(one.doubts), warnings=_encode(one.warnings)
    )


def _encode(remarks: Sequence[Message]) -> str:
    return json.dumps([encode_message(remark) for remark in remarks], ensure_ascii=False)


def _windows(data: bytes) -> list[ComparedWindow]:
    return [
        ComparedWindow(lonlat_deg=(lon, lat), state=state, residual_m=residual_m)
        for lon, lat, state, residual_m in json.loads(zlib.decompress(data))
    ]


def _parse_comparison(row: Row[Any]) -> Comparison:
    return parse_row(Comparison, row, doubts=_decode(row.doubts), warnings=_decode(row.warnings))


def _decode(text: str) -> tuple[Message, ...]:
    return tuple(map(decode_message, json.loads(text)))
