"""Waiting for what another thread, process or page does: for the event itself, however slow a machine is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

ENOUGH_S = 90.0
"""By then what does not come never will. Nothing is asserted of how long it took."""

Value = TypeVar("Value")


def until(
    happened: Callable[[], Value],
    what: str | Callable[[], object] = "it did not happen",
    *,
    within_s: float = ENOUGH_S,
    every_s: float = 0.02,
) -> Value:
    """What `happened` answers once that is true, asked again and again; what is said where it never is."""
    end_s = time.monotonic() + within_s
    while not (value := happened()):
        assert time.monotonic() < end_s, what if isinstance(what, str) else what()
        time.sleep(every_s)
    return value


def trials(least: int, has_happened: Callable[[], object], most: int = 40) -> Iterator[int]:
    """Numbers of trials whose moments are left to chance: so many, and more where none of these came in time
    for what is tried."""
    for number in range(most):
        if number >= least and has_happened():
            return
        yield number
