"""Ingest and finish over two workers of one thread against one process on two cores, and against one worker.

Every run is of processes into a house of its own, folder and SQLite, the DEM registered before. Scheduler and
workers are running when the clock starts, as they are in a province; the command's start-up is in all runs.
By one worker and by two the spread stages of `finish` are compared: what a further machine is worth.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median

from bench.flights import BenchFlight, drill_flight
from bench.processes import FLYCAM, run_process
from bench.table import Row
from tests.clusters import running_cluster

AT_LEAST, LINEAR = 0.9, 1.8
SPREAD_STAGES = ("features", "surface", "overviews", "blend")
"""What the workers do of `finish`; features and matches are a part of its stage ties. The rest runs where the
command runs."""


@dataclass(frozen=True, slots=True)
class Run:
    """Wall seconds of both commands, and of the stages of the second."""

    ingest_s: float
    finish_s: float
    stages_s: dict[str, float]

    @property
    def both_s(self) -> float:
        return self.ingest_s + self.finish_s

    @property
    def spread_s(self) -> float:
        return sum(self.stages_s.get(stage, 0.0) for stage in SPREAD_STAGES)


def measure(strips: int, per_strip: int, rounds: int) -> list[Row]:
    """Rows for ingest, finish, both; and for the second worker. Medians of the rounds' ratios."""
    flight = drill_flight(strips, per_strip)
    cores = sorted(os.sched_getaffinity(0))[:2]
    with tempfile.TemporaryDirectory(dir=flight.folder.parent) as temporary:
        done = [
            tuple(
                _run(flight, Path(temporary, f"{number}-{workers}"), workers, cores) for workers in (0, 2, 1)
            )
            for number in range(rounds)
        ]
    photos = strips * per_strip
    return [
        *(
            _against_one_process(f"{what} of {photos} photos", done, name)
            for what, name in (("ingest", "ingest_s"), ("finish", "finish_s"), ("both", "both_s"))
        ),
        Row(
            what=f"a second worker: spread stages of finish ({', '.join(SPREAD_STAGES)}), {photos} photos",
            measured=f"{median(two.spread_s for _, two, _ in done):.1f} s",
            peer=f"one worker {median(one.spread_s for _, _, one in done):.1f} s",
            ratio=median(one.spread_s / two.spread_s for _, two, one in done),
            required=LINEAR,
            sense="at least",
            notes=tuple(
                f"{stage}: {median(one.stages_s[stage] for _, _, one in done):.1f} s by one worker, "
                f"{median(two.stages_s[stage] for _, two, _ in done):.1f} s by two, "
                f"{median(alone.stages_s.get(stage, nan) for alone, _, _ in done):.1f} s without a cluster"
                for stage in done[0][1].stages_s
            ),
        ),
    ]


def _against_one_process(what: str, done: list[tuple[Run, ...]], name: str) -> Row:
    alone, two = ([getattr(runs[which], name) for runs in done] for which in (0, 1))
    ratios = [one / other for one, other in zip(alone, two, strict=True)]
    return Row(
        what=f"{what} by two workers of one thread",
        measured=f"{median(two):.1f} s",
        peer=f"one process, two cores {median(alone):.1f} s",
        ratio=median(ratios),
        required=AT_LEAST,
        sense="at least",
        notes=(f"rounds {len(done)}, ratios {', '.join(f'{ratio:.2f}' for ratio in ratios)}",),
        figures={"alone_s": alone, "two_workers_s": two},
    )


def _run(flight: BenchFlight, folder: Path, workers: int, cores: list[int]) -> Run:
    """Both commands, by so many workers; 0: without a cluster."""
    data = folder / "data"
    house = {
        "FLYCAM_STORE": (data / "store").as_uri(),
        "FLYCAM_DATABASE": f"sqlite:///{data / 'catalog.sqlite'}",
        "FLYCAM_BOX": "bench",
    }
    run_process([*FLYCAM, "dem", "add", flight.dem, "--data", data], environment=house)
    spread = running_cluster(folder / "cluster", house, workers) if workers else nullcontext()
    with spread as cluster:
        environment = house if cluster is None else {**house, "FLYCAM_CLUSTER": str(cluster.address)}

        def timed(*command: str | Path) -> tuple[float, dict[str, object]]:
            ended = run_process(
                [*FLYCAM, *command, "--data", data, "--json"], cores=cores, environment=environment
            )
            return ended.wall_s, json.loads(ended.stdout.splitlines()[-1])

        ingest_s, answer = timed("ingest", flight.photos)
        finish_s, finished = timed("finish", str(answer["flight_id"]), "--no-report")
    stages = finished["stage_seconds"]
    assert isinstance(stages, dict)
    return Run(ingest_s, finish_s, {stage: float(seconds[0]) for stage, seconds in stages.items()})
