"""Mains and battery power, and reduced operation to save the battery.

In low power all work runs on one core while the others rest, and a live flight uses fewer frames of the same
ground. Nothing is lost: what is received is stored, and new ground is orthorectified.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from flycam.config import PowerMode

POLL_INTERVAL_S = 30.0
LOW_PERCENT = 50.0
"""Charge below which AUTO works in low power while on battery."""

SCARCE_PERCENT = 20.0


@dataclass(frozen=True, slots=True)
class Battery:
    """Battery state as the system reports it.

    percent      of its charge that is left
    remaining_s  the system's estimate of how long it lasts; None: unknown, or on mains
    """

    percent: float
    is_in_use: bool
    remaining_s: float | None


def read_battery() -> Battery | None:
    """Read this machine's battery.

    None if there is none or the system does not report it.
    """
    reading = psutil.sensors_battery()
    if reading is None:
        return None
    left_s = float(reading.secsleft)  # negative where unknown or unlimited
    return Battery(
        percent=float(reading.percent),
        is_in_use=not reading.power_plugged,
        remaining_s=left_s if left_s >= 0 and not reading.power_plugged else None,
    )


def is_low(mode: PowerMode, battery: Battery | None) -> bool:
    """Return True if this mode and battery call for low power."""
    if mode is PowerMode.AUTO:
        return battery is not None and battery.is_in_use and battery.percent < LOW_PERCENT
    return mode is PowerMode.LOW


class Power:
    """Power state of this machine, polled every half minute.

    It restricts the process to one core while power is low.

    is_low  as of the last poll; thread-safe
    """

    def __init__(self, mode: PowerMode, look: Callable[[], Battery | None] = read_battery) -> None:
        self._mode, self._look_at = mode, look
        self._cores: list[int] = []  # all of them, while power is low
        self.is_low = False
        self.battery: Battery | None = None

    def poll(self) -> None:
        """Read the battery, and switch to one core or back where that has changed."""
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
        """Give all cores to a process that was just started.

        It manages its own power, and could never regain cores that it did not inherit.
        """
        if not self.is_low or not self._cores:
            return
        # it ended, or the system has no CPU affinity
        with suppress(psutil.Error, OSError, AttributeError):
            psutil.Process(pid).cpu_affinity(self._cores)

    @contextmanager
    def monitor(self, every_s: float = POLL_INTERVAL_S) -> Iterator[Power]:
        """Poll now, and repeatedly until the end if there is a battery.

        All cores are restored at the end.
        """
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
    """List the cores that this process may use, by system number; empty if unknown."""
    process = psutil.Process()
    return list(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else []


def pin_to_cores(chosen: list[int]) -> None:
    """Pin all threads of this process, and its future children, to these cores.

    Does nothing where the system has no CPU affinity.
    """
    if not chosen:
        return
    if not hasattr(os, "sched_setaffinity"):
        psutil.Process().cpu_affinity(chosen)
        return
    # Linux keeps the affinity of each thread apart
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), chosen)
        except ProcessLookupError:  # ended meanwhile
            continue
