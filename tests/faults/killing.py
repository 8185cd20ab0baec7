"""Kills flycam with SIGKILL at random moments of a work, and starts it again.

A moment is a share of what the same work needs when nothing disturbs it: of the bytes that it writes, or of
the processor's time. So a busy machine moves no kill to the beginning.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.attack.uploading import ServerProcess
from tests.faults.safety import require_completed, require_whole
from tests.faults.works import LONGEST_S, Held, Work, house_in

_LOOK_S = 0.002
_NO_OBJECTS = ("cache", "uploads", "logs")


@dataclass(frozen=True)
class Need:
    """What a work's process has written (bytes, sockets too) and computed (s) since it began."""

    written: int
    cpu_s: float


@dataclass(frozen=True)
class Calm:
    """A work that nothing disturbed. idle: what a server had needed when it first answered."""

    work: Work
    before: Path
    idle: Need
    need: Need
    held: Held


@dataclass(frozen=True)
class Kill:
    """One kill, and the run after it.

    share     of the undisturbed run's bytes or processor time
    ended     it was through before it could be killed
    kept      objects that were whole after the kill; again, again_bytes: those the next run wrote once more
    sent_again  tiles or bytes that the other side had acknowledged and that came once more
    """

    work: str
    by: str
    share: float
    ended: bool
    kept: int
    again: int
    again_bytes: int
    sent_again: int

    def __str__(self) -> str:
        what = "was through before" if self.ended else "killed"
        return (
            f"{self.work:<13} {what} at {self.share:4.0%} of its {self.by}; {self.kept:3d} objects whole, "
            f"{self.again} ({self.again_bytes} bytes) written and {self.sent_again} sent once more"
        )


@dataclass
class _Run:
    """A work that is under way in its own process, a server's visitor in a thread of ours."""

    work: Work
    root: Path
    idle: Need = field(default_factory=lambda: Need(0, 0.0))

    def __post_init__(self) -> None:
        house = house_in(self.root, self.work.box)
        self.failed: BaseException | None = None
        if self.work.meanwhile is None:
            self.process = house.start(*self.work.arguments(self.root))
            self._drain = threading.Thread(target=self.process.communicate, daemon=True)
        else:
            server = ServerProcess(house)
            server.start()
            assert server.process is not None
            self.process = server.process
            self.idle = self.need()
            self._drain = threading.Thread(target=self._visit, args=(server,), daemon=True)
        self._drain.start()

    def _visit(self, server: ServerProcess) -> None:
        assert self.work.meanwhile is not None
        try:
            self.work.meanwhile(server)
        except BaseException as error:  # noqa: BLE001 - its server was killed, or the calm run is to tell
            self.failed = error

    def need(self) -> Need:
        """Until now. Raises psutil.NoSuchProcess when it is over."""
        one = psutil.Process(self.process.pid)
        times = one.cpu_times()
        return Need(one.io_counters().write_chars, times.user + times.system)

    def last_need(self) -> Need:
        """Until its end, as far as it could be looked at."""
        found = Need(0, 0.0)
        with suppress(psutil.Error):
            while self._drain.is_alive():
                found = self.need()
                time.sleep(_LOOK_S)
        return found

    def until(self, asked: Need) -> bool:
        """Wait until it has needed as much of one of both; False if it ends before."""
        with suppress(psutil.Error):
            while self._drain.is_alive() and self.process.poll() is None:
                now = self.need()
                if now.written >= asked.written or now.cpu_s >= asked.cpu_s:
                    return True
                time.sleep(_LOOK_S)
        return False

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(LONGEST_S)
        if self.work.meanwhile is not None:
            self.work.give_up()
        self._drain.join(LONGEST_S)
        assert not self._drain.is_alive()

    def over(self) -> None:
        """Wait for its end, and end its server."""
        self._drain.join(LONGEST_S)
        if self.work.meanwhile is not None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LONGEST_S)
        assert code in (0, -signal.SIGTERM) and self.failed is None, (code, self.failed)


def calm_run(work: Work, scratch: Path) -> Calm:
    """A work from its beginning to its end."""
    root, before = scratch / "root", scratch / "before"
    root.mkdir()
    work.begin(root)
    shutil.copytree(root, before, symlinks=True)
    with work.beside(root):
        run = _Run(work, root)
        need = run.last_need()
        run.over()
    return Calm(work, before, run.idle, need, work.held(root))


def kills(calm: Calm, count: int, seed: int, scratch: Path) -> Iterator[Kill]:
    """So many kills, each in a house of its own. Asserts that what was acknowledged is there and reads back
    by its hash, and that the same command completes the work."""
    for number in range(count):
        chance = random.Random(f"{calm.work.name} {seed} {number}")
        root = scratch / f"kill-{number}"
        shutil.copytree(calm.before, root, symlinks=True)
        try:
            yield _killed(calm, root, chance)
        except BaseException as error:
            raise AssertionError(f"{calm.work.name}, kill {number} of seed {seed}: {error}") from error
        shutil.rmtree(root)
        shutil.rmtree(root.with_name(f"{root.name} at the province"), ignore_errors=True)


def _killed(calm: Calm, root: Path, chance: random.Random) -> Kill:
    work, share = calm.work, chance.random()
    by_bytes = chance.random() < 0.5 and calm.need.written > calm.idle.written
    written = calm.idle.written + share * (calm.need.written - calm.idle.written)
    cpu_s = calm.idle.cpu_s + share * (calm.need.cpu_s - calm.idle.cpu_s)
    with work.beside(root):
        run = _Run(work, root)
        was_under_way = run.until(Need(int(written), float("inf")) if by_bytes else Need(1 << 62, cpu_s))
        run.kill()
    ended = not was_under_way and run.failed is None and run.process.returncode in (0, -signal.SIGKILL)
    assert was_under_way or ended, (run.failed, run.process.returncode)
    require_whole(work, root, calm.held, acknowledged=ended, answers=work.answers())
    kept = _objects(root)
    sent_again = require_completed(work, root, calm.held)
    now = _objects(root)
    again = [path for path, was in kept.items() if path in now and _is_written_again(was, now[path])]
    return Kill(
        work=work.name,
        by="bytes" if by_bytes else "processor time",
        share=share,
        ended=ended,
        kept=len(kept),
        again=len(again),
        again_bytes=sum(now[path].size for path in again),
        sent_again=sent_again,
    )


@dataclass(frozen=True)
class _Object:
    inode: int
    written_ns: int
    size: int
    digest: str


def _objects(root: Path) -> Mapping[Path, _Object]:
    """All that is kept for good below a folder, but for the catalogue and its like."""
    found = {}
    for path in root.rglob("*"):
        inside = path.relative_to(root).parts
        if not path.is_file() or ".sqlite" in path.name or path.name.startswith("."):
            continue
        if path.name.endswith(".writing") or (inside[0] == "data" and inside[1] in _NO_OBJECTS):
            continue
        is_now = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[path] = _Object(is_now.st_ino, is_now.st_mtime_ns, is_now.st_size, digest)
    return found


def _is_written_again(was: _Object, now: _Object) -> bool:
    """The same bytes in another file, or written over themselves."""
    return was.digest == now.digest and (was.inode, was.written_ns) != (now.inode, now.written_ns)
