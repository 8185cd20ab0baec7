"""Cuts the power while flycam works: one watched run, then as many disks as wanted of moments in it, and
flycam started on each."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.attack.uploading import ServerProcess
from tests.faults.disk import Loss, cut_after
from tests.faults.journal import Journal, Moved, Synced, Told, load
from tests.faults.safety import require_completed, require_whole
from tests.faults.works import Held, Work, house_in

_LOSSES = (Loss.ALL, Loss.BYTES, Loss.SOME, Loss.SOME)
_AT_THE_END, _AT_A_STEP = 0.15, 0.45


@dataclass
class WatchedServer(ServerProcess):
    """A server whose calls are written down."""

    command: Sequence[str] = ()

    def begin(self, environment: dict[str, str]) -> None:
        started = [*self.command, "--port", str(self.port)]
        self.process = subprocess.Popen(started, env=environment, stdout=subprocess.PIPE, text=True)
        self.wait_until_it_answers()


@dataclass(frozen=True)
class Watched:
    """A run that nothing disturbed.

    told  numbers of the lines with which it answered: a command its only line, a server each answer
    held  what the house held after it
    """

    work: Work
    journal: Journal
    before: Path
    told: tuple[int, ...]
    held: Held


@dataclass(frozen=True)
class Trial:
    """One power cut. line: how many lines of the journal were done; lost: how."""

    work: str
    line: int
    lines: int
    loss: Loss
    was_acknowledged: bool

    def __str__(self) -> str:
        said = "after it was acknowledged" if self.was_acknowledged else "before it was acknowledged"
        return f"{self.work:<13} cut after call {self.line:5d} of {self.lines:5d}, {said}; lost: {self.loss}"


def watched(work: Work, scratch: Path) -> Watched:
    """Run a work from its beginning to its end. Asserts that the journal tells all of it: made again from
    the journal, the folder is the same to the last byte."""
    root, before, journal_path = scratch / "root", scratch / "before", scratch / "journal"
    root.mkdir()
    work.begin(root)
    shutil.copytree(root, before, symlinks=True)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FLYCAM_")}
    house = house_in(root, work.box)
    environment = {**clean, "FLYCAM_DATA": str(house.data), **house.environment}
    watcher = [sys.executable, "-m", "tests.faults.watcher", str(root), str(journal_path)]
    if work.meanwhile is None:
        with work.beside(root):
            command = [sys.executable, "-m", "flycam", *map(str, work.arguments(root)), "--json"]
            subprocess.run([*watcher, *command], env=environment, check=True, capture_output=True)
    else:
        command = [sys.executable, "-m", "flycam", *map(str, work.arguments(root))]
        server = WatchedServer(house, command=[*watcher, *command])
        server.begin(environment)
        try:
            work.meanwhile(server)
        finally:
            server.end()
    journal = load(journal_path)
    assert journal.exit_code in (0, -signal.SIGTERM)
    all_of_it = cut_after(journal, before, len(journal.lines), Loss.NOTHING, random.Random(0))
    assert _differing(all_of_it.as_dict(), _as_dict(root)) == []
    answer = b"{" if work.meanwhile is None else b"HTTP/1.1 "
    told = [n for n, one in enumerate(journal.lines) if isinstance(one, Told) and one.data.startswith(answer)]
    return Watched(work, journal, before, tuple(told), work.held(root))


def cuts(run: Watched, count: int, seed: int, scratch: Path) -> Iterator[Trial]:
    """Cut the power at so many moments. Asserts of each disk that flycam finds it whole, that what was
    acknowledged is there, and that the same command completes the work."""
    for number in range(count):
        chance = random.Random(f"{run.work.name} {seed} {number}")
        line, loss = _moment(run.journal, chance), chance.choice(_LOSSES)
        root = scratch / f"cut-{number}"
        cut_after(run.journal, run.before, line, loss, chance).write_to(root)
        trial = Trial(run.work.name, line, len(run.journal.lines), loss, line > run.told[-1])
        try:
            _assert_safe(run, line, root)
        except BaseException as error:
            raise AssertionError(f"{trial} (cut {number} of seed {seed}): {error}") from error
        shutil.rmtree(root)
        yield trial


def _assert_safe(run: Watched, line: int, root: Path) -> None:
    answers = sum(number < line for number in run.told)
    require_whole(run.work, root, run.held, acknowledged=line > run.told[-1], answers=answers)
    require_completed(run.work, root, run.held)


def _moment(journal: Journal, chance: random.Random) -> int:
    """After how many lines: anywhere, or where something has just become safe, visible or told, or at the
    end."""
    which = chance.random()
    if which < _AT_THE_END:
        return len(journal.lines)
    if which < _AT_A_STEP:
        steps = [n for n, line in enumerate(journal.lines, 1) if isinstance(line, Moved | Synced | Told)]
        return chance.choice(steps)
    return chance.randrange(len(journal.lines) + 1)


def _differing(one: dict[str, bytes | None], other: dict[str, bytes | None]) -> list[str]:
    """Names of what differs; SQLite's -shm is written as memory, and made anew from the rest."""
    missing = object()
    names = sorted({*one, *other})
    return [n for n in names if not n.endswith("-shm") and one.get(n, missing) != other.get(n, missing)]


def _as_dict(root: Path) -> dict[str, bytes | None]:
    found = {str(path.relative_to(root)): path for path in root.rglob("*")}
    return {name: None if path.is_dir() else path.read_bytes() for name, path in found.items()}
