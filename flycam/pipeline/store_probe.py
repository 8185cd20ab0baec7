"""Write probe of the store, before an hour's work that would fail at its end."""

from __future__ import annotations

from contextlib import suppress

from flycam.errors import StorageFailed, StoreDenied
from flycam.messages import _
from flycam.pipeline.workspace import Workspace
from flycam.store import keys


def check_store_writable(workspace: Workspace) -> None:
    """Write, read and delete a few bytes. Raises the StorageFailed that prevents it."""
    probe = f"{workspace.box} {workspace.clock_ns()}".encode()
    key = keys.format_probe_key(f"{workspace.box}-{workspace.clock_ns()}")
    workspace.store.put(key, probe, durable=True)
    returned = workspace.store.get(key)
    # a store that denies deletion can still be written to
    with suppress(StoreDenied):
        workspace.store.delete(key)
    if returned != probe:
        raise StorageFailed(
            _("the store returns other bytes than were written; check its disk, or use another")
        )
