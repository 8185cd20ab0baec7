"""Answers about field marks: which there are, and what was exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.answers.output import Output
from flycam.frame.timestamp import format_minute
from flycam.report.mark_names import MARK_KIND_NAMES, MARK_STATUS_NAMES

if TYPE_CHECKING:
    from flycam.catalog.records import MarkVersion


def format_marks(lines: Sequence[MarkVersion], language: str = "en") -> Output:
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
    vi = language == "vi"
    none = "chưa có dấu nào; đánh dấu ngay trên bản đồ" if vi else "no marks yet; they are made on the map"
    return answer, [_line(one, 0 if vi else 1) for one in lines] or [none]


def format_exported_marks(out: Path, count: int, language: str = "en") -> Output:
    """Return path and lines, their number."""
    said = f"{out}: {count} dấu" if language == "vi" else f"{out}: {count} marks"
    return {"path": str(out), "lines": count}, [said]


def _line(one: MarkVersion, k: int) -> str:
    west, south, east, north = one.bounds_lonlat_deg
    place = f"{(south + north) / 2:.6f}, {(west + east) / 2:.6f}"
    note = one.note.replace("\n", " ")
    kind, status = MARK_KIND_NAMES[one.kind][k], MARK_STATUS_NAMES[one.status][k]
    words = f"{one.mark_id}  {format_minute(one.at_ns)}  {kind} ({status})  {place}"
    return f"{words}  {one.author}" + (f": {note}" if note else "")
