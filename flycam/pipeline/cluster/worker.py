"""What a worker of a cluster does: opens the same house, checks that it is the same, works off tasks.

A task names what it works on; bytes come out of the store and go back into it. What all tasks of a job need
(poses, terrain, a plan) lies in the store too, under its hash: who can read it sees the right store.
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
"""Works off a task; the fence is asked before anything is written that another's writing would not undo."""

Job = Callable[[Workspace, Any], Work]
"""Makes the work, of a worker's house and what was handed over; a function or class of a module."""

LogLine = tuple[int, str]
"""Number and digest of a line of an audit log."""

_MAX_JOBS = 2  # photos and terrain hang on them
_WORKSPACES: list[Workspace] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOrder:
    """What the tasks of one job have in common.

    software       of who gave it (`describe_software`)
    line           of the giver's audit log, which must be in the worker's; None of a log that is empty
    flight_id      that must be in the worker's catalogue
    box, operator  in whose name tiles are written
    key, sha256    what the job is made of, pickled, in the store
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
    """This process as its operator finds it again."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def initialise_worker(workspace: Workspace) -> None:
    """Work off tasks in this house from now on; one for each process. What software that is, is settled."""
    describe_software()
    _WORKSPACES[:] = [workspace]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerInfo:
    """What a worker answers at the start: who it is, its software, what its store has under the key (None:
    nothing), and whether its audit log has the line."""

    who: str
    software: str
    found: bytes | None
    has_line: bool


def inspect_worker(key: str, line: LogLine) -> WorkerInfo:
    """See `Seen`. Raises StorageFailed."""
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
    """Work off one task. Raises WorkerIncompatible, StorageFailed, and what the task raises."""
    with _named():
        return _jobs.of(order)(task, Fence(_house().store, order.key, attempt))


@contextmanager
def _named() -> Iterator[None]:
    """What this machine's disk or line does not do is no sign that the machine is gone: it is said with its
    name and the cause."""
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
    """Raise WorkerIncompatible unless a worker runs the same software: tiles would not be the same bytes."""
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
    """What to raise where a worker does not find what was written for it."""
    return WorkerIncompatible(
        _(
            "{who}: does not see this store; give it the same FLYCAM_STORE. A folder is good "
            "only where every worker has the very same one, otherwise use S3",
            who=who,
        )
    )


def make_other_catalog_error(who: str) -> WorkerIncompatible:
    """What to raise where a worker does not find what was written into the catalogue."""
    return WorkerIncompatible(
        _(
            "{who}: does not see this catalogue; give it the same FLYCAM_DATABASE "
            "(PostgreSQL where the machines are several)",
            who=who,
        )
    )


def has_audit_line(catalog: Catalog, line: LogLine) -> bool:
    """Whether a catalogue's audit log has this very line. Its digest covers all lines before it: a catalogue
    of another house never has it, nor a copy made before it was written."""
    seq, digest = line
    return any(one.digest == digest for one in catalog.audit.lines(since=seq - 1, limit=1))


def read_last_audit_line(catalog: Catalog) -> LogLine | None:
    """The last line of a catalogue's audit log."""
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
    """Jobs at work here, the latest few: photos in memory serve many tasks."""

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
