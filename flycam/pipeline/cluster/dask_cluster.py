"""Ingest and finish over several processes or machines, by Dask; the one module that imports it.

Dask hands tasks out, and hands those of a dead worker to another. It keeps no queue over a restart and need
not: what is finished is in the log, the catalogue and the store, and the same command goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
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

from flycam.errors import ClusterUnavailable, FlycamError, StoreDenied
from flycam.pipeline.cluster.fence import Turn, note_turn
from flycam.pipeline.cluster.handing_out import HandingOut
from flycam.pipeline.cluster.software import software_here
from flycam.pipeline.cluster.worker import (
    Order,
    Seen,
    move_in,
    other_catalog,
    other_store,
    perform,
    require_same,
    seen_here,
)
from flycam.pipeline.workspace import Workspace
from flycam.store import keys
from flycam.store.base import ObjectStore

PATIENCE_S, CONNECT_S = 60.0, 30.0
"""How long a run waits for a worker when there is none, and a worker for its scheduler; a run for that."""

_LOOK_S = 1.0
_WAIT_S = 0.02
_FETCH_S = 10.0
_MOST_MISSED = 4
_DEEP = 3  # tasks in hand for each thread
_MOST_DEATHS = 4
_LEAVING = "closing-worker"  # what a worker tells the scheduler that is asked to stop
_LOCAL_ONLY = "127.0.0.1:0"  # Dask's own pages are for nobody

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

    def run(self, order: Order, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See `Cluster`. Neighbouring tasks go to one worker, for they read the same photos; each has a few
        in hand. What a worker has that is gone is given to another; all that was not finished is cancelled at
        an error."""
        return _Run(self._client, self._address, self._store, self._patience_s, order, tasks).results()

    def check(self, workspace: Workspace) -> None:
        """Raise WorkerUnfit unless every worker runs this software and reads what is written into this store
        and this catalogue, ClusterUnavailable where there is no worker."""
        token = uuid.uuid4().hex
        key = keys.probe(f"cluster-{token}")
        workspace.store.put(key, token.encode())
        try:
            self._client.wait_for_workers(1, timeout=self._patience_s)
            who = workspace.operator or workspace.box
            line = workspace.catalog.audit.append(who, "cluster", self._address, token)
            answers: dict[str, Any] = self._client.run(
                seen_here, key, (line.seq, line.digest), on_error="return"
            )
        except (TimeoutError, OSError) as error:
            raise no_worker(self._address) from error
        finally:
            with suppress(StoreDenied):  # as `try_store`
                workspace.store.delete(key)
        # one that is gone answers so; what goes wrong at a worker is typed there
        here = {at: answer for at, answer in answers.items() if not isinstance(answer, OSError)}
        if not here:
            raise no_worker(self._address)
        for address, answer in here.items():
            if isinstance(answer, FlycamError):
                raise answer
            if not isinstance(answer, Seen):  # such as of a module that its flycam does not have yet
                require_same(address, f"{type(answer).__name__}: {answer}", software_here())
            require_same(answer.who, answer.software, software_here())
            if answer.found != token.encode():
                raise other_store(answer.who)
            if not answer.has_line:
                raise other_catalog(answer.who)


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
        order: Order,
        tasks: Sequence[Any],
    ) -> None:
        self._client, self._address, self._store = client, address, store
        self._patience_s, self._order, self._tasks = patience_s, order, tasks
        self._name = f"{order.job.__name__}-{uuid.uuid4().hex[:12]}"
        self._left = HandingOut(len(tasks))
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
        if now_s - self._looked_s < _LOOK_S:
            return
        before, self._threads = self._threads, self._threads_now()
        for worker in before.keys() - self._threads.keys():
            self._take_back(worker, before[worker])
        if self._threads:
            self._alone_s = 0.0
        elif self._looked_s > 0.0:  # what whoever takes the results does meanwhile is not waiting
            self._alone_s += min(now_s - self._looked_s, 2.0 * _LOOK_S)
        if self._alone_s > self._patience_s:
            raise no_worker(self._address)
        self._looked_s = now_s

    def _hand_out(self) -> None:
        """Each worker as many tasks as it has threads; more, so that it need not wait for the next, while
        there are plenty."""
        held = Counter(one.worker for one in self._in_hand.values())
        for deep in range(1, _DEEP + 1):
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
            raise no_scheduler(self._address)
        self._turns[number] += 1
        turn = Turn(key=f"{self._order.key}-{self._name}-{number}", number=self._turns[number])
        note_turn(self._store, turn)
        future = self._client.submit(
            perform,
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
                result = future.result(timeout=_FETCH_S)
            except KilledWorker:
                del self._in_hand[future]
                self._left.give_back(one.number)
                self._accuse([one.number])
                continue
            except FutureCancelledError as error:
                raise no_scheduler(self._address) from error
            except (OSError, TimeoutError) as error:  # of the connection: a worker's own are typed there
                one.missed += 1
                if one.missed >= _MOST_MISSED:
                    raise no_scheduler(self._address) from error
                continue
            del self._in_hand[future]
            yield one.number, result

    def _take_back(self, worker: str, threads: int) -> None:
        """What a worker had that is gone. Raises ClusterUnavailable where it went the way of others with the
        same task."""
        lost = [future for future, one in self._in_hand.items() if one.worker == worker]
        numbers = [self._in_hand.pop(future).number for future in lost]
        self._left.gone(worker)
        for number in numbers:
            self._left.give_back(number)
        with suppress(Exception):  # nobody may be there to be told
            self._client.cancel(lost)
        if not self._has_left(worker):
            self._accuse(numbers[:threads])  # the others waited

    def _accuse(self, numbers: Sequence[int]) -> None:
        """A worker died at these tasks. Raises ClusterUnavailable where it is one too many."""
        self._deaths.update(numbers)
        if any(self._deaths[number] >= _MOST_DEATHS for number in numbers):
            raise ClusterUnavailable(
                f"{self._address}: one piece of work ended {_MOST_DEATHS} workers one after the other; look "
                "at their memory, then run again",
                vi=f"{self._address}: một phần việc đã làm {_MOST_DEATHS} máy phụ dừng liên tiếp; hãy kiểm "
                "tra bộ nhớ của các máy đó rồi chạy lại",
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
            raise no_scheduler(self._address) from error
        raise no_scheduler(self._address)


@contextmanager
def connected(
    address: str, workspace: Workspace, *, connect_s: float = CONNECT_S, patience_s: float = PATIENCE_S
) -> Iterator[DaskCluster]:
    """The cluster whose scheduler answers there, its workers looked at.

    Raises ClusterUnavailable where none answers or there is no worker, WorkerUnfit.
    """
    software_here()  # as it is now: a run may take hours
    try:
        client = Client(address, timeout=connect_s, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise no_scheduler(address) from error
    with client:
        cluster = DaskCluster(client, address, workspace.store, patience_s)
        cluster.check(workspace)
        yield cluster


def serve_worker(
    workspace: Workspace,
    address: str,
    *,
    threads: int,
    is_scheduler: bool = False,
    ready: Callable[[], None] = lambda: None,
    patience_s: float = PATIENCE_S,
) -> None:
    """Work off tasks in `threads` threads until SIGTERM or Ctrl-C; is_scheduler: be the scheduler as well,
    with no thread nothing else.

    Raises ClusterUnavailable where no scheduler answers within the patience, or it went away.
    """
    move_in(workspace)
    asyncio.run(_serve(workspace, address, threads, is_scheduler, ready, patience_s))


async def _serve(
    workspace: Workspace,
    address: str,
    threads: int,
    is_scheduler: bool,
    ready: Callable[[], None],
    patience_s: float,
) -> None:
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
    folder = workspace.cache_dir / "worker"
    async with AsyncExitStack() as stack:
        ends = [asyncio.ensure_future(asked_to_stop.wait())]
        try:
            if is_scheduler:
                scheduler = await stack.enter_async_context(_scheduler(address))
                ends.append(asyncio.ensure_future(scheduler.finished()))
            if threads > 0:
                worker = await stack.enter_async_context(
                    Worker(
                        address,
                        nthreads=threads,
                        name=f"{workspace.box} {uuid.uuid4().hex[:6]}",
                        local_directory=str(folder),
                        dashboard_address=_LOCAL_ONLY,
                        death_timeout=patience_s,
                        memory_limit=0,  # a task's memory is bounded; to pause at the machine's would hang
                    )
                )
                ends.append(asyncio.ensure_future(worker.finished()))
        except (OSError, TimeoutError) as error:
            raise no_scheduler(address) from error
        ready()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not asked_to_stop.is_set():
            raise no_scheduler(address)


def _scheduler(address: str) -> Scheduler:
    protocol, host, port = re.fullmatch(r"(\w+)://(.+):(\d+)", address).groups()  # type: ignore[union-attr]
    return Scheduler(protocol=protocol, host=host.strip("[]"), port=int(port), dashboard_address=_LOCAL_ONLY)


def no_scheduler(address: str) -> ClusterUnavailable:
    """What to raise where the scheduler does not answer."""
    return ClusterUnavailable(
        f"{address}: no scheduler answers there; start 'flycam worker --scheduler' on that machine, or unset "
        "FLYCAM_CLUSTER to work on this one alone. What is done is kept",
        vi=f"{address}: không có máy điều phối nào trả lời; hãy chạy 'flycam worker --scheduler' trên "
        "máy đó, hoặc bỏ FLYCAM_CLUSTER để chỉ dùng máy này. Phần đã làm được giữ lại",
    )


def no_worker(address: str) -> ClusterUnavailable:
    """What to raise where a scheduler has nobody who works."""
    return ClusterUnavailable(
        f"{address}: the cluster has no worker; start 'flycam worker' on one machine at least, or unset "
        "FLYCAM_CLUSTER, and run again. What is done is kept",
        vi=f"{address}: cụm chưa có máy phụ nào; hãy chạy 'flycam worker' trên ít nhất một máy, hoặc bỏ "
        "FLYCAM_CLUSTER, rồi chạy lại. Phần đã làm được giữ lại",
    )
