"""Retries of a live flight while its store or database is away.

Requests are repeated after growing pauses, so what comes after them waits: the merged frames that are not
published yet, those behind them, the queue of chosen ones; all of them bounded (`live.publisher`,
`live.frame_queue`). The stream's recording continues on this machine's disk. Only transient errors are
retried; a full disk or a refused key is raised at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from flycam.errors import CatalogUnavailable, StoreUnavailable
from flycam.frame.timestamp import VIETNAM
from flycam.messages import Message, _, verbatim
from flycam.pipeline.live.wait_notice import NoticeListener, ignore_notice

MAX_LIVE_OUTAGE_S = 1800.0
"""Longest outage: an aircraft has landed by then, and its recording waits on the disk."""

STOP_TIMEOUT_S = 10.0
"""Seconds for which retries go on after a stop was requested."""

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
                        "store or database away since {at} UTC: pictures wait, the recording goes on ({why})",
                        at=at,
                        at_vi=at_vi,
                        why=self._why,
                    ),
                )
            return (
                _(
                    "store or database were away for {seconds:.0f} s, first at {at} UTC; the flight went on "
                    "after",
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
