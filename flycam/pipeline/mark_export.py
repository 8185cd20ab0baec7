"""Export of marks to a GeoJSON file that QGIS opens."""

from __future__ import annotations

from pathlib import Path

from flycam.catalog.records import MarkVersion
from flycam.errors import NotFound, OptionUnusable
from flycam.frame.text_normalization import to_json_line
from flycam.messages import _
from flycam.pipeline.atomic_file import write_file_atomically
from flycam.pipeline.mark_geojson import build_mark_collection
from flycam.pipeline.workspace import Workspace

_SUFFIXES = (".geojson", ".json")


def list_event_marks(
    workspace: Workspace, event: str | None, *, with_removed: bool = False
) -> list[MarkVersion]:
    """List current marks, newest first; of one event (name or id). Raises NotFound."""
    return workspace.catalog.marks.current(_event_id(workspace, event), with_removed=with_removed)


def export_marks(workspace: Workspace, out: Path, event: str | None = None, *, history: bool = False) -> int:
    """Write marks as GeoJSON, with `history` all versions.

    Returns the number of features. Raises NotFound, OptionUnusable (a name that does not end in .geojson),
    DiskFull, StorageFailed.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise OptionUnusable(_("{out}: give a name that ends in .geojson", out=out))
    lines = list_event_marks(workspace, event, with_removed=history)
    if history:
        lines = [line for one in lines for line in workspace.catalog.marks.history(one.mark_id)]
    collection = build_mark_collection(lines, workspace.catalog.boundaries)
    write_file_atomically(out, to_json_line(collection).encode())
    return len(lines)


def _event_id(workspace: Workspace, event: str | None) -> str | None:
    if event is None:
        return None
    found = next((e for e in workspace.catalog.flights.events() if event in (e.event_id, e.name)), None)
    if found is None:
        raise NotFound(_("{event}: there is no such event; the map's list has their names", event=event))
    return found.event_id
