"""Ingest and finish over several processes or machines, by Dask.

No other module imports Dask.

Dask distributes tasks, and gives those of a dead worker to another. It keeps no queue over a restart and
needs none: finished work is in the log, the catalogue and the store, and the same command resumes there.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, Scheduler, Worker
from distributed.client import FutureCancelledError
from distributed.security import Security

from flycam.config import SchedulerAddress, bracket_host
from flycam.errors import ClusterUnavailable, FlycamError, OptionUnusable, StoreDenied
from flycam.messages import _
from flycam.mosaic.cluster.run import (
    JobOrder,
    TaskAttempt,
    WorkerInfo,
    describe_software,
    initialise_worker,
    inspect_worker,
    make_other_catalog_error,
    make_other_store_error,
    note_attempt,
    require_same_software,
    run_task,
)
from flycam.storage import keys
from flycam.storage.keys import ObjectStore
from flycam.workspace import Workspace

# -- Assignment of tasks to workers ----------------------------------------------------------------


class TaskQueue:
    """Numbers of tasks, 0 to count - 1, that no worker has in hand.

    A worker processes a stretch of neighbours, because they need the same photos; one without a stretch takes
    the later half of the longest. Tasks of a worker that went away are given out next.
    """

    def __init__(self, count: int) -> None:
        self._back: deque[int] = deque()
        self._nobodys: deque[deque[int]] = deque([deque(range(count))] if count else [])
        self._stretches: dict[str, deque[int]] = {}

    def __len__(self) -> int:
        """Return the number of remaining tasks."""
        return len(self._back) + sum(map(len, (*self._nobodys, *self._stretches.values())))

    def next_for(self, worker: str) -> int | None:
        """Return the next task of a worker; None if none is left."""
        if self._back:
            return self._back.popleft()
        if not self._stretches.get(worker):
            self._stretches[worker] = self._another()
        own = self._stretches[worker]
        return own.popleft() if own else None

    def requeue(self, number: int) -> None:
        """Put back a task of a worker that is gone."""
        self._back.append(number)

    def remove_worker(self, worker: str) -> None:
        """Free the stretch of a worker that is gone."""
        rest = self._stretches.pop(worker, None)
        if rest:
            self._nobodys.append(rest)

    def _another(self) -> deque[int]:
        if self._nobodys:
            return self._nobodys.popleft()
        longest = max(self._stretches.values(), key=len, default=deque[int]())
        half = (len(longest) + 1) // 2
        # from the end, so that its owner keeps the neighbours of its present task
        taken = [longest.pop() for __ in range(half)]
        return deque(reversed(taken))


# -- Cluster of workers, and the worker process ----------------------------------------------------


WORKER_TIMEOUT_S, CONNECT_TIMEOUT_S = 60.0, 30.0
"""Longest wait of a run for a first worker; longest wait for the scheduler to answer."""

_POLL_INTERVAL_S = 1.0
_WAIT_S = 0.02
_FETCH_TIMEOUT_S = 10.0
_MAX_MISSED = 4
# so that a thread does not wait for its next task
_TASKS_PER_THREAD = 3
_MAX_DEATHS = 4
# reported to the scheduler by a worker that was asked to stop
_LEAVING = "closing-worker"

# Only Dask's own defaults: a setting in the environment or a file could open ports, load programs, or use
# another certificate.
dask.config.refresh(paths=[], env={})
dask.config.set(
    {
        "distributed.worker.profile.enabled": False,
        # decoding a large photo holds the interpreter for a while
        "distributed.admin.tick.limit": "60s",
    }
)
logging.getLogger("distributed").setLevel(logging.CRITICAL)  # failures are raised instead


@dataclass(slots=True)
class _InHand:
    """A task that a worker is processing. missed: failed fetches of its result."""

    number: int
    worker: str
    missed: int = 0


class DaskCluster:
    """The workers that a scheduler knows. Made by `connect_cluster`."""

    def __init__(self, client: Client, address: str, store: ObjectStore, patience_s: float) -> None:
        self._client = client
        self._address = address
        self._store = store
        self._patience_s = patience_s

    def run(self, order: JobOrder, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Run tasks, see `Cluster`.

        Neighbouring tasks go to one worker, because they read the same photos; each has a few in hand. Tasks
        of a worker that is gone are given to another; on an error all unfinished tasks are cancelled.
        """
        return _Run(self._client, self._address, self._store, self._patience_s, order, tasks).results()

    def check(self, workspace: Workspace) -> None:
        """Check every worker's software, store and catalogue.

        Raises WorkerIncompatible unless each runs this software and reads what is written into this store and
        this catalogue, ClusterUnavailable where there is no worker.
        """
        token = uuid.uuid4().hex
        key = keys.format_probe_key(f"cluster-{token}")
        workspace.store.put(key, token.encode())
        try:
            self._client.wait_for_workers(1, timeout=self._patience_s)
            who = workspace.operator or workspace.box
            # its digest covers all lines before it, so that no other catalogue can have this line
            line = workspace.catalog.audit.append(who, "cluster", self._address, token)
            answers: dict[str, Any] = self._client.run(
                inspect_worker, key, (line.seq, line.digest), on_error="return"
            )
        except (TimeoutError, OSError) as error:
            raise make_no_worker_error(self._address) from error
        finally:
            with suppress(StoreDenied):  # as in `check_store_writable`
                workspace.store.delete(key)
        # a worker that is gone yields an OSError; the worker's own errors are of other types
        here = {at: answer for at, answer in answers.items() if not isinstance(answer, OSError)}
        if not here:
            raise make_no_worker_error(self._address)
        for address, answer in here.items():
            if isinstance(answer, FlycamError):
                raise answer
            if not isinstance(answer, WorkerInfo):  # e.g. it lacks a module of this version
                require_same_software(address, f"{type(answer).__name__}: {answer}", describe_software())
            require_same_software(answer.who, answer.software, describe_software())
            if answer.found != token.encode():
                raise make_other_store_error(answer.who)
            if not answer.has_line:
                raise make_other_catalog_error(answer.who)


