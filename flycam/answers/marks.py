"""Field marks: what there is, what was exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flycam.answers.answered import Answered
from flycam.frame.moment import minute_of
from flycam.report.mark_names import MARK_KINDS, MARK_STATUSES

if TYPE_CHECKING:
    from flycam.catalog.records import MarkLine


def of_marks(lines: Sequence[MarkLine], language: str = "en") -> Answered:
    """marks[]: as they stand, the newest first."""
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


def of_exported_marks(out: Path, count: int, language: str = "en") -> Answered:
    """path, lines."""
    said = f"{out}: {count} dấu" if language == "vi" else f"{out}: {count} marks"
    return {"path": str(out), "lines": count}, [said]


def _line(one: MarkLine, k: int) -> str:
    west, south, east, north = one.bounds_lonlat_deg
    place = f"{(south + north) / 2:.6f}, {(west + east) / 2:.6f}"
    note = one.note.replace("\n", " ")
    kind, status = MARK_KINDS[one.kind][k], MARK_STATUSES[one.status][k]
    words = f"{one.mark_id}  {minute_of(one.at_ns)}  {kind} ({status})  {place}"
    return f"{words}  {one.author}" + (f": {note}" if note else "")
