"""Writing field marks: what may be written, by whom it was, and the line in the audit log."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import shapely

from flycam.catalog.records import AuditEntry, MarkLine
from flycam.errors import InputUnusable, NotFound, StoreConflict
from flycam.frame.mark import MarkKind, MarkStatus
from flycam.frame.spelling import seen
from flycam.messages import _
from flycam.pipeline.evidence import keep_bytes
from flycam.pipeline.mark_photo import as_kept
from flycam.pipeline.on_the_map import require_on_the_map
from flycam.pipeline.workspace import Workspace

MOST_CORNERS = 500
NOTE_LETTERS = 1000

_MARK_ID = re.compile(r"mark-[0-9a-f]{8,40}")

LonLat = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkAsked:
    """A mark as somebody wants it to be from now on.

    mark_id   made by whoever asks ("mark-" and 8 to 40 hex digits), so that asking twice writes once
    based_on  the version that was seen; 0 for a new mark
    places    (longitude, latitude) degrees: one of a point, the corners of a sector in order
    """

    mark_id: str
    based_on: int
    event_id: str
    kind: MarkKind
    status: MarkStatus
    note: str
    places: Sequence[LonLat]


def write_mark(workspace: Workspace, asked: MarkAsked, who: str) -> MarkLine:
    """Add a line to a mark. The same asked again by the same person changes nothing.

    Raises InputUnusable (a place, an outline or an id that cannot be), NotFound (its event), StoreConflict
    (the mark is not as it was seen).
    """
    shape = _shape(asked)
    note = plain_text(asked.note)
    lines = _lines(workspace, asked.mark_id)
    before = _seen(lines, asked.based_on)
    if not lines and asked.event_id not in {one.event_id for one in workspace.catalog.flights.events()}:
        raise NotFound(
            _("{event_id}: there is no such event; a mark belongs to one", event_id=asked.event_id[:40])
        )
    west, south, east, north = (float(side) for side in shape.bounds)
    line = MarkLine(
        mark_id=asked.mark_id,
        version=asked.based_on + 1,
        event_id=lines[0].event_id if lines else asked.event_id,
        kind=asked.kind,
        status=asked.status,
        note=note,
        photo_sha256=before.photo_sha256 if before else None,
        author=who,
        at_ns=workspace.clock_ns(),
        wkb=shapely.to_wkb(shape),
        bounds_lonlat_deg=(west, south, east, north),
    )
    return _append(workspace, line, lines)


def lies_at(asked: MarkAsked) -> bytes:
    """Where a mark is to be (WKB, lon/lat). Raises InputUnusable (a place or an outline that cannot be)."""
    ground: bytes = shapely.to_wkb(_shape(asked))
    return ground


def add_photo(workspace: Workspace, mark_id: str, based_on: int, data: bytes, who: str) -> MarkLine:
    """Add a photo to a mark, as a line of its own. Raises NotFound, StoreConflict, SourceUnreadable."""
    lines = workspace.catalog.marks.history(mark_id)
    kept = as_kept(data)
    sha256 = hashlib.sha256(kept).hexdigest()
    keep_bytes(workspace, kept, sha256)
    workspace.store.flush()
    line = replace(
        _seen(lines, based_on) or lines[-1],
        version=based_on + 1,
        photo_sha256=sha256,
        author=who,
        at_ns=workspace.clock_ns(),
    )
    return _append(workspace, line, lines)


def _seen(lines: Sequence[MarkLine], based_on: int) -> MarkLine | None:
    """The line that somebody saw who changes a mark; None of a new one."""
    return next((one for one in lines if one.version == based_on), None)


def _append(workspace: Workspace, line: MarkLine, lines: Sequence[MarkLine]) -> MarkLine:
    if there := _written(line, lines):
        return there  # an answer got lost on the way, and the same was sent again
    if line.version != len(lines) + 1:
        raise StoreConflict(
            _("{mark_id}: somebody changed this mark meanwhile; look at it again", mark_id=line.mark_id)
        )
    detail = f"{line.kind}, {line.status}, version {line.version}" + (f": {line.note}" if line.note else "")
    told = AuditEntry(who=line.author, what="mark", subject=line.mark_id, detail=detail, at_ns=line.at_ns)
    try:
        workspace.catalog.marks.append(line, told)
    except StoreConflict:
        # the same, sent twice, may have been under way at the same time
        if there := _written(line, workspace.catalog.marks.history(line.mark_id)):
            return there
        raise
    return line


def _written(line: MarkLine, lines: Sequence[MarkLine]) -> MarkLine | None:
    """The line that says the same, whenever it came."""
    return next((one for one in lines if replace(one, at_ns=line.at_ns) == line), None)


def _lines(workspace: Workspace, mark_id: str) -> list[MarkLine]:
    if not _MARK_ID.fullmatch(mark_id):
        raise InputUnusable(
            _("{mark_id!r}: a mark's id is 'mark-' and 8 to 40 hex digits", mark_id=mark_id[:40])
        )
    try:
        return workspace.catalog.marks.history(mark_id)
    except NotFound:
        return []


def _shape(asked: MarkAsked) -> shapely.Geometry:
    is_area = asked.kind is MarkKind.SECTOR
    fits = 3 <= len(asked.places) <= MOST_CORNERS if is_area else len(asked.places) == 1
    if not fits:
        raise InputUnusable(
            _(
                "a sector has 3 to {most_corners} corners, another mark one place; draw it again",
                most_corners=MOST_CORNERS,
            )
        )
    require_on_the_map(asked.places, "the mark", "dấu")
    if not is_area:
        return shapely.Point(*asked.places[0])
    outline = shapely.Polygon(asked.places)
    if not outline.is_valid or outline.area == 0.0:
        raise InputUnusable(_("the outline of the sector crosses itself; draw it again"))
    return outline


def plain_text(note: str) -> str:
    """Lines of printable text. Raises InputUnusable where it is longer than `NOTE_LETTERS`."""
    text = "\n".join(map(seen, note.splitlines())).strip()
    if len(text) > NOTE_LETTERS:
        raise InputUnusable(
            _("the note is longer than {note_letters} letters; shorten it", note_letters=NOTE_LETTERS)
        )
    return text
