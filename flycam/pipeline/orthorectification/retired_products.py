"""Deletion of products that must not be shown any more: reports, thumbnails."""

from __future__ import annotations

from flycam.catalog.records import RevisionState
from flycam.catalog.withdrawn_times import find_withdrawn_times
from flycam.pipeline.workspace import Workspace
from flycam.store import keys


def drop_retired_reports(workspace: Workspace, flight_id: str) -> int:
    """Delete reports of a flight's retired revisions; return the number of objects.

    They show what was withdrawn. All retired ones, not only the latest: run again after a crash, it
    completes.
    """
    revisions, dropped = workspace.catalog.revisions, 0
    for mosaic_id in sorted({one.mosaic_id for one in workspace.catalog.tiles.mosaics(flight_id)}):
        for record in revisions.list_for_mosaic(mosaic_id):
            if record.state is RevisionState.RETIRED and record.reports:
                for key in record.reports.values():
                    workspace.store.delete(key)
                    dropped += 1
                revisions.put_reports(mosaic_id, record.revision, {})
    return dropped


def delete_live_thumbnails(workspace: Workspace, flight_id: str) -> None:
    """Delete thumbnails of withdrawn frames: they are copies, not originals."""
    gone = find_withdrawn_times(workspace.catalog, flight_id)
    for key in list(workspace.store.list(keys.format_latest_image_prefix(flight_id))):
        taken_ns = keys.parse_latest_image_ns(key)
        if gone.overlaps(taken_ns, taken_ns):
            workspace.store.delete(key)
