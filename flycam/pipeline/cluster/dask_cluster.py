"""Ingest and finish over several processes or machines, by Dask; the one module that imports it.

Dask hands tasks out, and hands those of a dead worker to another. It keeps no queue over a restart and need
not: what is finished is in the log, the catalogue and the store, and the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, Scheduler, Worker
from distributed.client import FutureCancelledError
from distributed.security import Security

from flycam.errors import ClusterUnavailable, FlycamError, OptionUnusable, StoreDenied
from flycam.messages import _
from flycam.pipeline.cluster.address import SchedulerAddress, bracket_host
from flycam.pipeline.cluster.fence import TaskAttempt, note_attempt
from flycam.pipeline.cluster.software_version import describe_software
from flycam.pipeline.cluster.task_queue import TaskQueue
from flycam.pipeline.cluster.worker import (
    JobOrder,
    WorkerInfo,
    initialise_worker,
    inspect_worker,
    make_other_catalog_error,
    make_other_store_error,
    require_same_software,
    run_task,
)
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from flycam.store.base import ObjectStore

WORKER_TIMEOUT_S, CONNECT_TIMEOUT_S = 60.0, 30.0
"""How long a run waits for a worker when there is none, and a worker for its scheduler; a run for that."""

_POLL_INTERVAL_S = 1.0
_WAIT_S = 0.02
_FETCH_TIMEOUT_S = 10.0
_MAX_MISSED = 4
_TASKS_PER_THREAD = 3  # tasks in hand for each thread
_MAX_DEATHS = 4
_LEAVING = "closing-worker"  # what a worker tells the scheduler that is asked to stop

# only Dask's own defaults: a setting in the environment or a file could open ports, load programs, or take
# another certificate
dask.config.refresh(paths=[], env={})
dask.config.set(
    {
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.limit": "60s",  # decoding a large photo holds the interpreter for a while
    }
)
logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what fails is raised


@dataclass(slots=True)
class _InHand:
    """A task that a worker has. missed: how often its result could not be fetched."""

    number: int
    worker: str
    missed: int = 0


class DaskCluster:
    """The workers that a scheduler knows. Made by `connected`."""

    def __init__(self, client: Client, address: str, store: ObjectStore, patience_s: float) -> None:
        self._client = client
        self._address = address
        self._store = store
        self._patience_s = patience_s

    def run(self, order: JobOrder, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See `Cluster`. Neighbouring tasks go to one worker, for they read the same photos; each has a few
        in hand. What a worker has that is gone is given to another; all that was not finished is cancelled at
        an error."""
        return _Run(self._client, self._address, self._store, self._patience_s, order, tasks).results()

    def check(self, workspace: Workspace) -> None:
        """Raise WorkerIncompatible unless every worker runs this software and reads what is written into this
        store
        and this catalogue, ClusterUnavailable where there is no worker."""
        token = uuid.uuid4().hex
        key = keys.format_probe_key(f"cluster-{token}")
        workspace.store.put(key, token.encode())
        try:
            self._client.wait_for_workers(1, timeout=self._patience_s)
            who = workspace.operator or workspace.box
            line = workspace.catalog.audit.append(who, "cluster", self._address, token)
            answers: dict[str, Any] = self._client.run(
                inspect_worker, key, (line.seq, line.digest), on_error="return"
            )
        except (TimeoutError, OSError) as error:
            raise make_no_worker_error(self._address) from error
        finally:
            with suppress(StoreDenied):  # as `check_store_writable`
                workspace.store.delete(key)
        # one that is gone answers so; what goes wrong at a worker is typed there
        here = {at: answer for at, answer in answers.items() if not isinstance(answer, OSError)}
        if not here:
            raise make_no_worker_error(self._address)
        for address, answer in here.items():
            if isinstance(answer, FlycamError):
                raise answer
            if not isinstance(answer, WorkerInfo):  # such as of a module that its flycam does not have yet
                require_same_software(address, f"{type(answer).__name__}: {answer}", describe_software())
            require_same_software(answer.who, answer.software, describe_software())
            if answer.found != token.encode():
                raise make_other_store_error(answer.who)
            if not answer.has_line:
                raise make_other_catalog_error(answer.who)


