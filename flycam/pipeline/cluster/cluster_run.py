"""One run on a cluster: its inputs and results are objects in the store, for the time of the run."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flycam.errors import ObjectMissing, StoreDenied
from flycam.pipeline.cluster.serialization import read_serialized, write_serialized
from flycam.pipeline.cluster.software_version import describe_software
from flycam.pipeline.cluster.worker import Job, JobOrder, read_last_audit_line
from flycam.pipeline.executor import Cluster
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from flycam.store.base import ObjectStore


class StoreStages:
    """Results of workers for single frames, stored as objects.

    They are found again by the same inputs. As `StageFolder`, but visible to every machine. run: the hash of
    all inputs.
    """

    def __init__(self, store: ObjectStore, flight_id: str, run: str) -> None:
        self._store, self._flight_id, self._run = store, flight_id, run

    def load(self, name: str, kinds: Iterable[type]) -> Any | None:
        """Load the value of a name, None if there is none or it is damaged.

        Raises StorageFailed.
        """
        try:
            data = bytearray(self._store.get(self._key(name)))
        except ObjectMissing:
            return None
        return read_serialized(data, kinds, f"{self._run} {name}")

    def save(self, name: str, value: Any, *, synced: bool = True) -> None:
        """Store a value atomically; not synced, a power cut may lose it.

        Raises StorageFailed.
        """
        file = io.BytesIO()
        write_serialized(file, value, f"{self._run} {name}")
        self._store.put(self._key(name), file.getvalue(), durable=synced)

    def _key(self, name: str) -> str:
        return keys.format_cluster_run_key(self._flight_id, self._run, name)


INGEST, FINISH = "ingest-", "finish-"
"""Prefixes of the names of runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterRun:
    """One run of one flight on a cluster.

    run: name of its objects; the same inputs give the same name.
    """

    workspace: Workspace
    cluster: Cluster
    flight_id: str
    run: str

    @property
    def stages(self) -> StoreStages:
        """Stored results of its workers."""
        return StoreStages(self.workspace.store, self.flight_id, self.run)

    def run_tasks(self, job: Job, shared: Any, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, its result) as they come.

        shared: pickled input of all tasks. Raises what a task raised, ClusterUnavailable, WorkerIncompatible,
        StorageFailed.
        """
        if not tasks:
            return iter(())
        data = pickle.dumps(shared, protocol=pickle.HIGHEST_PROTOCOL)
        digest = hashlib.sha256(data).hexdigest()
        key = keys.format_cluster_run_key(self.flight_id, self.run, f"given-{digest}")
        # through the store, which also proves that a worker sees the same store (decision 0030)
        self.workspace.store.put(key, data)
        order = JobOrder(
            software=describe_software(),
            line=read_last_audit_line(self.workspace.catalog),
            flight_id=self.flight_id,
            box=self.workspace.box,
            operator=self.workspace.operator,
            job=job,
            key=key,
            sha256=digest,
        )
        return self.cluster.run(order, tasks)

    def clear(self) -> None:
        """Delete all inputs and results of this run."""
        delete_prefix(self.workspace.store, keys.format_cluster_run_key(self.flight_id, self.run))


def open_cluster_run(workspace: Workspace, flight_id: str, run: str) -> ClusterRun | None:
    """Return a run on the workspace's cluster; None without a cluster."""
    if workspace.cluster is None:
        return None
    return ClusterRun(workspace=workspace, cluster=workspace.cluster, flight_id=flight_id, run=run)


def delete_prefix(store: ObjectStore, prefix: str, *, dry_run: bool = False) -> int:
    """Delete all objects under a prefix, where the store permits; return their bytes."""
    freed = 0
    with suppress(StoreDenied):
        for key in list(store.list(prefix)):
            with suppress(ObjectMissing):
                size = store.size(key)
                if not dry_run:
                    store.delete(key)
                freed += size
    return freed
