"""kill -9 at random moments of `finish`: what a killed run leaves, and what the next one makes of it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from flycam.catalog.catalog import open_catalog
from flycam.drill.photo_drill import DrillReport
from flycam.model.records import RevisionState
from flycam.mosaic.finish.stages import StageFolder
from flycam.mosaic.tiles.codec import read_tile
from flycam.storage.address import open_store
from flycam.storage.base import ObjectStore
from tests.attack.commands import Operator

STAGES = ("ties", "adjust", "surface", "overviews", "radiometry", "seams", "blend", "report", "communes")
NAME = "Bản Lầu"
_LONGEST_S = 120.0


@dataclass(frozen=True)
class Kill:
    """One kill: in which stage, how long after it began, and what was there afterwards.

    stage  that was told last; wanted: the one the kill was meant for
    shown  revision on show after it; tiles: named by the log so far, all of them whole
    """

    wanted: str
    stage: str
    after_s: float
    shown: int
    tiles: int

    def __str__(self) -> str:
        return (
            f"killed in {self.stage:<10} (meant: {self.wanted:<10}) {self.after_s:6.3f} s after it began; "
            f"revision {self.shown} on show, {self.tiles:3d} tiles of the new one in the log, all whole"
        )


@dataclass(frozen=True)
class Moment:
    """A kill at any moment of a whole run, and the next run, which completed it.

    share   of an undisturbed run that was meant to be done; kill: where that was, and what was there then
    spent_s processor seconds by stage that the next run took for itself
    """

    share: float
    kill: Kill
    spent_s: Mapping[str, float]

    @property
    def before(self) -> tuple[str, ...]:
        """The stages that were complete when it was killed."""
        return STAGES[: STAGES.index(self.kill.stage)] if self.kill.stage in STAGES else ()

    @property
    def again_s(self) -> float:
        """What the next run took for stages that were complete."""
        return sum(self.spent_s.get(stage, 0.0) for stage in self.before)

    def __str__(self) -> str:
        rest = sum(self.spent_s.values()) - self.again_s
        return (
            f"killed at {self.share:3.0%}, in {self.kill.stage:<10} {self.kill.after_s:5.2f} s after "
            f"{self.kill.wanted} began; revision "
            f"{self.kill.shown} on show, {self.kill.tiles:3d} tiles of the new one in the log, all whole; "
            f"the next run took {self.again_s:5.2f} s of processor for the {len(self.before)} stages before, "
            f"{rest:5.2f} s for the rest"
        )


@dataclass(frozen=True)
class Revision:
    """A finished revision as it lies in the store: bytes of each base tile and parent by its id."""

    number: int
    tiles: Mapping[str, bytes]


def with_flight(operator: Operator, drill: DrillReport) -> Operator:
    """The operator, the drill's flight ingested."""
    operator.with_ground(drill)
    assert operator("ingest", drill.photos, "--name", NAME).exit_code == 0
    return operator


def calm_run(operator: Operator) -> tuple[Revision, dict[str, float]]:
    """Finish without disturbance: the revision, and the seconds that each stage takes."""
    child = operator.start("finish", NAME)
    assert child.stderr is not None
    began: dict[str, float] = {}
    for line in child.stderr:
        began.setdefault(line.split(" ")[0], time.monotonic())
    assert child.wait() == 0
    times = [*(began[stage] for stage in STAGES), time.monotonic()]
    return revision_of(operator), {stage: times[n + 1] - times[n] for n, stage in enumerate(STAGES)}


def kill_in_each_stage(
    operator: Operator,
    seconds: Mapping[str, float],
    chance: random.Random,
    stages: Sequence[str] = STAGES,
) -> Iterator[Kill]:
    """One kill at a random moment of each stage, each of a run that goes on where the last was killed."""
    for stage in stages:
        child = operator.start("finish", NAME)
        last = _told_until(child, stage)
        wait = chance.random() * seconds[stage]
        time.sleep(wait)
        reached = [one for one in (last, *_killed(child)) if one in STAGES]
        shown, tiles = inspect(operator)
        yield Kill(stage, reached[-1] if reached else "(done)", wait, shown, tiles)