class _Run:
    """One job's tasks, handed out a few at a time to the workers that are there.

    A task whose worker is gone is handed out again; one that was being worked on when its worker died, four
    times, is named and ends the run. Workers that leave take nothing with them and accuse no task.
    """

    def __init__(
        self,
        client: Client,
        address: str,
        store: ObjectStore,
        patience_s: float,
        order: JobOrder,
        tasks: Sequence[Any],
    ) -> None:
        self._client, self._address, self._store = client, address, store
        self._patience_s, self._order, self._tasks = patience_s, order, tasks
        self._name = f"{order.job.__name__}-{uuid.uuid4().hex[:12]}"
        self._left = TaskQueue(len(tasks))
        self._turns: Counter[int] = Counter()
        self._deaths: Counter[int] = Counter()
        self._in_hand: dict[Future, _InHand] = {}  # in the order in which they were handed out
        self._threads: dict[str, int] = {}
        self._looked_s = float("-inf")
        self._alone_s = 0.0

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, its result). Raises what a task raised, ClusterUnavailable."""
        try:
            while self._in_hand or self._left:
                self._look()
                self._hand_out()
                done = list(self._fetched())
                self._hand_out()  # before the results are worked with, which may take a while
                yield from done
                if not done:
                    time.sleep(_WAIT_S)
        finally:
            with suppress(Exception):  # the connection may be what failed
                self._client.cancel(list(self._in_hand))

    def _look(self) -> None:
        """Who is there now. Raises ClusterUnavailable where nobody has been for too long."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _POLL_INTERVAL_S:
            return
        before, self._threads = self._threads, self._threads_now()
        for worker in before.keys() - self._threads.keys():
            self._take_back(worker, before[worker])
        if self._threads:
            self._alone_s = 0.0
        elif self._looked_s > 0.0:  # what whoever takes the results does meanwhile is not waiting
            self._alone_s += min(now_s - self._looked_s, 2.0 * _POLL_INTERVAL_S)
        if self._alone_s > self._patience_s:
            raise make_no_worker_error(self._address)
        self._looked_s = now_s

    def _hand_out(self) -> None:
        """Each worker as many tasks as it has threads; more, so that it need not wait for the next, while
        there are plenty."""
        held = Counter(one.worker for one in self._in_hand.values())
        for deep in range(1, _TASKS_PER_THREAD + 1):
            if deep > 1 and len(self._left) <= sum(self._threads.values()):
                return
            for worker, threads in self._threads.items():
                while held[worker] < deep * threads:
                    number = self._left.next_for(worker)
                    if number is None:
                        return
                    held[worker] += 1
                    self._give(number, worker)

    def _give(self, number: int, worker: str) -> None:
        if self._client.status != "running":
            raise make_no_scheduler_error(self._address)
        self._turns[number] += 1
        turn = TaskAttempt(key=f"{self._order.key}-{self._name}-{number}", number=self._turns[number])
        note_attempt(self._store, turn)
        future = self._client.submit(
            run_task,
            self._order,
            self._tasks[number],
            turn,
            key=f"{self._name}-{number}-{turn.number}",
            pure=False,
            workers=[worker],
            allow_other_workers=False,  # who has it is what is given on
        )
        self._in_hand[future] = _InHand(number, worker)

    def _fetched(self) -> Iterator[tuple[int, Any]]:
        """The results that are ready. Raises what a task raised."""
        for future in [one for one in self._in_hand if one.done()]:
            one = self._in_hand[future]
            try:
                result = future.result(timeout=_FETCH_TIMEOUT_S)
            except KilledWorker:
                del self._in_hand[future]
                self._left.requeue(one.number)
                self._accuse([one.number])
                continue
            except FutureCancelledError as error:
                raise make_no_scheduler_error(self._address) from error
            except (OSError, TimeoutError) as error:  # of the connection: a worker's own are typed there
                one.missed += 1
                if one.missed >= _MAX_MISSED:
                    raise make_no_scheduler_error(self._address) from error
                continue
            del self._in_hand[future]
            yield one.number, result

    def _take_back(self, worker: str, threads: int) -> None:
        """What a worker had that is gone. Raises ClusterUnavailable where it went the way of others with the
        same task."""
        lost = [future for future, one in self._in_hand.items() if one.worker == worker]
        numbers = [self._in_hand.pop(future).number for future in lost]
        self._left.remove_worker(worker)
        for number in numbers:
            self._left.requeue(number)
        with suppress(Exception):  # nobody may be there to be told
            self._client.cancel(lost)
        if not self._has_left(worker):
            self._accuse(numbers[:threads])  # the others waited

    def _accuse(self, numbers: Sequence[int]) -> None:
        """A worker died at these tasks. Raises ClusterUnavailable where it is one too many."""
        self._deaths.update(numbers)
        if any(self._deaths[number] >= _MAX_DEATHS for number in numbers):
            raise ClusterUnavailable(
                _(
                    "{address}: one piece of work ended {most_deaths} workers one after the "
                    "other; look at their memory, then run again",
                    address=self._address,
                    most_deaths=_MAX_DEATHS,
                )
            )

    def _has_left(self, worker: str) -> bool:
        """Whether a worker said that it was leaving, as it does when it is asked to stop."""
        with suppress(Exception):  # who cannot be asked says nothing
            said = self._client.get_events(worker)
            return any(isinstance(one, dict) and one.get("action") == _LEAVING for _, one in said)
        return False

    def _threads_now(self) -> dict[str, int]:
        """By each worker's address."""
        try:
            if self._client.status == "running":
                return dict(sorted(self._client.nthreads().items()))
        except (OSError, TimeoutError) as error:
            raise make_no_scheduler_error(self._address) from error
        raise make_no_scheduler_error(self._address)


