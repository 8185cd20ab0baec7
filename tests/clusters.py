"""Real clusters for the tests: a scheduler and workers, each a process started by `flycam worker`."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flycam.config import SchedulerAddress
from flycam.mosaic.cluster.run import JobOrder, TaskAttempt, initialise_worker, run_task
from flycam.workspace import Workspace
from tests.ports import free_port
from tests.servers import _end, _start
from tests.waiting import START_S, until


@dataclass
class RunningCluster:
    """What FLYCAM_CLUSTER holds, and the processes: the scheduler first."""

    address: SchedulerAddress
    folder: Path
    environment: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *flags: str, **environment: str) -> subprocess.Popen[bytes]:
        """One more `flycam worker`, once it is ready."""
        folder = self.folder / str(len(self.processes))
        folder.mkdir(parents=True)
        here = {"FLYCAM_CLUSTER": str(self.address), "FLYCAM_DATA": str(folder)}
        if self.address.certificate is not None:
            here["FLYCAM_CLUSTER_CERTIFICATE"] = str(self.address.certificate)
        process = _start(
            [sys.executable, "-m", "flycam", "worker", *flags],
            folder,
            {**here, **self.environment, **environment},
        )
        self.processes.append(process)
        log = (folder / "server.log").read_text
        until(lambda: "Ctrl-C" in log(), log, within_s=2 * START_S, every_s=0.1, of=process)
        return process


@contextmanager
def running_cluster(
    folder: Path,
    environment: Mapping[str, str],
    workers: int = 2,
    host: str = "127.0.0.1",
    certificate: Path | None = None,
) -> Iterator[RunningCluster]:
    """A scheduler and workers of one thread in the house that the environment names; over TLS where there is
    a certificate."""
    address = SchedulerAddress(host=host, port=free_port(), certificate=certificate)
    cluster = RunningCluster(address, folder, environment)
    try:
        cluster.start("--scheduler", "--threads", "0")
        for _ in range(workers):
            cluster.start("--threads", "1")
        yield cluster
    finally:
        for process in reversed(cluster.processes):
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)
                _end(process, signal.SIGKILL)


class InThisProcess:
    """A cluster of one worker that is this very process: all but Dask."""

    def __init__(self, workspace: Workspace) -> None:
        initialise_worker(workspace)
        self.tasks = 0

    def run(self, order: JobOrder, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        for number, task in enumerate(pickle.loads(pickle.dumps(tasks))):
            self.tasks += 1
            turn = TaskAttempt(key=f"{order.key}-alone-{number}", number=1)
            yield number, pickle.loads(pickle.dumps(run_task(pickle.loads(pickle.dumps(order)), task, turn)))
