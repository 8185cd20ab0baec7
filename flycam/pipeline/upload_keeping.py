"""Files of an upload into the evidence store. The server does it itself, so it loads no recipe for it."""

from __future__ import annotations

from flycam.pipeline.evidence import keep
from flycam.pipeline.upload import Upload
from flycam.pipeline.upload_files import no_such_upload, require_room
from flycam.pipeline.workspace import Workspace


def keep_file(workspace: Workspace, upload: Upload, number: int) -> None:
    """A whole file to the evidence store, under its hash. Raises NotFound, StorageTrouble,
    SourceUnreadable; DiskFull, and nothing was written, where it would take the room that is left to flights.

    Bytes that lie there already, put there by another process that has not flushed, are safe all the same:
    the upload's own copy is synced, and stays until the flight is on the map.
    """

    def check_room() -> None:
        free = workspace.store.room_bytes()
        if free is not None:
            require_room(upload.folder, free, upload.size(number))

    # else zeros of the same card, announced again, could be stored under the hash of its bytes
    with upload.reading_of(number):
        if upload.is_gone:
            raise no_such_upload()
        upload.note_stored(number, keep(workspace, upload.path(number), before_put=check_room))