class _NoPages:
    """A node of Dask without its web server, whose port would ask nobody who he is."""

    def start_http_server(self, *_args: Any, **_more: Any) -> None:
        """Start none."""


class _Scheduler(_NoPages, Scheduler):  # type: ignore[misc]
    pass


class _Worker(_NoPages, Worker):  # type: ignore[misc]
    pass


@contextmanager
def connect_cluster(
    address: SchedulerAddress,
    workspace: Workspace,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    timeout_s: float = WORKER_TIMEOUT_S,
) -> Iterator[DaskCluster]:
    """The cluster whose scheduler answers there, its workers looked at.

    Raises ClusterUnavailable where none answers or there is no worker, WorkerIncompatible, OptionUnusable.
    """
    describe_software()  # as it is now: a run may take hours
    where, security = str(address), build_security(address)
    try:
        client = Client(where, timeout=connect_timeout_s, security=security, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise make_no_scheduler_error(where) from error
    with client:
        cluster = DaskCluster(client, where, workspace.store, timeout_s)
        cluster.check(workspace)
        yield cluster


def serve_worker(
    workspace: Workspace | None,
    address: SchedulerAddress,
    *,
    threads: int,
    is_scheduler: bool = False,
    ready: Callable[[], None] = lambda: None,
    patience_s: float = WORKER_TIMEOUT_S,
) -> None:
    """Work off tasks in `threads` threads until SIGTERM or Ctrl-C; is_scheduler: be the scheduler as well,
    without a house nothing else.

    Raises ClusterUnavailable where no scheduler answers within the patience, or it went away, OptionUnusable.
    """
    if workspace is not None:
        initialise_worker(workspace)
    asyncio.run(_serve(workspace, address, threads, is_scheduler, ready, patience_s))


async def _serve(
    workspace: Workspace | None,
    address: SchedulerAddress,
    threads: int,
    is_scheduler: bool,
    ready: Callable[[], None],
    patience_s: float,
) -> None:
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    where, security = str(address), build_security(address)
    async with AsyncExitStack() as stack:
        ends = [asyncio.ensure_future(asked_to_stop.wait())]
        if is_scheduler:
            scheduler = _Scheduler(
                protocol=address.protocol,
                host=bracket_host(address.host),
                port=address.port,
                security=security,
                dashboard=False,
            )
            try:
                await stack.enter_async_context(scheduler)
            except (OSError, RuntimeError) as error:  # Dask wraps what ends a start
                raise _not_listening(where, error.__cause__ or error) from error
            ends.append(asyncio.ensure_future(scheduler.finished()))
        if workspace is not None:
            try:
                worker = _Worker(
                    where,
                    nthreads=threads,
                    name=f"{workspace.box} {uuid.uuid4().hex[:6]}",
                    host=bracket_host(await _host_towards(address, patience_s)),
                    security=security,
                    local_directory=str(workspace.cache_dir / "worker"),
                    dashboard=False,
                    death_timeout=patience_s,
                    memory_limit=0,  # a task's memory is bounded; to pause at the machine's would hang
                )
                await stack.enter_async_context(worker)
            except (OSError, RuntimeError) as error:
                raise make_no_scheduler_error(where) from error
            ends.append(asyncio.ensure_future(worker.finished()))
        ready()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not asked_to_stop.is_set():
            raise make_no_scheduler_error(where)


async def _host_towards(address: SchedulerAddress, patience_s: float) -> str:
    """The address of this machine from which the scheduler is reached: nothing is sent, and only there a
    worker listens. A name that nobody knows yet is asked again. Raises OSError."""
    last_s = time.monotonic() + patience_s
    while True:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                address.host, address.port, type=socket.SOCK_DGRAM
            )
            with socket.socket(found[0][0], socket.SOCK_DGRAM) as line:
                line.connect(found[0][4])
                host: str = line.getsockname()[0]
                return host
        except OSError:
            if time.monotonic() > last_s:
                raise
        await asyncio.sleep(_POLL_INTERVAL_S)


