"""Progress of a long run that tells the truth: one share of the whole, by what each stage costs.

It also is where a run can be stopped: every stage reports often, and a report after the stop was asked for
ends the run there. What is done is on disk, so the next run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flycam.errors import Cancelled
from flycam.pipeline.workspace import Progress

PERCENT = 100

COSTS: Mapping[str, float] = {
    "ties.features": 14.0,
    "ties.matches": 10.0,
    "adjust": 8.0,
    "reference": 4.0,
    "surface.coarse": 8.0,
    "surface.fine": 26.0,
    "overviews": 8.0,
    "radiometry": 3.0,
    "seams": 6.0,
    "blend": 18.0,
    "report": 2.0,
    "communes": 2.0,
}
"""What stages cost, in the order in which they run; parts of a stage after the dot."""


class FinishProgress:
    """Turns "so much of this stage" into "so much of all"; it never goes back.

    cancelled  asked at every report; once it says so, the report raises Cancelled
    seconds    by stage: (wall, processor) seconds spent in it by this run
    """

    def __init__(
        self,
        progress: Progress,
        costs: Mapping[str, float] = COSTS,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._progress = progress
        self._costs = dict(costs)
        self._cancelled = cancelled
        self._reached = 0.0
        self.seconds: dict[str, tuple[float, float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """A listener for one stage and the time it takes; leaving it normally completes the stage."""
        began, cpu = time.monotonic(), time.process_time()
        self._tell(name, self._before(name))
        try:
            yield lambda part, done, total: self._part(name, part, done, total)
            self._tell(name, self._before(name) + self._of_stage(name))
        finally:
            wall, spent = self.seconds.get(name, (0.0, 0.0))
            self.seconds[name] = (
                wall + time.monotonic() - began,
                spent + time.process_time() - cpu,
            )

    def _part(self, stage: str, part: str, done: int, total: int) -> None:
        key = f"{stage}.{part}" if f"{stage}.{part}" in self._costs else stage
        cost = self._costs.get(key, 0.0)
        self._tell(stage, self._before(key) + cost * min(done / max(total, 1), 1.0))

    def _tell(self, stage: str, reached: float) -> None:
        if self._cancelled():
            raise Cancelled("stopped as asked; what is done is kept: run the same command again to go on")
        self._reached = max(self._reached, reached)
        self._progress(stage, int(PERCENT * self._reached / sum(self._costs.values())), PERCENT)

    def _before(self, key: str) -> float:
        """Cost of all that comes before the first part of a stage, or before this part."""
        before = 0.0
        for name, cost in self._costs.items():
            if name == key or name.startswith(f"{key}."):
                return before
            before += cost
        return self._reached

    def _of_stage(self, stage: str) -> float:
        own = (cost for name, cost in self._costs.items() if name == stage or name.startswith(f"{stage}."))
        return sum(own)
