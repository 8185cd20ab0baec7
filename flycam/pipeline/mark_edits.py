"""Editing of field marks: validation, authorship, and the entry in the audit log."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import shapely

from flycam.catalog.records import AuditEntry, MarkVersion
from flycam.errors import InputUnusable, NotFound, StoreConflict
from flycam.frame.mark import MarkKind, MarkStatus
from flycam.frame.text_normalization import strip_unprintable
from flycam.messages import _
from flycam.pipeline.location_check import require_valid_locations
from flycam.pipeline.mark_photo import convert_mark_photo
from flycam.pipeline.original_store import store_original_bytes
from flycam.pipeline.workspace import Workspace

MAX_MARK_CORNERS = 500
MAX_NOTE_LENGTH = 1000

_MARK_ID = re.compile(r"mark-[0-9a-f]{8,40}")

LonLat = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkEdit:
    """A mark as it is to be from now on.

    mark_id   made by the client ("mark-" and 8 to 40 hex digits), so that a repeated request writes once
    based_on  the version that the client saw; 0 for a new mark
    places    (longitude, latitude) degrees: one of a point, the corners of a sector in order
    """

    mark_id: str
    based_on: int
    event_id: str
    kind: MarkKind
    status: MarkStatus
    note: str
    places: Sequence[LonLat]


def write_mark(workspace: Workspace, edit: MarkEdit, who: str) -> MarkVersion:
    """Append a version to a mark.

    The same edit again by the same author changes nothing. Raises InputUnusable (an invalid place, outline or
    id), NotFound (its event), StoreConflict (the mark has changed since).
    """
    shape = _shape(edit)
    note = validate_note(edit.note)
    lines = _lines(workspace, edit.mark_id)
    before = _seen(lines, edit.based_on)
    if not lines and edit.event_id not in {one.event_id for one in workspace.catalog.flights.events()}:
        raise NotFound(
            _("{event_id}: there is no such event; a mark belongs to one", event_id=edit.event_id[:40])
        )
    west, south, east, north = (float(side) for side in shape.bounds)
    line = MarkVersion(
        mark_id=edit.mark_id,
        version=edit.based_on + 1,
        event_id=lines[0].event_id if lines else edit.event_id,
        kind=edit.kind,
        status=edit.status,
        note=note,
        photo_sha256=before.photo_sha256 if before else None,
        author=who,
        at_ns=workspace.clock_ns(),
        wkb=shapely.to_wkb(shape),
        bounds_lonlat_deg=(west, south, east, north),
    )
    return _append(workspace, line, lines)


def encode_mark_shape(edit: MarkEdit) -> bytes:
    """Encode the place of a mark as WKB, lon/lat.

    Raises InputUnusable (invalid place or outline).
    """
    ground: bytes = shapely.to_wkb(_shape(edit))
    return ground


def add_mark_photo(workspace: Workspace, mark_id: str, based_on: int, data: bytes, who: str) -> MarkVersion:
    """Add a photo to a mark, as a version of its own.

    Raises NotFound, StoreConflict, SourceUnreadable.
    """
    lines = workspace.catalog.marks.history(mark_id)
    kept = convert_mark_photo(data)
    sha256 = hashlib.sha256(kept).hexdigest()
    store_original_bytes(workspace, kept, sha256)
    # the photo is durable before the catalogue names it (decision 0003)
    workspace.store.flush()
    line = replace(
        _seen(lines, based_on) or lines[-1],
        version=based_on + 1,
        photo_sha256=sha256,
        author=who,
        at_ns=workspace.clock_ns(),
    )
    return _append(workspace, line, lines)


def _seen(lines: Sequence[MarkVersion], based_on: int) -> MarkVersion | None:
    """Return the version that an edit is based on; None for a new mark."""
    return next((one for one in lines if one.version == based_on), None)


def _append(workspace: Workspace, line: MarkVersion, lines: Sequence[MarkVersion]) -> MarkVersion:
    if there := _written(line, lines):
        # the answer to an identical request was lost, and the client sent it again
        return there
    if line.version != len(lines) + 1:
        raise StoreConflict(
            _("{mark_id}: somebody changed this mark meanwhile; look at it again", mark_id=line.mark_id)
        )
    detail = f"{line.kind}, {line.status}, version {line.version}" + (f": {line.note}" if line.note else "")
    told = AuditEntry(who=line.author, what="mark", subject=line.mark_id, detail=detail, at_ns=line.at_ns)
    try:
        workspace.catalog.marks.append(line, told)
    except StoreConflict:
        # an identical request may have been written at the same time
        if there := _written(line, workspace.catalog.marks.history(line.mark_id)):
            return there
        raise
    return line


def _written(line: MarkVersion, lines: Sequence[MarkVersion]) -> MarkVersion | None:
    """Return the version with the same content, whatever its time."""
    return next((one for one in lines if replace(one, at_ns=line.at_ns) == line), None)


def _lines(workspace: Workspace, mark_id: str) -> list[MarkVersion]:
    if not _MARK_ID.fullmatch(mark_id):
        raise InputUnusable(
            _("{mark_id!r}: a mark's id is 'mark-' and 8 to 40 hex digits", mark_id=mark_id[:40])
        )
    try:
        return workspace.catalog.marks.history(mark_id)
    except NotFound:
        return []


def _shape(edit: MarkEdit) -> shapely.Geometry:
    is_area = edit.kind is MarkKind.SECTOR
    fits = 3 <= len(edit.places) <= MAX_MARK_CORNERS if is_area else len(edit.places) == 1
    if not fits:
        raise InputUnusable(
            _(
                "a sector has 3 to {most_corners} corners, another mark one place; draw it again",
                most_corners=MAX_MARK_CORNERS,
            )
        )
    require_valid_locations(edit.places, _("the mark"))
    if not is_area:
        return shapely.Point(*edit.places[0])
    outline = shapely.Polygon(edit.places)
    if not outline.is_valid or outline.area == 0.0:
        raise InputUnusable(_("the outline of the sector crosses itself; draw it again"))
    return outline


def validate_note(note: str) -> str:
    """Return a note as lines of printable text.

    Raises InputUnusable beyond `MAX_NOTE_LENGTH`.
    """
    text = "\n".join(map(strip_unprintable, note.splitlines())).strip()
    if len(text) > MAX_NOTE_LENGTH:
        raise InputUnusable(
            _("the note is longer than {note_letters} letters; shorten it", note_letters=MAX_NOTE_LENGTH)
        )
    return text
