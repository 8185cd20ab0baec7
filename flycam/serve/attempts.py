"""How often somebody may guess: failed sign-ins per address and for the whole server, in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

WINDOW_S = 300.0
PER_ADDRESS = 10
FOR_ALL = 200
_KEPT_ADDRESSES = 4096


class Attempts:
    """Failures of the last five minutes. Memory is bounded; safe to use from several threads.

    A token has far too many values to be guessed at this pace; the limit keeps the log readable and the
    database free of a flood. Only failures count, so a control room behind one address is never shut out by
    signing in.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=FOR_ALL)

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again; 0 if it may now."""
        now = self._clock()
        with self._lock:
            own = self._recent(self._by_address.get(address, deque()), now)
            everyone = self._recent(self._all, now)
            waits = [
                failures[-limit] + WINDOW_S - now
                for failures, limit in ((own, PER_ADDRESS), (everyone, FOR_ALL))
                if len(failures) >= limit
            ]
        return max(waits, default=0.0)

    def failed(self, address: str) -> None:
        """Note a failure of this address."""
        now = self._clock()
        with self._lock:
            self._by_address.setdefault(address, deque(maxlen=PER_ADDRESS)).append(now)
            self._by_address.move_to_end(address)
            while len(self._by_address) > _KEPT_ADDRESSES:
                self._by_address.popitem(last=False)
            self._all.append(now)

    def succeeded(self, address: str) -> None:
        """Forget the failures of this address."""
        with self._lock:
            self._by_address.pop(address, None)

    @staticmethod
    def _recent(failures: deque[float], now: float) -> deque[float]:
        while failures and failures[0] <= now - WINDOW_S:
            failures.popleft()
        return failures
