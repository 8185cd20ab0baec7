"""Progress of a long run as a share of the whole, weighted by stage costs.

A run is also stopped here: every stage reports often, and a report after cancellation was requested ends the
run. Completed work is on disk, so the next run continues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from flycam.errors import Cancelled
from flycam.messages import _
from flycam.pipeline.workspace import Progress

PERCENT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkAhead:
    """Size of one layer's run.

    frames      photos; megapixels: of all of them
    tiles       base tiles that the revision will have
    posts       of the DSM, 0 without one
    reference, report  whether they are requested
    """

    frames: int
    megapixels: float
    tiles: int
    posts: float
    reference: bool
    report: bool


def estimate_costs(work: WorkAhead) -> dict[str, float]:
    """Estimate the seconds on two cores by stage, in execution order.

    Names of parts follow the dot. The rates were measured on runs of 15 drill photos of 0.3 MP, 95 of 1.3 MP,
    and 18 real ones of 9 MP. Only their ratios count: a slower machine is slower at every stage.
    """
    photos = work.frames
    costs = {
        "ties.features": 0.25 * photos + 0.05 * work.megapixels,
        "ties.neighbours": 0.06 * photos,
        "ties.matches": 0.12 * photos,
        "adjust": 0.1 * photos,
        "reference": 0.15 * photos if work.reference else 0.0,
        "surface.coarse": 4e-6 * work.posts,
        "surface.fine": 14e-6 * work.posts,
        "overviews": 0.03 * photos + 0.018 * work.megapixels,
        "radiometry": 0.03 * photos + 0.009 * work.megapixels,
        "seams": 0.1 * photos + 0.055 * work.megapixels,
        "blend": 0.2 * work.megapixels + 0.007 * work.tiles,
        "report": 1.6 + 0.003 * work.tiles if work.report else 0.0,
    }
    return {stage: cost for stage, cost in costs.items() if cost > 0.0}


def estimate_commune_cost(tiles: int) -> float:
    """Estimate the cost of measuring and clipping the communes, in the same unit."""
    return 0.3 + 0.004 * tiles


class FinishProgress:
    """Progress of the whole run from that of its stages; it never decreases.

    costs      of the stages reported here, in their order
    before     cost done before them; whole: the cost of all; both in the unit of `costs`
    cancelled  asked at every report; once it is true, the report raises Cancelled
    seconds    by stage: (wall, processor) seconds spent in it, by runs that were killed or stopped too, as
       far as a stage of them ended
    """

    def __init__(
        self,
        progress: Progress,
        costs: Mapping[str, float],
        cancelled: Callable[[], bool] = lambda: False,
        *,
        before: float = 0.0,
        whole: float | None = None,
    ) -> None:
        self._progress = progress
        self._costs = dict(costs)
        self._cancelled = cancelled
        self._done_before = before
        self._whole = max(sum(self._costs.values()) if whole is None else whole, 1e-9)
        self._reached = 0.0
        self.seconds: dict[str, tuple[float, float]] = {}
        self._keep: Callable[[Mapping[str, tuple[float, float]]], None] = lambda _: None

    def resume_from(
        self,
        seconds: Mapping[str, tuple[float, float]],
        keep: Callable[[Mapping[str, tuple[float, float]]], None],
    ) -> None:
        """Continue an earlier run's times; `keep` gets the seconds after every stage."""
        self.seconds, self._keep = dict(seconds), keep

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Yield a listener for one stage and time it; a normal exit completes the stage."""
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
            self._keep(self.seconds)

    def _part(self, stage: str, part: str, done: int, total: int) -> None:
        key = f"{stage}.{part}" if f"{stage}.{part}" in self._costs else stage
        cost = self._costs.get(key, 0.0)
        self._tell(stage, self._before(key) + cost * min(done / max(total, 1), 1.0))

    def _tell(self, stage: str, reached: float) -> None:
        if self._cancelled():
            raise Cancelled(_("stopped as asked; what is done is kept: run the same command again to go on"))
        self._reached = max(self._reached, reached)
        share = min((self._done_before + self._reached) / self._whole + 1e-9, 1.0)
        self._progress(stage, int(PERCENT * share), PERCENT)

    def _before(self, key: str) -> float:
        """Return the cost of all that comes before a stage's first part, or this part."""
        before = 0.0
        for name, cost in self._costs.items():
            if name == key or name.startswith(f"{key}."):
                return before
            before += cost
        return self._reached

    def _of_stage(self, stage: str) -> float:
        own = (cost for name, cost in self._costs.items() if name == stage or name.startswith(f"{stage}."))
        return sum(own)
