"""Whole processes on chosen cores: how long they take and how much memory their tree holds at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.ports import free_port

FLYCAM = (sys.executable, "-m", "flycam")
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A process that ended with code 0. peak_bytes is only looked for when asked.

    ended  False: it was stopped when its time was over, and what it took is less than it takes
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    stdout: str
    ended: bool = True


class BenchBroken(Exception):
    """Something that is measured did not run."""


def run_process(
    command: Sequence[str | Path],
    *,
    cores: Sequence[int] | None = None,
    watch_memory: bool = False,
    environment: dict[str, str] | None = None,
    folder: Path | None = None,
    limit_s: float | None = None,
) -> Finished:
    """Run to the end on `cores` (default: all that this process may use), or for `limit_s` of wall time.

    Raises BenchBroken if it fails.
    """
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if before is not None and cores is not None:
            os.sched_setaffinity(0, cores)  # inherited by the child
        times = os.times()
        try:
            started = time.perf_counter()
            child = psutil.Popen(
                [str(part) for part in command],
                stdout=out,
                stderr=err,
                env={**os.environ, **(environment or {})},
                cwd=folder,
            )
        finally:
            if before is not None:
                os.sched_setaffinity(0, before)
        peak = _watch(child) if watch_memory else 0
        ended = _waited(child, limit_s)
        code = child.wait() if ended else 0
        wall = time.perf_counter() - started
        after = os.times()
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read().decode(errors="replace"), err.read().decode(errors="replace")
    if code != 0:
        raise BenchBroken(f"{' '.join(map(str, command))[:300]} ended with {code}: {stderr[-1500:]}")
    cpu = after.children_user + after.children_system - times.children_user - times.children_system
    return Finished(wall_s=wall, cpu_s=cpu, peak_bytes=peak, stdout=stdout, ended=ended)


def _waited(child: psutil.Popen, limit_s: float | None) -> bool:
    """Whether it ended by itself; if not it is gone now, and so are those it started."""
    try:
        child.wait(limit_s)
    except psutil.TimeoutExpired:
        for process in (*child.children(recursive=True), child):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        child.wait()
        return False
    return True


def startup(command: Sequence[str | Path], cores: Sequence[int] | None = None, repeats: int = 3) -> Finished:
    """A command that only loads the program and ends: the run of median wall time, from the page cache."""
    run_process(command, cores=cores)
    runs = sorted((run_process(command, cores=cores) for _ in range(repeats)), key=lambda run: run.wall_s)
    return runs[repeats // 2]


def _watch(child: psutil.Popen) -> int:
    """Highest resident size of the process tree until it ends: sums seen, and the kernel's own high-water."""
    peak = 0
    while child.poll() is None:
        peak = max(peak, _tree_bytes(child), _high_water(child.pid))
        time.sleep(_LOOK_EVERY_S)
    return peak


def _tree_bytes(child: psutil.Popen) -> int:
    total = 0
    try:
        for process in (child, *child.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.Error:
        return 0
    return total


def _high_water(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


@contextlib.contextmanager
def serving(data: Path, environment: Mapping[str, str] | None = None) -> Iterator[tuple[psutil.Popen, int]]:
    """`flycam serve` on a house, which may be new, and its port, once it answers; what it says goes to the
    house's `server.log`. Raises BenchBroken where it does not start."""
    port = free_port()
    data.mkdir(parents=True, exist_ok=True)
    with (data / "server.log").open("wb") as log:
        server = psutil.Popen(
            [*FLYCAM, "serve", "--port", str(port), "--data", str(data)],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        _until_served(port)
        yield server, port
    finally:
        server.terminate()
        server.wait()


def _until_served(port: int) -> None:
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
            return
        time.sleep(0.1)
    raise BenchBroken("the server did not start")
