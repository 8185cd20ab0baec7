"""Answers about field marks: which there are, and what was exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.frame.timestamp import format_minute
from flycam.messages import Message, _, join, ngettext
from flycam.report.mark_names import MARK_KIND_NAMES, MARK_STATUS_NAMES

if TYPE_CHECKING:
    from flycam.catalog.records import MarkVersion


def format_marks(lines: Sequence[MarkVersion]) -> Output:
    """Return marks[]: their current state, newest first."""
    answer = {
        "marks": [
            {
                "mark_id": one.mark_id,
                "version": one.version,
                "event_id": one.event_id,
                "kind": one.kind.value,
                "status": one.status.value,
                "note": one.note,
                "author": one.author,
                "at_ns": one.at_ns,
                "bounds": list(one.bounds_lonlat_deg),
            }
            for one in lines
        ]
    }
    none = _("no marks yet; they are made on the map")
    return answer, [_line(one) for one in lines] or [none]


def format_exported_marks(out: Path, count: int) -> Output:
    """Return path and lines, their number."""
    line = ngettext("{path}: {count} mark", "{path}: {count} marks", count, path=out)
    return {"path": str(out), "lines": count}, [line]


def _line(one: MarkVersion) -> Message:
    west, south, east, north = one.bounds_lonlat_deg
    place = f"{(south + north) / 2:.6f}, {(west + east) / 2:.6f}"
    note = one.note.replace("\n", " ")
    status = join(["(", MARK_STATUS_NAMES[one.status], ")"], "")
    kind = join([MARK_KIND_NAMES[one.kind], status])
    by = one.author + (f": {note}" if note else "")
    return join([one.mark_id, format_minute(one.at_ns), kind, place, by], "  ")
