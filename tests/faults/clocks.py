"""Clocks of processes that a test moves: they jump, and an hour passes while a process is suspended."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOUR_S, DAY_S = 3600.0, 86_400.0

_MOVED = Path(__file__).parent / "moved"
_SUSPENDED_S = 1.0  # of real time: what others do about it meanwhile


@dataclass
class MovedClock:
    """The clock of every process that is started with its environment.

    wall_s, monotonic_s  how far it is ahead of the real one
    """

    path: Path
    wall_s: float = 0.0
    monotonic_s: float = 0.0

    def __post_init__(self) -> None:
        self._write()

    def environment(self) -> dict[str, str]:
        """For a process that is started with it."""
        found = os.environ.get("PYTHONPATH", "")
        return {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(_MOVED), found))),
            "MOVED_CLOCK": str(self.path),
        }

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock: no time passes."""
        self.wall_s += seconds
        self._write()

    def pass_by(self, seconds: float) -> None:
        """Time passes."""
        self.wall_s += seconds
        self.monotonic_s += seconds
        self._write()

    @contextmanager
    def suspended(self, pid: int, seconds: float = HOUR_S) -> Iterator[None]:
        """A process sleeps for so long (of its clock), and others go on."""
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
            time.sleep(_SUSPENDED_S)
            self.pass_by(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _write(self) -> None:
        values = struct.pack("<qq", round(self.wall_s * 1e9), round(self.monotonic_s * 1e9))
        if not self.path.exists():
            self.path.write_bytes(values)
        with self.path.open("r+b") as file:
            file.write(values)
