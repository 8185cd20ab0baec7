"""Mains and battery, and working with less of the machine while its battery has to last.

In low power everything is done on one core, the others rest, and a live flight is laid in fewer views of the
same ground. Nothing is left out: what is received is kept, and ground that is new is laid.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

POLL_INTERVAL_S = 30.0
LOW_PERCENT = 50.0
"""On battery with less than this, who does not say otherwise works in low power."""

SCARCE_PERCENT = 20.0


class PowerMode(StrEnum):
    """Low power by the battery's charge, never, or always."""

    AUTO = "auto"
    FULL = "full"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Battery:
    """What the system tells.

    percent  of its charge that is left
    remaining_s  how long it lasts by the system's own reckoning; None: not told, or it is being charged
    """

    percent: float
    is_in_use: bool
    remaining_s: float | None


def read_battery() -> Battery | None:
    """This machine's battery; None: it has none, or the system does not tell."""
    told = psutil.sensors_battery()
    if told is None:
        return None
    left_s = float(told.secsleft)  # negative where it is not known, or without end
    return Battery(
        percent=float(told.percent),
        is_in_use=not told.power_plugged,
        remaining_s=left_s if left_s >= 0 and not told.power_plugged else None,
    )


def is_low(mode: PowerMode, battery: Battery | None) -> bool:
    """Whether to work in low power."""
    if mode is PowerMode.AUTO:
        return battery is not None and battery.is_in_use and battery.percent < LOW_PERCENT
    return mode is PowerMode.LOW


class Power:
    """How the machine is powered, looked at every half minute, and obeyed.

    is_low   safe to ask from any thread; as of the last look
    """

    def __init__(self, mode: PowerMode, look: Callable[[], Battery | None] = read_battery) -> None:
        self._mode, self._look_at = mode, look
        self._cores: list[int] = []  # all of them, while it is low
        self.is_low = False
        self.battery: Battery | None = None

    def poll(self) -> None:
        """Look once, and go over to one core, or back to all, where that has changed."""
        self.battery = self._look_at()
        low = is_low(self._mode, self.battery)
        if low == self.is_low:
            return
        if low:
            self._cores = list_cores()
            pin_to_cores(self._cores[:1])
        else:
            pin_to_cores(self._cores)
        self.is_low = low

    def release_process(self, pid: int) -> None:
        """A process that was started just now may use all cores: it sees to its own power, and would never
        get back what it was born without."""
        if not self.is_low or not self._cores:
            return
        with suppress(psutil.Error, OSError, AttributeError):  # it ended, or the system has no such thing
            psutil.Process(pid).cpu_affinity(self._cores)

    @contextmanager
    def monitor(self, every_s: float = POLL_INTERVAL_S) -> Iterator[Power]:
        """Looked at now, and where there is a battery to go by again and again until the end; then all cores
        are free as before."""
        self.poll()
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over, every_s), name="power", daemon=True)
        if self.battery is not None:
            thread.start()
        try:
            yield self
        finally:
            over.set()
            if thread.is_alive():
                thread.join()
            if self.is_low:
                pin_to_cores(self._cores)

    def _watch(self, over: threading.Event, every_s: float) -> None:
        while not over.wait(every_s):
            self.poll()


def list_cores() -> list[int]:
    """The cores that this process may use, in the system's numbers; none where it does not tell."""
    process = psutil.Process()
    return list(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else []


def pin_to_cores(chosen: list[int]) -> None:
    """Keep every thread of this process, and all that it starts from now on, to these cores; nothing where
    the system has no such thing."""
    if not chosen:
        return
    if not hasattr(os, "sched_setaffinity"):
        psutil.Process().cpu_affinity(chosen)
        return
    for thread in Path("/proc/self/task").iterdir():  # Linux keeps it for each thread apart
        try:
            os.sched_setaffinity(int(thread.name), chosen)
        except ProcessLookupError:  # ended meanwhile
            continue
