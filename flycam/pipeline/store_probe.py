"""Whether the store takes what is written: tried before an hour's work that would end at it."""

from __future__ import annotations

from contextlib import suppress

from flycam.errors import StorageFailed, StoreDenied
from flycam.messages import _
from flycam.pipeline.workspace import Workspace
from flycam.store import keys


def check_store_writable(workspace: Workspace) -> None:
    """Write, read and remove a few bytes. Raises the StorageFailed that stands in the way."""
    probe = f"{workspace.box} {workspace.clock_ns()}".encode()
    key = keys.format_probe_key(f"{workspace.box}-{workspace.clock_ns()}")
    workspace.store.put(key, probe, durable=True)
    returned = workspace.store.get(key)
    with suppress(StoreDenied):  # a store that lets nothing be removed is good enough to write to
        workspace.store.delete(key)
    if returned != probe:
        raise StorageFailed(
            _("the store returns other bytes than were written; check its disk, or use another")
        )
