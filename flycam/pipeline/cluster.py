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
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, Scheduler, Worker, as_completed
from distributed.client import FutureCancelledError

from flycam.errors import ClusterUnavailable, FlycamError, StoreDenied
from flycam.pipeline.cluster_worker import (
    Order,
    move_in,
    other_store,
    perform,
    require_same,
    seen_here,
    software_here,
)
from flycam.pipeline.workspace import Workspace
from flycam.store import keys

PATIENCE_S, CONNECT_S = 60.0, 30.0
"""How long a run waits for a worker when there is none, and a worker for its scheduler; a run for that."""

_LOOK_S = 1.0
_WAIT_S = 0.02
_LOCAL_ONLY = "127.0.0.1:0"  # Dask's own pages are for nobody

dask.config.set(
    {
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.limit": "60s",  # decoding a large photo holds the interpreter for a while
    }
)
logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what fails is raised


class DaskCluster:
    """The workers that a scheduler knows. Made by `connected`."""

    def __init__(self, client: Client, address: str, patience_s: float) -> None:
        self._client = client
        self._address = address
        self._patience_s = patience_s

    def run(self, order: Order, tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """See `Cluster`. Neighbouring tasks go to one worker, for they read the same photos, unless another
        has nothing left to do; all that was not finished is cancelled at an error."""
        name = f"{order.job.__name__}-{uuid.uuid4().hex[:12]}"
        numbers: dict[Future, int] = {}
        hands = self._hands()
        try:
            for number, task in enumerate(tasks):
                future = self._client.submit(
                    perform,
                    order,
                    task,
                    key=f"{name}-{number}",
                    pure=False,
                    priority=-number,
                    workers=hands[number * len(hands) // len(tasks)] if hands else None,
                    allow_other_workers=bool(hands),
                )
                numbers[future] = number
            ready = as_completed(list(numbers), loop=self._client.loop)
            while numbers:
                for future in self._next(ready):
                    yield numbers.pop(future), self._result(future)
        finally:
            with suppress(Exception):  # the connection may be what failed
                self._client.cancel(list(numbers))

    def check(self, workspace: Workspace) -> None:
        """Raise WorkerUnfit unless every worker runs this software and reads what is written into this store,
        ClusterUnavailable where there is no worker."""
        token = uuid.uuid4().hex
        key = keys.probe(f"cluster-{token}")
        workspace.store.put(key, token.encode())
        try:
            self._client.wait_for_workers(1, timeout=self._patience_s)
            answers: dict[str, Any] = self._client.run(seen_here, key, on_error="return")
        except (TimeoutError, OSError) as error:
            raise no_worker(self._address) from error
        finally:
            with suppress(StoreDenied):  # as `try_store`
                workspace.store.delete(key)
        here = {at: answer for at, answer in answers.items() if not isinstance(answer, OSError)}
        if not here:  # gone while they were asked
            raise no_worker(self._address)
        for address, answer in here.items():
            if isinstance(answer, FlycamError):
                raise answer
            if isinstance(answer, BaseException):  # such as a module that its flycam does not have yet
                require_same(address, f"{type(answer).__name__}: {answer}", software_here())
            who, software, found = answer
            require_same(who, software, software_here())
            if found != token.encode():
                raise other_store(who)

    def _next(self, ready: as_completed) -> list[Future]:
        """Those that are done, at least one. Raises ClusterUnavailable where nobody goes on."""
        looked = time.monotonic()
        alone_s = 0.0
        while not (done := ready.next_batch(block=False)):
            time.sleep(_WAIT_S)
            now = time.monotonic()
            if now - looked > _LOOK_S:
                alone_s = 0.0 if self._hands() else alone_s + now - looked
                looked = now
            if alone_s > self._patience_s:
                raise no_worker(self._address)
        return list(done)

    def _hands(self) -> list[str]:
        """The workers' addresses, each as often as it has threads."""
        try:
            if self._client.status == "running":
                threads: dict[str, int] = self._client.nthreads()
                return [address for address in sorted(threads) for _ in range(threads[address])]
        except (OSError, TimeoutError) as error:
            raise no_scheduler(self._address) from error
        raise no_scheduler(self._address)

    def _result(self, future: Future) -> Any:
        try:
            return future.result()
        except KilledWorker as error:
            raise ClusterUnavailable(
                f"{self._address}: one piece of work ended {self._deaths} workers one after the other; look "
                "at their memory, then run again",
                vi=f"{self._address}: một phần việc đã làm {self._deaths} máy phụ dừng liên tiếp; hãy kiểm "
                "tra bộ nhớ của các máy đó rồi chạy lại",
            ) from error
        except FutureCancelledError as error:
            raise no_scheduler(self._address) from error

    @property
    def _deaths(self) -> int:
        return int(dask.config.get("distributed.scheduler.allowed-failures")) + 1


@contextmanager
def connected(
    address: str, workspace: Workspace, *, connect_s: float = CONNECT_S, patience_s: float = PATIENCE_S
) -> Iterator[DaskCluster]:
    """The cluster whose scheduler answers there, its workers looked at.

    Raises ClusterUnavailable where none answers or there is no worker, WorkerUnfit.
    """
    try:
        client = Client(address, timeout=connect_s, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise no_scheduler(address) from error
    with client:
        cluster = DaskCluster(client, address, patience_s)
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