def kill_and_go_on(operator: Operator, seconds: Mapping[str, float], share: float, calm: Revision) -> Moment:
    """A run killed after this share (0 … 1) of an undisturbed run's stages; the next one completes it.

    It is waited for the stage in which that moment lies: a machine that is faster than it was before would
    else be through with all of it.
    """
    left = share * sum(seconds[stage] for stage in STAGES)
    for wanted in STAGES:
        if left < seconds[wanted] or wanted == STAGES[-1]:
            break
        left -= seconds[wanted]
    child = operator.start("finish", NAME)
    last = _told_until(child, wanted)
    time.sleep(left)
    done = child.poll() is not None
    reached = [one for one in (last, *_killed(child)) if one in STAGES]
    shown, tiles = inspect(operator)
    stage = "(done)" if done else reached[-1]
    before = _counted(operator)
    answer = completed(operator, calm)
    # of a revision that was on show before the kill, the seconds are those of the killed run
    counted = answer["stage_seconds"] if answer["new"] else {}
    spent = {name: cpu - before.get(name, 0.0) for name, (_, cpu) in counted.items()}
    return Moment(share, Kill(wanted, stage, left, shown, tiles), spent)


def _counted(operator: Operator) -> dict[str, float]:
    """Processor seconds by stage that a killed run left for the next one to count on from."""
    folders = [path for path in (operator.data / "cache" / "finish").glob("*/*") if path.is_dir()]
    kept = [StageFolder(path, path.name.partition("-")[2]).load("seconds", ()) for path in folders]
    return {stage: cpu for seconds in kept if seconds for stage, (_, cpu) in seconds.items()}


def _told_until(child: subprocess.Popen[str], stage: str) -> str:
    """Read what the child tells until it begins this stage, or ends; the last first word."""
    assert child.stderr is not None
    last = ""
    for line in child.stderr:
        last = line.split(" ")[0]
        if last == stage:
            break
    return last


def _killed(child: subprocess.Popen[str]) -> list[str]:
    """The first words of what the child still had to tell when it was killed."""
    child.send_signal(signal.SIGKILL)
    child.wait(_LONGEST_S)
    assert child.stderr is not None
    told = [line.split(" ")[0] for line in child.stderr.read().splitlines()]
    child.stderr.close()
    if child.stdout is not None:
        child.stdout.close()
    return told


def inspect(operator: Operator) -> tuple[int, int]:
    """(revision on show, tiles of the newest finished one); asserts that nothing half-written can be seen."""
    address = f"sqlite:///{operator.data / 'catalog.sqlite'}"
    with open_catalog(address) as catalog, store_of(operator) as store:
        (flight,) = catalog.flights.flights()
        mosaic_id = f"{flight.flight_id}-colour"
        revisions = catalog.revisions.list_for_mosaic(mosaic_id)
        assert len(revisions) <= 1, "a killed run's number is taken up again"
        shown = catalog.tiles.mosaic(mosaic_id).revision
        tiles = 0
        for record in revisions:
            assert (record.state is RevisionState.PUBLISHED) == (shown == record.revision)
            for head in catalog.tiles.heads(mosaic_id, record.revision):
                read_tile(store, head)  # raises unless it is whole and what the log says
                tiles += 1
    return shown, tiles


def revision_of(operator: Operator) -> Revision:
    """The revision on show, read from the store."""
    with open_catalog(f"sqlite:///{operator.data / 'catalog.sqlite'}") as catalog:
        (flight,) = catalog.flights.flights()
        shown = catalog.tiles.mosaic(f"{flight.flight_id}-colour")
        heads = catalog.tiles.heads(shown.mosaic_id, shown.revision)
    with store_of(operator) as store:
        return Revision(shown.revision, {str(head.tile_id): store.get(head.key) for head in heads})


@contextmanager
def store_of(operator: Operator) -> Iterator[ObjectStore]:
    """The operator's store, with the operator's credentials while it is open."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in operator.environment.items():
            patch.setenv(name, value)
        yield open_store(operator.environment.get("FLYCAM_STORE", (operator.data / "store").as_uri()))


def completed(operator: Operator, calm: Revision) -> dict[str, Any]:
    """The next run completes it: the tiles of an undisturbed one to the last byte, nothing left over. What
    it answered."""
    child = operator.start("finish", NAME)
    out, err = child.communicate(timeout=_LONGEST_S)
    assert child.returncode == 0, err
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert answer["revision"] == calm.number
    assert revision_of(operator) == calm
    left = [path for path in (operator.data / "cache" / "finish").rglob("*") if path.is_file()]
    assert not left, "scratch of a clip that was cut is for `collect`, stages are not"
    return answer
