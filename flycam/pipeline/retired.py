"""What is left of revisions that are not shown any more."""

from __future__ import annotations

from flycam.catalog.records import RevisionState
from flycam.pipeline.workspace import Workspace


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
