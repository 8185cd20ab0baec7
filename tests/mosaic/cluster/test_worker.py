"""A worker's side: the house it is in, what it says of trouble, what it does not write any more."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flycam.catalog.audit import Audit
from flycam.catalog.catalog import open_catalog
from flycam.errors import DiskFull, FlightBusy, StorageFailed, WorkerIncompatible
from flycam.mosaic.cluster import run as cluster_run
from flycam.mosaic.cluster.run import (
    ClusterRun,
    Fence,
    JobOrder,
    TaskAttempt,
    has_audit_line,
    initialise_worker,
    inspect_worker,
    note_attempt,
    read_last_audit_line,
    run_task,
)
from flycam.storage.stores import MemoryStore
from flycam.workspace import Workspace
from tests.finished_house import open_workspace

TURN = TaskAttempt(key="cluster/f/r/given-0-turns-0", number=1)


class Orders:
    """A cluster that works nothing off: it keeps the orders."""

    def __init__(self) -> None:
        self.given: list[JobOrder] = []

    def run(self, order: JobOrder, tasks: object) -> Any:
        del tasks
        self.given.append(order)
        return iter(())


def order_of(workspace: Workspace, job: Callable[..., Any]) -> JobOrder:
    """What this house gives its workers."""
    orders = Orders()
    spread = ClusterRun(workspace=workspace, cluster=orders, flight_id="f", run="r")
    list(spread.run_tasks(job, None, [0]))
    return orders.given[0]


def said(_workspace: Workspace, _given: object) -> Callable[[Any, Fence], Any]:
    """A job whose tasks raise what they are given."""

    def work(task: BaseException, _fence: Fence) -> None:
        raise task

    return work


def with_flight(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(workspace.catalog.flights), "flight", lambda *_: object())


def test_a_copy_of_the_catalogue_made_before_is_another_house(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "house").mkdir()
    workspace = open_workspace(tmp_path / "house")
    workspace.catalog.audit.append("Lan", "ingest", "f")
    workspace.catalog.close()
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes((tmp_path / "house" / "catalog.sqlite").read_bytes())
    workspace = open_workspace(tmp_path / "house")
    with_flight(workspace, monkeypatch)  # it once held this card
    line = workspace.catalog.audit.append("Lan", "cluster", "tcp://x")
    other = open_catalog(f"sqlite:///{copy}")
    assert has_audit_line(other, (1, workspace.catalog.audit.lines()[0].digest))
    assert not has_audit_line(other, (line.seq, line.digest))
    order = order_of(workspace, said)
    assert order.line == read_last_audit_line(workspace.catalog) == (line.seq, line.digest)

    initialise_worker(replace(workspace, catalog=other))
    assert not inspect_worker("probe/x", (line.seq, line.digest)).has_line
    with pytest.raises(WorkerIncompatible, match="FLYCAM_DATABASE"):
        run_task(order, ValueError("it went on"), TURN)
    initialise_worker(workspace)
    assert inspect_worker("probe/x", (line.seq, line.digest)).has_line
    with pytest.raises(ValueError, match="it went on"):
        run_task(order, ValueError("it went on"), TURN)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull, "No space left"),
        (ConnectionResetError("peer gone"), StorageFailed, "ConnectionResetError: peer gone"),
    ],
)
def test_what_a_workers_disk_or_line_does_not_do_is_typed_with_its_cause(
    error: OSError,
    kind: type[StorageFailed],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace = open_workspace(tmp_path)
    with_flight(workspace, monkeypatch)
    order = order_of(workspace, said)
    initialise_worker(workspace)
    with pytest.raises(kind, match=words) as caught:
        run_task(order, error, TURN)
    assert caught.value.__cause__ is error
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message  # as it comes home

    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Audit, "lines", broken)
    with pytest.raises(kind, match=words):
        inspect_worker("probe/x", (1, ""))


def test_all_that_decides_bytes_is_in_a_workers_software() -> None:
    software = cluster_run.describe_software()
    for name in ("numpy", "OpenCV", "scipy", "zstd", "rasterio", "GDAL", "PROJ", "GEOS"):
        assert f", {name} " in software


def test_a_turn_that_was_given_on_and_a_run_that_ended_are_behind_the_fence() -> None:
    store = MemoryStore()
    store.put("cluster/f/r/given-0", b"x")
    first, second = (TaskAttempt(key="cluster/f/r/given-0-a-7", number=number) for number in (1, 2))
    note_attempt(store, first)
    assert list(store.list("cluster/")) == ["cluster/f/r/given-0"]  # most tasks are given out once
    Fence(store, "cluster/f/r/given-0", first).require_current()
    note_attempt(store, second)
    with pytest.raises(FlightBusy, match="another worker"):
        Fence(store, "cluster/f/r/given-0", first).require_current()
    Fence(store, "cluster/f/r/given-0", second).require_current()
    store.delete("cluster/f/r/given-0")
    store.delete(second.key)
    with pytest.raises(FlightBusy):
        Fence(store, "cluster/f/r/given-0", first).require_current()
