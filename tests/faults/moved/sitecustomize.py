"""Read by Python at its start where this folder is on PYTHONPATH: clocks that a test moves
(`tests.faults.clocks`).

`time.time` and `time.monotonic`, in seconds and nanoseconds; what reads the system's clock in C
(`datetime.now`, locks that wait) goes by the real one.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path


def _moved(
    clock_ns: Callable[[], int], file: mmap.mmap, at: int
) -> tuple[Callable[[], int], Callable[[], float]]:
    def in_ns() -> int:
        return clock_ns() + int(struct.unpack_from("<q", file, at)[0])

    def in_s() -> float:
        return in_ns() / 1e9

    return in_ns, in_s


if path := os.environ.get("MOVED_CLOCK"):
    with Path(path).open("rb") as opened:
        shared = mmap.mmap(opened.fileno(), 16, prot=mmap.PROT_READ)
    time.time_ns, time.time = _moved(time.time_ns, shared, 0)
    time.monotonic_ns, time.monotonic = _moved(time.monotonic_ns, shared, 8)
