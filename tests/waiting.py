"""Waiting for what another thread, process or page does: for the event itself, however slow a machine is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

ENOUGH_S = 90.0
"""By then what does not come never will. Nothing is asserted of how long it took."""
START_S = 300.0
"""By then a program has started, or never will."""

Value = TypeVar("Value")


def until(
    happened: Callable[[], Value],
    what: str | Callable[[], object] = "it did not happen",
    *,
    within_s: float = ENOUGH_S,
    every_s: float = 0.02,
    of: subprocess.Popen[Any] | None = None,
    pause: Callable[[float], object] = time.sleep,
) -> Value:
    """What `happened` answers once that is true, asked again and again; what is said where it never is.

    of     the program of which it is awaited: where that ends before, it never is
    pause  seconds; a page's own goes on with it, and with who listens to it
    """
    end_s = time.monotonic() + within_s
    while not (value := happened()):
        is_awaited = time.monotonic() < end_s and (of is None or of.poll() is None)
        assert is_awaited, what if isinstance(what, str) else what()
        pause(every_s)
    return value


def trials(least: int, has_happened: Callable[[], object], most: int = 40) -> Iterator[int]:
    """Numbers of trials whose moments are left to chance: so many, and more where none of these came in time
    for what is tried."""
    for number in range(most):
        if number >= least and has_happened():
            return
        yield number
