"""Fuzzes parsers, guided by which of flycam's lines an input reaches.

    python -m tests.fuzz [--runs N] [--cpu-seconds S] [--seed K] [--kept FOLDER] [PARSER…]

Each parser in processes of its own, one after another: what the instrumentation itself leaks (Atheris 3.0 on
Python 3.11 keeps what a frame was calling when an exception left it) does not add up to a finding.
With --cpu-seconds an input that takes more than a second of processor time is a finding too. What is found
is left in the folder, by parser; exit code 1 if something was. What a parser was tried with before lies there
too, and is what the next turn begins from.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import atheris

# what Atheris keeps of an instrumented frame that an exception left would be 100 kB there
with atheris.instrument_imports(include=["flycam"], exclude=["flycam.storage.files"]):
    from tests.fuzz.corpus import CORPORA
    from tests.fuzz.parsers import PARSERS, SLOW

_LONGEST_BYTES = 8192
_MOST_MORE_MB = 500
_SLOWEST_S = 1.0
_SLICE_S, _SLICE_INPUTS = 20.0, 50_000
_FOUND = 77  # as libFuzzer says it
_NO_TIME_LIMIT_S = 86_400  # of the clock: a machine that is busy with other things, or sleeps, is no finding


class TooSlow(Exception):
    """An input kept the processor for too long."""


def main() -> None:
    """As the command line says."""
    command = argparse.ArgumentParser()
    command.add_argument("parsers", nargs="*", default=list(PARSERS))
    command.add_argument("--runs", type=int, default=-1)
    command.add_argument("--cpu-seconds", type=float, default=0.0)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--kept", type=Path, default=Path("fuzz"))
    asked = command.parse_args()
    found = [name for name in asked.parsers if not _is_sound(name, asked)]
    print(f"{len(asked.parsers)} parsers, findings in {found or 'none'}", flush=True)
    sys.exit(bool(found))


def _is_sound(name: str, asked: argparse.Namespace) -> bool:
    """Fuzz a parser for as long as was asked."""
    log, spent_s, sound, began_s = asked.kept / name / "log", 0.0, True, _of_children_s()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    while sound and (spent_s == 0.0 or spent_s < asked.cpu_seconds):
        slice_s, seed = min(asked.cpu_seconds - spent_s, _SLICE_S), asked.seed + round(1000 * spent_s)
        sound = _in_child(lambda seconds=slice_s, seed=seed: _fuzz(name, asked, seconds, seed)) == 0
        spent_s = max(_of_children_s() - began_s, 0.01)
    return sound


def _of_children_s() -> float:
    """Processor time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _in_child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(99)  # libFuzzer ends the process itself
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _fuzz(name: str, asked: argparse.Namespace, cpu_seconds: float, seed: int) -> None:
    kept: Path = asked.kept / name
    inputs = kept / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(CORPORA[name]()):
        (inputs / f"first-{number}").write_bytes(data)
        PARSERS[name](data)  # what is imported and made once is no part of any input's time
    resident_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    log = os.open(kept / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for fd in (1, 2):
        os.dup2(log, fd)
    told = [
        f"-runs={asked.runs // 10 if name in SLOW and asked.runs > 0 else asked.runs}",
        f"-seed={seed}",
        f"-max_len={_LONGEST_BYTES}",
        f"-timeout={_NO_TIME_LIMIT_S}",
        f"-rss_limit_mb={resident_mb + _MOST_MORE_MB}",
        f"-artifact_prefix={kept}/",
    ]
    atheris.Setup([sys.argv[0], *told, str(inputs)], _watched(PARSERS[name], kept, cpu_seconds))
    atheris.Fuzz()


def _watched(read: Callable[[bytes], None], kept: Path, cpu_seconds: float) -> Callable[[bytes], None]:
    """Keeps what breaks the parser and ends; with cpu_seconds after so much processor time, and what takes
    long breaks it too."""
    ends_s, inputs = time.process_time() + cpu_seconds, 0

    def once(data: bytes) -> None:
        nonlocal inputs
        inputs += 1
        began_s = time.process_time()
        try:
            read(data)
            now_s = time.process_time()
            if cpu_seconds and now_s - began_s > _SLOWEST_S:
                raise TooSlow(f"{now_s - began_s:.1f} s")
        except BaseException:  # noqa: BLE001 - whatever it is
            (kept / f"found-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
            _end(traceback.format_exc(), _FOUND)
        if cpu_seconds and (now_s > ends_s or inputs >= _SLICE_INPUTS):
            _end("done", 0)

    return once


def _end(said: str, code: int) -> NoReturn:
    os.write(2, f"{said}\n".encode())
    os._exit(code)


if __name__ == "__main__":
    main()
