"""Retries during an outage of the store or database, and a write probe.

A workflow (a whole operation) whose store or database becomes unavailable while it runs resumes where it was
interrupted: what was recorded is not made anew. So the whole workflow is called again, once both respond, and
needs no retry code of its own. Meanwhile it holds no lock. Only transient errors are waited for, and only
once the work has begun: a wrong address is reported at once.

A live flight repeats single requests instead (`RetryPolicy`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from flycam.errors import CatalogUnavailable, PeerUnavailable, StorageFailed, StoreDenied, StoreUnavailable
from flycam.messages import Message, _, verbatim
from flycam.model.time import VIETNAM
from flycam.storage import keys
from flycam.workspace import NoticeListener, Progress, Workspace, ignore_notice

# -- Retries of a live flight while its store or database is away ----------------------------------
#
# Requests are repeated after growing pauses, so what comes after them waits: the merged frames that are not
# published yet, those behind them, the queue of chosen ones; all of them bounded. The stream's recording
# continues on this machine's disk. Only transient errors are retried; a full disk or a refused key is raised
# at once.


MAX_LIVE_OUTAGE_S = 1800.0
"""Longest outage: an aircraft has landed by then, and its recording waits on the disk."""

STOP_TIMEOUT_S = 10.0
"""Seconds for which retries continue after a stop was requested."""

TRANSIENT_ERRORS = (StoreUnavailable, CatalogUnavailable)
"""Errors that may pass by themselves."""

_FIRST_PAUSE_S, _MAX_PAUSE_S, _LOOK_S = 0.25, 5.0, 0.2

Answer = TypeVar("Answer")


class RetryPolicy:
    """Repeated requests to a store or database that is away; thread-safe.

    clock_ns  UTC, for messages; stopped: whether a stop was requested
    say       called when they go away, and when they are back
    away_s    how long they were away so far, in all
    """

    def __init__(
        self,
        clock_ns: Callable[[], int] = time.time_ns,
        stopped: Callable[[], bool] = lambda: False,
        longest_s: float = MAX_LIVE_OUTAGE_S,
        clock_s: Callable[[], float] = time.monotonic,
        say: NoticeListener = ignore_notice,
    ) -> None:
        self._say = say
        self._clock_ns, self._stopped, self._longest_s, self._clock_s = clock_ns, stopped, longest_s, clock_s
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._waiting = 0
        self._since_s = 0.0
        self._why = verbatim("")
        self.away_s = 0.0
        self._first_ns = 0

    def __call__(self, ask: Callable[[], Answer]) -> Answer:
        """Return the result of `ask` once it succeeds.

        Raises its last transient error after giving up, and any other error at once.
        """
        try:
            return ask()
        except TRANSIENT_ERRORS as error:
            self._begin(error)
        try:
            return self._again(ask)
        finally:
            self._end()

    def give_up(self) -> None:
        """Stop all retries: the flight ends."""
        self._over.set()

    @property
    def is_away(self) -> bool:
        """True while any request is being retried."""
        return self._waiting > 0

    @property
    def messages(self) -> tuple[Message, ...]:
        """Messages on the outage; empty if there was none."""
        with self._lock:
            if not self._first_ns:
                return ()
            since = datetime.fromtimestamp(self._first_ns / 1e9, UTC)
            at, at_vi = f"{since:%H:%M:%S}", f"{since.astimezone(VIETNAM):%H:%M:%S}"
            if self._waiting:
                return (
                    _(
                        "store or database unavailable since {at} UTC: pictures wait, the recording "
                        "continues ({why})",
                        at=at,
                        at_vi=at_vi,
                        why=self._why,
                    ),
                )
            return (
                _(
                    "store or database were unavailable for {seconds:.0f} s, first at {at} UTC; the "
                    "flight continued after",
                    seconds=self.away_s,
                    at=at,
                    at_vi=at_vi,
                ),
            )

    def _again(self, ask: Callable[[], Answer]) -> Answer:
        began_s, pause_s, asked_to_stop_s = self._clock_s(), _FIRST_PAUSE_S, None
        while True:
            until_s = self._clock_s() + pause_s
            while (now_s := self._clock_s()) < until_s and not self._over.wait(min(_LOOK_S, until_s - now_s)):
                if asked_to_stop_s is None and self._stopped():
                    asked_to_stop_s = now_s
            try:
                return ask()
            except TRANSIENT_ERRORS as error:
                now_s = self._clock_s()
                is_long = now_s - began_s >= self._longest_s
                is_stopped = asked_to_stop_s is not None and now_s - asked_to_stop_s >= STOP_TIMEOUT_S
                if self._over.is_set() or is_long or is_stopped:
                    self._over.set()
                    raise
                with self._lock:
                    self._why = error.message
            pause_s = min(2.0 * pause_s, _MAX_PAUSE_S)

    def _begin(self, error: StoreUnavailable | CatalogUnavailable) -> None:
        if self._over.is_set():
            raise error
        with self._lock:
            if not self._waiting:
                self._since_s = self._clock_s()
            self._first_ns = self._first_ns or self._clock_ns()
            self._why = error.message
            self._waiting += 1
            is_first = self._waiting == 1
        if is_first:
            self._tell()

    def _end(self) -> None:
        with self._lock:
            self._waiting -= 1
            is_last = not self._waiting
            if is_last:
                self.away_s += self._clock_s() - self._since_s
        if is_last:
            self._tell()

    def _tell(self) -> None:
        for message in self.messages:
            self._say(message)


# -- Write probe of the store ----------------------------------------------------------------------
#
# It precedes an hour's work that would otherwise fail at its end.


def check_store_writable(workspace: Workspace) -> None:
    """Write, read and delete a few bytes. Raises the StorageFailed that prevents it."""
    probe = f"{workspace.box} {workspace.clock_ns()}".encode()
    key = keys.format_probe_key(f"{workspace.box}-{workspace.clock_ns()}")
    workspace.store.put(key, probe, durable=True)
    returned = workspace.store.get(key)
    # a store that denies deletion can still be written to
    with suppress(StoreDenied):
        workspace.store.delete(key)
    if returned != probe:
        raise StorageFailed(
            _("the store returns other bytes than were written; check its disk, or use another")
        )


# -- Retry of a whole workflow after an outage -----------------------------------------------------


MAX_OUTAGE_S = 3600.0
"""Longest wait for each outage; a longer one needs a person."""

_MAX_RETRIES, _LONG_S = 3, 60.0
"""Number of retries in a row that may fail within this time though both respond; beyond, the cause is
another.
"""

_PAUSE_S = 1.0

Report = TypeVar("Report")


def retry_on_outage(
    workspace: Workspace,
    work: Callable[[Progress], Report],
    progress: Progress,
    say: NoticeListener = ignore_notice,
    stopped: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Report:
    """Return what `work` reports, calling it again after each outage.

    Outages are of store or database.

    work     takes a progress listener; can be called again after it failed
    say      receives a notice when they become unavailable, and when work resumes
    stopped  polled during an outage: once True, only a few seconds more are waited

    Raises what `work` raises; StoreUnavailable and CatalogUnavailable before its first progress, after an
    hour, on a request to stop, and where both respond and it fails all the same; PeerUnavailable.
    """
    begun = ProgressProbe(progress)
    in_vain = 0
    while True:
        began_s = time.monotonic()
        try:
            return work(begun)
        except TRANSIENT_ERRORS as error:
            in_vain = 0 if time.monotonic() - began_s > _LONG_S else in_vain
            is_ours = not isinstance(error, PeerUnavailable)
            if not is_ours or not begun.is_so or in_vain >= _MAX_RETRIES or stopped():
                raise
            say(_describe_outage(workspace.clock_ns(), error))
        patience = RetryPolicy(workspace.clock_ns, stopped, MAX_OUTAGE_S)
        # a server that is shutting down may respond once more
        sleep(_PAUSE_S)
        patience(lambda: _probe_services(workspace))
        in_vain = 0 if patience.away_s else in_vain + 1
        say(
            _(
                "store and database answer again after {seconds:.0f} s: resumed",
                seconds=patience.away_s + _PAUSE_S,
            )
        )


class ProgressProbe:
    """Progress listener that records whether any progress was reported.

    stage: only progress of this stage counts; None: of any.
    """

    def __init__(self, progress: Progress, stage: str | None = None) -> None:
        self._progress, self._stage, self.is_so = progress, stage, False

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.is_so |= self._stage in (None, stage)
        self._progress(stage, done, total)


def _probe_services(workspace: Workspace) -> None:
    workspace.catalog.flights.events()
    check_store_writable(workspace)


def _describe_outage(now_ns: int, error: StoreUnavailable | CatalogUnavailable) -> Message:
    since = datetime.fromtimestamp(now_ns / 1e9, UTC)
    utc, vietnam = f"{since:%H:%M:%S}", f"{since.astimezone(VIETNAM):%H:%M:%S}"
    return _(
        "store or database unavailable since {since} UTC: what is done is kept, and it resumes once they "
        "are back ({error})",
        since=utc,
        since_vi=vietnam,
        error=error.message,
    )
