"""What a worker of a cluster does: opens the same house, checks that it is the same, works off tasks.

A task names what it works on; bytes come out of the store and go back into it. What all tasks of a job need
(poses, terrain, a plan) lies in the store too, under its hash: who can read it sees the right store.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import platform
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import flycam
from flycam.errors import ClusterUnavailable, NotFound, ObjectMissing, WorkerUnfit
from flycam.pipeline.workspace import Workspace

Job = Callable[[Workspace, Any], Callable[[Any], Any]]
"""Made of a worker's house and what was handed over, works off tasks; a function or class of a module."""

_JOBS_KEPT = 2  # photos and terrain hang on them
_HOUSES: list[Workspace] = []


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """What the tasks of one job have in common.

    software       of who gave it (`software_here`)
    flight_id      that must be in the worker's catalogue
    box, operator  in whose name tiles are written
    key, sha256    what the job is made of, pickled, in the store
    """

    software: str
    flight_id: str
    box: str
    operator: str | None
    job: Job
    key: str
    sha256: str


@cache
def software_here() -> str:
    """Version, Python, libraries that decide bytes, and the hash of flycam's own code."""
    digest = hashlib.sha256()
    root = Path(flycam.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    python = ".".join(platform.python_version_tuple()[:2])
    return (
        f"flycam {flycam.__version__} ({digest.hexdigest()[:12]}), Python {python}, numpy {np.__version__}, "
        f"OpenCV {cv2.__version__}"
    )


def who_here() -> str:
    """This process as its operator finds it again."""
    return f"{socket.gethostname()}, process {os.getpid()}"


def move_in(workspace: Workspace) -> None:
    """Work off tasks in this house from now on; one for each process."""
    _HOUSES[:] = [workspace]


def seen_here(key: str) -> tuple[str, str, bytes | None]:
    """Who this worker is, its software, and what its store has under a key; None for nothing."""
    try:
        found = _house().store.get(key)
    except ObjectMissing:
        found = None
    return who_here(), software_here(), found


def perform(order: Order, task: Any) -> Any:
    """Work off one task. Raises WorkerUnfit, and what the task raises."""
    return _jobs.of(order)(task)


def require_same(who: str, theirs: str, ours: str) -> None:
    """Raise WorkerUnfit unless a worker runs the same software: tiles would not be the same bytes."""
    if theirs != ours:
        raise WorkerUnfit(
            f"{who}: runs {theirs}, and this command {ours}; install the same on every machine and start "
            "'flycam worker' again",
            vi=f"{who}: đang chạy {theirs}, còn lệnh này là {ours}; hãy cài cùng một bản trên mọi máy rồi "
            "chạy lại 'flycam worker'",
        )


def other_store(who: str) -> WorkerUnfit:
    """What to raise where a worker does not find what was written for it."""
    return WorkerUnfit(
        f"{who}: does not see this store; give it the same FLYCAM_STORE. A folder is good only where every "
        "worker has the very same one, otherwise use S3",
        vi=f"{who}: không thấy kho lưu trữ này; hãy đặt cùng FLYCAM_STORE. Chỉ dùng thư mục khi mọi máy "
        "cùng thấy đúng thư mục đó, nếu không hãy dùng S3",
    )


def _house() -> Workspace:
    if not _HOUSES:
        raise ClusterUnavailable(
            f"{who_here()}: this worker was not started by 'flycam worker' and has no house; start it so",
            vi=f"{who_here()}: máy phụ này không được khởi động bằng 'flycam worker'; hãy khởi động lại "
            "bằng lệnh đó",
        )
    return _HOUSES[0]


class _Jobs:
    """Jobs at work here, the latest few: photos in memory serve many tasks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[Order, Callable[[Any], Any]] = OrderedDict()

    def of(self, order: Order) -> Callable[[Any], Any]:
        with self._lock:
            if order not in self._jobs:
                self._jobs[order] = _begun(order)
            self._jobs.move_to_end(order)
            while len(self._jobs) > _JOBS_KEPT:
                self._jobs.popitem(last=False)
            return self._jobs[order]


def _begun(order: Order) -> Callable[[Any], Any]:
    who = who_here()
    require_same(who, software_here(), order.software)
    house = replace(_house(), box=order.box, operator=order.operator, cluster=None)
    try:
        data = house.store.get(order.key)
    except ObjectMissing as error:
        raise other_store(who) from error
    if hashlib.sha256(data).hexdigest() != order.sha256:
        raise other_store(who)
    try:
        house.catalog.flights.flight(order.flight_id)
    except NotFound as error:
        raise WorkerUnfit(
            f"{who}: does not see this flight in its catalogue; give it the same FLYCAM_DATABASE (PostgreSQL "
            "where the machines are several)",
            vi=f"{who}: không thấy chuyến bay này trong cơ sở dữ liệu; hãy đặt cùng FLYCAM_DATABASE (dùng "
            "PostgreSQL khi có nhiều máy)",
        ) from error
    return order.job(house, pickle.loads(data))  # noqa: S301 - its hash came from who gave the order


_jobs = _Jobs()