class _Run:
    """Tasks of one job, distributed a few at a time to the workers that are present.

    A task whose worker is gone is given out again; a task during which four workers died is named and ends
    the run. Workers that leave in order do not count against their tasks.
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
        # in the order in which they were given out
        self._in_hand: dict[Future, _InHand] = {}
        self._threads: dict[str, int] = {}
        self._looked_s = float("-inf")
        self._alone_s = 0.0

    def results(self) -> Iterator[tuple[int, Any]]:
        """Yield (number of the task, its result).

        Raises what a task raised, ClusterUnavailable.
        """
        try:
            while self._in_hand or self._left:
                self._look()
                self._hand_out()
                done = list(self._fetched())
                # before the caller processes the results, which may take a while
                self._hand_out()
                yield from done
                if not done:
                    time.sleep(_WAIT_S)
        finally:
            with suppress(Exception):  # the connection may be what failed
                self._client.cancel(list(self._in_hand))

    def _look(self) -> None:
        """Update the list of workers.

        Raises ClusterUnavailable if there was none for too long.
        """
        now_s = time.monotonic()
        if now_s - self._looked_s < _POLL_INTERVAL_S:
            return
        before, self._threads = self._threads, self._threads_now()
        for worker in before.keys() - self._threads.keys():
            self._take_back(worker, before[worker])
        if self._threads:
            self._alone_s = 0.0
        # the caller's own processing time does not count as waiting
        elif self._looked_s > 0.0:
            self._alone_s += min(now_s - self._looked_s, 2.0 * _POLL_INTERVAL_S)
        if self._alone_s > self._patience_s:
            raise make_no_worker_error(self._address)
        self._looked_s = now_s

    def _hand_out(self) -> None:
        """Give each worker a task for each thread, and more while there are plenty.

        So a thread does not wait for its next task.
        """
        task_count = Counter(one.worker for one in self._in_hand.values())
        for deep in range(1, _TASKS_PER_THREAD + 1):
            if deep > 1 and len(self._left) <= sum(self._threads.values()):
                return
            for worker, threads in self._threads.items():
                while task_count[worker] < deep * threads:
                    number = self._left.next_for(worker)
                    if number is None:
                        return
                    task_count[worker] += 1
                    self._give(number, worker)

    def _give(self, number: int, worker: str) -> None:
        if self._client.status != "running":
            raise make_no_scheduler_error(self._address)
        self._turns[number] += 1
        turn = TaskAttempt(key=f"{self._order.key}-{self._name}-{number}", number=self._turns[number])
        # before it is given out, so that a worker of an earlier attempt writes nothing (decision 0030)
        note_attempt(self._store, turn)
        future = self._client.submit(
            run_task,
            self._order,
            self._tasks[number],
            turn,
            key=f"{self._name}-{number}-{turn.number}",
            pure=False,
            workers=[worker],
            allow_other_workers=False,  # tasks are tracked by worker
        )
        self._in_hand[future] = _InHand(number, worker)

    def _fetched(self) -> Iterator[tuple[int, Any]]:
        """Yield the results that are ready. Raises what a task raised."""
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
            # of the connection: a worker's own errors have other types
            except (OSError, TimeoutError) as error:
                one.missed += 1
                if one.missed >= _MAX_MISSED:
                    raise make_no_scheduler_error(self._address) from error
                continue
            del self._in_hand[future]
            yield one.number, result

    def _take_back(self, worker: str, threads: int) -> None:
        """Requeue the tasks of a worker that is gone.

        Raises ClusterUnavailable if too many workers died with the same task.
        """
        lost = [future for future, one in self._in_hand.items() if one.worker == worker]
        numbers = [self._in_hand.pop(future).number for future in lost]
        self._left.remove_worker(worker)
        for number in numbers:
            self._left.requeue(number)
        with suppress(Exception):  # the scheduler may be gone too
            self._client.cancel(lost)
        if not self._has_left(worker):
            # it died at these; the others were waiting
            self._accuse(numbers[:threads])

    def _accuse(self, numbers: Sequence[int]) -> None:
        """Count a worker's death against these tasks.

        Raises ClusterUnavailable at the limit.
        """
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
        """Return True if a worker announced that it was leaving.

        It does when it is asked to stop.
        """
        with suppress(Exception):  # an unreachable scheduler reports nothing
            events = self._client.get_events(worker)
            return any(isinstance(one, dict) and one.get("action") == _LEAVING for _, one in events)
        return False

    def _threads_now(self) -> dict[str, int]:
        """Return the number of threads by each worker's address."""
        try:
            if self._client.status == "running":
                return dict(sorted(self._client.nthreads().items()))
        except (OSError, TimeoutError) as error:
            raise make_no_scheduler_error(self._address) from error
        raise make_no_scheduler_error(self._address)


