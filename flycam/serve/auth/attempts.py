"""Limits on guessing: failed sign-ins per address, in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from flycam.serve.connection_limits import to_client_network

ATTEMPT_WINDOW_S = 300.0
MAX_FAILURES_PER_ADDRESS = 10
_MAX_ADDRESSES = 4096


class Attempts:
    """Failures of the last five minutes by one sign-in method, by address.

    Memory is bounded; safe to use from several threads. A token has far too many values to be guessed at any
    pace; the limit keeps the log readable and the catalogue free of a flood. Only failures count, and a right
    token is never kept waiting for the failures of others: a control room is one address, and so is a proxy.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def get_wait_s(self, address: str) -> float:
        """Return the seconds until this address may fail again; 0 if it may now."""
        with self._lock:
            return self._wait_s(to_client_network(address), self._clock())

    def note_failure(self, address: str) -> float:
        """Note a failure of this address, and return 0.

        Where it has failed too often already nothing is noted: returns the seconds until it may fail again.
        """
        house, now = to_client_network(address), self._clock()
        with self._lock:
            wait_s = self._wait_s(house, now)
            if wait_s > 0.0:
                return wait_s
            self._by_address.setdefault(house, deque(maxlen=MAX_FAILURES_PER_ADDRESS)).append(now)
            self._by_address.move_to_end(house)
            while len(self._by_address) > _MAX_ADDRESSES:
                self._by_address.popitem(last=False)
            return 0.0

    def undo_failure(self, address: str) -> None:
        """Take back a noted failure of this address: it was neither right nor wrong."""
        with self._lock:
            failures = self._by_address.get(to_client_network(address))
            if failures:
                failures.pop()

    def clear_failures(self, address: str) -> None:
        """Forget the failures of this address."""
        with self._lock:
            self._by_address.pop(to_client_network(address), None)

    def _wait_s(self, house: str, now: float) -> float:
        failures = self._by_address.get(house, deque())
        while failures and failures[0] <= now - ATTEMPT_WINDOW_S:
            failures.popleft()
        return failures[0] + ATTEMPT_WINDOW_S - now if len(failures) >= MAX_FAILURES_PER_ADDRESS else 0.0