def build_security(address: SchedulerAddress) -> Security:
    """Raises OptionUnusable where the file is not what lets a machine into a cluster."""
    if address.certificate is None:
        return Security(require_encryption=False)
    file = str(address.certificate)
    try:
        # a key under a password would be asked for at a terminal that nobody sits at
        ssl.create_default_context(cafile=file).load_cert_chain(file, password=b"")
    except OSError as error:
        why = str(getattr(error, "reason", None) or error.strerror or error)
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER_CERTIFICATE: {file}: is no file of 'flycam worker "
                "--make-certificate' ({why}); copy it from the machine where it was made",
                file=file,
                why=why,
            )
        ) from error
    shown = {
        f"tls_{role}_{kind}": file for role in ("client", "scheduler", "worker") for kind in ("cert", "key")
    }
    return Security(require_encryption=True, tls_ca_file=file, **shown)


def _not_listening(address: str, why: BaseException) -> OptionUnusable:
    return OptionUnusable(
        _(
            "FLYCAM_CLUSTER: {address}: cannot be listened on here ({why}); give an address "
            "of this machine and a port that nothing else has",
            address=address,
            why=why,
        )
    )


def make_no_scheduler_error(address: str) -> ClusterUnavailable:
    """What to raise where the scheduler does not answer."""
    return ClusterUnavailable(
        _(
            "{address}: no scheduler answers there; start 'flycam worker --scheduler' on "
            "that machine, or unset FLYCAM_CLUSTER to work on this one alone. Over tls:// "
            "all machines need the same certificate file. What is done is kept",
            address=address,
        )
    )


def make_no_worker_error(address: str) -> ClusterUnavailable:
    """What to raise where a scheduler has nobody who works."""
    return ClusterUnavailable(
        _(
            "{address}: the cluster has no worker; start 'flycam worker' on one machine at "
            "least, or unset FLYCAM_CLUSTER, and run again. What is done is kept",
            address=address,
        )
    )
