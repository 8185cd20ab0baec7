"""What is left of what is not shown any more: reports of revisions, pictures of frames."""

from __future__ import annotations

from flycam.catalog.records import RevisionState
from flycam.catalog.withheld import withheld
from flycam.pipeline.workspace import Workspace
from flycam.store import keys


def drop_retired_reports(workspace: Workspace, flight_id: str) -> int:
    """Delete the reports of a flight's retired revisions: they show what was withdrawn. How many objects.

    All of them, not only those just retired: run again after a crash, it completes.
    """
    revisions, dropped = workspace.catalog.revisions, 0
    for mosaic_id in sorted({one.mosaic_id for one in workspace.catalog.tiles.mosaics(flight_id)}):
        for record in revisions.of_mosaic(mosaic_id):
            if record.state is RevisionState.RETIRED and record.reports:
                for key in record.reports.values():
                    workspace.store.delete(key)
                    dropped += 1
                revisions.put_reports(mosaic_id, record.revision, {})
    return dropped


def forget_pictures(workspace: Workspace, flight_id: str) -> None:
    """What a live flight saw last is a copy of what was withdrawn, and no evidence."""
    gone = withheld(workspace.catalog, flight_id)
    for key in list(workspace.store.list(keys.newest_picture_prefix(flight_id))):
        taken_ns = keys.taken_of_newest_picture(key)
        if gone.shows(taken_ns, taken_ns):
            workspace.store.delete(key)
