"""Worker of a cluster: opens the workspace, checks that it is the same, and processes tasks.

A task names its input; bytes are read from the store and written back. The common input of a job (poses,
terrain, a plan) is in the store too, under its hash: a worker that can read it has the right store.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from flycam.catalog.catalog import Catalog
from flycam.errors import (
    ClusterUnavailable,
    DiskFull,
    NotFound,
    ObjectMissing,
    StorageFailed,
    WorkerIncompatible,
)
from flycam.messages import _
from flycam.pipeline.cluster.fence import Fence, TaskAttempt
from flycam.pipeline.cluster.software_version import describe_software
from flycam.pipeline.workspace import Workspace
from flycam.store.disk_space import DISK_FULL_ERRNOS

Work = Callable[[Any, Fence], Any]
"""Processes a task; the fence is checked before any write that a later attempt would not undo."""

Job = Callable[[Workspace, Any], Work]
"""Makes the work from a worker's workspace and the job's input; a module-level function or class."""

LogLine = tuple[int, str]
"""Number and digest of a line of an audit log."""

_MAX_JOBS = 2  # each holds photos and terrain in memory
_WORKSPACES: list[Workspace] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """Common part of the tasks of one job.

    software       of the process that gave it (`describe_software`)
    line           of that process's audit log, which must be in the worker's; None if the log is empty
    flight_id      that must be in the worker's catalogue
    box, operator  in whose name tiles are written
    key, sha256    pickled input of the job in the store
    """

    software: str
    line: LogLine | None
    flight_id: str
    box: str
    operator: str | None
    job: Job
    key: str
    sha256: str


def describe_process() -> str:
    """Describe this process so that an operator can find it."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def initialise_worker(workspace: Workspace) -> None:
    """Set the workspace of this worker process, and fix its software version."""
    describe_software()
    _WORKSPACES[:] = [workspace]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerInfo:
    """Reply of a worker to the initial check.

    who       its host and process
    software  as of `describe_software`
    found     what its store has under the key; None: nothing
    has_line  its audit log has the line
    """

    who: str
    software: str
    found: bytes | None
    has_line: bool


def inspect_worker(key: str, line: LogLine) -> WorkerInfo:
    """Check a worker's store and audit log, see `WorkerInfo`. Raises StorageFailed."""
    with _named():
        house = _house()
        try:
            found = house.store.get(key)
        except ObjectMissing:
            found = None
        return WorkerInfo(
            who=describe_process(),
            software=describe_software(),
            found=found,
            has_line=has_audit_line(house.catalog, line),
        )


def run_task(order: JobOrder, task: Any, attempt: TaskAttempt) -> Any:
    """Process one task.

    Raises WorkerIncompatible, StorageFailed, and what the task raises.
    """
    with _named():
        return _jobs.of(order)(task, Fence(_house().store, order.key, attempt))


@contextmanager
def _named() -> Iterator[None]:
    """Turn an OSError into a StorageFailed that names this machine and the cause.

    An OSError would look to the scheduler like a lost connection, as if the machine were gone.
    """
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        said = f"{type(error).__name__}: {what}"
        kind = DiskFull if error.errno in DISK_FULL_ERRNOS else StorageFailed
        raise kind(
            _(
                "{who_here}: {said}; look at that machine's disk, memory and network, then "
                "run again. What is done is kept",
                who_here=describe_process(),
                said=said,
            )
        ) from error


def require_same_software(who: str, theirs: str, ours: str) -> None:
    """Raise WorkerIncompatible unless the software is the same.

    Tiles would differ in their bytes.
    """
    if theirs != ours:
        raise WorkerIncompatible(
            _(
                "{who}: runs {theirs}, and this command {ours}; install the same on every "
                "machine and start 'flycam worker' again",
                who=who,
                theirs=theirs,
                ours=ours,
            )
        )


def make_other_store_error(who: str) -> WorkerIncompatible:
    """Make the error for a worker that does not find what was written for it."""
    return WorkerIncompatible(
        _(
            "{who}: does not see this store; give it the same FLYCAM_STORE. A folder is good "
            "only where every worker has the very same one, otherwise use S3",
            who=who,
        )
    )


def make_other_catalog_error(who: str) -> WorkerIncompatible:
    """Make the error for a worker that uses another catalogue."""
    return WorkerIncompatible(
        _(
            "{who}: does not see this catalogue; give it the same FLYCAM_DATABASE "
            "(PostgreSQL where the machines are several)",
            who=who,
        )
    )


def has_audit_line(catalog: Catalog, line: LogLine) -> bool:
    """Return True if a catalogue's audit log has this very line.

    Its digest covers all lines before it: a catalogue of another node never has it, nor an earlier copy.
    """
    seq, digest = line
    return any(one.digest == digest for one in catalog.audit.lines(since=seq - 1, limit=1))


def read_last_audit_line(catalog: Catalog) -> LogLine | None:
    """Return the last line of a catalogue's audit log."""
    last = catalog.audit.last()
    return None if last is None else (last.seq, last.digest)


def _house() -> Workspace:
    if not _WORKSPACES:
        raise ClusterUnavailable(
            _(
                "{who_here}: this worker was not started by 'flycam worker' and has no house; start it so",
                who_here=describe_process(),
            )
        )
    return _WORKSPACES[0]


class _Jobs:
    """The latest few jobs in this process: photos in memory serve many tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[JobOrder, Work] = OrderedDict()

    def of(self, order: JobOrder) -> Work:
        with self._lock:
            if order not in self._jobs:
                self._jobs[order] = _begun(order)
            self._jobs.move_to_end(order)
            while len(self._jobs) > _MAX_JOBS:
                self._jobs.popitem(last=False)
            return self._jobs[order]


def _begun(order: JobOrder) -> Work:
    who = describe_process()
    require_same_software(who, describe_software(), order.software)
    house = replace(_house(), box=order.box, operator=order.operator, cluster=None)
    try:
        data = house.store.get(order.key)
    except ObjectMissing as error:
        raise make_other_store_error(who) from error
    if hashlib.sha256(data).hexdigest() != order.sha256:
        raise make_other_store_error(who)
    if order.line is not None and not has_audit_line(house.catalog, order.line):
        raise make_other_catalog_error(who)
    try:
        house.catalog.flights.flight(order.flight_id)
    except NotFound as error:
        raise make_other_catalog_error(who) from error
    return order.job(house, pickle.loads(data))  # noqa: S301 - its hash came from who gave the order


_jobs = _Jobs()