class _NoPages:
    """A Dask node without its web server, whose port has no authentication."""

    def start_http_server(self, *_args: Any, **_more: Any) -> None:
        """Start no web server."""


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
    """Yield the cluster of the scheduler at this address, its workers checked.

    Raises ClusterUnavailable where none answers or there is no worker, WorkerIncompatible, OptionUnusable.
    """
    # cached now: the code may change during a run of hours
    describe_software()
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
    """Process tasks in `threads` threads until SIGTERM or Ctrl-C.

    is_scheduler: be the scheduler as well; without a workspace nothing else.

    Raises ClusterUnavailable where no scheduler answers within `patience_s`, or it went away, OptionUnusable.
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
            except (OSError, RuntimeError) as error:  # Dask wraps errors at startup
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
                    # a task's memory is bounded; a worker paused at the machine's limit would hang
                    memory_limit=0,
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
    """Return this machine's address towards the scheduler.

    A worker listens on that address only. Nothing is sent: a connected UDP socket knows it. An unknown host
    name is looked up again until `patience_s`. Raises OSError.
    """
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
    """Build Dask's TLS settings.

    Raises OptionUnusable for a file that is no member certificate.
    """
    if address.certificate is None:
        return Security(require_encryption=False)
    file = str(address.certificate)
    try:
        # an empty password, or an encrypted key would prompt at a terminal
        ssl.create_default_context(cafile=file).load_cert_chain(file, password=b"")
    except OSError as error:
        why = str(getattr(error, "reason", None) or error.strerror or error)
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER_CERTIFICATE: {file}: is not a file of 'flycam worker "
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
    """Make the error for a scheduler that does not answer."""
    return ClusterUnavailable(
        _(
            "{address}: no scheduler answers there; start 'flycam worker --scheduler' on "
            "that machine, or unset FLYCAM_CLUSTER to work on this one alone. Over tls:// "
            "all machines need the same certificate file. What is done is kept",
            address=address,
        )
    )


def make_no_worker_error(address: str) -> ClusterUnavailable:
    """Make the error for a scheduler without workers."""
    return ClusterUnavailable(
        _(
            "{address}: the cluster has no worker; start 'flycam worker' on one machine at "
            "least, or unset FLYCAM_CLUSTER, and run again. What is done is kept",
            address=address,
        )
    )
