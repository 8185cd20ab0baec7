"""Everything that goes wrong in the field, mixed: kills, sleep, clocks that are set, full disks, a line that
drops out, while a box lays a flight and hands it on. Whatever ends, ends in a sentence; the same commands
complete it, and both houses hold what a calm day gives."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flycam.drill.photo_drill import DrillReport
from tests.attack.commands import Operator, Said
from tests.attack.exchanges import flight_of
from tests.attack.uploading import ServerProcess
from tests.faults.clocks import DAY_S, MovedClock
from tests.lines import ThinLine

_MANY = 120
_OUTAGE_S = 3.0
_DISK_BYTES = 4 << 30  # with less than a fourth of it free a box takes no tiles from others


@dataclass
class Side:
    """A house on a disk of its own, whose programs go by a clock of their own."""

    operator: Operator
    disk: Path
    clock: MovedClock

    @contextmanager
    def full(self) -> Iterator[None]:
        """No byte is free."""
        filler = self.disk / "đầy"
        with filler.open("wb") as file, suppress(OSError):  # others take of it meanwhile
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.disk).free)
        yield
        filler.unlink()


@dataclass
class Trouble:
    """What happens to a box, a province and the line between them."""

    box: Side
    province: Side
    server: ServerProcess
    line: ThinLine
    choose: random.Random
    made: Counter[str] = field(default_factory=Counter)
    began_s: float = field(default_factory=time.monotonic)

    def _log(self, command: object, what: str) -> None:
        print(f"{time.monotonic() - self.began_s:7.1f} s  {command!s:6}  {what}", flush=True)

    def during(self, *command: object, most: int) -> dict[str, object] | None:
        """Run a command of the box, a fault after a while, at most so many in all. What it said; None where
        it was killed."""
        child = self.box.operator.start(*command)
        while self.made.total() < most and self._goes_on(child, self.choose.uniform(0.1, 2.5)):
            self._log(command[0], self._one(child))
        out, err = child.communicate(timeout=300)
        assert "Traceback" not in err, err
        if child.returncode == -signal.SIGKILL:
            return None
        said: dict[str, object] = json.loads(out.strip().splitlines()[-1])
        self._log(command[0], f"ended with {child.returncode}: {said.get('sentence') or 'done'}")
        assert child.returncode == 0 or said["sentence"], (command, said, err)
        return said if child.returncode == 0 else None

    def _goes_on(self, child: subprocess.Popen[str], seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
        return child.poll() is None

    def _one(self, child: subprocess.Popen[str]) -> str:
        """Which it was."""
        fault = self.choose.choice(
            [self._kill, self._kill_server, self._set_clock, self._sleep, self._fill, self._drop_out]
        )
        name = fault.__name__.strip("_")
        fault(child)
        self.made[name] += 1
        return name

    def _kill(self, child: subprocess.Popen[str]) -> None:
        child.kill()

    def _kill_server(self, _child: subprocess.Popen[str]) -> None:
        self.server.end(signal.SIGKILL)
        self.server.start()

    def _set_clock(self, _child: subprocess.Popen[str]) -> None:
        self.choose.choice([self.box, self.province]).clock.jump(self.choose.choice([-DAY_S, DAY_S]))

    def _sleep(self, child: subprocess.Popen[str]) -> None:
        assert self.server.process is not None
        side, process = self.choose.choice([(self.box, child), (self.province, self.server.process)])
        with side.clock.suspended(process.pid):
            pass

    def _fill(self, _child: subprocess.Popen[str]) -> None:
        with self.choose.choice([self.box, self.province]).full():
            time.sleep(self.choose.uniform(0.2, 2.0))

    def _drop_out(self, _child: subprocess.Popen[str]) -> None:
        self.line.drop_out(_OUTAGE_S)


@pytest.fixture
def side_of(on_ext4: Callable[..., Path], tmp_path: Path) -> Callable[[str], Side]:
    """Makes a house of that name."""

    def make(name: str) -> Side:
        disk, clock = on_ext4(size_bytes=_DISK_BYTES), MovedClock(tmp_path / f"{name}.clock")
        return Side(Operator(disk / "dữ liệu", {"FLYCAM_BOX": name, **clock.environment()}), disk, clock)

    return make


@pytest.mark.timeout(7200)
@pytest.mark.soak
def test_all_that_goes_wrong_mixed(drill: DrillReport, whole: Said, side_of: Callable[[str], Side]) -> None:
    most = _MANY
    box, province = side_of("field"), side_of("province")
    box.operator.with_ground(drill)
    server = ServerProcess(province.operator)
    server.start()
    made: Counter[str] = Counter()
    rounds = 0
    try:
        while made.total() < most:
            with ThinLine(server.port, bytes_s=100_000, round_trip_s=0.2, loss=0.02, seed=rounds) as line:
                trouble = Trouble(box, province, server, line, random.Random(f"{most} {rounds}"))
                until = min(20, most - made.total())
                for command in (("ingest", drill.photos), ("sync", line.url, "--once")):
                    while (said := trouble.during(*command, most=until)) is None:
                        continue
                while said["left"] or said["left_there"]:
                    said = trouble.during("sync", line.url, "--once", most=until) or said
            flight_id = flight_of(box.operator)
            assert box.operator.tiles(flight_id) == whole.json["tiles"]
            assert province.operator.tiles(flight_id) == whole.json["tiles"]
            assert (box.operator("verify").exit_code, province.operator("verify").exit_code) == (0, 0)
            made += trouble.made
            rounds += 1
            print(f"{rounds} rounds, {dict(made)}", flush=True)
            if made.total() < most:
                _begin_anew(box, province, server, drill)
    finally:
        server.end()


def _begin_anew(box: Side, province: Side, server: ServerProcess, drill: DrillReport) -> None:
    """Both houses as they were before the flight."""
    server.end()
    for side in (box, province):
        shutil.rmtree(side.operator.data)
    box.operator.with_ground(drill)
    server.start()
