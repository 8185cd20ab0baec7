"""How well candidates for changes agree with the truth of drills, counted as an analyst would.

A slide or flood of at least 200 m² is **found** when candidates of its kind cover half of it. A candidate is
**right** when half of it lies on ground that changed in its way (of any size; "other": on a new road,
cutting, house, clearing or any work of the storm). Recall is the share of what is found, precision of what is
right, IoU that of all ground called so over all ground that is so. Ground not seen on both dates counts
nowhere. A false alarm lies on the confuser that holds most of it.

Whatever they are called: it is **noticed** when candidates of any kind cover half of it, and then **named**
right when those of its kind cover half of what is covered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields

import cv2
import numpy as np

from flycam.drill.appearance import Confuser
from tests.drill.topview import ViewPair

LEAST_M2 = 200.0
KINDS = ("landslide", "flood")
_NUMBER = {"landslide": 1, "flood": 2}
_HALF = 0.5
_MOST_OF_IT = 0.3
_BINS = 10
OTHER = (Confuser.ROAD, Confuser.CUTTING, Confuser.HOUSE, Confuser.CLEARED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A candidate as pixels: `mask` of the part of the grid at `rows`, `cols`."""

    kind: str
    score: float
    rows: slice
    cols: slice
    mask: np.ndarray


@dataclass(kw_only=True, slots=True)
class Tally:
    """Counts of one kind over scenes."""

    truths: int = 0
    found: int = 0
    noticed: int = 0
    named: int = 0
    candidates: int = 0
    right: int = 0
    both_m2: float = 0.0
    either_m2: float = 0.0
    object_iou: list[float] = field(default_factory=list)

    @property
    def recall(self) -> float:
        return self.found / self.truths if self.truths else float("nan")

    @property
    def noticing(self) -> float:
        return self.noticed / self.truths if self.truths else float("nan")

    @property
    def naming(self) -> float:
        return self.named / self.noticed if self.noticed else float("nan")

    @property
    def precision(self) -> float:
        return self.right / self.candidates if self.candidates else float("nan")

    @property
    def iou(self) -> float:
        return self.both_m2 / self.either_m2 if self.either_m2 else float("nan")


@dataclass(kw_only=True, slots=True)
class Score:
    """Everything counted over some scenes; judged: (score, right) of each candidate, in the order seen."""

    km2: float = 0.0
    tallies: dict[str, Tally] = field(default_factory=lambda: {k: Tally() for k in (*KINDS, "other")})
    judged: list[tuple[float, bool]] = field(default_factory=list)
    confused: Counter[str] = field(default_factory=Counter)
    sizes: list[tuple[float, bool]] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Count another score into this one."""
        self.km2 += other.km2
        for kind, tally in other.tallies.items():
            for one in fields(Tally):
                setattr(
                    self.tallies[kind],
                    one.name,
                    getattr(self.tallies[kind], one.name) + getattr(tally, one.name),
                )
        self.judged += other.judged
        self.sizes += other.sizes
        self.confused += other.confused

    @property
    def false_per_km2(self) -> float:
        return sum(not right for _, right in self.judged) / self.km2

    @property
    def calibration_error(self) -> float:
        return expected_calibration_error(self.judged)


def found_of(kind: str, score: float, rings: Sequence[np.ndarray], shape: tuple[int, int]) -> Found:
    """A candidate's rings (column, row; exterior first) as pixels of a grid of `shape`."""
    points = np.vstack(rings)
    col_0, row_0 = np.maximum(np.floor(points.min(0)).astype(int) - 1, 0)
    col_1, row_1 = np.minimum(np.ceil(points.max(0)).astype(int) + 2, (shape[1], shape[0]))
    mask = np.zeros((max(row_1 - row_0, 0), max(col_1 - col_0, 0)), np.uint8)
    # 1/16 pixel, even-odd: holes stay open
    fine = [np.rint((ring - (col_0, row_0)) * 16).astype(np.int32) for ring in rings]
    cv2.fillPoly(mask, fine, 1, shift=4)
    return Found(
        kind=kind, score=score, rows=slice(row_0, row_1), cols=slice(col_0, col_1), mask=mask.astype(bool)
    )


def add_scene(score: Score, pair: ViewPair, candidates: Iterable[Found]) -> list[bool]:
    """Count one scene into `score`; returns which candidates are right."""
    cell_m2 = pair.window.cell_m**2
    seen = pair.before.seen & pair.after.seen
    change = np.where(seen, pair.change, 0)
    real = np.isin(pair.confuser, OTHER) | (change > 0)
    score.km2 += float(seen.sum()) * cell_m2 / 1e6
    drawn = {kind: np.zeros(change.shape, bool) for kind in KINDS}
    every = np.zeros(change.shape, bool)
    objects = {kind: _objects(change == _NUMBER[kind], cell_m2) for kind in KINDS}
    verdicts = []
    for one in candidates:
        tally, place = score.tallies[one.kind], (one.rows, one.cols)
        true = real[place] if one.kind == "other" else change[place] == _NUMBER[one.kind]
        right = bool(true[one.mask].mean() >= _HALF) if one.mask.any() else False
        verdicts.append(right)
        tally.candidates += 1
        tally.right += right
        score.judged.append((one.score, right))
        every[place] |= one.mask
        if one.kind in drawn:
            drawn[one.kind][place] |= one.mask
            _note_overlap(objects[one.kind], one)
        if not right:
            score.confused[f"{one.kind} on {confuser_of(pair, one)}"] += 1
    for kind in KINDS:
        tally, mine, labels = score.tallies[kind], drawn[kind] & seen, objects[kind]
        covered = np.bincount(labels.labels[mine], minlength=len(labels.areas))
        by_any = np.bincount(labels.labels[every & seen], minlength=len(labels.areas))
        for number in labels.counted:
            found = covered[number] >= _HALF * labels.areas[number]
            tally.truths += 1
            noticed = by_any[number] >= _HALF * labels.areas[number]
            tally.found += bool(found)
            tally.noticed += bool(noticed)
            tally.named += bool(noticed and covered[number] >= _HALF * by_any[number])
            tally.object_iou.append(labels.best_iou.get(number, 0.0))
            if kind == "landslide":
                score.sizes.append((float(labels.areas[number] * cell_m2), bool(found)))
        truth = change == _NUMBER[kind]
        tally.both_m2 += float((mine & truth).sum()) * cell_m2
        tally.either_m2 += float((mine | truth).sum()) * cell_m2
    return verdicts


def expected_calibration_error(judged: Sequence[tuple[float, bool]]) -> float:
    """Mean over ten equal bins of |share right - mean score|, weighted by how many fall into each.

    Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    if not judged:
        return float("nan")
    scores, right = (np.array(values, float) for values in zip(*judged, strict=True))
    bins = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    return float(
        sum(
            abs(right[bins == b].mean() - scores[bins == b].mean()) * (bins == b).mean()
            for b in np.unique(bins)
        )
    )


def confuser_of(pair: ViewPair, one: Found) -> str:
    """In a word, what a false candidate lies on."""
    place = (one.rows, one.cols)
    shares = {}
    for number, name in ((1, "landslide"), (2, "flood")):
        shares[name] = pair.change[place][one.mask] == number
    for confuser in Confuser:
        if confuser:
            shares[confuser.name.lower().replace("_", " ")] = pair.confuser[place][one.mask] == confuser
    shares["sun glint"] = (pair.after.glinting | pair.before.glinting)[place][one.mask]
    shares["cloud shadow"] = (pair.after.clouded | pair.before.clouded)[place][one.mask]
    name, most = max(((name, float(mask.mean())) for name, mask in shares.items()), key=lambda item: item[1])
    return name if most >= _MOST_OF_IT else "season, lean or cast shadow"


@dataclass(kw_only=True, slots=True)
class _Objects:
    """labels H×W (0 none); areas in pixels by label; counted: those of 200 m² and more."""

    labels: np.ndarray
    areas: np.ndarray
    counted: list[int]
    best_iou: dict[int, float] = field(default_factory=dict)


def _objects(mask: np.ndarray, cell_m2: float) -> _Objects:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    counted = [k for k in range(1, count) if areas[k] * cell_m2 >= LEAST_M2]
    return _Objects(labels=labels, areas=areas, counted=counted)


def _note_overlap(objects: _Objects, one: Found) -> None:
    """Keep the best IoU that any single candidate has with each object."""
    inside = objects.labels[one.rows, one.cols][one.mask]
    for number, both in zip(*np.unique(inside[inside > 0], return_counts=True), strict=True):
        iou = both / (one.mask.sum() + objects.areas[number] - both)
        objects.best_iou[int(number)] = max(objects.best_iou.get(int(number), 0.0), float(iou))
